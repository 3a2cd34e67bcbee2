"""What a model predicts: neural principal components, and the way back to neurons."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh
from scipy.sparse.linalg import LinearOperator, eigsh

N_COMPONENTS = 128
_DENSE = 3000  # A full eigendecomposition is quicker up to this size.


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
    def fit(cls, activity: np.ndarray, n_components: int = N_COMPONENTS) -> NeuralSpace:
        """Measure neurons at training times, and at no others.

        Parameters
        ----------
        activity : ndarray, shape (neuron, time)
            Training times.
        n_components : int
            Principal components at most; with no more neurons than that, the neurons themselves.

        Returns
        -------
        NeuralSpace

        Raises
        ------
        ValueError
            When no neuron changes.
        """
        mean = activity.mean(axis=1, dtype=float)
        scale = activity.std(axis=1, dtype=float)
        scale[scale <= 1e-6 * np.abs(mean)] = 0
        n_active = int((scale > 0).sum())
        if n_active == 0:
            raise ValueError("recording: no neuron changes during the training segments")
        mean, scale = mean.astype(np.float32), scale.astype(np.float32)
        if len(activity) <= n_components:
            return cls(mean, scale, None, 1.0)
        scored = _z_score(activity, mean, scale)
        n_components = min(n_components, n_active, activity.shape[1] - 1)
        components = _principal(scored, n_components)
        gain = float(np.sqrt(np.mean((components.T @ scored) ** 2)))
        return cls(mean, scale, components, gain)

    @property
    def n_targets(self) -> int:
        """Number of values that a model predicts at each time."""
        return len(self.mean) if self.components is None else self.components.shape[1]

    def to_targets(self, activity: np.ndarray) -> np.ndarray:
        """Map activity (neuron, time) to targets (time, target)."""
        scored = _z_score(activity, self.mean, self.scale)
        if self.components is not None:
            scored = self.components.T @ scored
        return np.ascontiguousarray(scored.T / np.float32(self.gain))

    def to_neurons(self, targets: np.ndarray) -> np.ndarray:
        """Map targets (time, target) to activity (neuron, time), in the neurons' own units."""
        scored = targets.T * np.float32(self.gain)
        if self.components is not None:
            scored = self.components @ scored
        return scored * self.scale[:, None] + self.mean[:, None]


def _z_score(activity: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    gain = np.where(scale > 0, 1 / np.where(scale > 0, scale, 1), 0).astype(np.float32)
    return (activity - mean[:, None]) * gain[:, None]


def _principal(scored: np.ndarray, n_components: int) -> np.ndarray:
    """Leading left singular vectors of (neuron, time), each signed so its largest weight is > 0."""
    n_neurons, n_times = scored.shape
    wide = n_neurons <= n_times
    size = min(n_neurons, n_times)
    if size <= _DENSE:
        gram = scored @ scored.T if wide else scored.T @ scored
        _, vectors = eigh(gram.astype(float), subset_by_index=[size - n_components, size - 1])
    else:
        first, second = (scored, scored.T) if wide else (scored.T, scored)
        gram = LinearOperator((size, size), lambda v: first @ (second @ v), dtype=np.float32)
        start = np.random.default_rng(0).standard_normal(size).astype(np.float32)
        _, vectors = eigsh(gram, n_components, v0=start, tol=1e-4)
    vectors = vectors[:, ::-1].astype(np.float32)
    if not wide:
        vectors = np.linalg.qr(scored @ vectors)[0]
    signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(n_components)])
    return np.ascontiguousarray(vectors * np.where(signs == 0, 1, signs), np.float32)
