from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_facemap.movement.binning import Binning
from napari_facemap.movement.regions import Region

RNG = np.random.default_rng(0)


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    side=st.integers(1, 16),
    n=st.integers(1, 3),
)
def test_squares_are_added_up_exactly(height, width, side, n):
    frames = RNG.integers(0, 256, (n, height, width), np.uint8)
    rows, columns = height // side, width // side
    if not rows or not columns:
        with pytest.raises(ValueError, match="smaller bin"):
            Binning(None, height, width, side)
        return
    cut = frames[:, : rows * side, : columns * side].astype(int)
    expected = cut.reshape(n, rows, side, columns, side).sum(axis=(2, 4))
    binning = Binning(None, height, width, side)
    sums = binning(frames)
    assert sums.dtype == np.uint16
    assert np.array_equal(sums, expected.reshape(n, -1))
    assert np.array_equal(binning.pictures(sums), expected)


def test_the_brightest_square_does_not_overflow():
    frames = np.full((1, 16, 16), 255, np.uint8)
    assert Binning(None, 16, 16, 16)(frames).tolist() == [[255 * 256]]


def test_a_region_is_its_window_and_outside_of_it_is_nothing():
    region = Region.ellipse("pad", "motion", 20, 12, 9, 7)
    binning = Binning(region, 30, 40, 2)
    assert binning.window == (5, 19, 11, 29)  # 15 rows hold 7 squares, 19 columns 9
    assert binning.shape == (7, 9)
    frames = RNG.integers(0, 256, (2, 30, 40), np.uint8)
    pictures = binning.pictures(binning(frames))
    assert not pictures[:, 0, 0].any()  # a corner of the window
    assert pictures[1, 3, 4] == frames[1, 11:13, 19:21].sum()
    assert binning.n_pixels == binning.inside.sum() == binning(frames).shape[1]
    # About pi a b pixels.
    assert abs(binning.n_pixels * 4 / (np.pi * 63) - 1) < 0.1


@pytest.mark.parametrize("side", [0, 17, -1])
def test_a_bin_out_of_range_is_refused(side):
    with pytest.raises(ValueError, match="1 to 16"):
        Binning(None, 30, 40, side)


def test_a_region_too_thin_for_its_bin_is_named():
    line = Region("thread", "motion", [[2, 2], [30, 29], [30, 30], [2, 3]], "polygon")
    with pytest.raises(ValueError, match="'thread'"):
        Binning(line, 32, 32, 16)
