from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from napari_facemap.viewer.tasks import describe_rate, one_line
from napari_facemap.viewer.trace_math import lane_scale, page, peaks, spans, trace_set, window


def test_window_has_one_sample_more_on_either_side():
    times = np.arange(10.0)
    assert window(times, 2.5, 5.5) == slice(2, 7)
    assert window(times, -5, 100) == slice(0, 10)
    assert window(times, 3.0, 3.0) == slice(2, 5)


def test_short_traces_are_not_touched():
    times = np.arange(20.0)
    assert peaks(times, times, 10)[1] is times


@given(st.integers(1, 5000), st.integers(1, 300), st.integers(0, 2**32 - 1))
def test_thinning_keeps_extremes_order_and_pairs(n, n_bins, seed):
    values = np.random.default_rng(seed).normal(size=n)
    times = np.arange(n) * 0.1
    thin_times, thin = peaks(times, values, n_bins)
    assert len(thin) <= max(2 * n_bins, 2)
    assert thin.min() == values.min()
    assert thin.max() == values.max()
    assert (np.diff(thin_times) >= 0).all()
    np.testing.assert_array_equal(thin, values[np.round(thin_times / 0.1).astype(int)])


def test_thinning_passes_over_nan():
    values = np.full(1000, np.nan)
    values[500] = 3
    assert np.nanmax(peaks(np.arange(1000.0), values, 10)[1]) == 3


def test_spans():
    flags = np.array([1, 1, 0, 0, 1, 0, 1], bool)
    assert spans(np.arange(7.0), flags) == [(-0.5, 1.5), (3.5, 4.5), (5.5, 6.5)]
    assert spans(np.arange(3.0), np.zeros(3, bool)) == []
    assert spans(np.array([]), np.array([], bool)) == []


def test_lane_scale_puts_a_trace_in_height_one():
    values = np.random.default_rng(0).uniform(5, 9, 10_000)
    middle, height = lane_scale(values)
    scaled = (values - middle) / height
    assert np.abs(scaled).max() < 0.52
    assert lane_scale(np.full(5, 2.0)) == (2.0, 1.0)
    assert lane_scale(np.full(5, np.nan)) == (0.0, 1.0)


def test_page_stays_until_the_time_leaves_it():
    assert page(15, (0, 30), 15, None) == (0, 30)
    assert page(29, (0, 30), 15, None) == (14, 44)
    assert page(-3, (0, 30), 15, None) == (-18, 12)
    assert page(15, (0, 30), 5, None) == (10, 20)


def test_page_shows_no_more_emptiness_than_it_must():
    assert page(0, (50, 80), 15, (0, 100)) == (0, 30)
    assert page(100, (0, 30), 15, (0, 100)) == (70, 100)
    assert page(50, (0, 30), 15, (0, 100)) == (35, 65)
    assert page(120, (0, 30), 15, (0, 100)) == (105, 135)
    assert page(4, (50, 80), 15, (0, 10)) == (0, 30)


def test_best_explained_first_and_unknown_last():
    prediction = xr.Dataset(
        {
            "predicted": (("neuron", "time"), np.zeros((3, 4))),
            "measured": (("neuron", "time"), np.ones((3, 4))),
            "variance_explained": ("neuron", [0.1, np.nan, 0.5]),
            "test": ("time", [False, True, True, False]),
        },
        coords={"time": [0, 0.1, 0.2, 0.3]},
    )
    traces = trace_set(prediction)
    assert traces.best_first().tolist() == [2, 0, 1]
    assert traces.names == ["0", "1", "2"]
    only = trace_set(prediction[["predicted"]])
    assert only.measured is None
    assert only.best_first().tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ((1200, 6000, 210.4, 23), "1,200 of 6,000 frames, 210 frames/s, 0:23 left"),
        ((1, 10, 0.25, 3700), "1 of 10 frames, 0.2 frames/s, 1:01:40 left"),
        ((0, 10, 0.0, float("nan")), "0 of 10 frames"),
        ((10, 10, 50.0, 0), "10 of 10 frames, 50 frames/s"),
    ],
)
def test_progress_in_words(given_, expected):
    assert describe_rate(*given_) == expected


def test_errors_in_one_line():
    assert one_line(ValueError("a\n  b")) == "a b"
    assert one_line(KeyError()) == "KeyError"
