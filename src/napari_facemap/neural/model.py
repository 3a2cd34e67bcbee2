"""What an encoder's model is given, and what it must be able to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

import numpy as np

from napari_facemap.neural.clocks import Grid

Progress = Callable[[int, int], None]
"""Called as ``progress(done, total)``; raises `Cancelled` when the fit is to stop."""


Watch = Callable[[int, float, float], None]
"""Called as ``watch(step, training, validation)`` with variances explained of the targets."""


class Cancelled(Exception):
    """A fit that was stopped because `progress` returned False."""


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Behaviour and targets of one recording.

    Attributes
    ----------
    grid : Grid
        Z-scored features of the whole recording.
    positions : ndarray, shape (time,)
        Where the neural samples lie on the grid, in steps.
    targets : ndarray, shape (time, target)
        float32.
    train, validation : ndarray of bool, shape (time,)
        Samples to fit, and samples to choose by. There are no test samples among them.
    neural_step : float
        Seconds between neural samples (median).
    """

    grid: Grid
    positions: np.ndarray
    targets: np.ndarray
    train: np.ndarray
    validation: np.ndarray
    neural_step: float


class Model(Protocol):
    """One way from behaviour to targets. To add one, write this class and list it in `encoder`.

    A model is made with its options as keywords, then fitted once. One that can share a part
    between recordings has a method ``fit_together(others, data, progress, seed, device, watch)``
    too, see `NetworkModel`.
    """

    kind: ClassVar[str]

    @property
    def half_width(self) -> float:
        """How far from a sample, in seconds, behaviour counts."""

    @property
    def shape(self) -> tuple[int, int]:
        """Features in and targets out, once fitted."""

    def fit(
        self,
        data: TrainingData,
        progress: Progress,
        seed: int,
        device: str,
        watch: Watch | None = None,
    ) -> None:
        """Fit to the training samples; what is fitted at once has nothing to watch."""

    def predict(self, grid: Grid, positions: np.ndarray, device: str) -> np.ndarray:
        """Predict targets, shape (time, target), at positions on the grid."""

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Give everything to save: arrays, and what JSON can hold."""

    @classmethod
    def from_state(cls, arrays: dict[str, np.ndarray], options: dict[str, Any]) -> Self:
        """Make a fitted model from what `state` gave."""
