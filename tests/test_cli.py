from __future__ import annotations

import json
import os
import signal

import h5py
import numpy as np
import pytest
import torch

from napari_facemap.cli import main
from napari_facemap.files.poses import read_poses, write_poses
from napari_facemap.files.predictions import read_predictions
from napari_facemap.keypoints.models import save_model
from napari_facemap.keypoints.network import KeypointNetwork
from napari_facemap.keypoints.poses import make_poses
from napari_facemap.keypoints.skeleton import KEYPOINTS
from napari_facemap.progress import ProgressBar
from napari_facemap.simulate.face import simulate_face
from napari_facemap.video.write import write_video


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "mouse.mp4"
    frames = np.random.default_rng(0).integers(0, 256, (12, 64, 80), np.uint8)
    write_video(path, frames, 40.0)
    return path


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "tiny.safetensors"
    save_model(KeypointNetwork(2, (2, 2, 4, 4, 4)), path, {"keypoints": ["a", "b"]})
    return str(path)


def test_info_says_what_a_video_holds(video, capsys):
    assert main(["info", str(video)]) == 0
    said = capsys.readouterr().out
    for fact in ("12", "80 x 64", "40 frames/s", "h264"):
        assert fact in said


def test_track_writes_all_frames(video, model, tmp_path, capsys):
    out = tmp_path / "out.h5"
    arguments = ["track", str(video), "--model", model, "--whole", "--output", str(out)]
    assert main(arguments) == 0
    poses = read_poses(out)
    assert poses.sizes["time"] == 12
    np.testing.assert_allclose(poses.time, np.arange(12) / 40)
    assert np.isfinite(poses.position).all()
    said = capsys.readouterr().out
    assert str(out) in said
    assert "face found" not in said
    assert main(arguments) == 0


def test_several_videos_go_beside_themselves_or_into_a_folder(video, model, tmp_path, capsys):
    other = tmp_path / "other.mp4"
    other.write_bytes(video.read_bytes())
    assert main(["track", str(video), str(other), "--model", model, "--whole"]) == 0
    assert (tmp_path / "mouse_FacemapPose.h5").is_file()
    assert (tmp_path / "other_FacemapPose.h5").is_file()
    bad = tmp_path / "bad.mp4"
    bad.write_text("no video")
    folder = tmp_path / "results"
    arguments = ["track", str(bad), str(other), "--model", model, "--whole"]
    assert main([*arguments, "--output", str(folder)]) == 2
    assert (folder / "other_FacemapPose.h5").is_file()
    assert "bad.mp4" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["info", "nowhere.mp4"], "nowhere.mp4: no such file"),
        (["info", "nothing"], "nothing: neither a file nor a model; the models are mouse-face"),
        (["track", "nowhere.mp4"], "nowhere.mp4: no such file"),
        (["track", "VIDEO", "--model", "nothing"], "nothing"),
        (["track", "VIDEO", "--model", "MODEL", "--box", "5", "5", "2", "2"], "box"),
        (["track", "VIDEO", "--model", "MODEL", "--output", "VIDEO"], "not a keypoint file"),
        (["track", "VIDEO", "VIDEO", "--model", "MODEL", "--output", "a.h5"], "folder"),
        (["encode", "--behavior", "no.h5", "--neural", "no.npy"], "no.h5"),
        (["train", "nowhere", "--output", "a.safetensors"], "labels.csv"),
        (["train", "nowhere", "--output", "a.pt"], ".safetensors"),
    ],
)
def test_bad_input_is_one_line_and_code_2(video, model, capsys, arguments, words):
    before = video.read_bytes()
    places = {"VIDEO": str(video), "MODEL": model}
    assert main([places.get(a, a) for a in arguments]) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("napari-f")]
    assert len(said) == 1
    assert words in said[0]
    assert video.read_bytes() == before


def test_edited_keypoints_are_not_lost(video, model, tmp_path, capsys):
    out = tmp_path / "out.h5"
    arguments = ["track", str(video), "--model", model, "--whole", "--output", str(out)]
    assert main(arguments) == 0
    poses = read_poses(out)
    poses["edited"][3, 0] = True
    write_poses(poses, out)
    assert main(arguments) == 2
    assert "edited by hand" in capsys.readouterr().err
    assert read_poses(out)["edited"].any()
    assert main([*arguments, "--overwrite"]) == 0
    assert not read_poses(out)["edited"].any()


def test_other_programs_keypoints_are_not_lost(video, model, capsys):
    out = video.with_name("mouse_FacemapPose.h5")
    with h5py.File(out, "w") as file:
        for part in ("x", "y", "likelihood"):
            file[f"Facemap/paw/{part}"] = np.ones(12, np.float32)
    before = out.read_bytes()
    assert main(["track", str(video), "--model", model]) == 2
    assert "another program" in capsys.readouterr().err
    assert out.read_bytes() == before


def test_videos_that_would_share_a_file_are_refused(video, model, capsys):
    other = video.with_suffix(".mkv")
    other.write_bytes(video.read_bytes())
    assert main(["track", str(video), str(other), "--model", model]) == 2
    assert "each with its own --output" in capsys.readouterr().err
    assert not video.with_name("mouse_FacemapPose.h5").exists()


def test_an_interrupted_run_does_not_replace_a_whole_one(video, model, tmp_path, monkeypatch):
    out = tmp_path / "out.h5"
    arguments = ["track", str(video), "--model", model, "--whole", "--batch-size", "4",
                 "--output", str(out)]  # fmt: skip
    assert main(arguments) == 0
    before = out.read_bytes()
    monkeypatch.setattr(ProgressBar, "__call__", lambda *_: os.kill(os.getpid(), signal.SIGINT))
    assert main(arguments) == 130
    assert out.read_bytes() == before
    partial = read_poses(tmp_path / "out_partial.h5")
    assert partial.attrs["complete"] == 0
    assert np.isfinite(partial["position"][:4]).all()
    assert np.isnan(partial["position"][4:]).all()


def test_what_cannot_be_written_is_found_before_tracking(video, model, tmp_path, capsys):
    (tmp_path / "file").write_text("not a folder")
    out = tmp_path / "file" / "out.h5"
    assert main(["track", str(video), "--model", model, "--output", str(out)]) == 2
    assert "100%" not in capsys.readouterr().err


def test_encode_writes_predictions_for_every_neuron(tmp_path, capsys):
    rng = np.random.default_rng(0)
    times = np.arange(3000) / 50
    position = 50 + 10 * np.sin(times[:, None, None] * rng.uniform(0.5, 3, (1, 2, 3)))
    poses = make_poses(position, np.ones((3000, 3)), ["a", "b", "c"], times)
    write_poses(poses, tmp_path / "face.h5")
    neural_times = np.arange(0, 59.9, 0.1)
    seen = np.stack([np.interp(neural_times, times, position[:, 0, k]) for k in range(3)])
    activity = rng.normal(size=(8, 3)) @ seen + rng.normal(size=(8, len(neural_times)))
    np.save(tmp_path / "neurons.npy", activity)
    np.save(tmp_path / "times.npy", neural_times)
    arguments = ["encode", "--behavior", str(tmp_path / "face.h5"),
                 "--neural", str(tmp_path / "neurons.npy"),
                 "--neural-times", str(tmp_path / "times.npy"), "--model", "linear"]  # fmt: skip
    assert main(arguments) == 0
    assert "8 neurons" in capsys.readouterr().out
    prediction = read_predictions(tmp_path / "neurons_encoder" / "predictions.nc")
    assert prediction["predicted"].shape == (8, len(neural_times))
    assert float(prediction["variance_explained"].mean()) > 0.5
    assert (tmp_path / "neurons_encoder" / "encoder.safetensors").is_file()


def test_facemaps_files_need_times(tmp_path, capsys):
    poses = make_poses(np.ones((9, 2, 1)), np.ones((9, 1)), ["a"], np.arange(9))
    poses.attrs["times_known"] = 0
    write_poses(poses, tmp_path / "face.h5")
    np.save(tmp_path / "neurons.npy", np.ones((2, 9)))
    arguments = ["encode", "--behavior", str(tmp_path / "face.h5"),
                 "--neural", str(tmp_path / "neurons.npy"), "--neural-rate", "10"]  # fmt: skip
    assert main(arguments) == 2
    assert "--behavior-times" in capsys.readouterr().err


@pytest.fixture(scope="module")
def face_video(tmp_path_factory):
    """Three frames of a simulated mouse that looks left."""
    path = tmp_path_factory.mktemp("face") / "face.mp4"
    simulate_face(3, size=(240, 320), seed=11, facing="left").write(path)
    return path


def test_track_prints_the_box_that_it_found(face_video, tmp_path, capsys):
    out = tmp_path / "out.h5"
    assert main(["track", str(face_video), "--output", str(out)]) == 0
    said = capsys.readouterr().out
    poses = read_poses(out)
    box = " ".join(map(str, poses.attrs["box"].tolist()))
    assert f"face found: looks left, --box {box}" in said
    assert (poses["expected_error"] > 0).all()
    # What it printed can be given back.
    again = tmp_path / "again.h5"
    arguments = ["track", str(face_video), "--facing", "left", "--output", str(again)]
    assert main([*arguments, "--box", *box.split()]) == 0
    assert "face found" not in capsys.readouterr().out
    np.testing.assert_array_equal(read_poses(again)["position"], poses["position"])


def test_a_video_without_a_face_is_said_and_nothing_is_written(tmp_path, capsys):
    path = tmp_path / "dark.mp4"
    write_video(path, np.zeros((1, 64, 80), np.uint8), 40.0)
    assert main(["track", str(path)]) == 2
    assert "dark.mp4: found a mouse's face in 0 of 1 frames" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["dark.mp4"]


def test_track_can_be_told_to_look_at_the_whole_frame(face_video, tmp_path):
    out = tmp_path / "out.h5"
    arguments = ["track", str(face_video), "--whole", "--facing", "right", "--output", str(out)]
    assert main(arguments) == 0
    attrs = read_poses(out).attrs
    assert attrs["box"].tolist() == [0, 0, 320, 240]
    assert attrs["facing"] == "right"
    assert attrs["box_found"] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--box", "0", "0", "50", "50", "--whole"], "not allowed with"),
        (["--facing", "up"], "invalid choice"),
    ],
)
def test_options_that_contradict_are_refused(video, capsys, arguments, words):
    with pytest.raises(SystemExit) as caught:
        main(["track", str(video), *arguments])
    assert caught.value.code == 2
    assert words in capsys.readouterr().err


@pytest.fixture
def labelled(tmp_path):
    """Two labelled pictures, each of its own recording."""
    rows = ["file,keypoint,x,y"]
    for name, seed in (("a/calm1.avi", 1), ("b/wild1.avi", 2)):
        face = simulate_face(2, size=(96, 128), seed=seed)
        write_video(tmp_path / "faces" / name, [face.frame(0)], 1.0, "ffv1")
        for keypoint in ("eye(back)", "eye(front)", "nose(tip)"):
            x, y = face.poses["position"].sel(keypoint=keypoint).values[0]
            rows.append(f"{name},{keypoint},{x},{y}")
    (tmp_path / "faces" / "labels.csv").write_text("\n".join(rows))
    return tmp_path / "faces"


def test_train_stops_at_ctrl_c_goes_on_and_writes_a_model(labelled, tmp_path, capsys, monkeypatch):
    output = tmp_path / "mine.safetensors"
    arguments = ["train", str(labelled), "--output", str(output), "--steps", "2", "--mice", "1",
                 "--workers", "0", "--validation", "wild"]  # fmt: skip
    with monkeypatch.context() as patched:
        patched.setattr(ProgressBar, "__call__", lambda *_: os.kill(os.getpid(), signal.SIGINT))
        assert main(arguments) == 130
    said = capsys.readouterr().out
    assert "stopped after 1 of 2 steps; the same command goes on from there" in said
    assert not output.exists()
    checkpoint = tmp_path / "mine.checkpoint"
    assert checkpoint.is_file()
    # Another training does not take its place.
    assert main([*arguments, "--seed", "1"]) == 2
    assert "other pictures or options" in capsys.readouterr().err
    assert main(arguments) == 0
    assert f"{output}: written" in capsys.readouterr().out
    assert not checkpoint.exists()
    assert (tmp_path / "mine.png").is_file()
    assert main(["info", str(output)]) == 0
    card = json.loads(capsys.readouterr().out)
    assert card["training_pictures"] == {"a": 1}
    assert card["validation_pictures"] == {"b": 1}
    assert card["options"]["steps"] == 2
    assert "history" not in card


def test_info_says_what_a_model_is(model, capsys):
    for what, keypoints in (("mouse-face", list(KEYPOINTS)), (model, ["a", "b"])):
        assert main(["info", what]) == 0
        card = json.loads(capsys.readouterr().out)
        assert card["keypoints"] == keypoints
        assert len(card["sha256"]) == 64


def test_nothing_given_explains_itself(capsys):
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 2
    assert "VERB" in capsys.readouterr().err
