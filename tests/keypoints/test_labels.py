from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_facemap.keypoints.labels import (
    LARGEST_FACE,
    LabelledFace,
    read_labelled_faces,
    shrunk,
)
from napari_facemap.keypoints.view import face_size
from napari_facemap.video.write import write_video


def _picture(path, grey=77):
    write_video(path, [np.full((40, 60), grey, np.uint8)], 1.0, "ffv1")


def test_labels_are_read_with_what_is_missing(tmp_path):
    _picture(tmp_path / "a.avi")
    (tmp_path / "labels.csv").write_text(
        "file,keypoint,x,y\na.avi,nose(tip),3.5,4\na.avi,tail,1,1\n"
    )
    (face,) = read_labelled_faces(tmp_path, ("paw", "nose(tip)"))
    assert face.image.shape == (40, 60)
    assert (face.image == 77).all()
    assert face.hidden is None
    np.testing.assert_array_equal(face.xy, [[np.nan, 3.5], [np.nan, 4]])


def test_pictures_are_sorted_and_those_without_wanted_labels_left_out(tmp_path):
    for name in ("b/2.avi", "b/1.avi", "a/1.avi"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        _picture(tmp_path / name)
    rows = ["b/2.avi,paw,1,1", "b/1.avi,paw,1,1", "a/1.avi,tail,1,1"]
    (tmp_path / "labels.csv").write_text("\n".join(["file,keypoint,x,y", *rows]))
    faces = read_labelled_faces(tmp_path, ("paw",))
    assert [face.source for face in faces] == ["b/1.avi", "b/2.avi"]


@pytest.mark.parametrize("row", ["a.avi,paw,here,4", "a.avi,paw,3", "a.avi,paw,nan,4"])
def test_a_bad_row_is_named(tmp_path, row):
    (tmp_path / "labels.csv").write_text(f"file,keypoint,x,y\n{row}\n")
    with pytest.raises(ValueError, match="line 2"):
        read_labelled_faces(tmp_path, ("paw",))


def test_no_labels_are_said(tmp_path):
    with pytest.raises(ValueError, match=r"labels\.csv"):
        read_labelled_faces(tmp_path, ("paw",))


@pytest.mark.parametrize(
    ("source", "dataset", "recording"),
    [
        ("facemap/Ladon/img012.png", "facemap", "facemap/Ladon/"),
        ("lab/mouse3_img7.png", "lab", "lab/mouse3"),
        ("lab/mouse3-frame0007.avi", "lab", "lab/mouse3"),
        ("lab/SS109_0042.png", "lab", "lab/SS109"),
        ("simulated/123/45", "simulated", "simulated/123/"),
        ("alone.png", "pictures", "alone"),
    ],
)
def test_dataset_and_recording_follow_from_the_source(source, dataset, recording):
    face = LabelledFace(np.zeros((2, 2), np.uint8), np.zeros((2, 1)), source)
    assert face.dataset == dataset
    assert face.recording == recording


def test_a_large_face_is_shrunk_and_its_labels_stay_on_the_picture(spots):
    face, names = spots
    image = face.image.repeat(3, 0).repeat(3, 1)
    large = replace(face, image=image, xy=(face.xy + 0.5) * 3 - 0.5)
    small = shrunk(large, names)
    assert float(face_size(small.xy, names)) == pytest.approx(LARGEST_FACE, rel=0.01)
    assert small.image.dtype == np.uint8
    assert small.source == large.source
    np.testing.assert_array_equal(small.hidden, large.hidden)
    rows, columns = np.mgrid[: small.image.shape[0], : small.image.shape[1]]
    for x, y in small.xy[:, :4].T:
        near = (rows - y) ** 2 + (columns - x) ** 2 <= 14**2
        weight = np.clip(small.image - 42.0, 0, None) * near
        found = (columns * weight).sum() / weight.sum(), (rows * weight).sum() / weight.sum()
        np.testing.assert_allclose(found, (x, y), atol=0.15)


def test_a_face_that_is_small_or_of_unknown_size_is_left_as_it_is(spots):
    face, names = spots
    assert shrunk(face, names) is face
    without_nose = replace(face, xy=np.where(np.arange(6) == 2, np.nan, face.xy))
    assert shrunk(without_nose, names) is without_nose
