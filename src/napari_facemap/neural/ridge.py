"""Linear prediction with memory: ridge regression on behaviour at several lags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import numpy as np
from scipy.linalg import eigh

from napari_facemap.neural.clocks import Grid
from napari_facemap.neural.linear import smoothed_at
from napari_facemap.neural.model import Progress, TrainingData, Watch

LAGS = tuple(float(lag) for lag in np.linspace(-1, 1, 9))
"""Seconds; positive is behaviour after the neural sample."""

_PENALTIES = np.logspace(-5, 4, 19)


@dataclass(eq=False)
class RidgeModel:
    """Ridge regression from smoothed behaviour around a sample's time to the targets.

    Features are smoothed with a gaussian a quarter of a neural sample wide and taken at several
    lags. One penalty for all, a fraction of the features' mean variance, is the one that predicts
    the validation segments best; the weights are then fitted to training and validation segments
    together. All penalties come from one eigendecomposition.

    Parameters
    ----------
    lags : sequence of float
        Seconds.
    penalty : float, optional
        Ridge penalty as a fraction of the features' mean variance; by default chosen from 19
        values between 1e-5 and 10,000.
    """

    lags: Sequence[float] = LAGS
    penalty: float | None = None
    sigma: float = 0.0
    weights: np.ndarray = field(default_factory=partial(np.empty, (0, 0)))
    mean_x: np.ndarray = field(default_factory=partial(np.empty, 0))
    mean_y: np.ndarray = field(default_factory=partial(np.empty, 0))

    kind: ClassVar[str] = "ridge"

    def __post_init__(self) -> None:
        self.lags = tuple(float(lag) for lag in self.lags)
        finite = np.isfinite(self.lags).all() and len(self.lags) > 0
        if not finite or (self.penalty is not None and not self.penalty >= 0):
            raise ValueError(
                f"ridge encoder: expected lags in seconds and penalty >= 0, found {self.lags} and "
                f"{self.penalty}"
            )

    @property
    def half_width(self) -> float:
        """The longest lag, in seconds."""
        return max(abs(lag) for lag in self.lags)

    @property
    def shape(self) -> tuple[int, int]:
        """Features in and targets out, once fitted."""
        n_columns, n_targets = self.weights.shape
        return n_columns // len(self.lags), n_targets

    def fit(
        self,
        data: TrainingData,
        progress: Progress,
        seed: int,
        device: str,
        watch: Watch | None = None,
    ) -> None:
        """Choose the penalty on the validation samples, then fit; nothing here is random."""
        self.sigma = data.neural_step / 4
        x = self._design(data.grid, data.positions)
        train, held = data.train, data.validation
        if self.penalty is None:
            path = _Path(x[train], data.targets[train])
            errors = []
            for done, penalty in enumerate(_PENALTIES):
                progress(done, len(_PENALTIES) + 1)
                predicted = (x[held] - path.mean_x) @ path.weights(penalty) + path.mean_y
                errors.append(float(np.mean((data.targets[held] - predicted) ** 2)))
            self.penalty = float(_PENALTIES[int(np.argmin(errors))])
        both = train | held
        final = _Path(x[both], data.targets[both])
        self.weights = final.weights(self.penalty)
        self.mean_x = final.mean_x.astype(np.float32)
        self.mean_y = final.mean_y.astype(np.float32)
        progress(len(_PENALTIES) + 1, len(_PENALTIES) + 1)

    def predict(self, grid: Grid, positions: np.ndarray, device: str) -> np.ndarray:
        """Predict targets, shape (time, target), at positions on the grid."""
        return (self._design(grid, positions) - self.mean_x) @ self.weights + self.mean_y

    def _design(self, grid: Grid, positions: np.ndarray) -> np.ndarray:
        """Features at all lags, shape (time, lag and feature); held at the grid's ends."""
        last = len(grid.values) - 1
        at = [np.clip(positions + lag * grid.rate, 0, last) for lag in self.lags]
        return np.concatenate([smoothed_at(grid, one, self.sigma) for one in at], axis=1)

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Give what to save: arrays, and numbers."""
        arrays = {"weights": self.weights, "mean_x": self.mean_x, "mean_y": self.mean_y}
        options = {"lags": list(self.lags), "penalty": self.penalty, "sigma": self.sigma}
        return arrays, options

    @classmethod
    def from_state(cls, arrays: dict[str, np.ndarray], options: dict[str, Any]) -> RidgeModel:
        """Make a fitted model from what `state` gave."""
        model = cls(**{**options, **arrays})
        n_columns, n_targets = model.weights.shape
        fits = model.mean_x.shape == (n_columns,) and model.mean_y.shape == (n_targets,)
        if not fits or n_columns % len(model.lags):
            raise ValueError(f"means or lags do not fit weights of shape {model.weights.shape}")
        return model


class _Path:
    """Ridge regression for any penalty, from one eigendecomposition."""

    def __init__(self, x: np.ndarray, y: np.ndarray):
        self.mean_x, self.mean_y = x.mean(axis=0, dtype=float), y.mean(axis=0, dtype=float)
        x = x - self.mean_x.astype(np.float32)
        self._values, self._vectors = eigh((x.T @ x).astype(float) / len(x))
        self._values = np.maximum(self._values, 0)
        cross = (x.T @ (y - self.mean_y.astype(np.float32))).astype(float) / len(x)
        self._cross = self._vectors.T @ cross

    def weights(self, penalty: float) -> np.ndarray:
        """Weights, shape (feature, target), float32."""
        ridge = max(penalty, 1e-12) * max(float(self._values.mean()), 1e-12)
        solved = self._cross / (self._values + ridge)[:, None]
        return (self._vectors @ solved).astype(np.float32)
