from __future__ import annotations

import numpy as np
import pytest

from napari_facemap.neural.scores import pooled_variance_explained, variance_explained

RNG = np.random.default_rng(0)


def test_perfect_mean_and_wrong():
    y = RNG.normal(5, 2, (3, 400))
    predicted = np.stack([y[0], np.full(400, y[1].mean()), y[2] + 2 * y[2].std()])
    assert np.allclose(variance_explained(y, predicted), [1, 0, -3])
    assert pooled_variance_explained(y, y) == 1


def test_known_noise_gives_the_known_ceiling():
    signal = RNG.normal(0, 1, (50, 20_000))
    y = signal + RNG.normal(0, 1, signal.shape)
    assert variance_explained(y, signal).mean() == pytest.approx(0.5, abs=0.01)


def test_constant_neurons_and_no_samples_are_nan():
    y = np.stack([np.full(9, 0.1, np.float32), np.arange(9, dtype=np.float32)])
    assert np.isnan(variance_explained(y, y)).tolist() == [True, False]
    assert np.isnan(variance_explained(y[:, :0], y[:, :0])).all()
    assert np.isnan(pooled_variance_explained(y[:, :0], y[:, :0]))
    assert np.isnan(pooled_variance_explained(y[:1], y[:1] + 1))


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match="same times"):
        variance_explained(np.zeros((2, 5)), np.zeros((2, 4)))
