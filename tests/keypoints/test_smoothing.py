from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_facemap.keypoints.smoothing import smooth


def kalman_smoother(times, values, variance, q):
    """Forward filter and Rauch-Tung-Striebel pass, step by step, with a vague beginning."""
    n = len(times)
    mean, cov = np.zeros((n, 2)), np.zeros((n, 2, 2))
    ahead_mean, ahead_cov, moves = np.zeros((n, 2)), np.zeros((n, 2, 2)), [np.eye(2)] * n
    m, p = np.zeros(2), np.eye(2) * 1e7
    for i in range(n):
        if i:
            dt = times[i] - times[i - 1]
            moves[i] = np.array([[1, dt], [0, 1]])
            m = moves[i] @ m
            p = moves[i] @ p @ moves[i].T + q * np.array([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]])
        ahead_mean[i], ahead_cov[i] = m, p
        if np.isfinite(values[i]):
            gain = p[:, 0] / (p[0, 0] + variance[i])
            m = m + gain * (values[i] - m[0])
            p = p - np.outer(gain, p[0])
        mean[i], cov[i] = m, p
    for i in range(n - 2, -1, -1):
        back = cov[i] @ moves[i + 1].T @ np.linalg.inv(ahead_cov[i + 1])
        mean[i] = mean[i] + back @ (mean[i + 1] - ahead_mean[i + 1])
    return mean[:, 0]


def test_it_is_a_kalman_smoother_with_irregular_times_gaps_and_noise_that_varies():
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.uniform(0.3, 1.5, 40))
    values = np.cumsum(rng.normal(size=40)) + 20
    variance = rng.uniform(0.1, 3, 40)
    known = np.ones(40, bool)
    known[[7, 8, 9, 20, 31]] = False
    expected = kalman_smoother(times, np.where(known, values, np.nan), variance, q=0.5)
    smoothed, between = smooth(
        times[known], values[known, None], variance[known], times[~known], inertia=2.0
    )
    np.testing.assert_allclose(smoothed[:, 0], expected[known], atol=1e-4)
    np.testing.assert_allclose(between[:, 0], expected[~known], atol=1e-4)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 12), st.floats(1e-6, 100), st.integers(0, 10**6))
def test_straight_lines_stay_and_values_without_noise_are_kept(n, inertia, seed):
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.uniform(0.01, 2, n))
    line = np.stack([3 + 2 * times, -times], axis=1)
    smoothed, _ = smooth(times, line, rng.uniform(0, 4, n), np.empty(0), inertia)
    np.testing.assert_allclose(smoothed, line, atol=1e-7)
    variance = np.where(rng.random(n) < 0.5, 0, 1)
    noisy = line + rng.normal(size=line.shape)
    smoothed, _ = smooth(times, noisy, variance, np.empty(0), inertia)
    np.testing.assert_allclose(smoothed[variance == 0], noisy[variance == 0], atol=1e-7)


def test_without_inertia_values_are_joined_by_straight_lines():
    times = np.array([0, 1, 4.0])
    values = np.array([[0, 1], [2, 3], [8, 0.0]])
    smoothed, between = smooth(times, values, np.ones(3), np.array([0.5, 2, 4.0]), 0)
    np.testing.assert_array_equal(smoothed, values)
    np.testing.assert_allclose(between, [[1, 2], [4, 2], [8, 0]])


@pytest.mark.parametrize("dt", [0.002, 0.02])
def test_slow_movement_is_left_and_fast_movement_taken(dt):
    """Gain 1 / (1 + (omega tau)^4), where a value stands for the time of its frame."""
    times, tau = np.arange(0, 20, dt), 0.1
    for frequency in (0.5, 1 / (2 * np.pi * tau), 4):
        wave = np.sin(2 * np.pi * frequency * times)
        got, _ = smooth(times, wave[:, None], np.full(len(times), 1 / dt), np.empty(0), tau**4)
        middle = slice(len(times) // 4, 3 * len(times) // 4)
        gain = np.dot(got[middle, 0], wave[middle]) / np.dot(wave[middle], wave[middle])
        assert gain == pytest.approx(1 / (1 + (2 * np.pi * frequency * tau) ** 4), abs=0.01)


def test_smoothing_that_numbers_cannot_hold_is_refused():
    times = np.arange(40_000) / 2000
    values = np.random.default_rng(0).normal(size=(len(times), 2))
    with pytest.raises(ValueError, match=r"too long for steps of 0\.0005 s"):
        smooth(times, values, np.full(len(times), 2000.0), np.empty(0), 10.0**4)
