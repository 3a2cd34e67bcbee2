from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from napari_facemap.built_in import (
    VALIDATION_MICE,
    calibrate,
    read_faces_of,
    simulated_faces,
    split_by_mouse,
    train_model,
)
from napari_facemap.keypoints.augment import Augmentation
from napari_facemap.keypoints.evaluation import Readings
from napari_facemap.keypoints.labels import LabelledFace
from napari_facemap.keypoints.models import load_model
from napari_facemap.keypoints.skeleton import FACEMAP_KEYPOINTS, KEYPOINTS
from napari_facemap.keypoints.training import TrainingOptions, TrainingStopped
from napari_facemap.progress import Interruptible, ProgressBar
from napari_facemap.simulate.face import simulate_face
from napari_facemap.video.write import write_video

TINY = TrainingOptions(
    steps=2, batch_size=2, evaluate_every=1, widths=(4, 4, 4, 4, 4), depths=(1, 0, 0, 0)
)
PICTURES = (("a/calm1.avi", 1), ("a/calm2.avi", 2), ("b/wild1.avi", 3), ("b/wild2.avi", 4))


@pytest.fixture
def faces(tmp_path):
    """Four labelled pictures of two recordings."""
    rows = ["file,keypoint,x,y"]
    for name, seed in PICTURES:
        face = simulate_face(10, size=(96, 128), seed=seed)
        write_video(tmp_path / "faces" / name, [face.frame(0)], 1.0, "ffv1")
        for keypoint in FACEMAP_KEYPOINTS:
            x, y = face.poses["position"].sel(keypoint=keypoint).values[0]
            if np.isfinite(x) and keypoint != "paw":
                rows.append(f"{name},{keypoint},{x},{y}")
    (tmp_path / "faces" / "labels.csv").write_text("\n".join(rows))
    return tmp_path / "faces"


def test_a_model_is_trained_and_written_with_a_true_card(faces, tmp_path, capsys):
    output = tmp_path / "out" / "mine.safetensors"
    card = train_model([faces], output, ["wild"], TINY, "cpu", n_mice=1, workers=0)
    assert sorted(p.name for p in output.parent.iterdir()) == ["mine.png", "mine.safetensors"]
    assert card["training_pictures"] == {"a": 2}
    assert card["validation_pictures"] == {"b": 2}
    assert card["training_recordings"] == ["a/calm"]
    assert card["validation_recordings"] == ["b/wild"]
    assert card["training_labels"]["nose(tip)"] == 2
    assert card["training_labels"]["paw"] == 0
    errors = card["validation_error_percent_of_eye_to_nose"]
    assert set(errors) == {"all", "b"}
    assert errors["all"] == errors["b"]
    assert "nose(tip)" in errors["all"]["per_keypoint"]
    assert "paw" not in errors["all"]["groups"]
    assert errors["all"]["score"] == pytest.approx(
        min(row["score"] for row in card["history"]), rel=0.05
    )  # rounded to 8 bits since
    assert card["options"]["steps"] == 2
    assert card["calibration"]["n_labels"] >= 20
    model = load_model(output)
    assert model.keypoints == KEYPOINTS
    assert model.network.widths == TINY.widths
    assert model.card == json.loads(json.dumps(card))
    assert model.calibration.n_labels == card["calibration"]["n_labels"]
    said = capsys.readouterr().out
    assert "2 pictures to train on, 2 held out" in said
    assert "step      2" in said


def test_without_held_out_pictures_a_model_is_trained_all_the_same(faces, tmp_path):
    output = tmp_path / "mine.safetensors"
    card = train_model([faces], output, [], TINY, "cpu", n_mice=0, workers=0)
    assert card["validation_pictures"] == {}
    assert "validation_error_percent_of_eye_to_nose" not in card
    assert load_model(output).calibration is None


def test_ctrl_c_keeps_a_checkpoint_from_which_it_goes_on(faces, tmp_path, monkeypatch):
    output = tmp_path / "mine.safetensors"
    arguments = ([faces], output, ["wild"], TINY, "cpu", 1, 0)
    with monkeypatch.context() as patched:
        pressed = property(lambda _: True, lambda *_: None)
        patched.setattr(Interruptible, "stopped", pressed, raising=False)
        with pytest.raises(TrainingStopped, match="1 of 2"):
            train_model(*arguments)
    assert not output.exists()
    assert output.with_suffix(".checkpoint").is_file()
    steps = []
    monkeypatch.setattr(ProgressBar, "__call__", lambda _, done, total: steps.append(done))
    train_model(*arguments)
    assert steps == [2]
    assert output.is_file()
    assert not output.with_suffix(".checkpoint").exists()


def test_a_file_in_the_checkpoints_place_is_kept(faces, tmp_path):
    output = tmp_path / "mine.safetensors"
    output.with_suffix(".checkpoint").write_bytes(b"damage")
    with pytest.raises(ValueError, match=r"mine\.checkpoint"):
        train_model([faces], output, ["wild"], TINY, "cpu", n_mice=0, workers=0)
    assert output.with_suffix(".checkpoint").read_bytes() == b"damage"
    assert not output.exists()


def test_nothing_left_to_train_on_is_said(faces, tmp_path):
    with pytest.raises(ValueError, match="found 4, all of them held out"):
        train_model([faces], tmp_path / "mine.safetensors", [".avi"], TINY, n_mice=0)
    assert not (tmp_path / "mine.safetensors").exists()


def _face(source, nose=True):
    xy = np.full((2, len(KEYPOINTS)), np.nan)
    xy[:, KEYPOINTS.index("eye(back)")] = 10, 10
    if nose:
        xy[:, KEYPOINTS.index("nose(tip)")] = 2, 12
    return LabelledFace(np.zeros((20, 20), np.uint8), xy, source)


def _sources(parts):
    return [[face.source for face in part] for part in parts]


def test_mice_are_held_out_by_name():
    faces = [_face(s) for s in ("lab/ann_1.png", "lab/bob_1.png", "lab/bob_2.png")]
    faces.append(_face("lab/bob_3.png", nose=False))
    kept, held_out = _sources(split_by_mouse(faces, ["bob"]))
    assert kept == ["lab/ann_1.png"]
    assert held_out == ["lab/bob_1.png", "lab/bob_2.png"]  # the third cannot be measured
    assert _sources(split_by_mouse(faces, [])) == [[f.source for f in faces], []]


def test_the_built_in_models_mice_are_held_out_by_default():
    faces = [_face(f"lab/{mouse}/img1.png") for mouse in ("Ann", VALIDATION_MICE[0], "Bob")]
    kept, held_out = _sources(split_by_mouse(faces, None))
    assert kept == ["lab/Ann/img1.png", "lab/Bob/img1.png"]
    assert held_out == [f"lab/{VALIDATION_MICE[0]}/img1.png"]


@pytest.mark.parametrize(("n", "expected"), [(1, 0), (2, 1), (5, 1), (10, 2), (20, 4)])
def test_else_a_fifth_of_the_recordings_is_held_out_whole(n, expected):
    faces = [_face(f"lab/rec{chr(97 + r)}_{k}.png") for r in range(n) for k in range(3)]
    kept, held_out = split_by_mouse(faces, None, seed=3)
    assert len(kept) + len(held_out) == 3 * n
    recordings = {face.recording for face in held_out}
    assert len(recordings) == expected
    assert recordings.isdisjoint(face.recording for face in kept)
    assert _sources(split_by_mouse(faces, None, seed=3)) == _sources((kept, held_out))


def test_a_deeplabcut_project_is_read_too(tmp_path):
    folder = tmp_path / "project" / "labeled-data" / "mouse"
    folder.mkdir(parents=True)
    (tmp_path / "project" / "config.yaml").write_text("Task: face\nscorer: Ann\nvideo_sets:\n")
    (folder / "CollectedData_Ann.csv").write_text(
        "scorer,Ann,Ann,Ann,Ann\nbodyparts,nose_tip,nose_tip,tail,tail\ncoords,x,y,x,y\n"
        "labeled-data/mouse/img001.png,30.5,20.25,1,2\n"
    )
    cv2.imwrite(str(folder / "img001.png"), np.full((40, 60), 77, np.uint8))
    (face,) = read_faces_of(tmp_path / "project")
    assert face.source == "mouse/img001.png"
    assert face.image.shape == (40, 60)
    np.testing.assert_array_equal(face.xy[:, KEYPOINTS.index("nose(tip)")], [30.5, 20.25])


def test_a_folder_with_labels_is_read_and_one_without_is_named(faces, tmp_path):
    assert [face.source for face in read_faces_of(faces)] == [name for name, _ in PICTURES]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"labels\.csv"):
        read_faces_of(tmp_path / "empty")


def test_simulated_faces_know_what_is_hidden():
    drawn = simulated_faces(2, per_mouse=3)
    assert len({face.source for face in drawn}) == 6
    assert len({face.recording for face in drawn}) == 2
    for face in drawn:
        labelled = np.isfinite(face.xy).all(axis=0)
        np.testing.assert_array_equal(face.hidden, ~labelled)
        assert labelled.sum() >= 12
        assert (face.xy[:, labelled] >= -0.5).all()
        assert (face.xy[0, labelled] < face.image.shape[1]).all()
    again = simulated_faces(2, per_mouse=3)
    np.testing.assert_array_equal(again[4].image, drawn[4].image)
    assert simulated_faces(1, seed=1)[0].source != drawn[0].source


def _readings(n, seed=0):
    """Errors that follow from the spread, as they should."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-4.5, -1.5, (n, len(KEYPOINTS)))
    errors = 100 * rng.exponential(np.exp(-1 + 0.8 * x))
    errors[rng.random(errors.shape) < 0.3] = np.nan
    return Readings(errors, x, np.full(x.shape, 0.99))


def test_calibration_is_measured_on_recordings_left_out_of_it():
    readings = _readings(80)
    recordings = [f"mouse{n % 4}" for n in range(80)]
    calibration, error = calibrate(readings, recordings)
    assert calibration.n_labels == np.isfinite(readings.errors).sum()
    assert calibration.slope < 0 < calibration.error_slope
    assert 0 < error < 0.05
    # A recording whose errors are much larger than the rest foretell shows.
    odd = np.array([name == "mouse0" for name in recordings])
    worse = readings._replace(errors=np.where(odd[:, None], 50, readings.errors))
    assert calibrate(worse, recordings)[1] > 2 * error


def test_one_recording_has_no_calibration_error_and_few_labels_no_calibration():
    calibration, error = calibrate(_readings(10), ["one"] * 10)
    assert calibration is not None
    assert error is None
    few = _readings(10)
    few.errors[1:] = np.nan
    assert calibrate(few, ["one"] * 10) == (None, None)


def test_options_of_augmentation_are_in_the_card(faces, tmp_path):
    options = replace(TINY, steps=1, augmentation=Augmentation(rotation=7.0))
    card = train_model(
        [faces], tmp_path / "mine.safetensors", [], options, "cpu", n_mice=0, workers=0
    )
    assert card["options"]["augmentation"]["rotation"] == 7.0
    assert card["options"]["augmentation"]["degradation"]["gamma"] == 1.8
