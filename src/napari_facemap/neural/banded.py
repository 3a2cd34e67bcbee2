"""Banded ridge regression: a penalty for each group of features, and what each explains."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.linalg import eigh
from scipy.ndimage import gaussian_filter1d

from napari_facemap.neural.clocks import MAX_GAP, covered, resample
from napari_facemap.neural.features import Features, as_features
from napari_facemap.neural.model import Cancelled
from napari_facemap.neural.recording import Recording
from napari_facemap.neural.scores import row_chunks
from napari_facemap.neural.splits import Split, correlation_time, split_times
from napari_facemap.neural.targets import N_COMPONENTS, NeuralSpace

LAGS = tuple(float(lag) for lag in np.linspace(-1, 1, 9))
"""Behaviour this much later than a neural sample is regressed on, in seconds."""

_ALPHAS = np.logspace(-5, 3, 17)


def banded_ridge(
    behavior: xr.Dataset | Features,
    recording: Recording,
    groups: Mapping[str, Sequence[str]],
    *,
    lags: Sequence[float] = LAGS,
    delay: float = 0.0,
    max_gap: float = MAX_GAP,
    n_components: int = N_COMPONENTS,
    n_draws: int = 60,
    seed: int = 0,
    split: Split | None = None,
    progress: Callable[[int, int], bool | None] | None = None,
) -> xr.Dataset:
    """Regress on groups of features together and share out the variance explained.

    Features are smoothed with a gaussian a quarter of a neural sample wide, taken at several lags
    and z-scored. Every group has a penalty of its own [1]_, for each neural component another:
    a group that does not help is held down, instead of costing the others. Penalties are found
    by random search [2]_ (all groups alike, each alone, and Dirichlet draws, each with 17
    overall strengths) as those that predict the validation segments best; the weights are then
    fitted to training and validation segments.

    The variance explained at test times is shared out by the product measure [2]_: with the
    prediction a sum of one part a group, ``y_hat = sum(f_g)``, a group's share is
    ``sum(f_g * (2 * y - y_hat)) / sum(y**2)``, all about their means at test times. Shares and
    the (negative) offset add up to the variance explained. A share may be negative: the group's
    part makes the prediction worse.

    Parameters
    ----------
    behavior : Poses or Features
        What the mouse did.
    recording : Recording
        What the neurons did.
    groups : mapping of str to sequence of str
        Names of the features of each group; see `feature_groups`.
    lags : sequence of float
        Seconds; positive is behaviour after the neural sample. With a `split` of shorter guard
        gaps, only lags within them are used.
    delay : float
        Activity at time t is predicted from behaviour around ``t - delay``, in seconds.
    max_gap : float
        Neural samples in longer pauses of the camera are not used, in seconds.
    n_components : int
        Principal components of the neurons to predict.
    n_draws : int
        Random sets of penalties to try.
    seed : int
        Of the draws.
    split : Split, optional
        By default one of guard gaps as wide as the lags.
    progress : callable, optional
        Called as ``progress(done, total)``; when it returns False the search stops.

    Returns
    -------
    xarray.Dataset
        ``share (group, neuron)``, ``offset (neuron)``: loss by a wrong mean, never positive, and
        ``variance_explained (neuron)``, their sum; ``pooled_share (group)`` of all neurons
        together, with ``pooled_offset`` and ``pooled_variance_explained`` in attrs;
        ``penalty (component, group)``: chosen, infinite where a group was left out.

    Raises
    ------
    ValueError
        When a feature is missing, a group is empty or a number is out of its range.
    Cancelled
        When `progress` returned False.

    References
    ----------
    .. [1] Nunez-Elizalde, A. O., Huth, A. G. & Gallant, J. L. (2019). Voxelwise encoding models
       with non-spherical multivariate normal priors. NeuroImage 197, 482-492.
    .. [2] Dupre la Tour, T., Eickenberg, M., Nunez-Elizalde, A. O. & Gallant, J. L. (2022).
       Feature-space selection with banded ridge regression. NeuroImage 264, 119728.
    """
    if not groups or not all(groups.values()) or n_draws < 0 or not len(lags):
        raise ValueError(
            f"banded ridge: expected groups of features, lags and n_draws >= 0, found "
            f"{ {name: len(members) for name, members in groups.items()} }, {len(lags)} lags and "
            f"n_draws {n_draws}"
        )
    names = [feature for members in groups.values() for feature in members]
    features = as_features(behavior, keep=names).select(names)
    if split is None:
        usable = covered(features.times, recording.times - delay, max_gap)
        memory = correlation_time(recording.activity, recording.times)
        split = split_times(recording.times, usable, max(map(abs, lags)), memory)
    else:
        lags = [lag for lag in lags if abs(lag) <= split.guard] or [0.0]
    band = np.repeat(np.arange(len(groups)), [len(members) for members in groups.values()])
    x = _design(features, recording.times - delay, lags)
    band = np.tile(band, len(lags))
    x -= x[split.train].mean(axis=0)
    spread = x[split.train].std(axis=0)
    x /= np.where(spread > 1e-9, spread, np.inf)

    space = NeuralSpace.fit(recording.activity, n_components, split.train)
    known = split.train | split.validation
    y = np.zeros((len(known), space.n_targets), np.float32)
    y[known] = space.to_targets(recording.activity, known)
    search = _Search(x, y, band, split, len(groups))
    search.run(n_draws, seed, progress)
    weights = search.fit()
    parts = [x[split.test][:, band == g] @ weights[band == g] for g in range(len(groups))]
    data = _share_out(recording.activity, split.test, space, parts, search.mean_y)
    penalty = (("component", "group"), search.penalty)
    return data.assign(penalty=penalty).assign_coords(
        group=list(groups), neuron=list(recording.names)
    )


def _design(features: Features, times: np.ndarray, lags: Sequence[float]) -> np.ndarray:
    """Smoothed features at the times plus each lag, shape (time, lag * feature); held at ends."""
    grid = resample(features.values, features.times)
    sigma = float(np.median(np.diff(times))) / 4 * grid.rate
    values = gaussian_filter1d(grid.values, sigma, axis=0, mode="nearest")
    columns = [np.interp(times + lag, grid.times, column) for lag in lags for column in values.T]
    return np.stack(columns, axis=1)


@dataclass(eq=False)
class _Moments:
    """Mean products over some samples, about given means."""

    xx: np.ndarray
    xy: np.ndarray
    yy: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, y: np.ndarray, mean_x: np.ndarray, mean_y: np.ndarray) -> _Moments:
        x, y = x - mean_x, y - mean_y
        return cls(x.T @ x / len(x), x.T @ y / len(x), (y**2).mean(axis=0))


class _Search:
    """For each target the scale of every band and the strength of the penalty."""

    def __init__(self, x: np.ndarray, y: np.ndarray, band: np.ndarray, split: Split, n_bands: int):
        both = split.train | split.validation
        self.mean_y = y[both].mean(axis=0, dtype=float)
        self._band, self._n_bands = band, n_bands
        train, held = split.train, split.validation
        means = x[train].mean(axis=0), y[train].mean(axis=0, dtype=float)
        self._train = _Moments.of(x[train], y[train], *means)
        self._held = _Moments.of(x[held], y[held], *means)
        self._both = _Moments.of(x[both], y[both], x[both].mean(axis=0), self.mean_y)
        n_targets = y.shape[1]
        self._error = np.full(n_targets, np.inf)
        self._scales = np.ones((n_targets, n_bands))
        self._alpha = np.full(n_targets, _ALPHAS[-1])
        self.penalty = np.full((n_targets, n_bands), np.nan)

    def run(
        self, n_draws: int, seed: int, progress: Callable[[int, int], bool | None] | None
    ) -> None:
        alike = np.full((1, self._n_bands), 1 / self._n_bands)
        drawn = np.random.default_rng(seed).dirichlet(np.ones(self._n_bands), n_draws)
        tried = np.concatenate([alike, np.eye(self._n_bands), drawn])
        for done, scales in enumerate(tried):
            self._try(scales)
            if progress is not None and progress(done + 1, len(tried)) is False:
                raise Cancelled(f"stopped after {done + 1} of {len(tried)} sets of penalties")

    def _try(self, scales: np.ndarray) -> None:
        used, root, values, vectors, ridge = self._solve(self._train, scales)
        held_xx = vectors.T @ (root[:, None] * self._held.xx[np.ix_(used, used)] * root) @ vectors
        held_xy = vectors.T @ (root[:, None] * self._held.xy[used])
        xy = vectors.T @ (root[:, None] * self._train.xy[used])
        for alpha in _ALPHAS:
            weights = xy / (values + alpha * ridge)[:, None]
            product = (weights * (held_xx @ weights - 2 * held_xy)).sum(axis=0)
            error = self._held.yy + product
            better = error < self._error
            self._error[better], self._alpha[better] = error[better], alpha
            self._scales[better] = scales

    def _solve(
        self, moments: _Moments, scales: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, float]:
        """Used columns, their roots of scale, the eigendecomposition, and the unit of alpha."""
        scale = scales[self._band]
        used = np.flatnonzero(scale > 0)
        root = np.sqrt(scale[used])
        values, vectors = eigh(root[:, None] * moments.xx[np.ix_(used, used)] * root)
        values = np.maximum(values, 0)
        return used, root, values, vectors, max(float(values.mean()), 1e-12)

    def fit(self) -> np.ndarray:
        """Weights (column, target), with the penalties chosen, on both kinds of samples."""
        weights = np.zeros(self._both.xy.shape)
        sets, which = np.unique(self._scales, axis=0, return_inverse=True)
        for number, scales in enumerate(sets):
            targets = np.flatnonzero(which.ravel() == number)
            used, root, values, vectors, ridge = self._solve(self._both, scales)
            xy = vectors.T @ (root[:, None] * self._both.xy[np.ix_(used, targets)])
            strength = self._alpha[targets] * ridge
            solved = vectors @ (xy / (values[:, None] + strength))
            weights[np.ix_(used, targets)] = root[:, None] * solved
            with np.errstate(divide="ignore"):
                self.penalty[targets] = strength[:, None] / scales
        return weights


def _share_out(
    activity: np.ndarray,
    test: np.ndarray,
    space: NeuralSpace,
    parts: Sequence[np.ndarray],
    mean_y: np.ndarray,
) -> xr.Dataset:
    n_neurons = len(activity)
    gained = np.zeros((len(parts), n_neurons))
    lost, total = np.zeros((2, n_neurons))
    means = [part.mean(axis=0) for part in parts]
    level = mean_y + sum(means)
    moving = [(part - mean).astype(np.float32) for part, mean in zip(parts, means, strict=True)]
    for rows in row_chunks((n_neurons, int(test.sum()) * (len(parts) + 1))):
        y = np.asarray(activity[rows][:, test], float)
        mean = y.mean(axis=1)
        y -= mean[:, None]
        of_group = np.stack([_to_neurons(part, space, rows) for part in moving])
        together = 2 * y - of_group.sum(axis=0)
        gained[:, rows] = np.einsum("gnt,nt->gn", of_group, together)
        off = _to_neurons(level[None], space, rows)[:, 0] + space.mean[rows] - mean
        lost[rows] = y.shape[1] * off**2
        total[rows] = np.where(np.ptp(y, axis=1) == 0, 0, (y**2).sum(axis=1))
    known = total > 0
    divisor = np.where(known, total, np.nan)
    share, offset = gained / divisor, -lost / divisor
    everything = max(float(total[known].sum()), 1e-300)
    pooled = gained[:, known].sum(axis=1) / everything
    pooled_offset = -float(lost[known].sum()) / everything
    return xr.Dataset(
        {
            "share": (("group", "neuron"), share),
            "offset": ("neuron", offset),
            "variance_explained": ("neuron", share.sum(axis=0) + offset),
            "pooled_share": ("group", pooled),
        },
        attrs={
            "pooled_offset": pooled_offset,
            "pooled_variance_explained": float(pooled.sum()) + pooled_offset,
        },
    )


def _to_neurons(targets: np.ndarray, space: NeuralSpace, rows: slice) -> np.ndarray:
    """Targets (time, target) as deviations of some neurons (neuron, time) from their means."""
    scored = targets.T[rows] if space.components is None else space.components[rows] @ targets.T
    return scored * (space.gain * space.scale[rows, None].astype(float))
