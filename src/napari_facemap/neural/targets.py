"""What a model predicts: neural principal components, and the way back to neurons."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

from napari_facemap.neural.scores import row_chunks

N_COMPONENTS = 128
_DENSE = 3000  # A full eigendecomposition is quicker up to this size.
_PASSES, _MORE = 6, 32  # of subspace iteration, and columns more than are wanted


@dataclass(frozen=True, eq=False)
class NeuralSpace:
    """Maps neurons to a model's targets and back.

    Neurons are z-scored, then projected onto orthonormal components, then divided by one number
    for all, so that an error of the targets is the same error of the z-scored neurons.

    Attributes
    ----------
    mean, scale : ndarray, shape (neuron,)
        Of training times, float32. A constant neuron has scale 0: it is predicted as its mean.
    components : ndarray, shape (neuron, target), or None
        Orthonormal columns, float32; None where each neuron is a target of its own.
    gain : float
        What targets are divided by.
    """

    mean: np.ndarray
    scale: np.ndarray
    components: np.ndarray | None
    gain: float

    @classmethod
    def fit(
        cls,
        activity: np.ndarray,
        n_components: int | None = N_COMPONENTS,
        times: np.ndarray | None = None,
    ) -> NeuralSpace:
        """Measure neurons at training times, and at no others.

        Activity is looked at some neurons at a time, so that a memory map larger than memory will
        do.

        Parameters
        ----------
        activity : ndarray, shape (neuron, time)
            Any unit.
        n_components : int or None
            Principal components at most; with no more neurons than that, or None, the neurons
            themselves.
        times : ndarray of bool, shape (time,), optional
            Which are training times; by default all.

        Returns
        -------
        NeuralSpace

        Raises
        ------
        ValueError
            When no neuron changes.
        """
        neurons = cls._of_neurons(activity, _mask(activity, times))
        if n_components is None or len(activity) <= n_components:
            return neurons
        return neurons._with_components(activity, n_components, _mask(activity, times))

    @classmethod
    def of_components(
        cls,
        activity: np.ndarray,
        n_components: int = N_COMPONENTS,
        times: np.ndarray | None = None,
    ) -> NeuralSpace:
        """As `fit`, but with components of few neurons too: as many as there are neurons."""
        at = _mask(activity, times)
        return cls._of_neurons(activity, at)._with_components(activity, n_components, at)

    @classmethod
    def _of_neurons(cls, activity: np.ndarray, at: np.ndarray) -> NeuralSpace:
        moments = [
            (part.mean(axis=1, dtype=float), part.std(axis=1, dtype=float))
            for part in (activity[rows][:, at] for rows in row_chunks(activity.shape))
        ]
        mean, scale = (np.concatenate(parts) for parts in zip(*moments, strict=True))
        scale[scale <= 1e-6 * np.abs(mean)] = 0
        if not scale.any():
            raise ValueError("recording: no neuron changes during the training segments")
        return cls(mean.astype(np.float32), scale.astype(np.float32), None, 1.0)

    def _with_components(
        self, activity: np.ndarray, n_components: int, at: np.ndarray
    ) -> NeuralSpace:
        n_active = int((self.scale > 0).sum())
        n_components = min(n_components, n_active, max(int(at.sum()) - 1, 1))
        scored = _Scored(activity, at, self.mean, self.scale)
        components = _principal(scored, n_components)
        targets = sum(components[rows].T @ part for rows, part in scored)
        gain = float(np.sqrt(np.mean(np.square(targets))))
        return NeuralSpace(self.mean, self.scale, components, gain)

    @property
    def n_targets(self) -> int:
        """Number of values that a model predicts at each time."""
        return len(self.mean) if self.components is None else self.components.shape[1]

    def to_targets(self, activity: np.ndarray, times: np.ndarray | None = None) -> np.ndarray:
        """Map activity (neuron, time), or some of its times, to targets (time, target)."""
        at = _mask(activity, times)
        scored = _Scored(activity, at, self.mean, self.scale)
        if self.components is None:
            targets = np.concatenate([part for _, part in scored])
        else:
            targets = np.zeros((self.n_targets, int(at.sum())), np.float32)
            for rows, part in scored:
                targets += self.components[rows].T @ part
        return np.ascontiguousarray(targets.T / np.float32(self.gain))

    def to_neurons(self, targets: np.ndarray, rows: slice = slice(None)) -> np.ndarray:
        """Map targets (time, target) to activity of all or some neurons, in their own units."""
        gain = np.float32(self.gain)
        if self.components is not None:
            scored = self.components[rows] @ (targets.T * gain)
        else:
            scored = targets.T[rows] * gain
        return scored * self.scale[rows, None] + self.mean[rows, None]


def _mask(activity: np.ndarray, times: np.ndarray | None) -> np.ndarray:
    """Which times are meant: all unless said."""
    return np.ones(activity.shape[1], bool) if times is None else np.asarray(times, bool)


@dataclass(frozen=True, eq=False)
class _Scored:
    """Z-scored activity at some times, some neurons at a time: pairs of rows and values."""

    activity: np.ndarray
    times: np.ndarray
    mean: np.ndarray
    scale: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.activity), int(self.times.sum())

    def __iter__(self) -> Iterator[tuple[slice, np.ndarray]]:
        gain = np.where(self.scale > 0, 1 / np.where(self.scale > 0, self.scale, 1), 0)
        gain = gain.astype(np.float32)
        for rows in row_chunks(self.activity.shape):
            part = np.asarray(self.activity[rows], np.float32)[:, self.times]
            yield rows, (part - self.mean[rows, None]) * gain[rows, None]


def _principal(scored: _Scored, n_components: int) -> np.ndarray:
    """Leading left singular vectors of (neuron, time), each signed so its largest weight is > 0.

    From the smaller Gram matrix where one of its sides is at most 3,000; else by subspace
    iteration, that reads the activity eight times.
    """
    n_neurons, n_times = scored.shape
    last = min(n_neurons, n_times)
    subset = [last - n_components, last - 1]
    if n_neurons <= min(n_times, _DENSE):
        whole = np.concatenate([part for _, part in scored])
        _, vectors = eigh((whole @ whole.T).astype(float), subset_by_index=subset)
        vectors = vectors[:, ::-1].astype(np.float32)
    else:
        if n_times <= _DENSE:
            gram = sum((part.T @ part for _, part in scored), np.zeros((n_times, n_times)))
            _, over_time = eigh(gram, subset_by_index=subset)
            over_time = over_time[:, ::-1].astype(np.float32)
        else:
            over_time = _subspace(scored, n_components + _MORE)
        seen = np.concatenate([part @ over_time for _, part in scored])
        left, _, _ = np.linalg.svd(seen, full_matrices=False)
        vectors = left[:, :n_components]
    signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(n_components)])
    return np.ascontiguousarray(vectors * np.where(signs == 0, 1, signs), np.float32)


def _subspace(scored: _Scored, size: int) -> np.ndarray:
    """Orthonormal columns over time that span nearly what the leading singular vectors do."""
    n_times = scored.shape[1]
    size = min(size, n_times)
    found = np.random.default_rng(0).standard_normal((n_times, size)).astype(np.float32)
    for _ in range(_PASSES):
        found = np.linalg.qr(found)[0]
        found = sum((part.T @ (part @ found) for _, part in scored), np.zeros_like(found))
    return np.linalg.qr(found)[0]
