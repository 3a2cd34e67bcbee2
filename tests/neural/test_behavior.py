from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy.ndimage import gaussian_filter

from napari_facemap.keypoints.poses import make_poses
from napari_facemap.movement.analysis import motion
from napari_facemap.movement.regions import Region
from napari_facemap.neural.behavior import GROUPS, behavior_features, join_features
from napari_facemap.neural.features import Features
from napari_facemap.video.arrays import ArrayVideo

N, FPS = 200, 50.0
TIMES = np.arange(N) / FPS


@pytest.fixture(scope="module")
def poses():
    x = 10 + 5 * np.sin(TIMES)
    position = np.stack([np.stack([x, 2 * x], 1), np.stack([x + 3, x], 1)], 2)
    return make_poses(position, np.ones((N, 2)), ["nose(tip)", "mouth"], TIMES)


@pytest.fixture(scope="module")
def measured():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:60, :60]
    texture = gaussian_filter(rng.normal(128, 400, (30, 60)), 2, mode="wrap")
    frames = np.where(np.hypot(x - 30, y - 15) < 8, 20, 150) + rng.normal(0, 4, (N, 60, 60))
    eye = Region.ellipse("eye", "pupil", 30, 15, 14, 14)
    frames[:, 30:] = [np.roll(texture, step, axis=1) for step in range(N)]
    belt = Region.rectangle("belt", "running", 0, 30, 59, 59)
    video = ArrayVideo(frames.astype(np.uint8), fps=FPS)
    return motion(video, [eye, belt], components=3, sources=("motion", "movie"), bin=2)


def test_groups_of_all_that_is_known(poses, measured):
    tone = (np.sin(np.arange(50)), np.arange(50) * 0.08)
    found = behavior_features(poses, measured, {"tone": tone})
    assert found.group_names == tuple(g for g in GROUPS if g not in ("speed", "eyelids"))
    assert len(found.times) == N
    assert found.only("keypoints").names == (
        "nose(tip) x", "nose(tip) y", "mouth x", "mouth y",
    )  # fmt: skip
    assert found.only("motion components").names[0] == "motion of whole frames 1"
    energy = found.only("motion energy")
    expected = measured.traces["motion_energy"].values[1:, 0]
    np.testing.assert_allclose(energy.values[1:, 0], expected, rtol=1e-5)
    assert np.isfinite(energy.values[0]).all()  # the first frame has none
    assert "pupil" not in found.without("pupil").group_names
    assert found.select(found.names[::-1]).groups == found.groups[::-1]


def test_groups_can_be_asked_for(poses, measured):
    speed = behavior_features(poses, include=["speed"])
    assert speed.names == ("nose(tip) speed", "mouth speed")
    truth = np.abs(5 * np.cos(TIMES)) * np.hypot(1, 2)
    np.testing.assert_allclose(speed.values[5:-5, 0], truth[5:-5], rtol=0.02, atol=0.05)
    both = behavior_features(poses, measured, include=["keypoints", "pupil"])
    assert both.group_names == ("keypoints", "pupil")
    with pytest.raises(ValueError, match="found nothing of eyelids"):
        behavior_features(poses, measured, include=["eyelids"])
    with pytest.raises(ValueError, match="smell"):
        behavior_features(poses, include=["smell"])
    with pytest.raises(ValueError, match="found nothing"):
        behavior_features()


def test_series_of_another_clock_are_interpolated_where_both_are_known(poses):
    slow = np.arange(1.0, 3.01, 0.25)
    series = xr.Dataset({"light": ("time", 2 * slow)}, coords={"time": slow})
    found = behavior_features(poses, traces=series)
    assert found.times[0] == pytest.approx(0.5, abs=0.51)
    inside = (found.times >= 1) & (found.times <= 3)
    np.testing.assert_allclose(found.values[inside, -1], 2 * found.times[inside], rtol=1e-5)
    assert found.times[-1] <= 3.6
    with pytest.raises(ValueError, match="do not overlap"):
        behavior_features(poses, traces={"late": (slow, slow + 100)})
    with pytest.raises(ValueError, match="trace 'odd'"):
        behavior_features(poses, traces={"odd": (slow, slow[:-1])})


def test_a_pause_of_one_stream_is_left_out_of_all():
    times = np.arange(100) / 10
    first = Features(np.ones((100, 1)), times, ["a"])
    paused = np.r_[times[:30], times[60:]]
    second = Features(paused[:, None], paused, ["b"], groups=["other"])
    joined = join_features([first, second])
    assert joined.groups == ("behaviour", "other")
    assert not ((joined.times > 3.3) & (joined.times < 5.7)).any()
    np.testing.assert_allclose(joined.values[:, 1], joined.times, atol=1e-5)
    assert len(joined.times) > 70


def test_facemaps_results_without_times_are_refused(measured):
    from dataclasses import replace

    timeless = replace(measured, traces=measured.traces.assign_attrs(times_known=0))
    with pytest.raises(ValueError, match="without times"):
        behavior_features(motion=timeless)


def test_groups_of_features_are_checked():
    with pytest.raises(ValueError, match="group for each"):
        Features(np.ones((3, 2)), np.arange(3.0), ["a", "b"], groups=["x"])
    one = Features(np.ones((3, 2)), np.arange(3.0), ["a", "b"])
    with pytest.raises(ValueError, match="no feature is left"):
        one.without("behaviour")
