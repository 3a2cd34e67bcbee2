from __future__ import annotations

import json
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_facemap.files import label_project
from napari_facemap.files.deeplabcut import read_deeplabcut
from napari_facemap.files.label_project import HIDDEN, LabelProject

KEYPOINTS = ("eye(back)", "nose(tip)", "paw")
GREY = np.arange(48, dtype=np.uint8).reshape(6, 8)


@pytest.fixture
def project(tmp_path):
    return LabelProject(tmp_path / "project", KEYPOINTS)


@pytest.fixture
def video(project, tmp_path):
    return project.add_video(tmp_path / "mouse.mp4")


def again(project):
    return LabelProject(project.folder)


def assert_same(labels, expected):
    assert labels.keys() == expected.keys()
    for frame, points in expected.items():
        assert labels[frame].keys() == points.keys()
        for name, point in points.items():
            np.testing.assert_allclose(labels[frame][name], point, atol=6e-4)


PLACES = st.tuples(st.floats(-50, 2000), st.floats(-50, 2000))
FRAMES = st.dictionaries(
    st.sampled_from(KEYPOINTS), st.one_of(PLACES, st.just(HIDDEN)), min_size=1
)


@settings(max_examples=30, deadline=None)
@given(labels=st.dictionaries(st.integers(0, 10**7), FRAMES, max_size=4))
def test_what_was_put_down_is_there_when_the_project_is_opened_again(tmp_path_factory, labels):
    project = LabelProject(tmp_path_factory.mktemp("p"), KEYPOINTS)
    video = project.add_video("mouse.mp4")
    for frame, points in labels.items():
        project.set_labels(video, frame, points, GREY)
    assert_same(again(project).labels(video), labels)


def test_labels_of_a_frame_take_the_place_of_those_before(project, video):
    project.set_labels(video, 3, {"paw": (1, 2), "nose(tip)": HIDDEN}, GREY)
    project.set_labels(video, 3, {"nose(tip)": (4.25, 5)})
    assert_same(again(project).labels(video), {3: {"nose(tip)": (4.25, 5)}})
    project.set_labels(video, 3, {})
    assert again(project).labels(video) == {}
    assert again(project).n_labelled == 0


def test_deeplabcut_reads_it(project, video):
    project.set_labels(video, 3, {"paw": (1, 2), "eye(back)": HIDDEN}, GREY)
    (face,) = read_deeplabcut(project.folder, KEYPOINTS)
    assert face.source == "mouse/img00000003.png"
    np.testing.assert_array_equal(face.image, GREY)
    np.testing.assert_array_equal(face.xy, [[np.nan, np.nan, 1], [np.nan, np.nan, 2]])


def test_faces_know_what_is_hidden_and_what_is_only_not_labelled(project, video):
    project.set_labels(video, 3, {"paw": (1, 2), "eye(back)": HIDDEN}, GREY)
    (face,) = project.faces(("paw", "nose(tip)", "eye(back)", "ear"))
    np.testing.assert_array_equal(face.hidden, [False, False, True, False])
    np.testing.assert_array_equal(face.xy[:, 0], [1, 2])
    assert np.isnan(face.xy[:, 1:]).all()
    np.testing.assert_array_equal(face.image, GREY)
    assert face.source == "project/mouse/img00000003.png"


def test_pictures_of_odd_sizes_are_kept_to_the_bit(project, video):
    rng = np.random.default_rng(0)
    for frame, shape in enumerate([(1, 1), (7, 5), (481, 641)]):
        picture = rng.integers(0, 256, shape, np.uint8)
        project.set_labels(video, frame, {"paw": (0, 0)}, picture)
        np.testing.assert_array_equal(project.faces()[frame].image, picture)


def test_the_picture_is_needed_once(project, video):
    with pytest.raises(ValueError, match=r"img00000003\.png: expected the frame's picture"):
        project.set_labels(video, 3, {"paw": (1, 2)})
    assert project.labels(video) == {}


def test_pictures_of_labelled_frames_can_be_looked_at(project, video):
    assert not project.has_picture(video, 3)
    project.set_labels(video, 3, {"paw": (1, 2)}, GREY)
    assert again(project).has_picture(video, 3)
    np.testing.assert_array_equal(project.picture(video, 3), GREY)


def test_a_moved_video_keeps_its_name(project, video, tmp_path):
    project.move_video(video, tmp_path / "elsewhere" / "mouse.mp4")
    assert again(project).add_video(tmp_path / "elsewhere" / "mouse.mp4") == video
    assert list(again(project).videos) == [video]


def test_a_keypoint_of_no_one_is_refused(project, video):
    with pytest.raises(ValueError, match="no keypoint 'tail'"):
        project.set_labels(video, 3, {"tail": (1, 2)}, GREY)


def test_a_crash_while_writing_leaves_the_labels_as_they_were(project, video, monkeypatch):
    project.set_labels(video, 3, {"paw": (1, 2)}, GREY)
    whole = label_project._write_rows

    def crash(path, rows):
        if path.name.startswith("CollectedData"):
            raise OSError("disk full")
        whole(path, rows)

    monkeypatch.setattr(label_project, "_write_rows", crash)
    with pytest.raises(OSError, match="disk full"):
        project.set_labels(video, 4, {"paw": (3, 4)}, GREY)
    assert_same(again(project).labels(video), {3: {"paw": (1, 2)}})


def test_two_windows_do_not_take_away_each_others_labels(project, video):
    other = again(project)
    project.set_labels(video, 3, {"paw": (1, 2)}, GREY)
    other.set_labels(video, 4, {"paw": (3, 4)}, GREY)
    project.set_labels(video, 5, {"paw": (5, 6)}, GREY)
    assert_same(
        again(project).labels(video),
        {3: {"paw": (1, 2)}, 4: {"paw": (3, 4)}, 5: {"paw": (5, 6)}},
    )


def test_two_windows_may_label_one_frame(project, video):
    """Each puts down what it knows, more than once; a point is the last one's to say."""
    project.set_labels(video, 3, {"paw": (1, 2)}, GREY)
    other = again(project)
    other.set_labels(video, 3, {"paw": (1, 2), "nose(tip)": (3, 4)})
    project.set_labels(video, 3, {"paw": (5, 6)})
    project.set_labels(video, 3, {"paw": (7, 8)})
    assert_same(again(project).labels(video), {3: {"paw": (7, 8), "nose(tip)": (3, 4)}})
    project.set_labels(video, 3, {"paw": (7, 8), "nose(tip)": HIDDEN})
    project.set_labels(video, 3, {"paw": (7, 8)})
    assert_same(again(project).labels(video), {3: {"paw": (7, 8)}})


def test_frames_to_label_are_kept(project, video):
    project.set_to_label(video, [9, 2, 2])
    assert again(project).to_label(video) == [2, 9]


def test_videos_of_one_name_have_folders_of_their_own(project, video, tmp_path):
    second = project.add_video(tmp_path / "other" / "mouse.mp4")
    assert (video, second) == ("mouse", "mouse-2")
    assert project.add_video(tmp_path / "mouse.mp4") == "mouse"
    assert again(project).videos == {
        "mouse": tmp_path / "mouse.mp4",
        "mouse-2": tmp_path / "other" / "mouse.mp4",
    }


# -- skeletons --------------------------------------------------------------------------------


def test_renamed_keypoints_keep_their_labels_and_say_what_they_were(project, video):
    project.set_labels(video, 3, {"paw": (1, 2), "nose(tip)": HIDDEN}, GREY)
    project.set_keypoints(
        ("eye(back)", "snout", "paw(left)"), {"nose(tip)": "snout", "paw": "paw(left)"}
    )
    project.set_keypoints(("eye(back)", "snout", "paw(l)"), {"paw(left)": "paw(l)"})
    opened = again(project)
    assert_same(opened.labels(video), {3: {"paw(l)": (1, 2), "snout": HIDDEN}})
    assert opened.origin == {"snout": "nose(tip)", "paw(l)": "paw"}


def test_a_crash_while_renaming_loses_no_label(project, video, monkeypatch):
    project.set_labels(video, 3, {"paw": (1, 2), "nose(tip)": HIDDEN}, GREY)

    def crash(self, video):
        raise OSError("killed")

    monkeypatch.setattr(LabelProject, "_write_labels", crash)
    with pytest.raises(OSError, match="killed"):
        project.set_keypoints(("snout", "hand"), {"nose(tip)": "snout", "paw": "hand"})
    assert_same(again(project).labels(video), {3: {"hand": (1, 2), "snout": HIDDEN}})


def test_names_can_change_places(project, video):
    project.set_labels(video, 3, {"paw": (1, 2), "nose(tip)": (3, 4)}, GREY)
    project.set_keypoints(KEYPOINTS, {"paw": "nose(tip)", "nose(tip)": "paw"})
    assert_same(again(project).labels(video), {3: {"nose(tip)": (1, 2), "paw": (3, 4)}})


def test_labels_of_a_keypoint_that_goes_are_put_aside(project, video):
    project.set_labels(video, 3, {"paw": (1, 2), "nose(tip)": (3, 4)}, GREY)
    project.set_labels(video, 5, {"paw": (7, 8)}, GREY)
    project.set_keypoints(("nose(tip)",))
    opened = again(project)
    assert opened.keypoints == ("nose(tip)",)
    assert_same(opened.labels(video), {3: {"nose(tip)": (3, 4)}})
    aside = project.folder / "labeled-data" / "mouse" / "removed-paw.csv"
    assert aside.read_text().split() == ["frame,x,y", "3,1.000,2.000", "5,7.000,8.000"]


@pytest.mark.parametrize("names", [(), ("paw", "paw"), ("a/b",), (" ",), ("a,b",)])
def test_keypoints_need_a_name_each(tmp_path, project, names):
    with pytest.raises(ValueError, match=r"Expected a name for each keypoint|expected a folder"):
        LabelProject(tmp_path / "new", names)
    with pytest.raises(ValueError, match="Expected a name for each keypoint"):
        project.set_keypoints(names)
    assert project.keypoints == KEYPOINTS


# -- what is not a project ----------------------------------------------------------------------


def test_a_folder_without_a_project_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"nothing: expected a folder with project\.json"):
        LabelProject(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"kind": "other"}', '{"kind": "napari-facemap labels"}']
)
def test_a_damaged_description_is_named(project, content):
    (project.folder / "project.json").write_text(content)
    with pytest.raises(ValueError, match=r"project\.json: expected the description"):
        again(project)


@pytest.mark.parametrize(
    "row", ["labeled-data,mouse,img.png,1,2", "labeled-data,mouse,img1.png,a,2"]
)
def test_a_damaged_table_is_named_with_its_line(project, video, row):
    project.set_labels(video, 3, {"paw": (1, 2)}, GREY)
    table = project.folder / "labeled-data" / "mouse" / "CollectedData_facemap.csv"
    table.write_text(table.read_text() + row + "\n")
    with pytest.raises(ValueError, match=r"CollectedData_facemap\.csv, line 5: expected"):
        again(project)


def test_every_file_is_written_under_another_name_first(project, video, monkeypatch):
    replaced = []
    move = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: (replaced.append(b.name), move(a, b)))
    project.set_labels(video, 3, {"paw": (1, 2)}, GREY)
    assert replaced == ["img00000003.png", "hidden.csv", "CollectedData_facemap.csv"]
    folder = project.folder / "labeled-data" / "mouse"
    assert {path.name for path in folder.iterdir()} == set(replaced)


def test_the_description_is_plain(project, video):
    content = json.loads((project.folder / "project.json").read_text())
    assert content["keypoints"] == list(KEYPOINTS)
    assert list(content["videos"]) == ["mouse"]


# -- nothing is lost ------------------------------------------------------------------------------


def test_labels_put_aside_are_never_overwritten(project, video):
    project.set_keypoints((*KEYPOINTS, "a b", "a_b"))
    project.set_labels(video, 3, {"paw": (1, 2), "a b": (3, 4), "a_b": (5, 6)}, GREY)
    project.set_keypoints(("nose(tip)",))
    project.set_keypoints(("nose(tip)", "paw"))
    project.set_labels(video, 4, {"paw": (7, 8)}, GREY)
    project.set_keypoints(("nose(tip)",))
    folder = project.folder / "labeled-data" / "mouse"
    aside = {path.name: path.read_text().split()[1:] for path in folder.glob("removed-*.csv")}
    assert aside == {
        "removed-paw.csv": ["3,1.000,2.000"],
        "removed-paw-2.csv": ["4,7.000,8.000"],
        "removed-a_b.csv": ["3,3.000,4.000"],
        "removed-a_b-2.csv": ["3,5.000,6.000"],
    }


def test_a_project_of_deeplabcut_is_not_made_ours(tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("Task: theirs\n")
    with pytest.raises(ValueError, match=r"config\.yaml: expected a folder without a project"):
        LabelProject(tmp_path, KEYPOINTS)
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]
    assert config.read_text() == "Task: theirs\n"


def test_what_deeplabcut_adds_to_its_config_stays_until_the_skeleton_changes(project, video):
    config = project.folder / "config.yaml"
    config.write_text(config.read_text() + "video_sets: {}\n")
    project.set_to_label(video, [3])
    assert config.read_text().endswith("video_sets: {}\n")
    project.set_keypoints(("snout",))
    assert config.read_text().endswith('- "snout"\n')


def test_two_windows_do_not_take_away_each_others_videos_and_keypoints(project, video, tmp_path):
    other = again(project)
    second = project.add_video(tmp_path / "second.mp4")
    project.set_keypoints((*KEYPOINTS, "ear"))
    project.set_labels(second, 3, {"ear": (1, 2)}, GREY)
    project.set_labels(video, 3, {"ear": (3, 4)}, GREY)
    other.set_to_label(video, [5])
    assert other.labels(second) == {3: {"ear": (1, 2)}}
    project.set_keypoints((*KEYPOINTS, "ear", "chin"))
    other.set_labels(video, 4, {"paw": (5, 6)}, GREY)
    other.set_keypoints((*KEYPOINTS, "ear", "chin", "cheek"))
    opened = again(project)
    assert list(opened.videos) == ["mouse", "second"]
    assert opened.to_label(video) == [5]
    assert opened.keypoints == (*KEYPOINTS, "ear", "chin", "cheek")
    assert_same(opened.labels(second), {3: {"ear": (1, 2)}})
    assert_same(opened.labels(video), {3: {"ear": (3, 4)}, 4: {"paw": (5, 6)}})


def test_a_skeleton_keeps_keypoints_that_another_window_added_meanwhile(project, video):
    other = again(project)
    project.set_keypoints((*KEYPOINTS, "ear"))
    project.set_labels(video, 3, {"ear": (1, 2)}, GREY)
    other.set_keypoints(("eye(back)", "nose(tip)", "hand"), {"paw": "hand"})
    opened = again(project)
    assert opened.keypoints == ("eye(back)", "nose(tip)", "hand", "ear")
    assert_same(opened.labels(video), {3: {"ear": (1, 2)}})


def test_a_disk_that_is_full_while_renaming_leaves_names_and_labels(project, video, monkeypatch):
    project.set_labels(video, 3, {"paw": (1, 2)}, GREY)

    def full(*_):
        raise OSError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(label_project, "write_description", full)
        with pytest.raises(OSError, match="disk full"):
            project.set_keypoints(("hand",), {"paw": "hand"})
    assert project.keypoints == KEYPOINTS
    project.set_labels(video, 4, {"paw": (3, 4)}, GREY)
    assert_same(again(project).labels(video), {3: {"paw": (1, 2)}, 4: {"paw": (3, 4)}})


def test_a_crash_while_renaming_again_loses_no_label(project, video, monkeypatch):
    project.set_labels(video, 3, {"paw": (1, 2), "nose(tip)": HIDDEN}, GREY)
    renamed = {"nose(tip)": "snout", "paw": "hand"}
    project.set_keypoints(("snout", "hand"), renamed)

    def crash(self, video):
        raise OSError("killed")

    monkeypatch.setattr(LabelProject, "_write_labels", crash)
    with pytest.raises(OSError, match="killed"):
        project.set_keypoints(("tip", "fist"), {"snout": "tip", "hand": "fist"})
    assert_same(again(project).labels(video), {3: {"fist": (1, 2), "tip": HIDDEN}})


@pytest.mark.parametrize(
    ("file", "name"), [("MOUSE.mp4", "MOUSE-2"), ("mouse..mp4", "mouse-2"), ("...mp4", "video")]
)
def test_videos_have_folders_of_their_own_on_every_system(project, video, tmp_path, file, name):
    assert project.add_video(tmp_path / "other" / file) == name
    assert list(again(project).videos) == ["mouse", name]


def test_a_description_does_not_lead_out_of_the_project(project, video):
    path = project.folder / "project.json"
    path.write_text(path.read_text().replace('"mouse"', '"../../mouse"'))
    with pytest.raises(ValueError, match=r"project\.json: .*'\.\./\.\./mouse', which is no name"):
        again(project)


def test_a_name_that_was_taken_back_has_no_other_origin(project):
    project.set_keypoints(("eye(back)", "nose(tip)", "hand"), {"paw": "hand"})
    project.set_keypoints(KEYPOINTS, {"hand": "paw"})
    assert project.origin == {}


def test_a_folder_may_have_any_name(tmp_path):
    project = LabelProject(tmp_path / "50%d [x] ü", KEYPOINTS)
    video = project.add_video("mouse.mp4")
    project.set_labels(video, 3, {"paw": (1, 2)}, GREY)
    np.testing.assert_array_equal(again(project).picture(video, 3), GREY)


@pytest.mark.parametrize("nothing", ["nan", "NaN", "inf"])
def test_a_place_that_is_no_place_is_not_taken_for_hidden(project, video, nothing):
    project.set_labels(video, 3, {"paw": (1, 2)}, GREY)
    table = project.folder / "labeled-data" / "mouse" / "CollectedData_facemap.csv"
    row = f"labeled-data,mouse,img4.png,{nothing},{nothing},5,6,,"
    table.write_text(table.read_text() + row + "\n")
    assert again(project).labels(video)[4] == {"nose(tip)": (5, 6)}
