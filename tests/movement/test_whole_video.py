"""A whole simulated video, measured as a user does, beside what truly happened in it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_facemap.movement.analysis import motion
from napari_facemap.movement.regions import Region
from napari_facemap.simulate.appearance import draw_appearance
from napari_facemap.simulate.face import simulate_face
from napari_facemap.video.arrays import ArrayVideo
from napari_facemap.video.write import write_video

FPS = 30.0
_EYE = ("eye(top)", "eye(bottom)", "eye(front)", "eye(back)")


def _mouse(seed, n_frames):
    """A mouse on a belt, in the light that one films pupils in."""
    look = replace(
        draw_appearance(seed), fur=0.6, light_contrast=0.2, vignette=0.1, exposure=1.0,
        iris=0.3, pupil=0.03, read_noise=0.008, shot_noise=0.015,
    )  # fmt: skip
    return simulate_face(
        n_frames, fps=FPS, size=(480, 640), seed=seed, appearance=look, treadmill=True
    )


@pytest.fixture(scope="module")
def mouse():
    return _mouse(3, 600)


@pytest.fixture(scope="module")
def frames(mouse):
    return np.stack([mouse.frame(index) for index in range(len(mouse.times))])


@pytest.fixture(scope="module")
def regions(mouse):
    places = mouse.poses["position"].sel(keypoint=list(_EYE)).median("time").values
    (x0, y0), (x1, y1) = places.min(axis=1), places.max(axis=1)
    x, y, a, b = (x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) / 2 + 4, (y1 - y0) / 2 + 4
    # As a person draws it who sees grey levels: 8 in the pupil, 75 in the iris, 150 in the fur.
    eye = Region.ellipse("pupil", "pupil", x, y, a, b).vertices
    return [
        Region("pupil", "pupil", eye, "ellipse", options={"threshold": 35.0}),
        Region("lids", "blink", eye, "ellipse", options={"threshold": 90.0}),
        _belt(mouse),
        Region.rectangle("pad", "motion", x1, y1, x1 + 120, y1 + 80),
    ]


def _belt(mouse):
    x0, y0, x1, y1 = mouse.treadmill_region
    return Region.rectangle("belt", "running", x0, y0, x1 - 1, y1 - 1)


@pytest.fixture(scope="module")
def measured(frames, regions, tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "mouse.mp4"
    write_video(path, frames, FPS, crf=18)  # H.264, as cameras write it
    return motion(path, regions, components=10)


def test_pupil_has_its_true_size_and_place(mouse, measured):
    traces = measured.traces.sel(pupil="pupil")
    assert np.median(mouse.pupil["major"]) == pytest.approx(12, abs=1)  # pixels: small
    area, truth = traces["pupil_area"].values, mouse.pupil["area"]
    found = np.isfinite(area)
    assert found.mean() > 0.85
    assert np.corrcoef(area[found], truth[found])[0, 1] >= 0.999
    assert abs(area[found].mean() / truth[found].mean() - 1) <= 0.02
    away = np.hypot(
        traces["pupil_x"].values - mouse.pupil["x"], traces["pupil_y"].values - mouse.pupil["y"]
    )
    assert np.nanpercentile(away, 95) < 0.5


def test_blinks_are_found_and_none_invented(mouse, measured):
    whole = [b for b in mouse.blinks if b[0] > 0.2 and b[1] < mouse.times[-1] - 0.2]
    found = [blink for _, blink in measured.blinks]
    assert len(whole) >= 3
    assert len(found) == len(whole)
    for blink, (start, stop) in zip(found, whole, strict=True):
        assert start - 0.05 < blink.start < blink.stop < stop + 0.05


def test_blinks_of_the_true_keypoints(mouse, frames):
    poses = mouse.poses
    found = motion(ArrayVideo(frames, fps=FPS), components=0, whole=False, poses=poses).blinks
    whole = [b for b in mouse.blinks if b[0] > 0.2 and b[1] < mouse.times[-1] - 0.2]
    assert len(found) == len(whole)


@pytest.mark.parametrize("seed", [3, 19])  # of the second, whiskers lie before the whole belt
def test_running_follows_the_belt_between_pixels(seed):
    mouse, part = _mouse(seed, 600), range(250, 500)  # still and running
    seen = np.stack([mouse.frame(index) for index in part])
    traces = motion(ArrayVideo(seen, fps=FPS), [_belt(mouse)], components=0, whole=False).traces
    found = traces["running_x"].sel(running="belt").values
    truth = mouse.treadmill_speed[part.start : part.stop]
    known = np.isfinite(found) & np.isfinite(truth)
    assert known.sum() == len(truth) - 1
    assert truth[known].std() > 1
    assert np.corrcoef(found[known], truth[known])[0, 1] >= 0.99
    assert np.sqrt(np.mean((found - truth)[known] ** 2)) <= 0.1
    sideways = traces["running_y"].sel(running="belt").values
    assert np.nanpercentile(np.abs(sideways), 95) <= 0.1


@pytest.mark.parametrize("batch_size", [1, 7, 100, 1000])
def test_all_numbers_are_the_same_whatever_the_batch(mouse, frames, regions, batch_size):
    # Three seconds with a blink in them.
    first = int(mouse.blinks[0][0] * FPS) - 45
    video = ArrayVideo(frames[first : first + 90], fps=FPS)
    expected = motion(video, regions, components=10)
    again = motion(video, regions, components=10, batch_size=batch_size)
    assert again.blinks == expected.blinks
    assert len(expected.blinks) == 1
    for name in expected.traces.data_vars:
        np.testing.assert_array_equal(again.traces[name].values, expected.traces[name].values)
    for one, other in zip(again.components, expected.components, strict=True):
        np.testing.assert_array_equal(one.singular_values, other.singular_values)
        np.testing.assert_array_equal(one.scores, other.scores)
