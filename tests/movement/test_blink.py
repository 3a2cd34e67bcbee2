from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_facemap.keypoints.poses import make_poses
from napari_facemap.keypoints.skeleton import KEYPOINTS
from napari_facemap.movement.blink import (
    Blink,
    DarkArea,
    blink_events,
    during_blinks,
    eyelid_opening,
)
from napari_facemap.movement.regions import Region
from napari_facemap.simulate.behavior import simulate_behavior
from napari_facemap.simulate.chance import TimeChance

LASTS = 120.0  # seconds of each simulation


def test_dark_area_is_the_sum_of_what_is_below_the_threshold():
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (5, 40, 60), dtype=np.uint8)
    frames.setflags(write=False)
    drawn = Region.ellipse("lid", "blink", 30, 20, 14, 9)
    for threshold in (0.0, 59.5, 60.0, 255.0):
        region = Region(
            "lid", "blink", drawn.vertices, "ellipse", options={"threshold": threshold}
        )
        window, mask = region.window(40, 60), region.mask(40, 60)
        found = DarkArea(region, 40, 60).work(frames[0], frames)
        part = np.maximum(0, threshold - window.of(frames).astype(float))
        assert found.shape == (5, 1) and found.dtype == np.float64
        np.testing.assert_allclose(found[:, 0], (part * mask).sum(axis=(1, 2)))


def test_dark_area_of_a_frame_is_the_same_in_any_batch():
    frames = np.random.default_rng(1).integers(0, 256, (7, 40, 60), dtype=np.uint8)
    measure = DarkArea(Region.rectangle("lid", "blink", 5, 5, 30, 20), 40, 60)
    together = measure.work(frames[0], frames)
    alone = np.concatenate([measure.work(f, f[np.newaxis]) for f in frames])
    np.testing.assert_array_equal(together, alone)


def eye_poses(height, width, angle=0.3):
    n = len(height)
    position = np.zeros((n, 2, len(KEYPOINTS)))
    along = np.array([np.cos(angle), np.sin(angle)])
    down = np.array([-np.sin(angle), np.cos(angle)])
    ends = {"back": -along, "front": along, "top": -down, "bottom": down}
    for name, way in ends.items():
        half = (height if name in ("top", "bottom") else width) / 2
        position[:, :, KEYPOINTS.index(f"eye({name})")] = np.outer(half, way)
    position += np.array([200.0, 150.0])[:, np.newaxis]
    return make_poses(position, np.ones((n, len(KEYPOINTS))), KEYPOINTS, np.arange(n) / 50)


@given(angle=st.floats(-3, 3), scale=st.floats(0.5, 4))
def test_the_opening_is_height_over_width(angle, scale):
    height = np.array([0.0, 10, 20])
    opening = eyelid_opening(eye_poses(height * scale, np.full(3, 40.0) * scale, angle))
    np.testing.assert_allclose(opening, [0, 0.25, 0.5], atol=1e-4)


def test_the_opening_is_not_known_without_its_points():
    poses = eye_poses(np.full(4, 10.0), np.full(4, 40.0))
    poses["confidence"].values[1, KEYPOINTS.index("eye(top)")] = 0.4
    poses["position"].values[2, :, KEYPOINTS.index("eye(back)")] = np.nan
    poses["confidence"].values[3, KEYPOINTS.index("paw")] = 0.0
    assert np.isnan(eyelid_opening(poses)).tolist() == [False, True, True, False]
    assert np.isnan(eyelid_opening(eye_poses(np.ones(1), np.zeros(1)))).all()
    with pytest.raises(ValueError, match=r"eye\(top\) not found"):
        eyelid_opening(poses.drop_sel(keypoint="eye(top)"))


def true_blinks(seed):
    times = np.arange(0, LASTS, 0.002)
    phase, _ = TimeChance(seed).events("blink", times, slot=5.0, chance=0.4, duration=0.3)
    ends = np.flatnonzero(np.diff(np.isfinite(phase), prepend=False, append=False))
    return [(a * 0.002, b * 0.002) for a, b in ends.reshape(-1, 2)]


def traces(times, seed):
    """The same eye, measured in different ways: trace and whether closed is high."""
    rng = np.random.default_rng(seed)
    openness, noise = simulate_behavior(times, seed)["openness"], rng.standard_normal(len(times))
    slow = np.sin(times / 15)
    return {
        "as it is": (openness, False),
        "noise": (openness + 0.04 * noise, False),
        "aspect ratio": (0.08 + 0.5 * openness + 0.01 * noise, False),
        "drift": (openness * (1 + 0.4 * slow) + 0.02 * noise, False),
        "dark eye": (8000 * (0.15 + 0.85 * openness) * (1 + 0.3 * slow) + 150 * noise, False),
        "dark lid": (3000 + 9000 * (1 - openness) + 1000 * slow + 150 * noise, True),
    }


@pytest.mark.parametrize("rate", [25, 40, 100])
@pytest.mark.parametrize("seed", range(6))
def test_every_blink_is_found_and_none_invented(rate, seed):
    times = np.arange(0, LASTS, 1 / rate)
    known = true_blinks(seed)
    inner = [(a, b) for a, b in known if a > 0.05 and b < LASTS - 0.05]
    assert inner
    for name, (opening, high) in traces(times, seed).items():
        events = blink_events(opening, times, closed_is_high=high)
        for a, b in inner:
            assert sum(e.start < b and e.stop > a for e in events) == 1, (name, a)
        for event in events:
            assert any(event.start < b and event.stop > a for a, b in known), (name, event)


def test_blinks_are_where_and_as_deep_as_they_are():
    times = np.arange(0, LASTS, 0.01)
    openness = simulate_behavior(times, 2)["openness"]
    for event in blink_events(openness, times):
        start, stop = next((a, b) for a, b in true_blinks(2) if a < event.stop and b > event.start)
        assert start - 0.02 <= event.start and event.stop <= stop + 0.02
        assert event.stop - event.start > 0.5 * (stop - start)
        assert 0.9 < event.depth < 1.1


@settings(max_examples=20)
@given(shift=st.floats(-1000, 1000), gain=st.floats(0.01, 1000))
def test_blinks_do_not_depend_on_units_or_on_when_the_clock_began(shift, gain):
    times = np.arange(0, 30, 0.02)
    opening = simulate_behavior(times, 1)["openness"]
    expected = np.array(blink_events(opening, times))
    found = np.array(blink_events(gain * opening, times + shift))
    assert len(expected)
    np.testing.assert_allclose(found - [shift, shift, 0], expected, atol=1e-6)


@pytest.mark.parametrize("high", [False, True])
def test_noise_is_no_blink(high):
    times = np.arange(0, 600, 0.02)
    opening = 0.5 + 0.04 * np.random.default_rng(0).standard_normal(len(times))
    assert blink_events(opening, times, closed_is_high=high) == []


def valley(times, start, lasts, depth=1.0):
    return 1 - depth * ((times >= start) & (times < start + lasts))


def test_too_short_and_too_long_are_no_blinks():
    times = np.arange(0, 60, 0.01)
    glitch, sleep = valley(times, 10, 0.02), valley(times, 30, 4.0)
    assert blink_events(glitch * sleep, times) == []
    assert len(blink_events(valley(times, 20, 0.2), times)) == 1
    assert len(blink_events(valley(times, 20, 0.2, depth=0.3), times)) == 0
    assert len(blink_events(valley(times, 20, 0.2, depth=0.3), times, depth=0.2)) == 1


def test_unknown_values_hide_a_blink_or_make_none():
    times = np.arange(0, 60, 0.01)
    opening = valley(times, 10, 0.2) * valley(times, 30, 0.2)
    opening[1005:1012] = np.nan  # within the first
    opening[2990:3030] = np.nan  # all of the second
    opening[4000:5000] = np.nan
    found = blink_events(opening, times)
    assert len(found) == 1 and found[0].start == pytest.approx(10, abs=0.02)
    assert blink_events(np.full(100, np.nan), np.arange(100) / 50) == []
    assert blink_events(np.zeros(0), np.zeros(0)) == []


def test_a_paused_camera_is_no_blink():
    times = np.concatenate([np.arange(0, 20, 0.02), np.arange(50, 70, 0.02)])
    opening = valley(times, 10, 0.2) * valley(times, 60, 0.2)
    assert [round(blink.start) for blink in blink_events(opening, times)] == [10, 60]


def test_during_blinks_is_when_they_are():
    times = np.arange(10.0)
    events = [Blink(1.5, 3.0, 1.0), Blink(7.2, 7.8, 0.9)]
    assert np.flatnonzero(during_blinks(events, times)).tolist() == [2, 3]
    assert np.flatnonzero(during_blinks(events, times, margin=0.5)).tolist() == [1, 2, 3, 7, 8]
    assert not during_blinks([], times).any()


def test_blinks_refuse_what_does_not_fit():
    with pytest.raises(ValueError, match="one time for each"):
        blink_events(np.zeros(3), np.zeros(2))
    with pytest.raises(ValueError, match="rise"):
        blink_events(np.zeros(3), np.array([0.0, 2, 1]))
    with pytest.raises(ValueError, match="depth"):
        blink_events(np.zeros(3), np.arange(3.0), depth=0)
