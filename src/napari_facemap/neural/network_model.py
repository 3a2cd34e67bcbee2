"""Fitting the encoder network, stopping in time, and predicting with it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from napari_facemap.keypoints.device import choose_device
from napari_facemap.neural.clocks import GRID_RATE, Grid
from napari_facemap.neural.model import Progress, TrainingData, Watch
from napari_facemap.neural.network import N_TAPS, EncoderNetwork, padded, windows_at

BLOCK = 1024
"""Samples computed at once when predicting; it does not change what is predicted."""


@dataclass(eq=False)
class NetworkModel:
    """The encoder network with its training.

    Weights are fitted with AdamW to random batches of training samples. Their running average is
    scored on the validation samples; when that has stopped getting better the learning rate falls
    to a third, and after the fourth plateau fitting stops. The best average is kept.

    Three things differ from the published training, because each explains more variance of
    held-out simulated activity: small batches of single samples, dropout of latents, and a lower
    learning rate of the filters. Their 201 taps are small numbers, so that steps of the common
    size make them noise that fits the training samples.

    Parameters
    ----------
    learning_rate, filter_learning_rate : float
        Of all layers, and of the filters.
    weight_decay : float
        Of AdamW.
    dropout : float
        Share of latents left out of each training sample, 0 to less than 1.
    smoothness : float
        Penalty on the squared differences between neighbouring taps of the filters.
    batch_size : int
        Samples a step.
    max_steps : int
        Steps at most.
    check_every : int
        Steps between two looks at the validation samples.
    patience : int
        Looks without a better score before the learning rate falls.
    average : float
        How much of the running average of the weights a step keeps, 0 to 1.
    """

    learning_rate: float = 3e-3
    filter_learning_rate: float = 3e-4
    weight_decay: float = 1e-4
    dropout: float = 0.5
    smoothness: float = 0.5
    batch_size: int = 64
    max_steps: int = 4000
    check_every: int = 25
    patience: int = 8
    average: float = 0.98
    network: EncoderNetwork | None = field(default=None, repr=False)
    history: list[float] = field(default_factory=list, repr=False)

    kind: ClassVar[str] = "network"
    n_falls: ClassVar[int] = 3

    def __post_init__(self) -> None:
        positive = ("learning_rate", "filter_learning_rate", "batch_size", "max_steps",
                    "check_every", "patience")  # fmt: skip
        for name in positive:
            if not getattr(self, name) > 0:
                raise ValueError(
                    f"network encoder: expected {name} above 0, found {getattr(self, name)}"
                )
        if not (0 <= self.dropout < 1 and 0 <= self.average < 1):
            raise ValueError(
                f"network encoder: expected dropout and average from 0 to less than 1, found "
                f"{self.dropout} and {self.average}"
            )

    @property
    def half_width(self) -> float:
        """Half a filter, in seconds."""
        return (N_TAPS // 2 + 1) / GRID_RATE

    @property
    def shape(self) -> tuple[int, int]:
        """Features in and targets out, once fitted."""
        return self.fitted.mixing.in_features, self.fitted.readout.out_features

    @property
    def fitted(self) -> EncoderNetwork:
        """The network, once fitted."""
        if self.network is None:
            raise RuntimeError("The network is not fitted yet.")
        return self.network

    def fit(
        self,
        data: TrainingData,
        progress: Progress,
        seed: int,
        device: str,
        watch: Watch | None = None,
    ) -> None:
        """Train on the training samples, stop by the validation samples, keep the best."""
        self.fit_together([], [data], progress, seed, device, watch)

    def fit_together(
        self,
        others: Sequence[NetworkModel],
        data: Sequence[TrainingData],
        progress: Progress,
        seed: int,
        device: str,
        watch: Watch | None = None,
    ) -> None:
        """Fit this and other models with one core, each with its own readout.

        Parameters
        ----------
        others : sequence of NetworkModel
            Of the other recordings. This model's options count.
        data : sequence of TrainingData
            Of this model's recording, and of the others'.
        progress, seed, device, watch
            As for `fit`. What is watched is the mean over recordings.
        """
        with _one_thread():
            networks = self._train(data, progress, seed, choose_device(device), watch)
        for model, network in zip([self, *others], networks, strict=True):
            model.network = copy.deepcopy(network).cpu().eval()
            model.history = list(self.history)

    def _train(
        self,
        data: Sequence[TrainingData],
        progress: Progress,
        seed: int,
        on: torch.device,
        watch: Watch | None,
    ) -> nn.ModuleList:
        networks = _with_one_core([_new_network(*_sizes(one), seed=seed) for one in data]).to(on)
        averaged = _Average(networks, self.average)
        lessons = [_Lesson(one, on, self.batch_size, seed) for one in data]
        optimizer = self._optimizer(networks)
        rates = [group["lr"] for group in optimizer.param_groups]
        chance = torch.Generator().manual_seed(seed)
        best = _Best(self.patience, self.n_falls)
        total = self.max_steps * len(data)
        losses: list[Tensor] = []
        for step in range(total):
            if step % (self.check_every * len(data)) == 0:
                errors = [
                    one.error(net) for one, net in zip(lessons, averaged.networks, strict=True)
                ]
                self.history.append(float(np.mean(errors)))
                if watch is not None and losses:
                    held = np.mean(
                        [e / one.spread for e, one in zip(errors, lessons, strict=True)]
                    )
                    watch(step, 1 - float(torch.stack(losses).mean()), 1 - float(held))
                losses = []
                if best.see(self.history[-1], averaged.networks):
                    break
                for group, rate in zip(optimizer.param_groups, rates, strict=True):
                    group["lr"] = rate / 3**best.fallen
            progress(step, total)
            lesson = lessons[step % len(data)]
            network: EncoderNetwork = networks[step % len(data)]
            chosen = next(lesson.batches)
            kept = self._kept(len(chosen), network, chance).to(on)
            predicted = network(windows_at(lesson.behavior, lesson.steps[chosen].to(on)), kept)
            loss = mse_loss(predicted, lesson.targets[chosen].to(on))
            losses.append(loss.detach() / lesson.spread)
            loss = loss + self.smoothness * network.roughness()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            averaged.add(networks)
        averaged.networks.load_state_dict(best.weights)
        progress(total, total)
        return averaged.networks

    def _optimizer(self, networks: nn.ModuleList) -> torch.optim.Optimizer:
        filters = networks[0].filters  # all have the same
        others = [weights for weights in networks.parameters() if weights is not filters]
        groups = [
            {"params": others, "lr": self.learning_rate},
            {"params": [filters], "lr": self.filter_learning_rate},
        ]
        return torch.optim.AdamW(groups, weight_decay=self.weight_decay, fused=True)

    def _kept(self, n: int, network: EncoderNetwork, chance: torch.Generator) -> Tensor:
        """Factors of dropout, drawn on the CPU so that a seed means the same on any device."""
        drawn = torch.rand(n, network.latent.out_features, generator=chance)
        return (drawn >= self.dropout).float() / (1 - self.dropout)

    def predict(self, grid: Grid, positions: np.ndarray, device: str) -> np.ndarray:
        """Predict targets, shape (time, target), at the grid's steps nearest to positions."""
        on = choose_device(device)
        # A copy goes to the device: another thread may be predicting with the model as well.
        network = copy.deepcopy(self.fitted).to(on)
        behavior = padded(grid.values, on)
        steps = torch.from_numpy(np.rint(positions).astype(np.int64)).to(on)
        return torch.cat(list(_in_blocks(network, behavior, steps))).cpu().numpy()

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Give what to save: weights, and how they were fitted."""
        arrays = {name: value.numpy() for name, value in self.fitted.state_dict().items()}
        names = [item.name for item in fields(self) if item.name != "network"]
        return arrays, {name: getattr(self, name) for name in names}

    @classmethod
    def from_state(cls, arrays: dict[str, np.ndarray], options: dict[str, Any]) -> NetworkModel:
        """Make a fitted model from what `state` gave."""
        model = cls(**options)
        n_targets, n_latents = arrays["readout.weight"].shape
        n_filters = len(arrays["filters"])
        n_features = arrays["mixing.weight"].shape[1]
        n_mixed = len(arrays["hidden.weight"])
        sizes = n_features, n_targets, n_filters, n_mixed, n_latents
        network = _new_network(*sizes)
        network.load_state_dict({name: torch.from_numpy(a.copy()) for name, a in arrays.items()})
        model.network = network.eval()
        return model


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute in one CPU thread: batches are so small that waiting for others takes longer.

    The fit is then also the same whatever the number of cores.
    """
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


class _Lesson:
    """What one recording has to teach, as tensors."""

    def __init__(self, data: TrainingData, on: torch.device, batch_size: int, seed: int):
        self.behavior = padded(data.grid.values, on)
        self.steps = torch.from_numpy(np.rint(data.positions).astype(np.int64))
        self.targets = torch.from_numpy(data.targets)
        self.batches = _batches(np.flatnonzero(data.train), batch_size, seed)
        self._held = torch.from_numpy(np.flatnonzero(data.validation))
        self.spread = max(float(data.targets[data.train].var(axis=0).mean()), 1e-12)

    def error(self, network: EncoderNetwork) -> float:
        """Squared error at the validation samples."""
        return _error(network, self.behavior, self.steps[self._held], self.targets[self._held])


class _Average:
    """A running average of networks' weights, which generalises better than the last ones."""

    def __init__(self, networks: nn.ModuleList, keep: float):
        self.keep, self.n_added = keep, 0
        self.networks = copy.deepcopy(networks)  # what they share stays shared
        self.networks.requires_grad_(False)

    @torch.no_grad()
    def add(self, networks: nn.ModuleList) -> None:
        self.n_added += 1
        keep = min(self.keep, self.n_added / (self.n_added + 1))  # the first weights are forgotten
        torch._foreach_lerp_(
            list(self.networks.parameters()), list(networks.parameters()), 1 - keep
        )


class _Best:
    """Remembers the best weights, and says when the learning rate falls and when to stop."""

    def __init__(self, patience: int, n_falls: int):
        self.patience, self.n_falls = patience, n_falls
        self.lowest, self.waited, self.fallen = np.inf, 0, 0
        self.weights: dict[str, Tensor] = {}

    def see(self, error: float, networks: nn.ModuleList) -> bool:
        """Take in a score; True when it is time to stop."""
        if error < self.lowest:
            self.lowest, self.waited = error, 0
            self.weights = {name: value.clone() for name, value in networks.state_dict().items()}
            return False
        self.waited += 1
        if self.waited > self.patience:
            self.waited, self.fallen = 0, self.fallen + 1
        return self.fallen > self.n_falls


def _sizes(data: TrainingData) -> tuple[int, int]:
    """Features in and targets out."""
    return data.grid.values.shape[1], data.targets.shape[1]


def _with_one_core(networks: Sequence[EncoderNetwork]) -> nn.ModuleList:
    """Networks that share everything but their readouts."""
    first = networks[0]
    for network in networks[1:]:
        network.mixing, network.filters = first.mixing, first.filters
        network.hidden, network.latent = first.hidden, first.latent
    return nn.ModuleList(networks)


def _new_network(*sizes: int, seed: int = 0) -> EncoderNetwork:
    """Make a network by the seed, and leave torch's own chance as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return EncoderNetwork(*sizes)


def _batches(index: np.ndarray, size: int, seed: int) -> Iterator[Tensor]:
    """Give random batches for ever; each sample once a round."""
    rng = np.random.default_rng(seed)
    size = min(size, len(index))
    while True:
        order = rng.permutation(index)
        for start in range(0, len(order) - size + 1, size):
            yield torch.from_numpy(order[start : start + size])


@torch.inference_mode()
def _in_blocks(network: EncoderNetwork, behavior: Tensor, steps: Tensor) -> Iterator[Tensor]:
    for start in range(0, max(len(steps), 1), BLOCK):
        yield network(windows_at(behavior, steps[start : start + BLOCK]))


def _error(network: EncoderNetwork, behavior: Tensor, steps: Tensor, targets: Tensor) -> float:
    predicted = torch.cat(list(_in_blocks(network, behavior, steps.to(behavior.device))))
    return float(mse_loss(predicted.cpu(), targets))
