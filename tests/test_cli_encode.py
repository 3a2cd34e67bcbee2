from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from napari_facemap.cli import main
from napari_facemap.files.encoders import read_encoder
from napari_facemap.files.facemap_proc_write import write_facemap_proc
from napari_facemap.files.motion import write_motion
from napari_facemap.files.poses import read_poses, write_poses
from napari_facemap.files.predictions import read_predictions
from napari_facemap.keypoints.poses import make_poses
from napari_facemap.movement.analysis import motion
from napari_facemap.movement.regions import Region
from napari_facemap.video.arrays import ArrayVideo

FPS, SECONDS = 50.0, 60


def put_recording(folder, seed=0, shift=0.0, extra=0.0):
    """Keypoints, and neurons that follow them 0.2 s later, `shift` seconds on a wrong clock."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(seed)
    times = np.arange(round(FPS * SECONDS)) / FPS
    knots = np.arange(-2, SECONDS + 2, 0.4)
    moves = np.stack([np.interp(times, knots, rng.normal(size=len(knots))) for _ in range(6)])
    position = 50 + 10 * moves.reshape(2, 3, -1).transpose(2, 0, 1)
    poses = make_poses(position, np.ones((len(times), 3)), ["nose(tip)", "mouth", "paw"], times)
    write_poses(poses, folder / "face.h5")
    neural = np.arange(0.5, SECONDS - 0.5, 0.1)
    seen = np.stack([np.interp(neural - 0.2, times, move) for move in moves])
    weights = np.random.default_rng(7).normal(size=(9, 6))
    activity = weights @ seen + 0.5 * rng.normal(size=(9, len(neural)))
    np.save(folder / "neurons.npy", activity)
    np.save(folder / "times.npy", neural + shift)
    return folder


@pytest.fixture
def made(tmp_path):
    return put_recording(tmp_path / "mouse")


def arguments(folder, *more):
    return [
        "encode", "--behavior", str(folder / "face.h5"), "--neural", str(folder / "neurons.npy"),
        "--neural-times", str(folder / "times.npy"), "--model", "ridge", *map(str, more),
    ]  # fmt: skip


def explained(folder):
    return float(read_predictions(folder / "predictions.nc")["variance_explained"].mean())


def test_all_that_an_encoder_gives_is_written(made, capsys):
    assert main(arguments(made, "--contributions", "--facemap")) == 0
    folder = made / "neurons_encoder"
    names = {path.name for path in folder.iterdir()}
    assert names >= {
        "predictions.nc", "encoder.safetensors", "neural_predictions.npy", "report.txt",
        "report.json", "scores.csv", "scores.png", "contributions.nc",
    }  # fmt: skip
    said = capsys.readouterr().out
    assert "shares 0.5 to 59.4 s" in said
    assert "9 neurons" in said
    assert explained(folder) > 0.5


def test_a_delay_helps_the_linear_model_and_no_report_is_short(made):
    scores = {}
    for delay in (0.2, -0.6):
        more = ["--delay", delay, "--no-report", "--output", made / f"out{delay}"]
        assert main([*arguments(made, *more), "--model", "linear"]) == 0
        scores[delay] = explained(made / f"out{delay}")
        assert not (made / f"out{delay}" / "report.txt").exists()
    assert scores[0.2] > scores[-0.6] + 0.2
    assert read_encoder(made / "out0.2" / "encoder.safetensors").delay == 0.2


def test_groups_are_chosen_and_left_out(made, capsys):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (round(FPS * SECONDS), 12, 12)).astype(np.uint8)
    region = Region.rectangle("paw", "motion", 2, 2, 9, 9)
    result = motion(ArrayVideo(frames, fps=FPS), [region], components=2, bin=2)
    write_motion(result, made / "video_motion.nc")
    behavior = ["--behavior", made / "face.h5", made / "video_motion.nc", "--no-report"]

    def features(*more):
        assert main(arguments(made, *behavior, *more)) == 0
        return read_encoder(made / "neurons_encoder" / "encoder.safetensors").features

    both = features()
    assert any("energy" in name for name in both)
    assert "nose(tip) x" in both
    assert not any("energy" in name for name in features("--without", "motion energy"))
    assert features("--features", "speed") == ("nose(tip) speed", "mouth speed", "paw speed")
    assert main(arguments(made, *behavior, "--features", "smell")) == 2
    assert "smell" in capsys.readouterr().err


def test_neurons_are_predicted_directly(made):
    assert main(arguments(made, "--targets", "neurons", "--no-report")) == 0
    encoder = read_encoder(made / "neurons_encoder" / "encoder.safetensors")
    assert encoder.space.components is None
    assert explained(made / "neurons_encoder") > 0.5


def test_a_saved_encoder_is_applied_to_another_recording(made, tmp_path):
    assert main(arguments(made, "--no-report")) == 0
    other = put_recording(tmp_path / "other", seed=5)
    saved = made / "neurons_encoder" / "encoder.safetensors"
    assert main(arguments(other, "--encoder", saved, "--no-report")) == 0
    folder = other / "neurons_encoder"
    assert explained(folder) > 0.5
    assert not (folder / "encoder.safetensors").exists()
    assert read_predictions(folder / "predictions.nc")["test"].values.all()


def test_a_shifted_clock_is_said_and_mended(made, tmp_path, capsys):
    shifted = put_recording(tmp_path / "shifted", shift=7.0)
    assert main(arguments(shifted, "--no-report")) == 0
    said = capsys.readouterr().err
    assert "warning" in said
    assert "later" in said
    assert main(arguments(shifted, "--no-report", "--neural-start", "-7")) == 0
    assert "shifted" not in capsys.readouterr().err
    assert explained(shifted / "neurons_encoder") > 0.5


def test_several_recordings_share_a_network(made, tmp_path, capsys):
    other = put_recording(tmp_path / "other", seed=5)
    also = ["--also", other / "face.h5", other / "neurons.npy", other / "times.npy"]
    command = [*arguments(made, *also, "--no-report"), "--model", "network", "--device", "cpu"]
    assert main(command) == 0
    encoders = [
        read_encoder(folder / "neurons_encoder" / "encoder.safetensors")
        for folder in (made, other)
    ]
    cores = [encoder.model.state()[0]["mixing.weight"] for encoder in encoders]
    np.testing.assert_array_equal(*cores)
    for folder in (made, other):
        assert explained(folder / "neurons_encoder") > 0.4
    assert capsys.readouterr().out.count("9 neurons") == 2


@pytest.mark.parametrize("n_files", [1, 4])
def test_also_takes_two_or_three_files(made, capsys, n_files):
    assert main(arguments(made, "--also", *[made / "face.h5"] * n_files)) == 2
    assert f"found {n_files} files" in capsys.readouterr().err


def test_two_recordings_never_write_to_one_folder(made, capsys):
    also = [made / name for name in ("face.h5", "neurons.npy", "times.npy")]
    assert main(arguments(made, "--also", *also)) == 2
    assert "two would write" in capsys.readouterr().err
    assert not (made / "neurons_encoder").exists()


def test_traces_and_facemaps_results_are_features_too(made, capsys):
    times = np.arange(round(FPS * SECONDS)) / FPS
    table = np.column_stack([times, np.sin(times)])
    np.savetxt(made / "wheel.csv", table, delimiter=",", header="time,running", comments="")
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (len(times), 12, 12)).astype(np.uint8)
    result = motion(ArrayVideo(frames, fps=FPS), components=2, bin=2)
    write_facemap_proc(result, made / "face_proc.npy")
    behavior = [made / "face.h5", made / "wheel.csv", made / "face_proc.npy"]
    command = arguments(made, "--no-report", "--behavior", *behavior)
    assert main(command) == 2
    assert "--behavior-times" in capsys.readouterr().err
    np.save(made / "frames.npy", times)
    assert main([*command, "--behavior-times", str(made / "frames.npy")]) == 0
    features = read_encoder(made / "neurons_encoder" / "encoder.safetensors").features
    assert "running" in features
    assert "mouth y" in features
    assert any("motion" in name for name in features)
    assert main(arguments(made, "--behavior", made / "wheel.csv", made / "wheel.csv")) == 2
    assert "found two" in capsys.readouterr().err


def test_the_user_may_say_which_axis_is_time(made, capsys):
    activity = np.load(made / "neurons.npy")[:, :400]
    np.save(made / "neurons.npy", activity.T)
    command = ["encode", "--behavior", str(made / "face.h5"), "--neural",
               str(made / "neurons.npy"), "--neural-rate", "10", "--neural-start", "0.5",
               "--model", "ridge", "--no-report"]  # fmt: skip
    assert main([*command, "--time-axis", "0"]) == 0
    assert "9 neurons" in capsys.readouterr().out


def test_a_prediction_is_written_once(made, monkeypatch):
    from napari_facemap.files import predictions

    def never(*_):
        raise AssertionError("predictions.nc of a large recording takes a minute")

    monkeypatch.setattr(predictions, "write_predictions", never)
    assert main(arguments(made)) == 0
    assert explained(made / "neurons_encoder") > 0.5


def test_what_was_assumed_is_said_once(made, capsys):
    np.save(made / "neurons.npy", np.load(made / "neurons.npy").T)
    code = "import sys; from napari_facemap.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, *arguments(made, "--no-report")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr.count("transposed") == 1


def test_jumps_of_keypoints_are_cleaned_away(made):
    poses = read_poses(made / "face.h5")
    rng = np.random.default_rng(3)
    for point in range(3):
        poses["position"].values[rng.random(poses.sizes["time"]) < 0.02, :, point] += 300
    write_poses(poses, made / "face.h5")
    scores = []
    for more in ([], ["--clean"]):
        assert main(arguments(made, "--no-report", *more)) == 0
        scores.append(explained(made / "neurons_encoder"))
    assert scores[1] > scores[0] + 0.1
    encoder = read_encoder(made / "neurons_encoder" / "encoder.safetensors")
    assert "behavior_cleaning" in encoder.attrs
