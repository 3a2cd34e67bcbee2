from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_facemap.neural.clocks import covered, nearest, overlap, resample

increasing = st.lists(st.integers(0, 10_000), min_size=1, max_size=40, unique=True).map(
    lambda values: np.sort(values) / 100
)


@given(increasing, st.lists(st.floats(-10, 120), max_size=30))
def test_nearest_is_what_looking_at_every_sample_gives(times, wanted):
    wanted = np.array(wanted, float)
    distances = np.abs(times[None] - wanted[:, None])
    found = nearest(times, wanted)
    assert np.allclose(distances[np.arange(len(wanted)), found], distances.min(axis=1))


def test_of_two_equally_near_samples_the_earlier_is_taken():
    assert nearest(np.array([0.0, 1.0, 2.0]), np.array([0.5, 1.5])).tolist() == [0, 1]


def test_overlap():
    assert overlap(np.array([0.0, 5.0]), np.array([3.0, 9.0])) == (3, 5)
    assert overlap(np.array([0.0, 5.0]), np.array([6.0, 9.0])) is None


def test_times_in_a_pause_or_outside_are_not_covered():
    camera = np.concatenate([np.arange(0, 10, 1 / 30), np.arange(30, 40, 1 / 30)])
    wanted = np.array([-1.0, -0.2, 0.0, 9.99, 10.1, 11.0, 29.0, 29.9, 35.0, 40.1, 41.0])
    expected = [False, True, True, True, True, False, False, True, True, True, False]
    assert covered(camera, wanted).tolist() == expected


def test_a_slow_camera_covers_all_between_its_frames():
    camera = np.arange(0, 60, 2.0)
    assert covered(camera, np.arange(0, 58, 0.1)).all()


def test_a_frame_a_grid_step_is_left_as_it_is():
    values = np.random.default_rng(0).standard_normal((500, 3)).astype(np.float32)
    grid = resample(values, 7.3 + np.arange(500) / 50)
    assert grid.start == 7.3
    assert np.allclose(grid.values, values, atol=1e-5)


@pytest.mark.parametrize("rate", [10, 25, 30, 60, 200, 333.3])
def test_a_slow_wave_is_the_same_from_any_camera(rate):
    times = np.arange(0, 20, 1 / rate)
    grid = resample(np.sin(2 * np.pi * 0.3 * times)[:, None], times)
    inside = slice(2, -2)
    truth = np.sin(2 * np.pi * 0.3 * grid.times)
    assert np.abs(grid.values[inside, 0] - truth[inside]).max() < 0.01


def test_what_is_too_fast_for_the_grid_does_not_come_back_as_something_slow():
    times = np.arange(0, 20, 1 / 500)
    grid = resample(np.sin(2 * np.pi * 99 * times)[:, None], times)
    assert np.abs(grid.values).max() < 0.1  # picked frames would give a wave of 1 at 1 Hz


def test_fast_cameras_with_uneven_frames_keep_a_constant():
    times = np.cumsum(np.random.default_rng(0).exponential(1 / 200, 4000))
    grid = resample(np.full((4000, 2), 123.456), times)
    assert np.allclose(grid.values, 123.456, rtol=1e-6)


def test_positions_are_held_at_the_ends():
    grid = resample(np.zeros((101, 1)), np.arange(101) / 50)
    assert np.allclose(grid.positions(np.array([-1.0, 1.0, 9.0])), [0, 50, 100])
