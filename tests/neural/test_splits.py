from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_facemap.neural.splits import correlation_time, split_times


@settings(max_examples=40, deadline=None)
@given(
    st.integers(40, 3000),
    st.floats(0.01, 2.0),
    st.floats(0, 5),
    st.floats(0, 0.4),
    st.integers(0, 99),
)
def test_parts_are_apart_for_all_recordings(n, step, reach, lost, seed):
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.uniform(0.5, 1.5, n) * step)
    usable = rng.random(n) >= lost
    if usable.sum() < 40:
        return
    split = split_times(times, usable, reach, 0.2)
    parts = split.train, split.validation, split.test
    assert np.sum(parts, axis=0).max() <= 1
    assert not (np.any(parts, axis=0) & ~usable).any()
    assert all(part.any() for part in parts)
    rest = times[split.train | split.validation]
    gaps = np.abs(rest[:, None] - times[split.test][None]).min()
    assert gaps > split.guard


def test_long_recordings_get_ten_segments_a_quarter_and_full_gaps():
    times = np.arange(0, 1800, 0.1)
    split = split_times(times, np.ones(len(times), bool), 2.02, 0.5)
    assert split.guard == pytest.approx(2.52)
    assert split.test.mean() == pytest.approx(0.25, abs=0.01)
    assert np.sum(np.diff(split.test.astype(int)) == 1) == 10
    assert split.train.mean() > 0.55


def test_short_recordings_get_fewer_segments_before_narrower_gaps():
    times = np.arange(0, 150, 0.1)
    split = split_times(times, np.ones(len(times), bool), 2.02, 0.2)
    assert split.guard == pytest.approx(2.22)
    assert np.sum(np.diff(split.test.astype(int)) == 1) == 6
    assert split.train.mean() > 0.3


def test_too_little_behaviour_is_refused():
    with pytest.raises(ValueError, match="39 of 100 samples"):
        split_times(np.arange(100), np.arange(100) < 39, 2, 0)


def test_correlation_time_of_slow_and_fast_neurons():
    rng = np.random.default_rng(0)
    times = np.arange(4000) / 10
    white = rng.standard_normal((20, 4000))
    assert correlation_time(white, times) == pytest.approx(0.1)
    slow = np.apply_along_axis(np.convolve, 1, white, np.ones(20), "same")
    assert 0.8 < correlation_time(slow, times) < 1.8
    assert correlation_time(np.ones((3, 4000)), times) == pytest.approx(0.1)
