from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from napari_facemap.neural.features import Features
from napari_facemap.neural.recording import Recording


def smooth_noise(rng, times, width, n):
    """Gaussian noise that changes over about `width` seconds, at any times."""
    knots = np.arange(times[0] - 2 * width, times[-1] + 3 * width, width)
    return np.stack(
        [np.interp(times, knots, rng.standard_normal(len(knots))) for _ in range(n)], 1
    )


@pytest.fixture
def make_pair():
    """Behaviour and a recording that follows it linearly, on any two clocks."""

    def make(camera=None, neural=None, n_features=6, n_neurons=12, noise=0.3, seed=0):
        rng = np.random.default_rng(seed)
        camera = np.arange(0, 120, 1 / 30) if camera is None else camera
        neural = np.arange(0.4, 119, 0.1) if neural is None else neural
        dense = np.arange(min(camera[0], neural[0]) - 1, max(camera[-1], neural[-1]) + 1, 0.005)
        truth = smooth_noise(rng, dense, 0.5, n_features)
        weights = rng.standard_normal((n_neurons, n_features))

        def at(times):
            return np.stack([np.interp(times, dense, column) for column in truth.T], axis=1)

        signal = weights @ at(neural).T
        activity = signal + noise * rng.standard_normal(signal.shape)
        names = [f"point {k} x" for k in range(n_features)]
        return SimpleNamespace(
            features=Features(at(camera), camera, names),
            recording=Recording(activity, neural, name="made"),
            signal=signal,
            at=at,
            weights=weights,
        )

    return make
