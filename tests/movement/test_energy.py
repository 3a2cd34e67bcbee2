from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_facemap.movement.energy import EnergyMeasure, energy_traces
from napari_facemap.movement.regions import Region

RNG = np.random.default_rng(1)


def _expected(before, frames, regions):
    height, width = frames.shape[1:]
    differences = np.abs(np.diff(np.concatenate([before[None], frames]).astype(int), axis=0))
    found = []
    for region in regions:
        if region is None:
            found.append(differences.sum((1, 2)))
        else:
            part = region.window(height, width).of(differences)
            found.append((part * region.mask(height, width)).sum((1, 2)))
    return np.stack(found, axis=1)


@given(
    height=st.integers(1, 600),
    width=st.integers(1, 30),
    n=st.integers(1, 3),
    x=st.floats(0, 30),
    a=st.floats(0.6, 20),
)
def test_sums_are_exact(height, width, n, x, a):
    frames = RNG.integers(0, 256, (n + 1, height, width), np.uint8)
    regions = [None]
    region = Region.ellipse("pad", "motion", min(x, width - 1), height // 2, a, a)
    regions.append(region)
    found = EnergyMeasure(regions, height, width).work(frames[0], frames[1:])
    assert np.array_equal(found, _expected(frames[0], frames[1:], regions))


def test_the_largest_change_does_not_overflow():
    frames = np.zeros((2, 600, 7), np.uint8)
    frames[1] = 255
    assert EnergyMeasure([None], 600, 7).work(frames[0], frames).tolist() == [[0], [255 * 4200]]


def test_regions_overlap_and_frames_may_be_views():
    wide = RNG.integers(0, 256, (5, 40, 100), np.uint8)
    frames = wide[:, :, ::2]
    regions = [
        Region.rectangle("a", "motion", 5, 5, 30, 20),
        Region.ellipse("b", "motion", 20, 20, 10, 15),
    ]
    found = EnergyMeasure(regions, 40, 50).work(frames[0], frames[1:])
    assert np.array_equal(found, _expected(frames[0], frames[1:], regions))


@pytest.mark.parametrize("n", [1, 3, 7])
def test_batches_make_no_difference(n):
    frames = RNG.integers(0, 256, (20, 30, 40), np.uint8)
    measure = EnergyMeasure([None, Region.ellipse("b", "motion", 20, 15, 9, 9)], 30, 40)
    whole = measure.work(frames[0], frames)
    parts = [
        measure.work(frames[max(k - 1, 0)], frames[k : k + n]) for k in range(0, len(frames), n)
    ]
    assert np.array_equal(np.concatenate(parts), whole)


def test_the_first_frame_compares_with_nothing():
    total, mean = energy_traces(np.array([[0.0, 0], [8, 2], [4, 6]]), np.array([4, 2]))
    assert np.isnan(total[0]).all()
    assert np.isnan(mean[0]).all()
    assert total[1:].tolist() == [[8, 2], [4, 6]]
    assert mean[1:].tolist() == [[2, 1], [1, 3]]
