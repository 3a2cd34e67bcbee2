"""How much could be explained at all: what each half of the neurons says of the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

from napari_facemap.neural.recording import Recording
from napari_facemap.neural.scores import error_and_variance
from napari_facemap.neural.splits import Split

CELLS_ACROSS = 5
"""Squares of the checkerboard along the longer side of the field: 200 um in one of 1 mm."""

_PENALTIES = np.logspace(-6, 1, 15)
_FEWEST_IN_HALF = 0.2
_DENSE = 3000  # A full eigendecomposition is exact and quicker up to this size.
_VALUES_AT_ONCE = 2**24
_SPARE, _PASSES = 32, 5  # of the subspace iteration above that size


@dataclass(frozen=True, eq=False)
class Ceiling:
    """What peers explain; see `peer_ceiling`.

    Attributes
    ----------
    per_neuron : ndarray, shape (neuron,)
        Fraction of each neuron's variance at test times that the other half explains. May be
        below 0; NaN for a neuron that does not change.
    pooled : float
        Fraction of the variance of all neurons together.
    first_half : ndarray of bool, shape (neuron,)
        Which half each neuron is in.
    halves : str
        How they were told apart: "checkerboard" or "chance".
    cell : float or None
        Side of the checkerboard's squares, in units of the positions.
    ranks : (int, int)
        Chosen to predict the first half, and the second.
    penalties : (float, float)
        Ridge penalties chosen, as fractions of the predictors' mean variance.
    """

    per_neuron: np.ndarray
    pooled: float
    first_half: np.ndarray
    halves: str
    cell: float | None
    ranks: tuple[int, int]
    penalties: tuple[float, float]


def peer_ceiling(
    recording: Recording,
    split: Split,
    positions: np.ndarray | None = None,
    cell: float | None = None,
    components: int = 128,
    seed: int = 0,
) -> Ceiling:
    """Predict each half of the neurons from the other, at the same times.

    What neurons share can be predicted in principle; what is each neuron's own cannot, by any
    behaviour. So the variance that peers explain is a ceiling to hold an encoder's score against
    [1]_. It is no strict bound: peers share more than behaviour drives (so an encoder may never
    reach it), and few peers know little of what is shared (so an encoder may pass it). It rises
    towards the explainable variance with the number of neurons.

    The halves are the fields of a checkerboard, so that a neuron is not predicted from light of
    its neighbours. Neurons one above the other in several planes are in the same field. Each half
    is z-scored and reduced to its principal components; from these the neurons of the other half
    are predicted by reduced-rank regression. Rank and penalty are those that predict the
    validation segments best, and the weights are then fitted to training and validation segments.
    Test samples are only scored.

    Parameters
    ----------
    recording : Recording
        Two neurons or more.
    split : Split
        Of its times.
    positions : ndarray, shape (neuron, 2 or 3), optional
        x, y and maybe z; by default the recording's own. Without positions, or where a
        checkerboard leaves a half with less than a fifth of the neurons, halves are drawn by
        chance.
    cell : float, optional
        Side of a square, in units of the positions; by default a fifth of the field's longer
        side.
    components : int
        Principal components of each half at most; with no more neurons than that, the neurons
        themselves.
    seed : int
        Of halves by chance, and of the search for components above 3000 neurons and samples.

    Returns
    -------
    Ceiling

    Raises
    ------
    ValueError
        When there are fewer than two neurons, or a shape or parameter does not fit.

    References
    ----------
    .. [1] Stringer, C. et al. (2019). Spontaneous behaviors drive multidimensional, brainwide
       activity. Science 364, eaav7893.
    """
    if positions is None:
        positions = getattr(recording, "positions", None)
    _check(recording, split, positions, cell, components)
    first, how, cell = _halves(recording.n_neurons, positions, cell, seed)
    halves = [
        _Half(recording.activity, np.flatnonzero(rows), split.train) for rows in (first, ~first)
    ]
    error, variance = np.full((2, recording.n_neurons), np.nan)
    chosen = []
    for target, source in (halves, halves[::-1]):
        x = source.latents(components, split.train, seed)
        weights = _Weights.choose(x, target, split)
        error[target.rows], variance[target.rows] = weights.score(x, target, split.test)
        chosen.append((weights.rank, weights.penalty))
    known = variance > 0
    scores = np.where(known, 1 - error / np.where(known, variance, 1), np.nan)
    pooled = 1 - error[known].sum() / variance[known].sum() if known.any() else np.nan
    (rank_1, penalty_1), (rank_2, penalty_2) = chosen
    return Ceiling(
        scores, float(pooled), first, how, cell, (rank_1, rank_2), (penalty_1, penalty_2)
    )  # fmt: skip


def _check(
    recording: Recording,
    split: Split,
    positions: np.ndarray | None,
    cell: float | None,
    components: int,
) -> None:
    n_neurons, n_times = recording.activity.shape
    if n_neurons < 2:
        raise ValueError(f"ceiling: expected 2 neurons or more, found {n_neurons}")
    if len(split.test) != n_times:
        raise ValueError(
            f"ceiling: expected a split of {n_times} samples, found {len(split.test)}; give the "
            "split of this recording"
        )
    if positions is not None and (
        np.ndim(positions) != 2 or len(positions) != n_neurons or np.shape(positions)[1] < 2
    ):
        raise ValueError(
            f"ceiling: expected positions of shape (neuron, 2 or 3) with {n_neurons} neurons, "
            f"found {np.shape(positions)}"
        )
    if components < 1 or (cell is not None and not cell > 0):
        raise ValueError(
            f"ceiling: expected components >= 1 and cell > 0, found {components} and {cell}"
        )


def _halves(
    n_neurons: int, positions: np.ndarray | None, cell: float | None, seed: int
) -> tuple[np.ndarray, str, float | None]:
    if positions is not None and np.isfinite(positions[:, :2]).all():
        place = np.asarray(positions, float)[:, :2]
        place = place - place.min(axis=0)
        side = float(place.max()) / CELLS_ACROSS if cell is None else float(cell)
        if side > 0:
            first = np.floor(place / side).astype(int).sum(axis=1) % 2 == 0
            if _FEWEST_IN_HALF <= first.mean() <= 1 - _FEWEST_IN_HALF:
                return first, "checkerboard", side
    first = np.zeros(n_neurons, bool)
    first[np.random.default_rng(seed).permutation(n_neurons)[: n_neurons // 2]] = True
    return first, "chance", None


class _Half:
    """Some neurons, z-scored by their training times, read in pieces that fit in memory."""

    def __init__(self, activity: np.ndarray, rows: np.ndarray, train: np.ndarray):
        self.activity, self.rows = activity, rows
        self.mean, self.scale, self.gain = np.zeros((3, len(rows)))
        step = max(1, _VALUES_AT_ONCE // activity.shape[1])
        self.slices = [slice(i, min(i + step, len(rows))) for i in range(0, len(rows), step)]
        for part in self.slices:
            known = activity[rows[part]][:, train]
            mean = known.mean(axis=1, dtype=float)
            known -= mean[:, None].astype(np.float32)
            spread = np.sqrt(np.einsum("nt,nt->n", known, known, dtype=float) / known.shape[1])
            still = spread <= 1e-6 * np.abs(mean)
            self.mean[part] = mean
            self.scale[part] = np.where(still, 0, spread)
            self.gain[part] = np.where(still, 0, 1 / np.where(still, 1, spread))

    def pieces(self, times: np.ndarray | None = None) -> Iterator[tuple[slice, np.ndarray]]:
        """Neurons, a piece at a time: which, and (neuron, time) z-scored."""
        for part in self.slices:
            piece = self.activity[self.rows[part]]
            if times is not None:
                piece = piece[:, times]
            piece -= self.mean[part, None].astype(np.float32)
            piece *= self.gain[part, None].astype(np.float32)
            yield part, piece

    def latents(self, n_components: int, train: np.ndarray, seed: int) -> np.ndarray:
        """Principal components at all times, shape (time, component)."""
        n_neurons = len(self.rows)
        if n_neurons <= n_components:
            return np.concatenate([piece for _, piece in self.pieces()]).T
        n_components = min(n_components, int(train.sum()) - 1)
        basis = self._basis(n_components, train, seed)
        latents = np.zeros((self.activity.shape[1], n_components), np.float32)
        for part, piece in self.pieces():
            latents += piece.T @ basis[part]
        return latents

    def _basis(self, n_components: int, train: np.ndarray, seed: int) -> np.ndarray:
        """Directions of most variance, shape (neuron, component)."""
        n_neurons, n_times = len(self.rows), int(train.sum())
        if n_neurons <= _DENSE:
            scored = np.concatenate([piece for _, piece in self.pieces(train)])
            return _leading(scored @ scored.T, n_components)
        if n_times <= _DENSE:
            gram = np.zeros((n_times, n_times), np.float32)
            for _, piece in self.pieces(train):
                gram += piece.T @ piece
            return self._carry(_leading(gram, n_components), train)
        # Block power iteration with spare directions (Halko, Martinsson & Tropp 2011).
        rng = np.random.default_rng(seed)
        width = min(n_components + _SPARE, n_neurons, n_times)
        basis = rng.standard_normal((n_neurons, width)).astype(np.float32)
        for _ in range(_PASSES):
            basis = self._carry(np.linalg.qr(self._in_time(basis, train))[0], train)
        _, _, turned = np.linalg.svd(self._in_time(basis, train), full_matrices=False)
        return basis @ turned[:n_components].T

    def _in_time(self, basis: np.ndarray, train: np.ndarray) -> np.ndarray:
        in_time = np.zeros((int(train.sum()), basis.shape[1]), np.float32)
        for part, piece in self.pieces(train):
            in_time += piece.T @ basis[part]
        return in_time

    def _carry(self, in_time: np.ndarray, train: np.ndarray) -> np.ndarray:
        """From directions in time to orthonormal ones in neurons."""
        carried = np.concatenate([piece @ in_time for _, piece in self.pieces(train)])
        return np.linalg.qr(carried)[0]


def _leading(gram: np.ndarray, n_components: int) -> np.ndarray:
    size = len(gram)
    _, vectors = eigh(gram, subset_by_index=[size - n_components, size - 1])
    return vectors[:, ::-1].astype(np.float32)


@dataclass
class _Sums:
    """Sums over samples that regressions for any penalty and rank follow from."""

    n: int
    x: np.ndarray
    y: np.ndarray
    xx: np.ndarray
    xy: np.ndarray
    yy: float

    @classmethod
    def of(cls, x: np.ndarray, half: _Half, times: np.ndarray) -> _Sums:
        x = x[times]
        y, xy, yy = np.zeros(len(half.rows)), np.zeros((x.shape[1], len(half.rows))), 0.0
        for part, piece in half.pieces(times):
            y[part] = piece.sum(axis=1, dtype=float)
            xy[:, part] = (piece @ x).T
            yy += float(np.einsum("nt,nt->", piece, piece, dtype=float))
        return cls(len(x), x.sum(axis=0, dtype=float), y, (x.T @ x).astype(float), xy, yy)

    def __add__(self, other: _Sums) -> _Sums:
        return _Sums(
            self.n + other.n, self.x + other.x, self.y + other.y,
            self.xx + other.xx, self.xy + other.xy, self.yy + other.yy,
        )  # fmt: skip

    def about(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """Mean products about other means: x with x, x with y, and y with itself, summed."""
        own_x, own_y = self.x / self.n, self.y / self.n
        xx = self.xx / self.n - np.outer(own_x, x) - np.outer(x, own_x) + np.outer(x, x)
        xy = self.xy / self.n - np.outer(own_x, y) - np.outer(x, own_y - y)
        return xx, xy, float(self.yy / self.n - 2 * own_y @ y + y @ y)


@dataclass
class _Weights:
    """Reduced-rank regression of one half on components of the other."""

    inner: np.ndarray
    outer: np.ndarray
    x: np.ndarray
    y: np.ndarray
    rank: int
    penalty: float

    @classmethod
    def choose(cls, x: np.ndarray, half: _Half, split: Split) -> _Weights:
        train, held = (_Sums.of(x, half, times) for times in (split.train, split.validation))
        path = _Path(train)
        best = (np.inf, float(_PENALTIES[-1]), 1)
        if held.n:
            xx, xy, yy = held.about(path.x, path.y)
            crossed = xy @ path.xy.T
            for penalty in _PENALTIES:
                errors = path.errors(penalty, xx, crossed, yy)
                rank = int(np.argmin(errors)) + 1
                best = min(best, (float(errors[rank - 1]), float(penalty), rank))
        _, penalty, rank = best
        path = _Path(train + held)
        factor = path.factor(penalty, rank)
        return cls(factor, factor.T @ path.xy, path.x, path.y, rank, penalty)

    def score(self, x: np.ndarray, half: _Half, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean squared error and variance of each neuron at test times, in its own units."""
        error, variance = np.zeros((2, len(half.rows)))
        latents = ((x[test] - self.x) @ self.inner).astype(np.float32)
        for part in half.slices:
            z = (latents @ self.outer[:, part].astype(np.float32)).T + self.y[part, None]
            measured = half.activity[half.rows[part]][:, test]
            predicted = z * half.scale[part, None] + half.mean[part, None]
            error[part], variance[part] = error_and_variance(measured, predicted)
        return error, variance


class _Path:
    """All penalties and ranks from one eigendecomposition; every step is components squared."""

    def __init__(self, sums: _Sums):
        self.x, self.y = sums.x / sums.n, sums.y / sums.n
        xx, self.xy, _ = sums.about(self.x, self.y)
        values, self._vectors = eigh(xx)
        self._values = np.maximum(values, 0)
        self._crossed = self.xy @ self.xy.T

    def factor(self, penalty: float, rank: int) -> np.ndarray:
        """Give B, shape (component, rank): the best weights of that rank are ``B B' xy``."""
        ridge = max(penalty, 1e-12) * max(float(self._values.mean()), 1e-12)
        whiten = self._vectors / np.sqrt(self._values + ridge)
        size = len(whiten)
        _, left = eigh(whiten.T @ self._crossed @ whiten, subset_by_index=[size - rank, size - 1])
        return whiten @ left[:, ::-1]

    def errors(self, penalty: float, xx: np.ndarray, crossed: np.ndarray, yy: float) -> np.ndarray:
        """Squared error of other samples, summed over neurons, for each rank from 1 up."""
        factor = self.factor(penalty, len(self._values))
        # |y - sum_r z_r a_r|^2 grows by one outer product a rank; no prediction is ever stored.
        products = (factor.T @ xx @ factor) * (factor.T @ self._crossed @ factor)
        both = np.cumsum(np.cumsum(products, axis=0), axis=1).diagonal()
        with_y = np.cumsum(np.einsum("ir,ij,jr->r", factor, crossed, factor, optimize=True))
        return yy - 2 * with_y + both
