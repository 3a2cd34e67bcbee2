from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from napari_facemap.files.poses import read_poses, write_poses
from napari_facemap.keypoints.models import Model
from napari_facemap.keypoints.network import KeypointNetwork
from napari_facemap.keypoints.point_network import PointNetwork
from napari_facemap.keypoints.retracking import retrack
from napari_facemap.keypoints.store import KeypointStore
from napari_facemap.keypoints.tracking import track
from napari_facemap.video.arrays import ArrayVideo
from napari_facemap.video.write import write_video

N = 60
BOX = (10, 4, 90, 60)
SIZES = (4, 4, 8, 8, 8)


def _model(name, keypoints, seed, kind=PointNetwork):
    torch.manual_seed(seed)
    return Model(name, kind(len(keypoints), SIZES).eval(), keypoints, str(seed) * 64)


OLD, NEW = _model("old", ("a", "b", "c"), 1), _model("new", ("c", "d", "a"), 2)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "noise.mp4"
    frames = np.random.default_rng(0).integers(0, 256, (N, 64, 96), np.uint8)
    write_video(path, frames, 40.0)
    return path


@pytest.fixture(scope="module")
def earlier(video):
    return track(video, OLD, BOX, facing="right", device="cpu")


@pytest.fixture(scope="module")
def whole(video):
    return track(video, NEW, BOX, facing="right", device="cpu")


@pytest.fixture(scope="module")
def again(video, earlier):
    return retrack(video, earlier, NEW, (20, 33), device="cpu")


def _same(one, other, **places):
    for name in ("position", "confidence"):
        found, expected = one[name].sel(**places), other[name].sel(**places)
        np.testing.assert_allclose(found, expected, atol=1e-3, equal_nan=True)


def test_the_stretch_has_the_points_that_tracking_all_frames_finds(again, whole):
    _same(again.isel(time=slice(20, 33)), whole.isel(time=slice(20, 33)), keypoint=["a", "c", "d"])
    assert np.isfinite(again["position"].isel(time=slice(20, 33))).all()


def test_all_else_stays_as_it_was(again, earlier):
    out = np.r_[0:20, 33:N]
    _same(again.isel(time=out), earlier.isel(time=out), keypoint=["a", "b", "c"])
    _same(again, earlier, keypoint=["b"])  # which only the old model knows
    assert list(again["keypoint"].values) == ["a", "b", "c", "d"]
    assert np.isnan(again["position"].sel(keypoint="d").isel(time=out)).all()
    assert (again["confidence"].sel(keypoint="d").isel(time=out) == 0).all()
    np.testing.assert_array_equal(again["time"], earlier["time"])


def test_where_points_come_from_is_kept_of_both(again, earlier, video, tmp_path):
    assert again.attrs["model"] == "old"
    assert again.attrs["complete"] == 1
    twice = retrack(video, again, OLD, (5, 6), device="cpu")
    write_poses(twice, tmp_path / "poses.h5")
    listed = json.loads(read_poses(tmp_path / "poses.h5").attrs["retracked"])
    assert [(s["start"], s["stop"], s["model"]) for s in listed] == [
        (20, 33, "new"), (5, 6, "old"),
    ]  # fmt: skip
    assert listed[0]["model_sha256"] == "2" * 64
    assert listed[0]["box"] == list(BOX)
    assert "retracked" not in earlier.attrs


def test_edited_points_stay_over_the_new_predictions(video, earlier, again):
    store = KeypointStore(earlier)
    store.place(25, {"a": (1.0, 2.0)})
    store.delete(26, ["b"])
    store.place(50, {"c": (3.0, 4.0)})
    poses = retrack(video, store.to_poses(), NEW, (20, 33), device="cpu")
    assert poses["position"].sel(keypoint="a")[25].values.tolist() == [1, 2]
    assert np.isnan(poses["position"].sel(keypoint="b")[26]).all()
    assert poses["position"].sel(keypoint="c")[50].values.tolist() == [3, 4]
    assert int(poses["edited"].sum()) == 3
    found = KeypointStore(poses)
    for frame in (25, 26, 50):
        expected = KeypointStore(again).prediction(frame)
        np.testing.assert_allclose(found.prediction(frame).position, expected.position, atol=1e-3)


def test_a_store_takes_it_once_more_without_another_word(video, earlier, again):
    """As a window does, which keeps corrections made meanwhile."""
    merged = KeypointStore(earlier).with_predictions(again, frames=range(20, 33)).to_poses()
    assert merged.attrs["retracked"] == again.attrs["retracked"]
    _same(merged, again)


@pytest.mark.parametrize("frames", [(0, 1), (0, N), (N - 1, N), None])
def test_any_stretch_will_do(video, earlier, whole, frames):
    poses = retrack(video, earlier, NEW, frames, device="cpu")
    stretch = slice(*(frames or (0, N)))
    _same(poses.isel(time=stretch), whole.isel(time=stretch), keypoint=["a", "c", "d"])


def test_no_more_is_read_than_the_stretch(earlier):
    class Watched(ArrayVideo):
        asked: set[int] = set()  # noqa: RUF012 - one test, one video

        def read(self, start, stop):
            self.asked |= set(range(start, stop))
            return super().read(start, stop)

    frames = np.random.default_rng(0).integers(0, 256, (N, 64, 96), np.uint8)
    source = Watched(frames)
    retrack(source, earlier, NEW, (20, 33), device="cpu")
    assert source.asked == set(range(20, 33))


def test_a_box_of_ones_own_comes_before_the_one_from_before(video, earlier):
    poses = retrack(video, earlier, NEW, (3, 5), box="whole", facing="left", device="cpu")
    own = track(video, NEW, "whole", facing="left", device="cpu")
    _same(poses.isel(time=slice(3, 5)), own.isel(time=slice(3, 5)), keypoint=["a", "c", "d"])
    assert json.loads(poses.attrs["retracked"])[0]["box"] == [0, 0, 96, 64]


def test_progress_counts_the_stretch_and_stopping_keeps_what_was_reached(video, earlier, whole):
    calls = []

    def progress(done, total):
        calls.append((done, total))
        return done < 4

    poses = retrack(video, earlier, NEW, (20, 33), device="cpu", progress=progress, batch_size=2)
    assert {total for _, total in calls} == {13}
    assert poses.attrs["complete"] == 0
    (stretch,) = json.loads(poses.attrs["retracked"])
    reached = stretch["stop"]
    assert (stretch["start"], reached) == (20, 20 + calls[-1][0])
    _same(poses.isel(time=slice(20, reached)), whole.isel(time=slice(20, reached)), keypoint=["a"])
    _same(poses.isel(time=slice(reached, N)), earlier.isel(time=slice(reached, N)), keypoint=["a"])
    nothing = retrack(video, earlier, NEW, (20, 33), device="cpu", progress=lambda *_: False,
                      batch_size=1)  # fmt: skip
    assert nothing.attrs["complete"] == 0


def test_a_model_of_facemaps_layout_retracks_too(video, earlier):
    other = _model("facemap", ("a", "e"), 3, KeypointNetwork)
    poses = retrack(video, earlier, other, (20, 33), device="cpu")
    own = track(video, other, BOX, device="cpu", precision="float32")
    _same(poses.isel(time=slice(20, 33)), own.isel(time=slice(20, 33)), keypoint=["a", "e"])


@pytest.mark.parametrize("frames", [(5, 5), (6, 5), (-1, 3), (0, N + 1)])
def test_stretches_that_the_video_does_not_have_are_refused(video, earlier, frames):
    with pytest.raises(ValueError, match=f"Expected frames from 0 to {N}"):
        retrack(video, earlier, NEW, frames, device="cpu")


def test_keypoints_of_another_video_are_refused(video, earlier):
    with pytest.raises(
        ValueError, match=rf"noise\.mp4: the video has {N} frames, the keypoints 9"
    ):
        retrack(video, earlier.isel(time=slice(0, 9)), NEW, (0, 3))
