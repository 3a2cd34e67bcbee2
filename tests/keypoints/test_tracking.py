from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from napari_facemap.files.poses import read_poses
from napari_facemap.keypoints.calibration import Calibration
from napari_facemap.keypoints.finder import NoFaceError
from napari_facemap.keypoints.models import Model
from napari_facemap.keypoints.network import KeypointNetwork
from napari_facemap.keypoints.point_network import PointNetwork
from napari_facemap.keypoints.skeleton import KEYPOINTS
from napari_facemap.keypoints.tracking import track
from napari_facemap.keypoints.view import face_size
from napari_facemap.video.arrays import ArrayVideo

FRAMES = np.random.default_rng(0).integers(0, 256, (9, 64, 96), np.uint8)


@pytest.fixture(scope="module")
def model() -> Model:
    torch.manual_seed(0)
    network = KeypointNetwork(3, (4, 4, 8, 8, 8)).eval()
    return Model("random", network, ("a", "b", "c"), "0" * 64)


@pytest.fixture(scope="module")
def tracked(mouse_frames):
    """Simulated frames tracked by the built-in model, the face found by itself."""
    return track(mouse_frames)


@pytest.mark.parametrize("kind", [KeypointNetwork, PointNetwork])
def test_points_do_not_depend_on_the_batch(kind):
    torch.manual_seed(0)
    model = Model("random", kind(3, (4, 4, 8, 8, 8)).eval(), ("a", "b", "c"), "0" * 64)
    one = track(FRAMES, model, "whole", batch_size=1, facing="right")
    for batch_size in (2, 5, 100):
        many = track(FRAMES, model, "whole", batch_size=batch_size, facing="right")
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
    assert poses.attrs["box_found"] == 0
    assert "face_found_in_share_of_frames" not in poses.attrs
    assert "expected_error" not in poses


def test_points_stay_in_the_frame_and_those_outside_are_not_trusted(model):
    outside = track(FRAMES, model, compat="facemap").position.values
    out = ((outside < -0.5) | (outside > np.array([[95.5], [63.5]]))).any(axis=1)
    poses = track(FRAMES, model, "whole")
    assert poses.position.values.min() >= 0
    assert poses.position.sel(space="x").max() <= 95
    assert poses.position.sel(space="y").max() <= 63
    at_edge = (poses.position.values == 0).any(axis=1)
    assert (at_edge & out).any()
    assert (poses.confidence.values[at_edge & out] == 0).all()


def test_arrays_without_a_rate_say_that_their_times_are_not_known(model):
    assert track(FRAMES, model, "whole").attrs["times_known"] == 0
    assert "times_known" not in track(ArrayVideo(FRAMES, fps=20), model, "whole").attrs


def test_stopping_keeps_what_is_done(model):
    calls = []

    def progress(done, total):
        calls.append((done, total))
        return done < 4

    poses = track(FRAMES, model, "whole", batch_size=2, progress=progress)
    assert calls == [(2, 9), (4, 9)]
    assert np.isfinite(poses.position[:4]).all()
    assert np.isnan(poses.position[4:]).all()
    assert (poses.attrs["complete"], poses.attrs["frames_tracked"]) == (0, 4)


def test_bad_frames_are_nan(model):
    video = ArrayVideo(FRAMES)
    video.bad_frames = np.array([2, 7])
    poses = track(video, model, "whole")
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
        ({"box": "half"}, '"whole"'),
        ({"facing": "up"}, "left or right"),
        ({"model": "no-such-model"}, "no-such-model"),
    ],
)
def test_unusable_options_are_refused(model, options, words):
    with pytest.raises(ValueError, match=words):
        track(FRAMES, **({"model": model} | options))


def test_the_face_is_found_and_tracked(mouse, tracked):
    assert tracked.attrs["box_found"] == 1
    assert tracked.attrs["facing"] == "left"
    assert tracked.attrs["face_found_in_share_of_frames"] == 1
    assert tracked.attrs["box"].shape == (4,)
    true = mouse.poses["position"].values[:40:10].astype(float)
    error = np.hypot(*np.moveaxis(tracked["position"].values - true, 1, 0))
    error /= face_size(true, KEYPOINTS)[:, None]
    assert np.nanmedian(error) < 0.05
    assert np.nanpercentile(error, 90) < 0.1


def test_expected_errors_are_there_and_positive(tracked, mouse_frames):
    error = tracked["expected_error"]
    assert error.shape == (4, 19)
    assert np.isfinite(error).all()
    assert (error > 0).all()
    assert float(error.sel(keypoint="nose(tip)").mean()) < 20
    stopped = track(mouse_frames, batch_size=1, progress=lambda done, total: done < 1)
    assert np.isfinite(stopped["expected_error"][0]).all()
    assert np.isnan(stopped["expected_error"][1:]).all()


def test_a_mirrored_video_has_mirrored_points(mouse, mouse_frames, tracked):
    mirrored = track(mouse_frames[:, :, ::-1])
    assert mirrored.attrs["facing"] == "right"
    back = mirrored["position"].values.copy()
    back[:, 0] = 319 - back[:, 0]
    distance = np.hypot(*np.moveaxis(back - tracked["position"].values, 1, 0))
    visible = np.isfinite(mouse.poses["position"].values[:40:10, 0])
    assert np.median(distance[visible]) < 1
    assert np.percentile(distance[visible], 90) < 3


@pytest.mark.parametrize("facing", ["left", "right"])
def test_with_a_box_the_way_it_looks_is_found_out(mouse_frames, tracked, facing):
    x0, y0, x1, y1 = tracked.attrs["box"].tolist()
    frames = mouse_frames
    if facing == "right":
        frames, x0, x1 = frames[:, :, ::-1], 320 - x1, 320 - x0
    poses = track(frames, box=(x0, y0, x1, y1))
    assert poses.attrs["facing"] == facing
    assert poses.attrs["box"].tolist() == [x0, y0, x1, y1]
    assert poses.attrs["box_found"] == 0


def test_what_the_caller_says_of_the_facing_holds(mouse_frames, tracked):
    for box in (None, tracked.attrs["box"], "whole"):
        poses = track(mouse_frames[:1], box=box, facing="right")
        assert poses.attrs["facing"] == "right"
        assert poses.attrs["box_found"] == (box is None)


def test_the_whole_frame_is_looked_at_when_told(mouse_frames):
    poses = track(mouse_frames[:1], box="whole")
    assert poses.attrs["box"].tolist() == [0, 0, 320, 240]
    assert poses.attrs["box_found"] == 0


def test_facemaps_way_looks_at_the_whole_frame(model):
    poses = track(FRAMES, model, compat="facemap")
    assert poses.attrs["box"].tolist() == [0, 0, 96, 64]
    assert poses.attrs["batch_size"] == 1
    assert poses.attrs["box_found"] == 0
    assert "expected_error" not in poses


def test_no_face_is_said(model):
    for any_model in (None, model):
        with pytest.raises(NoFaceError, match="in 0 of 1 frames"):
            track(FRAMES[:1], any_model)


def test_with_facemaps_layout_the_built_in_model_finds_the_face(mouse_frames, tracked):
    torch.manual_seed(0)
    network = KeypointNetwork(3, (4, 4, 8, 8, 8)).eval()
    poses = track(mouse_frames, Model("random", network, ("a", "b", "c"), "0" * 64))
    assert poses.attrs["box"].tolist() == tracked.attrs["box"].tolist()
    assert poses.attrs["box_found"] == 1


def test_a_point_beyond_the_frame_is_put_on_its_edge_and_not_trusted(pointing_to):
    places = np.array([[40.0, 150.0, 250.0], [128.0, 128.0, 250.0]])
    curves = Calibration(5.0, 0.0, -3.0, 0.0)
    model = Model(
        "m", pointing_to(places), ("eye(back)", "nose(tip)", "paw"), "0" * 64, {}, curves
    )
    poses = track(FRAMES, model, box=(-32, 0, 32, 64), facing="left", runtime="eager")
    position, confidence = poses["position"].values[0], poses["confidence"].values[0]
    assert position[0, 0] == 0  # would be at -22
    assert confidence[0] == 0
    np.testing.assert_allclose(position[:, 1], (150.5 / 4 - 0.5 - 32, 128.5 / 4 - 0.5), atol=0.02)
    assert (confidence[1:] > 0.9).all()


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
        poses = track(video.read(0, 4))
    middle = poses.position.mean("time")
    eye = middle.sel(keypoint=["eye(back)", "eye(bottom)", "eye(front)", "eye(top)"])
    # Read off the video by eye: the eye's middle and the tip of the nose.
    np.testing.assert_allclose(eye.mean("keypoint"), EYE, atol=25)
    np.testing.assert_allclose(middle.sel(keypoint="nose(tip)"), NOSE, atol=40)


EYE, NOSE = (345, 278), (792, 300)
