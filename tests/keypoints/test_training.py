from __future__ import annotations

import numpy as np
import pytest

from napari_facemap.keypoints.labels import LabelledFace, read_labelled_faces
from napari_facemap.keypoints.skeleton import KEYPOINTS
from napari_facemap.keypoints.training import TrainingOptions, face_size, train
from napari_facemap.video.write import write_video


def _faces(n: int, seed: int) -> list[LabelledFace]:
    """Dark eye and bright nose at places that vary."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:96, :128]
    faces = []
    for number in range(n):
        eye, nose = rng.uniform((30, 30), (60, 60)), rng.uniform((80, 40), (110, 70))
        image = 120 + rng.normal(0, 4, (96, 128))
        image -= 110 * (((x - eye[0]) ** 2 + (y - eye[1]) ** 2) < 64)
        image += 100 * np.exp(-((x - nose[0]) ** 2 + (y - nose[1]) ** 2) / 30)
        xy = np.full((2, len(KEYPOINTS)), np.nan)
        around = ((-8, 0), (0, 8), (8, 0), (0, -8))  # back, bottom, front, top
        for k, (dx, dy) in enumerate(around):
            xy[:, k] = eye[0] + dx, eye[1] + dy
        xy[:, 8] = nose
        faces.append(LabelledFace(np.clip(image, 0, 255).astype(np.uint8), xy, f"made/{number}"))
    return faces


def test_a_short_training_learns_and_is_repeatable():
    options = TrainingOptions(steps=16, batch_size=2, evaluate_every=8, learning_rate=3e-3)
    rows: list[dict] = []
    network, history = train(
        _faces(12, 0), _faces(3, 1), len(KEYPOINTS), options=options, device="cpu",
        report=rows.append,
    )  # fmt: skip
    assert rows == history
    assert [row["step"] for row in history] == [8, 16]
    assert history[-1]["loss"] < 0.95 * history[0]["loss"]
    assert np.isfinite(history[-1]["median"])
    assert history[-1]["per_keypoint"][4] is None  # nobody labelled a lip
    assert not network.training
    _, again = train(
        _faces(12, 0), _faces(3, 1), len(KEYPOINTS), options=options, device="cpu"
    )  # fmt: skip
    assert again[-1]["loss"] == pytest.approx(history[-1]["loss"], rel=1e-3)


def test_size_of_a_face_is_from_eye_to_nose():
    assert face_size(_faces(1, 2)[0].xy) == pytest.approx(
        np.hypot(*(_faces(1, 2)[0].xy[:, :4].mean(axis=1) - _faces(1, 2)[0].xy[:, 8]))
    )


def test_labels_are_read_with_what_is_missing(tmp_path):
    write_video(tmp_path / "a.avi", [np.full((40, 60), 77, np.uint8)], 1.0, "ffv1")
    (tmp_path / "labels.csv").write_text(
        "file,keypoint,x,y\na.avi,nose(tip),3.5,4\na.avi,tail,1,1\n"
    )
    (face,) = read_labelled_faces(tmp_path, ("paw", "nose(tip)"))
    assert face.image.shape == (40, 60)
    assert (face.image == 77).all()
    np.testing.assert_array_equal(face.xy, [[np.nan, 3.5], [np.nan, 4]])


@pytest.mark.parametrize("row", ["a.avi,paw,here,4", "a.avi,paw,3"])
def test_a_bad_row_is_named(tmp_path, row):
    (tmp_path / "labels.csv").write_text(f"file,keypoint,x,y\n{row}\n")
    with pytest.raises(ValueError, match="line 2"):
        read_labelled_faces(tmp_path, ("paw",))


def test_no_labels_are_said(tmp_path):
    with pytest.raises(ValueError, match=r"labels\.csv"):
        read_labelled_faces(tmp_path, ("paw",))
