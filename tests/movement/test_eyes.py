from __future__ import annotations

import numpy as np
import pytest

from napari_facemap.files.facemap_proc_write import write_facemap_proc
from napari_facemap.files.motion import read_motion, write_motion
from napari_facemap.keypoints.poses import make_poses
from napari_facemap.movement.analysis import motion
from napari_facemap.movement.regions import Region, Regions
from napari_facemap.simulate.face import simulate_face
from napari_facemap.video.arrays import ArrayVideo

N, FPS, SIZE = 500, 50.0, (60, 80)
BLINKS = (100, 260, 400)
EYE = {"top": (40, 20), "bottom": (40, 40), "front": (25, 30), "back": (55, 30)}


def _poses(pupil=8.0):
    """An eye of 30 x 20 pixels that shuts three times for a fifth of a second."""
    open_ = np.ones(N)
    for at in BLINKS:
        open_[at : at + 10] = 0.05
    names, places = [], []
    for name, (x, y) in EYE.items():
        lid = 30 + (y - 30) * open_ if name in ("top", "bottom") else np.full(N, float(y))
        names.append(f"eye({name})")
        places.append([np.full(N, float(x)), lid])
        side = np.sign([x - 40, y - 30]) * pupil
        names.append(f"pupil({name})")
        places.append([np.full(N, 40.0 + side[0]), np.full(N, 30.0 + side[1])])
    position = np.array(places).transpose(2, 1, 0)
    return make_poses(position, np.ones((N, len(names))), names, np.arange(N) / FPS)


@pytest.fixture(scope="module")
def video():
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    frame = np.where(np.hypot(x - 40, y - 30) < 8.5, 20, 150).astype(np.uint8)
    return ArrayVideo(np.repeat(frame[None], N, 0), fps=FPS, name="eye")


def _only_keypoints(video, poses=None, **options):
    return motion(video, poses=_poses() if poses is None else poses, components=0, whole=False,
                  **options)  # fmt: skip


def test_lids_blinks_and_pupil_of_keypoints(video):
    result = _only_keypoints(video)
    traces = result.traces
    np.testing.assert_allclose(traces["eyelid_opening"].values[0], 20 / 30)
    assert traces["eyelid"].values.tolist() == ["eyelids"]
    closed = np.flatnonzero(traces["eyelid_closed"].values[:, 0])
    assert set(closed) >= {at + k for at in BLINKS for k in range(10)}
    assert len(closed) <= 3 * 13
    assert [source for source, _ in result.blinks] == ["eyelids"] * 3
    for at, (_, blink) in zip(BLINKS, result.blinks, strict=True):
        assert blink.start == pytest.approx(at / FPS, abs=0.02)
        assert blink.depth == pytest.approx(0.95, abs=0.02)
    assert traces["pupil"].values.tolist() == ["keypoints"]
    area = traces["pupil_area"].values[:, 0]
    np.testing.assert_allclose(area[:90], np.pi * 64, rtol=1e-4)
    assert np.isnan(area[101:109]).all()
    assert traces.attrs["complete"] == 1
    assert traces.attrs["frames_measured"] == N


def test_pupils_in_regions_stop_at_blinks_of_the_lids(video):
    eye = Region.ellipse("eye", "pupil", 40, 30, 18, 18)
    eye = Region("eye", "pupil", eye.vertices, "ellipse", options={"mm_per_pixel": 0.01})
    traces = motion(video, [eye], components=0, poses=_poses()).traces
    assert traces["pupil"].values.tolist() == ["eye", "keypoints"]
    fitted, of_keypoints = traces["pupil_diameter_mm"].values.T
    assert np.isfinite(fitted[:90]).all()
    assert np.isnan(fitted[101:109]).all()
    assert of_keypoints[0] == pytest.approx(0.16)


def test_files_keep_what_keypoints_tell(video, tmp_path):
    named = Region.ellipse("keypoints", "pupil", 40, 30, 18, 18)
    result = motion(video, [named], components=0, poses=_poses())
    assert result.traces["pupil"].values.tolist() == ["keypoints", "keypoints (keypoints)"]
    found = read_motion(write_motion(result, tmp_path / "m.nc"))
    assert found.blinks == result.blinks
    assert len(found.blinks) == 3
    np.testing.assert_array_equal(found.traces["eyelid_opening"], result.traces["eyelid_opening"])
    write_facemap_proc(result, tmp_path / "m_proc.npy")


def test_no_blinks_are_an_empty_list_in_files(video, tmp_path):
    poses = _poses().isel(keypoint=[0, 2, 4, 6])
    poses["position"].values[:, 1] = np.array([20, 40, 30, 30])
    result = _only_keypoints(video, poses)
    assert result.blinks == []
    assert "pupil_area" not in result.traces
    assert read_motion(write_motion(result, tmp_path / "m.nc")).blinks == []


def test_keypoints_of_the_second_view(video):
    result = _only_keypoints([video, video], [None, _poses()])
    assert result.traces["eyelid"].values.tolist() == ["eyelids of view 1"]
    assert result.traces["pupil"].values.tolist() == ["keypoints of view 1"]


def test_keypoints_that_do_not_fit_are_refused(video):
    with pytest.raises(ValueError, match="500 frames; found those of 100"):
        _only_keypoints(video, _poses().isel(time=slice(100)))
    with pytest.raises(ValueError, match="1 views"):
        _only_keypoints(video, [_poses(), _poses()])
    with pytest.raises(ValueError, match="eye or of the pupil"):
        _only_keypoints(video, _poses().isel(keypoint=[0]))
    with pytest.raises(ValueError, match="found none"):
        motion(video, components=0, whole=False)


def test_true_keypoints_of_a_simulated_mouse_tell_of_its_blinks():
    n_blinks = 0
    for seed in range(6):
        face = simulate_face(1500, fps=FPS, size=(120, 160), seed=seed)
        shut = np.diff(face.behavior["openness"] < 0.25, prepend=False, append=False)
        known = face.times[np.flatnonzero(shut)[0::2]], face.times[np.flatnonzero(shut)[1::2] - 1]
        one = ArrayVideo(np.zeros((1500, 2, 2), np.uint8), fps=FPS)
        blinks = _only_keypoints(one, face.poses).blinks
        for _, blink in blinks:  # none is invented
            assert ((known[0] < blink.stop) & (known[1] > blink.start)).sum() == 1
        for start, stop in zip(*known, strict=True):
            if start > 0.2 and stop < face.times[-1] - 0.2:  # both sides are seen
                assert sum(b.start < stop and b.stop > start for _, b in blinks) == 1
                n_blinks += 1
    assert n_blinks > 10


def test_regions_of_views_keep_their_own_blinks(video):
    lid = Region.ellipse("lid", "blink", 40, 30, 18, 18)
    regions = Regions((lid,), (SIZE,))
    result = motion(video, regions, components=0, whole=False, poses=_poses())
    assert {source for source, _ in result.blinks} == {"eyelids"}
    assert not result.traces["blink_closed"].values.any()
