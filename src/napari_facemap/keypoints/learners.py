"""What learns: a network with its loss, one class for each layout, and the mean of its weights."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from napari_facemap.keypoints.decode import TARGET_SIGMA
from napari_facemap.keypoints.network import MAP_STRIDE, KeypointNetwork
from napari_facemap.keypoints.point_network import PointNetwork
from napari_facemap.keypoints.posterior import posterior_loss

if TYPE_CHECKING:
    from napari_facemap.keypoints.training import TrainingOptions

Network = PointNetwork | KeypointNetwork
"""What can be trained."""

# Of the loss that Facemap 1.0 trains with.
_HEAT = 10.0  # sum of a heat map, and of its target
_OFFSETS = 0.5  # weight of the offsets beside the heat
_EMPTY_TARGET, _EMPTY_HEAT = 1e-3, 1e-4  # added to sums, which may be 0


class Learner(ABC):
    """A network, the running mean of its weights, and what changes them.

    Parameters
    ----------
    network : PointNetwork or KeypointNetwork
        On its device; it is changed.
    options : TrainingOptions
        How to train.
    """

    clip = 5.0
    """Largest norm of a step's gradient."""

    def __init__(self, network: Network, options: TrainingOptions):
        self.network, self._fixed_norms = network, options.fixed_norms
        self.optimizer = torch.optim.AdamW(
            network.parameters(), options.learning_rate, weight_decay=options.weight_decay
        )
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, _Schedule(options.steps))
        self.mean = torch.optim.swa_utils.AveragedModel(
            network, multi_avg_fn=_RunningMean(options.average), use_buffers=True
        )

    @abstractmethod
    def loss(self, images: Tensor, xy: Tensor, seen: Tensor) -> Tensor:
        """How far the network is from the labels of a batch.

        Parameters
        ----------
        images : Tensor, shape (batch, 1, 256, 256)
            Normalised grey pictures.
        xy : Tensor, shape (batch, 2, keypoint)
            Pixels of the maps, whose pixel 0 covers pixels 0 to 3 of the picture.
        seen : Tensor, shape (batch, keypoint)
            1 where the keypoint is at `xy`, 0 where it is hidden or outside, NaN where nobody
            labelled it.
        """

    @property
    def averaged(self) -> Any:
        """The network with the mean weights, in evaluation mode."""
        return self.mean.module.eval()

    def modules(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {
            "network": self.network,
            "optimizer": self.optimizer,
            "schedule": self.schedule,
            "mean": self.mean,
        }

    def step(self, images: Tensor, xy: Tensor, seen: Tensor) -> float:
        """Learn from a batch; gives its loss."""
        self.network.train()
        if self._fixed_norms:
            for module in self.network.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        loss = self.loss(images.to(memory_format=torch.channels_last), xy, seen)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), self.clip)
        self.optimizer.step()
        self.schedule.step()
        self.mean.update_parameters(self.network)
        return loss.item()


class PointLearner(Learner):
    """A network of our own layout: likelihood of the labels, hidden keypoints included."""

    def loss(self, images: Tensor, xy: Tensor, seen: Tensor) -> Tensor:
        """See `posterior_loss`."""
        place, unseen = self.network(images)
        return posterior_loss(place, unseen, xy, seen)


class FacemapLearner(Learner):
    """A network of Facemap's layout, which has no way to say that a keypoint is hidden."""

    clip = 50.0

    def loss(self, images: Tensor, xy: Tensor, seen: Tensor) -> Tensor:
        """See `heat_loss`."""
        # This layout counts pixels of its maps as a quarter of the picture's: pixel 0 is at 0.
        quarter = (1 - 1 / MAP_STRIDE) / 2
        network: Any = self.network
        heat, row_offset, column_offset = network(images)
        return heat_loss(heat, row_offset, column_offset, xy + quarter, seen)


def heat_loss(
    heat: Tensor, row_offset: Tensor, column_offset: Tensor, xy: Tensor, seen: Tensor
) -> Tensor:
    """The loss of Facemap's layout.

    For each labelled keypoint the heat map and its target, a Gaussian, are both scaled to one
    sum, and their absolute difference is summed; half the error of the offsets, summed over the
    disc around the keypoint, is added. The mean over labelled keypoints is taken.

    Parameters
    ----------
    heat, row_offset, column_offset : Tensor, each (batch, keypoint, rows, columns)
        Output of a `KeypointNetwork`.
    xy : Tensor, shape (batch, 2, keypoint)
        Column and row in pixels of the maps as `decode_maps` counts them: a quarter of the
        picture's.
    seen : Tensor, shape (batch, keypoint)
        1 where the keypoint is at `xy`; all others count for nothing.

    Returns
    -------
    Tensor
        One number, 0 when nothing is labelled.

    References
    ----------
    Syeda, A. et al. Facemap: a framework for modeling neural activity based on orofacial
    tracking. Nature Neuroscience 27, 187-195 (2024).
    """
    labelled = seen == 1
    # Chosen first: what is not labelled is NaN, and would be so in gradients.
    column, row = (xy[:, k][labelled][:, None, None] for k in range(2))
    heat, row_offset, column_offset = (
        part.float()[labelled] for part in (heat, row_offset, column_offset)
    )
    rows, columns = (torch.arange(n, device=heat.device) for n in heat.shape[1:])
    down, right = rows[:, None] - row, columns - column
    distance = torch.hypot(down, right)
    target = _scaled(torch.exp(-((distance / TARGET_SIGMA) ** 2) / 2), _EMPTY_TARGET)
    apart = (target - _scaled(heat, _EMPTY_HEAT)).abs().sum(dim=(1, 2))
    wrong = torch.stack(
        [down / (2 * TARGET_SIGMA) - row_offset, right / (2 * TARGET_SIGMA) - column_offset]
    )
    inside = distance <= TARGET_SIGMA
    off = torch.where(inside, torch.linalg.vector_norm(wrong, dim=0), 0.0).sum(dim=(1, 2))
    return (apart + _OFFSETS * off).sum() / max(len(heat), 1)


def learner_for(network: Network, options: TrainingOptions) -> Learner:
    """What trains a network, by its layout."""
    kind = PointLearner if isinstance(network, PointNetwork) else FacemapLearner
    return kind(network, options)


def _scaled(maps: Tensor, empty: float) -> Tensor:
    return _HEAT * maps / (maps.sum(dim=(1, 2), keepdim=True) + empty)


class _RunningMean:
    """An exponential mean that counts few steps evenly, so that the start is forgotten."""

    def __init__(self, average: float):
        self.average = average

    @torch.no_grad()
    def __call__(self, mean: Any, new: Any, n_averaged: Any) -> None:
        keep = min(self.average, (float(n_averaged) + 1) / (float(n_averaged) + 10))
        for old, value in zip(mean, new, strict=True):
            if old.is_floating_point():
                old.lerp_(value.to(old.dtype), 1 - keep)
            else:
                old.copy_(value)


class _Schedule:
    """Factor of the learning rate: linear rise, then a cosine down to 0."""

    def __init__(self, steps: int):
        self.steps, self.rise = steps, max(1, min(steps // 10, 500))

    def __call__(self, step: int) -> float:
        if step < self.rise:
            return (step + 1) / self.rise
        progress = (step - self.rise) / max(1, self.steps - self.rise)
        return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
