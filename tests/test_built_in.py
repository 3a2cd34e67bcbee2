from __future__ import annotations

import numpy as np
import pytest

from napari_facemap.built_in import SimulatedFaces, train_built_in
from napari_facemap.keypoints.models import load_model
from napari_facemap.keypoints.skeleton import KEYPOINTS
from napari_facemap.keypoints.training import TrainingOptions
from napari_facemap.simulate.face import simulate_face
from napari_facemap.video.write import write_video


@pytest.fixture
def faces(tmp_path):
    """Three labelled pictures of two mice."""
    rows = ["file,keypoint,x,y"]
    for name, seed in (("a/calm1.avi", 1), ("a/calm2.avi", 2), ("a/other.avi", 3)):
        face = simulate_face(10, size=(96, 128), seed=seed)
        write_video(tmp_path / name, [face.frame(0)], 1.0, "ffv1")
        for keypoint in ("eye(back)", "eye(front)", "nose(tip)"):
            x, y = face.poses["position"].sel(keypoint=keypoint).values[0]
            rows.append(f"{name},{keypoint},{x},{y}")
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    return tmp_path


def test_a_model_is_trained_and_written_with_a_true_card(faces, capsys):
    output = faces / "mine.safetensors"
    options = TrainingOptions(steps=2, batch_size=2, evaluate_every=1)
    card = train_built_in(faces, output, ["other"], options, "cpu", n_mice=1)
    assert card["training_pictures"] == {"a": 2}
    assert card["validation_pictures"] == {"a": 1}
    assert card["training_labels"]["nose(tip)"] == 2
    assert card["training_labels"]["paw"] == 0
    errors = card["validation_error_percent_of_eye_to_nose"]
    assert set(errors["median_of"]) == {"eye(back)", "eye(front)", "nose(tip)"}
    assert errors["median"] == min(round(row["median"], 2) for row in card["history"])
    model = load_model(output)
    assert model.keypoints == KEYPOINTS
    assert model.card["validation_files_contain"] == ["other"]
    assert "step      2" in capsys.readouterr().out


def test_nothing_left_to_train_on_is_said(faces):
    with pytest.raises(ValueError, match="found none"):
        train_built_in(faces, faces / "mine.safetensors", [".avi"], n_mice=1)
    assert not (faces / "mine.safetensors").exists()


def test_simulated_faces_are_labelled_where_visible():
    drawn = SimulatedFaces(n_mice=2, per_mouse=3)
    assert len({face.source for face in drawn.faces}) == 6
    face = drawn(np.random.default_rng(0))
    seen = face.xy[:, np.isfinite(face.xy).all(axis=0)]
    assert seen.shape[1] >= 12
    assert (seen >= -0.5).all()
    assert (seen[0] < face.image.shape[1]).all()
