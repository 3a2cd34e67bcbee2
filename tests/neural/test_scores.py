from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_facemap.neural import scores
from napari_facemap.neural.scores import (
    component_variance_explained,
    confidence_interval,
    number_segments,
    pooled_variance_explained,
    segment_scores,
    variance_explained,
)

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
    with pytest.raises(ValueError, match="same times"):
        segment_scores(np.zeros((2, 5)), np.zeros((2, 5)), np.zeros(4, int))
    with pytest.raises(ValueError, match="level"):
        confidence_interval(np.zeros((2, 5)), np.zeros((2, 5)), np.zeros(5, int), level=95)


def test_pieces_score_as_the_whole(monkeypatch):
    y = RNG.normal(0, 1, (7, 60))
    predicted, segments = y + RNG.normal(0, 0.5, y.shape), np.repeat(np.arange(6), 10)
    whole = variance_explained(y, predicted), confidence_interval(y, predicted, segments)
    monkeypatch.setattr(scores.row_chunks, "__defaults__", (100,))
    assert np.array_equal(variance_explained(y, predicted), whole[0])
    again = confidence_interval(y, predicted, segments)
    assert np.allclose(again.low, whole[1].low)
    assert np.allclose(again.pooled, whole[1].pooled)


def test_components_each_and_together():
    y = RNG.normal(0, [3.0, 1.0, 0.5, 0.0], (500, 4))
    predicted = y + RNG.normal(0, [1.0, 1.0, 0.0, 0.0], y.shape)
    found = component_variance_explained(y, predicted)
    assert np.allclose(found.each[:3], variance_explained(y.T, predicted.T)[:3])
    assert np.isnan(found.each[3])
    assert found.cumulative[0] == found.each[0]
    assert found.cumulative[1] == pytest.approx(
        pooled_variance_explained(y[:, :2].T, predicted[:, :2].T)
    )
    assert found.cumulative[3] == pytest.approx(found.cumulative[2])
    assert np.allclose(found.variance, y.var(axis=0))


@given(st.lists(st.booleans(), max_size=80))
def test_segments_are_the_runs(test):
    test = np.array(test, bool)
    numbers = number_segments(test)
    assert np.array_equal(numbers >= 0, test)
    assert (np.diff(numbers[test]) >= 0).all()
    runs = int((test & ~np.concatenate([[False], test[:-1]])).sum()) if len(test) else 0
    expected = runs if runs >= 4 or runs == 0 else min(10, int(test.sum()))
    assert len(np.unique(numbers[test])) == expected


def test_one_long_run_is_cut_into_equal_pieces():
    numbers = number_segments(np.ones(100, bool))
    assert np.bincount(numbers).tolist() == [10] * 10


def test_segments_make_up_the_whole_score():
    y = RNG.normal(0, 1, (5, 200)) + np.repeat(RNG.normal(0, 1, (5, 4)), 50, axis=1)
    predicted = y + RNG.normal(0, 0.7, y.shape)
    segments = np.repeat([0, 1, 2, 3], 50)
    segments[:10] = -1
    used = segments >= 0
    each = segment_scores(y, predicted, segments)
    about = (y - y[:, used].mean(axis=1, keepdims=True)) ** 2
    weight = np.stack([about[:, segments == s].sum(axis=1) for s in range(4)], axis=1)
    whole = variance_explained(y[:, used], predicted[:, used])
    assert np.allclose((each * weight).sum(axis=1) / weight.sum(axis=1), whole)


def test_intervals_cover_about_as_often_as_they_say():
    """Of many worlds with a score of 0.5 the intervals hold it, if a bit less often than named."""
    shape = (400, 10, 60)
    level = RNG.normal(0, 1, shape[:2])[..., None]  # of each segment: samples are not independent
    signal = RNG.normal(0, 1, shape) * np.exp(0.2 * level)
    noise = RNG.normal(0, 1, shape) * np.exp(0.2 * level)
    y = (signal + noise).reshape(400, 600)
    found = confidence_interval(y, signal.reshape(y.shape), np.repeat(np.arange(10), 60))
    covered = np.mean((found.low < 0.5) & (found.high > 0.5))
    assert 0.85 < covered < 0.97
    assert found.pooled[0] < 0.5 < found.pooled[1]
    assert found.pooled[1] - found.pooled[0] < np.median(found.high - found.low) / 3


def test_intervals_are_seeded_and_need_segments():
    y = RNG.normal(0, 1, (2, 40))
    y[1] = 3
    segments = np.repeat(np.arange(4), 10)
    first, again, other = (confidence_interval(y, 0.5 * y, segments, seed=s) for s in (0, 0, 1))
    assert np.array_equal(first.low, again.low, equal_nan=True)
    assert first.low[0] != other.low[0]
    assert np.isnan([first.low[1], first.high[1]]).all()
    few = confidence_interval(y, 0.5 * y, np.minimum(segments, 2))
    assert np.isnan(few.low).all()
    assert few.n_segments == 3
