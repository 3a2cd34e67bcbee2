from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_facemap.keypoints.degrade import Degradation, compressed, degrade

NOTHING = Degradation(1, 1, 0, 0, 0.4, shade=0, glint=0, cover=0, compress=0)
EVERYTHING = Degradation(shade=1, glint=1, cover=1, compress=1)
WHOLE = np.ones((64, 96), bool)


def _picture(seed=0):
    y, x = np.mgrid[:64, :96]
    phase = np.random.default_rng(seed).uniform(0, 6)
    return (0.5 + 0.4 * np.sin(x / 9 + phase) * np.cos(y / 7)).astype(np.float32)


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.sampled_from([Degradation(), EVERYTHING]))
def test_greys_stay_greys_and_the_picture_given_is_left_alone(seed, how):
    grey = _picture(seed)
    before = grey.copy()
    result, covered = degrade(grey, WHOLE, np.random.default_rng(seed), how)
    assert result.shape == covered.shape == grey.shape
    assert (result.dtype, covered.dtype) == (np.float32, bool)
    assert result.min() >= 0
    assert result.max() <= 1
    np.testing.assert_array_equal(grey, before)


def test_chance_is_the_generators():
    first, second, third = (
        degrade(_picture(), WHOLE, np.random.default_rng(seed), EVERYTHING)[0]
        for seed in (7, 7, 8)
    )
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, third)


@given(st.integers(0, 10_000), st.floats(0.05, 1))
def test_an_even_picture_with_nothing_on_it_stays_even_and_keeps_most_of_its_light(seed, level):
    grey = np.full((24, 32), level, np.float32)
    inside = np.ones(grey.shape, bool)
    result, covered = degrade(grey, inside, np.random.default_rng(seed), NOTHING)
    assert np.ptp(result) < 1e-5
    assert 0.59 * level < result.mean() < 1.01 * level
    assert not covered.any()


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_what_lies_beyond_the_picture_does_not_change_it(seed):
    inside = WHOLE.copy()
    inside[:, 50:] = False
    how = replace(Degradation(), cover=0, glint=0, compress=0)
    other = np.where(inside, _picture(), 1).astype(np.float32)
    one, _ = degrade(_picture(), inside, np.random.default_rng(seed), how)
    two, _ = degrade(other, inside, np.random.default_rng(seed), how)
    np.testing.assert_allclose(one[:, :40], two[:, :40], atol=1e-6)


def test_nothing_but_what_covers_is_called_covered():
    rng = np.random.default_rng(0)
    grey = _picture()
    cover_only = replace(NOTHING, cover=1.0)
    shares = [degrade(grey, WHOLE, rng, cover_only)[1].mean() for _ in range(30)]
    assert max(shares) > 0.02
    assert max(shares) < 0.9


@pytest.mark.parametrize("codec", ["mjpeg", "libx264"])
@pytest.mark.parametrize("shape", [(64, 96), (256, 256)])
def test_a_codec_keeps_the_size_and_at_good_quality_the_greys(codec, shape):
    y, x = np.mgrid[: shape[0], : shape[1]]
    levels = np.clip(127.5 + 140 * np.sin(x / 15) * np.cos(y / 11), 0, 255).astype(np.uint8)
    good = compressed(levels, codec, 2)
    bad = compressed(levels, codec, 31 if codec == "mjpeg" else 48)
    assert good.shape == bad.shape == shape
    assert good.dtype == np.uint8
    difference = np.abs(good.astype(float) - levels)
    assert difference.mean() < 2
    assert np.abs(bad.astype(float) - levels).mean() > 2 * difference.mean()
