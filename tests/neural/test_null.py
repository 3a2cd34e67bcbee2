from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from napari_facemap.neural.encoder import predict_recording
from napari_facemap.neural.fitting import fit_encoder
from napari_facemap.neural.null import shift_null, shift_test
from napari_facemap.neural.recording import Recording
from napari_facemap.neural.scores import pooled_variance_explained, variance_explained


def slow(rng, shape, width):
    """Noise that is correlated with itself over some `width` samples."""
    kernel = np.exp(-0.5 * (np.arange(-4 * width, 4 * width + 1) / width) ** 2)
    noise = rng.standard_normal((shape[0], shape[1] + len(kernel) - 1))
    return np.stack(
        [np.convolve(row, kernel / np.sqrt((kernel**2).sum()), "valid") for row in noise]
    )


@pytest.mark.parametrize("width", [1, 15])
def test_unrelated_slow_signals_give_even_p_values(width):
    rng = np.random.default_rng(0)
    y, y_hat = (slow(rng, (600, 2400), width) for _ in range(2))
    p = shift_test(y, 0.3 * y_hat, 0.1, n=200).p
    jitter = rng.uniform(0, 1 / 201, 600)  # steps of p are no fault
    assert kstest(p - jitter, "uniform").pvalue > 0.01
    assert np.mean(p <= 0.05) < 0.08


def test_short_shifts_are_drawn_since_p_values_are_too_small_without_them():
    rng = np.random.default_rng(1)
    y, y_hat = (slow(rng, (600, 900), 30) for _ in range(2))
    assert np.mean(shift_test(y, 0.3 * y_hat, 0.1, n=200).p <= 0.05) < 0.08
    null = shift_test(y, 0.3 * y_hat, 0.1, n=200, least_shift=9.0)
    assert np.mean(null.p <= 0.05) > 0.08
    assert null.memory == pytest.approx(5, abs=0.2)


def test_undriven_neurons_of_a_fitted_encoder_give_even_p_values(make_pair):
    """The encoder has fitted their noise; what it makes of it at test times is chance."""
    rng = np.random.default_rng(2)
    pair = make_pair(np.arange(0, 600, 1 / 30), np.arange(0.4, 599, 0.1), noise=1.0)
    undriven = slow(rng, (300, len(pair.recording.times)), 3)
    recording = Recording(
        np.concatenate([pair.recording.activity, undriven]), pair.recording.times
    )
    encoder = fit_encoder(pair.features, recording, "linear", n_components=400)
    null = shift_null(encoder, pair.features, recording, n=200)
    assert (null.p[:12] == 1 / 201).all()
    assert kstest(null.p[12:] - rng.uniform(0, 1 / 201, 300), "uniform").pvalue > 0.01
    assert null.pooled_p == 1 / 201
    assert len(null.shifts) == len(np.unique(null.shifts)) == 200
    assert (null.high >= null.mean).all()
    prediction = predict_recording(encoder, pair.features, recording)
    assert (null.mean < prediction["variance_explained"].values)[:12].all()


def test_shifts_score_as_by_hand():
    rng = np.random.default_rng(3)
    y = rng.normal(3, 1, (4, 101))
    y_hat = 0.5 * y + rng.normal(1, 0.5, y.shape)
    null = shift_test(y, y_hat, 0.5, n=1000, least_shift=4.0)
    assert null.least_shift == 4.0
    assert null.memory == 0.5  # one sample: it is white
    assert null.shifts.tolist() == [0.5 * s for s in range(8, 94)]  # all there are
    rolled = [np.roll(y, -round(s / 0.5), axis=1) for s in null.shifts]
    by_hand = np.stack([variance_explained(r, y_hat) for r in rolled], axis=1)
    assert np.allclose(null.mean, by_hand.mean(axis=1))
    assert np.allclose(null.pooled, [pooled_variance_explained(r, y_hat) for r in rolled])
    above = (by_hand >= variance_explained(y, y_hat)[:, None]).sum(axis=1)
    assert np.allclose(null.p, (1 + above) / 87)


def test_constants():
    y = np.random.default_rng(4).normal(0.1, 1, (3, 200)).astype(np.float32)
    y_hat = y.copy()
    y[0] = 0.1
    y_hat[1] = 0.3
    null = shift_test(y, y_hat, 0.1)
    assert np.isnan(null.p[0])
    assert null.p[1] == 1  # a flat prediction is no better in its place than elsewhere
    assert null.p[2] == 1 / 101


def test_seeds_and_limits():
    rng = np.random.default_rng(5)
    y, y_hat = rng.standard_normal((2, 3, 300))
    first, again, other = (shift_test(y, y_hat, 0.1, 50, seed) for seed in (0, 0, 1))
    assert np.array_equal(first.shifts, again.shifts)
    assert not np.array_equal(first.shifts, other.shifts)
    with pytest.raises(ValueError, match="at least 19 shifts"):
        shift_test(y[:, :18], y_hat[:, :18], 0.1)
    with pytest.raises(ValueError, match="at least 19 shifts"):
        shift_test(y, y_hat, 0.1, n=10)
    with pytest.raises(ValueError, match="same test times"):
        shift_test(y, y_hat[:2], 0.1)
