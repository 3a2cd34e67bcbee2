from __future__ import annotations

import csv

import numpy as np
import pytest

from napari_facemap.files.label_import import import_deeplabcut, names_for
from napari_facemap.files.label_pictures import write_picture
from napari_facemap.files.label_project import LabelProject

PARTS = ("nose_tip", "Paw L")


@pytest.fixture
def deeplabcut(tmp_path):
    """A project with a video of two labelled pictures, and one picture without a number."""
    folder = tmp_path / "reach-me"
    pictures = folder / "labeled-data" / "mouse3"
    pictures.mkdir(parents=True)
    (folder / "config.yaml").write_text("scorer: me\n")
    rows = [("img04.png", 11, 12, "", ""), ("img09.png", 13, 14, 15, 16), ("face.png", 1, 2, 3, 4)]
    table = [
        ["scorer", *["me"] * 4],
        ["bodyparts", *(part for part in PARTS for _ in "xy")],
        ["coords", *["x", "y"] * 2],
        *([f"labeled-data/mouse3/{name}", *values] for name, *values in rows),
    ]
    with (pictures / "CollectedData_me.csv").open("w", newline="") as file:
        csv.writer(file).writerows(table)
    for shade, (name, *_) in enumerate(rows):
        write_picture(pictures / name, np.full((30, 40), 50 * shade, np.uint8))
    return folder


def test_labels_and_pictures_are_copied(deeplabcut, tmp_path):
    project = LabelProject(tmp_path / "ours", ("nose(tip)", "tongue"))
    before = sorted((path, path.stat().st_mtime_ns) for path in deeplabcut.rglob("*"))
    found = import_deeplabcut(project, deeplabcut)
    assert (found.n_frames, found.keypoints, found.complete) == (2, ("Paw L",), True)
    assert found.left_out == ("mouse3/face.png",)
    again = LabelProject(tmp_path / "ours")
    assert again.keypoints == ("nose(tip)", "tongue", "Paw L")
    assert again.labels("mouse3") == {
        4: {"nose(tip)": (11, 12)},
        9: {"nose(tip)": (13, 14), "Paw L": (15, 16)},
    }
    assert (again.picture("mouse3", 9) == 50).all()
    assert before == sorted((path, path.stat().st_mtime_ns) for path in deeplabcut.rglob("*"))


def test_labels_that_are_there_are_kept(deeplabcut, tmp_path):
    project = LabelProject(tmp_path / "ours", ("nose(tip)",))
    project.add_video(tmp_path / "mouse3.avi")
    import_deeplabcut(project, deeplabcut)
    project.set_labels("mouse3", 9, {"nose(tip)": (1, 1)})
    import_deeplabcut(project, deeplabcut)
    assert project.labels("mouse3")[9] == {"nose(tip)": (1, 1), "Paw L": (15, 16)}
    assert list(project.videos) == ["mouse3"]


def test_another_video_of_the_same_name_is_told_apart(deeplabcut, tmp_path):
    from napari_facemap.video.write import write_video

    other = tmp_path / "mouse3.mp4"
    write_video(other, (np.full((30, 40), 200, np.uint8) for _ in range(12)), 25.0)
    project = LabelProject(tmp_path / "ours", ("nose(tip)",))
    assert project.add_video(other) == "mouse3"
    import_deeplabcut(project, deeplabcut)
    assert project.labels("mouse3") == {}
    assert sorted(project.labels("mouse3-2")) == [4, 9]


def test_the_same_video_elsewhere_is_known_by_its_picture(deeplabcut, tmp_path):
    from napari_facemap.video.write import write_video

    copy = tmp_path / "mouse3.mp4"
    write_video(copy, (np.zeros((30, 40), np.uint8) for _ in range(12)), 25.0)
    project = LabelProject(tmp_path / "ours", ("nose(tip)",))
    project.add_video(copy)
    import_deeplabcut(project, deeplabcut)
    assert list(project.videos) == ["mouse3"]


def test_an_import_that_is_stopped_says_so(deeplabcut, tmp_path):
    project = LabelProject(tmp_path / "ours", ("nose(tip)",))
    found = import_deeplabcut(project, deeplabcut, progress=lambda done, total: done < 2)
    assert not found.complete
    assert found.n_frames + len(found.left_out) == 2


def test_names_match_where_they_are_spelt_alike():
    assert names_for(["Nose_Tip", "a/b"], ("nose(tip)",)) == {
        "Nose_Tip": "nose(tip)",
        "a/b": "a_b",
    }
    # Two that would be one keypoint stay two.
    assert names_for(["nose_tip", "Nose Tip"], ("nose(tip)",)) == {
        "nose_tip": "nose(tip)",
        "Nose Tip": "Nose Tip",
    }
