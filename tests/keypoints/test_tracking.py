from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from napari_facemap.files.poses import read_poses
from napari_facemap.keypoints.models import Model
from napari_facemap.keypoints.network import KeypointNetwork
from napari_facemap.keypoints.tracking import track
from napari_facemap.video.arrays import ArrayVideo

FRAMES = np.random.default_rng(0).integers(0, 256, (9, 64, 96), np.uint8)


@pytest.fixture(scope="module")
def model() -> Model:
    torch.manual_seed(0)
    network = KeypointNetwork(3, (4, 4, 8, 8, 8)).eval()
    return Model("random", network, ("a", "b", "c"), "0" * 64)


def test_points_do_not_depend_on_the_batch(model):
    one = track(FRAMES, model, batch_size=1)
    for batch_size in (2, 5, 100):
        many = track(FRAMES, model, batch_size=batch_size)
        np.testing.assert_allclose(many.position, one.position, atol=0.01)
        np.testing.assert_allclose(many.confidence, one.confidence, atol=1e-4)


def test_result_is_poses_with_times_and_provenance(model):
    poses = track(ArrayVideo(FRAMES, fps=50), model, box=(10, 4, 90, 60))
    assert dict(poses.sizes) == {"time": 9, "space": 2, "keypoint": 3}
    np.testing.assert_allclose(poses.time, np.arange(9) / 50)
    assert np.isfinite(poses.position).all()
    assert poses.attrs["box"].tolist() == [10, 4, 90, 60]
    assert poses.attrs["model_sha256"] == "0" * 64
    assert poses.attrs["complete"] == 1


def test_points_stay_in_the_frame_and_those_outside_are_not_trusted(model):
    outside = track(FRAMES, model, compat="facemap").position.values
    out = ((outside < -0.5) | (outside > np.array([[95.5], [63.5]]))).any(axis=1)
    poses = track(FRAMES, model)
    assert poses.position.values.min() >= 0
    assert poses.position.sel(space="x").max() <= 95
    assert poses.position.sel(space="y").max() <= 63
    at_edge = (poses.position.values == 0).any(axis=1)
    assert (at_edge & out).any()
    assert (poses.confidence.values[at_edge & out] == 0).all()


def test_arrays_without_a_rate_say_that_their_times_are_not_known(model):
    assert track(FRAMES, model).attrs["times_known"] == 0
    assert "times_known" not in track(ArrayVideo(FRAMES, fps=20), model).attrs


def test_stopping_keeps_what_is_done(model):
    calls = []

    def progress(done, total):
        calls.append((done, total))
        return done < 4

    poses = track(FRAMES, model, batch_size=2, progress=progress)
    assert calls == [(2, 9), (4, 9)]
    assert np.isfinite(poses.position[:4]).all()
    assert np.isnan(poses.position[4:]).all()
    assert (poses.attrs["complete"], poses.attrs["frames_tracked"]) == (0, 4)


def test_bad_frames_are_nan(model):
    video = ArrayVideo(FRAMES)
    video.bad_frames = np.array([2, 7])
    poses = track(video, model)
    assert np.isnan(poses.position[[2, 7]]).all()
    assert (poses.confidence[[2, 7]] == 0).all()
    assert np.isfinite(poses.position[[0, 1, 3, 8]]).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"compat": "dlc"}, "compat"),
        ({"batch_size": 0}, "batch size"),
        ({"device": "abacus"}, "device"),
        ({"box": (0, 0, 1, 1)}, "box"),
        ({"model": "no-such-model"}, "no-such-model"),
    ],
)
def test_unusable_options_are_refused(model, options, words):
    with pytest.raises(ValueError, match=words):
        track(FRAMES, **({"model": model} | options))


def test_with_facemaps_weights_the_points_are_facemaps(shared_data):
    folder = shared_data / "reference" / "pose"
    expected = read_poses(folder / "clip_24frames_FacemapPose.h5")
    y0, y1, x0, x1 = json.loads((folder / "reference.json").read_text())["box_rows_cols"]
    ours = track(
        folder / "clip_24frames.avi",
        folder / "facemap_model_state.pt",
        box=(x0, y0, x1, y1),
        compat="facemap",
    ).sel(keypoint=expected.keypoint)
    distance = np.hypot(*np.moveaxis(ours.position.values - expected.position.values, 1, 0))
    same_peak = distance < 2
    assert same_peak.mean() >= 0.99
    assert distance[same_peak].max() <= 0.05
    np.testing.assert_allclose(ours.confidence, expected.confidence, atol=1e-4)


def test_the_built_in_model_finds_the_face_in_the_real_video(shared_data):
    from napari_facemap.video.video import open_video

    with open_video(shared_data / "videos" / "mouse_face_30s.mp4") as video:
        poses = track(video.read(0, 12))
    middle = poses.position.mean("time")
    eye = middle.sel(keypoint=["eye(back)", "eye(bottom)", "eye(front)", "eye(top)"])
    # Read off the video by eye: the eye's middle and the tip of the nose.
    np.testing.assert_allclose(eye.mean("keypoint"), EYE, atol=25)
    np.testing.assert_allclose(middle.sel(keypoint="nose(tip)"), NOSE, atol=40)


EYE, NOSE = (345, 278), (792, 300)
