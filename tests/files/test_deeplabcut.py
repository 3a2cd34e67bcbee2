from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from napari_facemap.files.deeplabcut import is_deeplabcut, read_deeplabcut

KEYPOINTS = ("eye(back)", "nose(tip)", "paw")
NAN = np.nan
ONE_COLUMN = """scorer,Ann,Ann,Ann,Ann,Ann,Ann
bodyparts,nose(tip),nose(tip),tail,tail,eye(back),eye(back)
coords,x,y,x,y,x,y
labeled-data/mouse/img001.png,30.5,20.25,1,2,10,11
labeled-data/mouse/img002.png,31,21,,,,
"""
THREE_COLUMNS = """scorer,,,Ann,Ann,Ann,Ann,Ann,Ann
bodyparts,,,nose(tip),nose(tip),tail,tail,eye(back),eye(back)
coords,,,x,y,x,y,x,y
labeled-data,mouse,img001.png,30.5,20.25,1,2,10,11
labeled-data,mouse,img002.png,31,21,,,,
"""
SEVERAL = """scorer,,,Ann,Ann,Ann,Ann,Ann,Ann
individuals,,,m1,m1,m2,m2,m2,m2
bodyparts,,,nose(tip),nose(tip),nose(tip),nose(tip),tail,tail
coords,,,x,y,x,y,x,y
labeled-data,mouse,img001.png,30,20,,,5,6
labeled-data,mouse,img002.png,,,31,21,,
"""


def draw(picture: Path, grey: int = 77) -> None:
    cv2.imwrite(str(picture), np.full((40, 60), grey, np.uint8))


def label(project: Path, table: str, video: str = "mouse", scorer: str = "Ann") -> Path:
    """Put a labelled video of two pictures into a project."""
    folder = project / "labeled-data" / video
    folder.mkdir(parents=True, exist_ok=True)
    (project / "config.yaml").write_text("Task: face\nscorer: Ann\nvideo_sets:\n")
    (folder / f"CollectedData_{scorer}.csv").write_text(table, encoding="utf-8")
    draw(folder / "img001.png", 77)
    draw(folder / "img002.png", 99)
    return folder


@pytest.mark.parametrize(
    "table",
    [
        ONE_COLUMN,
        THREE_COLUMNS,
        ONE_COLUMN.replace("labeled-data/mouse/", "labeled-data\\mouse\\"),
        ONE_COLUMN.replace("labeled-data/mouse/", "C:\\old\\labeled-data\\renamed\\"),
        "\ufeff" + ONE_COLUMN.replace(",,,,\n", "\n\n"),  # as a spreadsheet saves it
    ],
    ids=["one column", "three columns", "Windows", "elsewhere", "spreadsheet"],
)
@pytest.mark.parametrize("whole", [True, False], ids=["project", "video"])
def test_every_style_gives_the_same_labels(tmp_path, table, whole):
    video = label(tmp_path, table)
    first, second = read_deeplabcut(tmp_path if whole else video, KEYPOINTS)
    assert (first.source, second.source) == ("mouse/img001.png", "mouse/img002.png")
    assert first.dataset == "mouse"
    assert first.image.shape == (40, 60)
    assert first.image.dtype == np.uint8
    assert (first.image == 77).all()
    assert (second.image == 99).all()
    np.testing.assert_array_equal(first.xy, [[10, 30.5, NAN], [11, 20.25, NAN]])
    np.testing.assert_array_equal(second.xy, [[NAN, 31, NAN], [NAN, 21, NAN]])


def test_colour_pictures_are_read_grey(tmp_path):
    video = label(tmp_path, ONE_COLUMN.replace(".png", ".jpg"))
    for name in ("img001.jpg", "img002.jpg"):
        cv2.imwrite(str(video / name), np.full((40, 60, 3), 120, np.uint8))
    first, _ = read_deeplabcut(tmp_path, KEYPOINTS)
    assert first.image.shape == (40, 60)
    assert (abs(first.image.astype(int) - 120) <= 2).all()


def test_every_video_is_a_dataset(tmp_path):
    label(tmp_path, ONE_COLUMN, "b")
    label(tmp_path, THREE_COLUMNS, "a")
    (tmp_path / "labeled-data" / "unlabelled").mkdir()
    label(tmp_path, ONE_COLUMN, "a_cropped")
    faces = read_deeplabcut(tmp_path, KEYPOINTS)
    assert [face.dataset for face in faces] == ["a", "a", "b", "b"]


def test_pictures_without_a_wanted_label_are_left_out(tmp_path):
    video = label(tmp_path, ONE_COLUMN)
    (video / "img002.png").unlink()  # labelled with no eye, so nobody needs it
    (face,) = read_deeplabcut(tmp_path, ("eye(back)",))
    np.testing.assert_array_equal(face.xy, [[10], [11]])


@pytest.mark.parametrize(
    ("x", "y", "kept"),
    [
        (0, 0, False),
        (-3, 5, False),
        (60, 5, False),
        (59, 39, True),
        (5, 40, False),
        (7, "", False),
    ],
)
def test_a_place_outside_the_picture_is_no_label(tmp_path, x, y, kept):
    label(tmp_path, ONE_COLUMN.replace("10,11", f"{x},{y}"))
    first, _ = read_deeplabcut(tmp_path, KEYPOINTS)
    assert np.isfinite(first.xy[:, 0]).all() == kept
    assert np.isfinite(first.xy[:, 1]).all()


def test_the_one_labelled_individual_counts(tmp_path):
    label(tmp_path, SEVERAL)
    first, second = read_deeplabcut(tmp_path, KEYPOINTS)
    np.testing.assert_array_equal(first.xy[:, 1], [30, 20])
    np.testing.assert_array_equal(second.xy[:, 1], [31, 21])


def test_two_faces_on_a_picture_are_refused(tmp_path):
    label(tmp_path, SEVERAL.replace("30,20,,,", "30,20,40,20,"))
    with pytest.raises(ValueError, match="line 5: expected one face, found m1, m2"):
        read_deeplabcut(tmp_path, KEYPOINTS)


@pytest.mark.parametrize("theirs", ["nose_tip", "Nose Tip", "NOSE[TIP]", "nosetip"])
def test_names_match_loosely(tmp_path, theirs):
    label(tmp_path, ONE_COLUMN.replace("nose(tip)", theirs))
    first, _ = read_deeplabcut(tmp_path, KEYPOINTS)
    np.testing.assert_array_equal(first.xy[:, 1], [30.5, 20.25])


def test_names_that_are_given_go_first(tmp_path):
    label(tmp_path, ONE_COLUMN)
    (first,) = read_deeplabcut(tmp_path, ("nose(tip)",), {"tail": "nose(tip)"})
    np.testing.assert_array_equal(first.xy, [[1], [2]])


def test_the_same_name_goes_before_one_alike(tmp_path):
    label(tmp_path, ONE_COLUMN.replace("tail", "nose_tip"))
    first, _ = read_deeplabcut(tmp_path, KEYPOINTS)
    np.testing.assert_array_equal(first.xy[:, 1], [30.5, 20.25])


def test_two_bodyparts_alike_are_refused(tmp_path):
    table = ONE_COLUMN.replace("nose(tip)", "Nose Tip").replace("tail", "nose_tip")
    label(tmp_path, table)
    with pytest.raises(ValueError, match=r"'nose_tip' is the second .* 'nose\(tip\)'"):
        read_deeplabcut(tmp_path, KEYPOINTS)
    (first,) = read_deeplabcut(tmp_path, KEYPOINTS, {"nose_tip": "nose(tip)"})
    np.testing.assert_array_equal(first.xy[:, 1], [1, 2])


def test_no_match_lists_both_sides(tmp_path):
    label(tmp_path, ONE_COLUMN)
    with pytest.raises(
        ValueError, match=r"among ear, pupil; found eye\(back\), nose\(tip\), tail"
    ):
        read_deeplabcut(tmp_path, ("ear", "pupil"))


@pytest.mark.parametrize("names", [{"snout": "nose(tip)"}, {"tail": "tail"}])
def test_a_name_that_is_not_there_is_refused(tmp_path, names):
    label(tmp_path, ONE_COLUMN)
    with pytest.raises(ValueError, match="expected names from its bodyparts"):
        read_deeplabcut(tmp_path, KEYPOINTS, names)


def test_missing_pictures_are_counted(tmp_path):
    video = label(tmp_path, ONE_COLUMN)
    (video / "img001.png").unlink()
    with pytest.raises(ValueError, match=r"img001\.png: labelled but missing, as 1 of 2"):
        read_deeplabcut(tmp_path, KEYPOINTS)


def test_a_picture_that_is_none_is_named(tmp_path):
    video = label(tmp_path, ONE_COLUMN)
    (video / "img001.png").write_text("not a picture")
    with pytest.raises(ValueError, match=r"img001\.png"):
        read_deeplabcut(tmp_path, KEYPOINTS)


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("10,11", "10,here", r"line 4: expected pixels in column 7, found 'here'"),
        ("10,11", "inf,11", r"line 4: expected pixels in column 6, found 'inf'"),
        ("img002", "img001", r"line 5: img001\.png is labelled twice"),
        ("bodyparts", "parts", r"CollectedData_Ann\.csv: expected DeepLabCut's header"),
        (",", ";", "separated by commas"),
        (ONE_COLUMN, "", "expected DeepLabCut's header"),
        ("tail,tail", "nose(tip),nose(tip)", r"expected columns x, y of 'nose\(tip\)'"),
        ("coords,x,y", "coords,y,x", r"expected columns x, y of 'nose\(tip\)', found y, x"),
    ],
)
def test_a_bad_table_is_named(tmp_path, old, new, match):
    label(tmp_path, ONE_COLUMN.replace(old, new))
    with pytest.raises(ValueError, match=match):
        read_deeplabcut(tmp_path, KEYPOINTS)


def test_a_table_in_another_encoding_is_named(tmp_path):
    video = label(tmp_path, ONE_COLUMN)
    (video / "CollectedData_Ann.csv").write_bytes(ONE_COLUMN.encode("utf-16"))
    with pytest.raises(ValueError, match=r"CollectedData_Ann\.csv: expected a table of text"):
        read_deeplabcut(tmp_path, KEYPOINTS)


def test_of_several_scorers_the_projects_counts(tmp_path):
    label(tmp_path, ONE_COLUMN.replace("30.5", "3"), scorer="Bob")
    video = label(tmp_path, ONE_COLUMN)
    for folder in (tmp_path, video):
        first, _ = read_deeplabcut(folder, KEYPOINTS)
        assert first.xy[0, 1] == 30.5
    (tmp_path / "config.yaml").write_text("scorer: 'Bob'  # since May\n")
    assert read_deeplabcut(tmp_path, KEYPOINTS)[0].xy[0, 1] == 3
    (tmp_path / "config.yaml").write_text("scorer: Cy\n")
    with pytest.raises(ValueError, match=r"several tables, none by config\.yaml's scorer 'Cy'"):
        read_deeplabcut(tmp_path, KEYPOINTS)


def test_no_table_is_said(tmp_path):
    with pytest.raises(ValueError, match="no labeled-data/<video>/CollectedData_<scorer>"):
        read_deeplabcut(tmp_path, KEYPOINTS)
    video = label(tmp_path, ONE_COLUMN)
    (video / "CollectedData_Ann.csv").rename(video / "CollectedData_Ann.h5")
    with pytest.raises(ValueError, match=r"CollectedData_Ann\.h5: expected a \.csv beside it"):
        read_deeplabcut(tmp_path, KEYPOINTS)


def test_projects_are_recognised(tmp_path):
    assert not is_deeplabcut(tmp_path / "nowhere")
    (tmp_path / "labels.csv").write_text("file,keypoint,x,y\n")
    assert not is_deeplabcut(tmp_path)
    assert not is_deeplabcut(tmp_path / "labels.csv")
    project = tmp_path / "project"
    video = label(project, ONE_COLUMN)
    assert is_deeplabcut(project)
    assert is_deeplabcut(video)
    assert not is_deeplabcut(project / "labeled-data")
