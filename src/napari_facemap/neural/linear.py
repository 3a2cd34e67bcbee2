"""Linear prediction: reduced-rank regression, solved exactly."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import numpy as np
from scipy.linalg import eigh
from scipy.ndimage import gaussian_filter1d

from napari_facemap.neural.clocks import Grid
from napari_facemap.neural.model import Progress, TrainingData, Watch

_PENALTIES = np.logspace(-6, 1, 15)
_TRUNCATE = 4.0  # standard deviations at which the smoothing kernel ends


@dataclass(eq=False)
class LinearModel:
    """Reduced-rank regression from smoothed behaviour at a sample's time to the targets.

    Features are smoothed with a gaussian a quarter of a neural sample wide, interpolated at the
    samples' times and regressed on: ``Y ~ X B A'`` with rank-limited ``B A'`` [1]_. Rank and ridge
    penalty are those that predict the validation segments best; the weights are then fitted to
    training and validation segments together.

    Parameters
    ----------
    rank : int
        Highest rank to try.
    penalty : float, optional
        Ridge penalty as a fraction of the features' mean variance; by default chosen from 15
        values between 1e-6 and 10.

    References
    ----------
    .. [1] Izenman, A. J. (1975). Reduced-rank regression for the multivariate linear model.
       Journal of Multivariate Analysis 5, 248-264.
    """

    rank: int = 128
    penalty: float | None = None
    sigma: float = 0.0
    weights: np.ndarray = field(default_factory=partial(np.empty, (0, 0)))
    mean_x: np.ndarray = field(default_factory=partial(np.empty, 0))
    mean_y: np.ndarray = field(default_factory=partial(np.empty, 0))

    kind: ClassVar[str] = "linear"

    def __post_init__(self) -> None:
        if self.rank < 1 or (self.penalty is not None and not self.penalty >= 0):
            raise ValueError(
                f"linear encoder: expected rank >= 1 and penalty >= 0, found {self.rank} and "
                f"{self.penalty}"
            )

    @property
    def half_width(self) -> float:
        """None: the smoothing reaches no further than a neural sample, which guards exceed."""
        return 0.0

    @property
    def shape(self) -> tuple[int, int]:
        """Features in and targets out, once fitted."""
        n_features, n_targets = self.weights.shape
        return n_features, n_targets

    def fit(
        self,
        data: TrainingData,
        progress: Progress,
        seed: int,
        device: str,
        watch: Watch | None = None,
    ) -> None:
        """Choose penalty and rank on the validation samples, then fit; nothing here is random."""
        self.sigma = data.neural_step / 4
        x = smoothed_at(data.grid, data.positions, self.sigma)
        train, held = data.train, data.validation
        tried = _PENALTIES if self.penalty is None else np.array([self.penalty])
        path = _Regression(x[train], data.targets[train])
        best = (np.inf, float(tried[0]), 1)
        for done, penalty in enumerate(tried):
            progress(done, len(tried) + 1)
            errors = path.errors(x[held], data.targets[held], penalty, self.rank)
            rank = int(np.argmin(errors)) + 1
            best = min(best, (float(errors[rank - 1]), float(penalty), rank))
        _, self.penalty, self.rank = best
        both = train | held
        final = _Regression(x[both], data.targets[both])
        inner, outer = final.factors(self.penalty, self.rank)
        self.weights = (inner @ outer).astype(np.float32)
        self.mean_x = final.mean_x.astype(np.float32)
        self.mean_y = final.mean_y.astype(np.float32)
        progress(len(tried) + 1, len(tried) + 1)

    def predict(self, grid: Grid, positions: np.ndarray, device: str) -> np.ndarray:
        """Predict targets, shape (time, target), at positions on the grid."""
        return (
            smoothed_at(grid, positions, self.sigma) - self.mean_x
        ) @ self.weights + self.mean_y

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Give what to save: arrays, and numbers."""
        arrays = {"weights": self.weights, "mean_x": self.mean_x, "mean_y": self.mean_y}
        return arrays, {"rank": self.rank, "penalty": self.penalty, "sigma": self.sigma}

    @classmethod
    def from_state(cls, arrays: dict[str, np.ndarray], options: dict[str, Any]) -> LinearModel:
        """Make a fitted model from what `state` gave."""
        model = cls(**{**options, **arrays})
        n_features, n_targets = model.weights.shape
        if model.mean_x.shape != (n_features,) or model.mean_y.shape != (n_targets,):
            raise ValueError(f"means do not fit weights of shape {model.weights.shape}")
        return model


def smoothed_at(grid: Grid, positions: np.ndarray, sigma: float) -> np.ndarray:
    """Smooth on the regular grid, where a kernel in seconds is one in steps, and interpolate."""
    values = grid.values
    if sigma * grid.rate > 0.1:
        values = gaussian_filter1d(
            values, sigma * grid.rate, axis=0, mode="nearest", truncate=_TRUNCATE
        )
    before = np.minimum(positions.astype(int), len(values) - 1)
    after = np.minimum(before + 1, len(values) - 1)
    into = (positions - before).astype(np.float32)[:, None]
    return values[before] * (1 - into) + values[after] * into


class _Regression:
    """Reduced-rank regression for any penalty and rank, from one eigendecomposition."""

    def __init__(self, x: np.ndarray, y: np.ndarray):
        x, y = x.astype(float), y.astype(float)
        self.mean_x, self.mean_y = x.mean(axis=0), y.mean(axis=0)
        x, y = x - self.mean_x, y - self.mean_y
        self._values, self._vectors = eigh(x.T @ x / len(x))
        self._values = np.maximum(self._values, 0)
        self._cross = self._vectors.T @ (x.T @ y) / len(x)

    def factors(self, penalty: float, rank: int) -> tuple[np.ndarray, np.ndarray]:
        """Give B (feature, rank) and A' (rank, target) of the best weights of that rank."""
        ridge = max(penalty, 1e-12) * max(float(self._values.mean()), 1e-12)
        whiten = 1 / np.sqrt(self._values + ridge)
        left, _, _ = np.linalg.svd(whiten[:, None] * self._cross, full_matrices=False)
        left = left[:, :rank]
        inner = self._vectors @ (whiten[:, None] * left)
        return inner, left.T @ (whiten[:, None] * self._cross)

    def errors(self, x: np.ndarray, y: np.ndarray, penalty: float, most: int) -> np.ndarray:
        """Mean squared error on other samples for each rank from 1 to `most`."""
        inner, outer = self.factors(penalty, most)
        latents = (x - self.mean_x) @ inner
        y = y - self.mean_y
        # |y - sum_r z_r a_r|^2 grows by one outer product a rank; no prediction is ever stored.
        gram_z, gram_a = latents.T @ latents, outer @ outer.T
        both = np.cumsum(np.cumsum(gram_z * gram_a, axis=0), axis=1).diagonal()
        with_y = np.cumsum(np.sum((latents.T @ y) * outer, axis=1))
        return ((y**2).sum() - 2 * with_y + both) / y.size
