"""Training a keypoint network on labelled faces."""

from __future__ import annotations

import copy
import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from napari_facemap.keypoints.augment import Augmentation, random_view
from napari_facemap.keypoints.checkpoint import Progress, read_checkpoint, write_checkpoint
from napari_facemap.keypoints.device import choose_device
from napari_facemap.keypoints.evaluation import read_faces, summary
from napari_facemap.keypoints.labels import LabelledFace, shrunk
from napari_facemap.keypoints.learners import Network, learner_for
from napari_facemap.keypoints.network import MAP_STRIDE
from napari_facemap.keypoints.point_network import DEPTHS, WIDTHS, PointNetwork
from napari_facemap.keypoints.view import face_size

Report = Callable[[dict[str, Any]], None]

_SAVE_EVERY = 100  # steps; what a crash can cost


class TrainingStopped(Exception):
    """A training was stopped; its checkpoint, where it has one, holds what it learnt."""


@dataclass(frozen=True)
class TrainingOptions:
    """How a network is trained.

    Attributes
    ----------
    steps : int
        Batches in all.
    batch_size : int
        Views a batch.
    learning_rate : float
        The highest; it rises over the first steps and falls to 0 along a cosine.
    weight_decay : float
        Of AdamW.
    average : float
        The weights that are kept are a running mean of the trained ones; share that remains
        after each step.
    simulated_share : float
        Share of views drawn from the simulated faces, where there are any.
    evaluate_every : int
        Steps between errors on the validation faces: an epoch.
    seed : int
        Of all chance: the same options and faces give the same weights on one machine.
    widths, depths : tuple of int
        Of the network, see `PointNetwork`.
    augmentation : Augmentation
        How far views stray from the labelled pictures.
    patience : int or None
        Epochs without a lower error on the validation faces after which training stops.
    fixed_norms : bool
        Whether normalisation keeps what it learnt before; for small batches of few recordings.
    enough : int
        Validation faces whose error alone chooses an epoch. That of fewer says too little, so
        the faces learnt from count as well, each as much as a validation face.
    """

    steps: int = 5500
    batch_size: int = 16
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    average: float = 0.998
    simulated_share: float = 0.3
    evaluate_every: int = 500
    seed: int = 0
    widths: tuple[int, ...] = WIDTHS
    depths: tuple[int, ...] = DEPTHS
    augmentation: Augmentation = field(default_factory=Augmentation)
    patience: int | None = None
    fixed_norms: bool = False
    enough: int = 0


def train(
    faces: Sequence[LabelledFace],
    validation: Sequence[LabelledFace],
    keypoints: Sequence[str],
    simulated: Sequence[LabelledFace] = (),
    options: TrainingOptions | None = None,
    device: str = "auto",
    report: Report | None = None,
    checkpoint: Path | None = None,
    workers: int = 0,
    progress: Callable[[int, int], bool | None] | None = None,
    start: Network | None = None,
) -> tuple[Any, list[dict[str, Any]]]:
    """Train a network.

    Parameters
    ----------
    faces : sequence of LabelledFace
        To learn from; those of short recordings are drawn more often than their share.
    validation : sequence of LabelledFace
        Of other mice. The weights of the epoch with the lowest error on them (see
        `TrainingOptions.enough`) are kept; when there are none, the last.
    keypoints : sequence of str
        Names of the labels.
    simulated : sequence of LabelledFace
        Mixed in as ``options.simulated_share`` says.
    options : TrainingOptions, optional
        How to train.
    device : {"auto", "cpu", "cuda", "mps"}
        What to compute on.
    report : callable, optional
        Called with each row of the history.
    checkpoint : Path, optional
        Where the state is kept. A training that finds one there of the same faces and options
        goes on from it, to the same weights as if never stopped.
    workers : int
        Processes that prepare views beside the training.
    progress : callable, optional
        Called with steps done and in all after each step; when it returns False the training
        stops; one that went on from `start` keeps the best epoch so far.
    start : PointNetwork or KeypointNetwork, optional
        A network of these keypoints to go on from, without rounding; its error is the first of
        the history. It stays as it is, and its layout is taken, with the loss that belongs to it.

    Returns
    -------
    network : PointNetwork or KeypointNetwork
        Of the layout of `start`, else of ours; on the CPU, in evaluation mode.
    history : list of dict
        Step, training loss, seconds so far and left, and errors on the validation faces; the
        epoch of the lowest ``score`` was kept.

    Raises
    ------
    ValueError
        When there is no step to train, a validation face lacks eye or nose tip, or the
        checkpoint is of another training.
    TrainingStopped
        When `progress` said so and there is no `start`.
    """
    options = options or TrainingOptions()
    _check(options, validation if start is None else (), keypoints)
    chosen = choose_device(device)
    views = _Views(list(faces), list(simulated), tuple(keypoints), options)
    torch.manual_seed(options.seed)
    if start is None:
        best: Network = PointNetwork(len(keypoints), options.widths, options.depths)
    else:
        best = copy.deepcopy(start)
    network: Any = copy.deepcopy(best)
    network = network.to(chosen, memory_format=torch.channels_last)
    learner = learner_for(network, options)
    key = _fingerprint(views, validation, options)
    state = read_checkpoint(checkpoint, key, learner.modules())
    started = time.monotonic() - state.seconds

    def look(row: dict[str, Any]) -> None:
        if validation:
            errors = read_faces(learner.averaged, validation, keypoints, chosen).errors
            row |= summary(errors, keypoints)
            if len(validation) < options.enough:
                learnt = read_faces(learner.averaged, faces, keypoints, chosen).errors
                row["score"] = summary(np.concatenate([errors, learnt]), keypoints)["score"]
        state.add(row, learner.averaged)
        if report is not None:
            report(row)

    if start is not None and not state.step:
        look({"step": 0, "seconds": 0.0})
    for images, xy, seen in views.batches(state.step, workers):
        state.step += 1
        state.losses.append(learner.step(images.to(chosen), xy.to(chosen), seen.to(chosen)))
        state.seconds = time.monotonic() - started
        epoch = state.step % options.evaluate_every == 0 or state.step == options.steps
        stop = progress is not None and progress(state.step, options.steps) is False
        if epoch or (stop and start is not None):  # what was learnt since the last epoch counts
            look(_row(state, options.steps))
        if epoch or stop or state.step % _SAVE_EVERY == 0:
            write_checkpoint(checkpoint, key, learner.modules(), state)
        if stop and start is not None:
            break
        if stop:
            raise TrainingStopped(f"stopped after {state.step} of {options.steps} steps")
        if epoch and _has_settled(state.history, options.patience):
            break
    best.load_state_dict(state.best_state)
    return best.eval(), state.history


def _has_settled(history: Sequence[dict[str, Any]], patience: int | None) -> bool:
    """Whether the error has not fallen for that many epochs."""
    scores = [row["score"] for row in history if "score" in row]
    return patience is not None and len(scores) - 1 - int(np.argmin(scores or [0])) >= patience


def _row(state: Progress, steps: int) -> dict[str, Any]:
    return {
        "step": state.step,
        "loss": float(np.mean(state.losses)),
        "seconds": state.seconds,
        "seconds_left": state.seconds / state.step * (steps - state.step),
    }


def options_card(options: TrainingOptions) -> dict[str, Any]:
    """The options as plain numbers, for a model's card."""
    return asdict(options)


class _Views(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """The batch of each step, which depends on the step and the seed alone."""

    def __init__(
        self,
        faces: list[LabelledFace],
        simulated: list[LabelledFace],
        keypoints: tuple[str, ...],
        options: TrainingOptions,
    ):
        self.faces = [shrunk(face, keypoints) for face in faces]
        self.simulated = [shrunk(face, keypoints) for face in simulated]
        self.keypoints, self.options = keypoints, options
        size = Counter(face.recording for face in faces)
        chances = np.array([size[face.recording] ** -0.5 for face in faces])
        self.chances = chances / chances.sum()

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        rng = np.random.default_rng([self.options.seed, step])
        views = [self._view(rng) for _ in range(self.options.batch_size)]
        images, xy, seen = (np.stack(parts) for parts in zip(*views, strict=True))
        # Pixel centres of the map lie at integers, too: its pixel 0 covers pixels 0 to 3.
        xy = (xy + 0.5) / MAP_STRIDE - 0.5
        return (
            torch.from_numpy(images)[:, None],
            torch.from_numpy(xy).float(),
            torch.from_numpy(seen),
        )

    def _view(self, rng: np.random.Generator) -> Any:
        if self.simulated and rng.random() < self.options.simulated_share:
            face = self.simulated[rng.integers(len(self.simulated))]
        else:
            face = self.faces[rng.choice(len(self.faces), p=self.chances)]
        return random_view(face, self.keypoints, rng, self.options.augmentation)

    def batches(self, start: int, workers: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Batches from step `start` to the last."""
        loader = DataLoader(
            self,
            batch_size=None,
            sampler=range(start, self.options.steps),
            num_workers=workers,
            worker_init_fn=_one_thread if workers else None,
        )
        with _own_chance():
            yield from loader


def _one_thread(_worker: int) -> None:
    torch.set_num_threads(1)


@contextmanager
def _own_chance() -> Iterator[None]:
    # The loader draws a seed for its workers from torch's state, which is the caller's.
    with torch.random.fork_rng(devices=[]):
        yield


def _check(
    options: TrainingOptions, validation: Sequence[LabelledFace], keypoints: Sequence[str]
) -> None:
    if options.steps < 1:
        raise ValueError(f"Expected at least 1 training step; found {options.steps}.")
    for face in validation:
        if not np.isfinite(face_size(face.xy, keypoints)):
            raise ValueError(
                f"{face.source}: expected eye and nose tip labelled on every validation picture; "
                "label them, or train on this picture."
            )


def _fingerprint(
    views: _Views, validation: Sequence[LabelledFace], options: TrainingOptions
) -> str:
    """What a checkpoint must be of."""
    digest = hashlib.sha256(json.dumps([asdict(options), views.keypoints]).encode())
    for face in [*views.faces, *views.simulated, *validation]:
        digest.update(f"{face.source} {face.image.shape} {face.hidden}".encode())
        digest.update(np.ascontiguousarray(face.xy).tobytes())
        digest.update(face.image.tobytes())
    return digest.hexdigest()
