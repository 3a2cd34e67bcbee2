from __future__ import annotations

import gc
import subprocess
import sys
import textwrap
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_facemap.files import label_project
from napari_facemap.files.label_project import LabelProject
from napari_facemap.viewer.keypoint_layer import layer_data
from napari_facemap.viewer.keys import KEYS, LABEL_KEYS
from napari_facemap.viewer.placing import NEXT_FRAME, STAY
from napari_facemap.viewer.project_video import name_in
from napari_facemap.viewer.session import session_of

OURS = ("eye(top)", "nose(tip)", "tongue")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "project"


@pytest.fixture
def video(viewer, add_video):
    layer = add_video(viewer)
    viewer.dims.set_current_step(0, 0)
    return layer


@pytest.fixture
def labelling(viewer, video, folder):
    """A project on a video on which nothing is tracked."""
    labelling = session_of(viewer).labelling
    labelling.open_project(folder, OURS)
    labelling.use_video(video)
    return labelling


def on_disk(folder):
    return LabelProject(folder).labels("video")


def click(labelling, x, y):
    """What napari does with a click in add mode."""
    labelling.keypoints.layer.add((y, x))


def test_clicks_place_one_keypoint_after_the_other(labelling, folder):
    keypoints = labelling.keypoints
    assert keypoints.placing.current == "eye(top)"
    for x in (10, 20, 30):
        click(labelling, x, 5)
    assert on_disk(folder) == {
        0: {"eye(top)": (10, 5), "nose(tip)": (20, 5), "tongue": (30, 5)},
    }
    # All are placed: another click moves the current one.
    click(labelling, 33, 6)
    assert on_disk(folder)[0]["tongue"] == (33, 6)
    assert len(keypoints.layer.data) == 3
    assert keypoints.layer.shown.all()


def test_a_chosen_keypoint_is_placed_and_the_next_without_label_follows(labelling, folder):
    placing = labelling.keypoints.placing
    placing.choose("tongue")
    click(labelling, 7, 8)
    assert placing.current == "eye(top)"
    placing.hide()
    assert placing.current == "nose(tip)"
    labels = on_disk(folder)[0]
    assert labels["tongue"] == (7, 8)
    assert np.isnan(labels["eye(top)"]).all()


def test_one_keypoint_over_the_frames_of_the_list(viewer, labelling, folder):
    labelling.frames.set([0, 40, 70])
    placing = labelling.keypoints.placing
    placing.set_after(NEXT_FRAME)
    placing.choose("nose(tip)")
    for x in (1, 2, 3):
        click(labelling, x, 9)
    assert {f: p["nose(tip)"][0] for f, p in on_disk(folder).items()} == {0: 1, 40: 2, 70: 3}
    assert placing.current == "nose(tip)"
    placing.set_after(STAY)
    click(labelling, 5, 9)
    assert (labelling.keypoints.frame, placing.current) == (70, "nose(tip)")


def test_a_new_keypoint_is_placed_in_labelled_frames_that_were_not_suggested_too(labelling):
    labelling.frames.go_to(30)
    click(labelling, 4, 4)
    labelling.frames.set([0, 70])
    labelling.frames.go_to(0)
    placing = labelling.keypoints.placing
    placing.set_after(NEXT_FRAME)
    placing.choose("tongue")
    frames = []
    for x in (1, 2):
        click(labelling, x, 9)
        frames.append(labelling.keypoints.frame)
    assert frames == [30, 70]


def test_without_a_list_the_next_frame_follows(labelling):
    labelling.keypoints.placing.set_after(NEXT_FRAME)
    click(labelling, 4, 4)
    assert labelling.keypoints.frame == 1
    labelling.frames.go_to(99)
    click(labelling, 4, 4)
    assert labelling.keypoints.frame == 99


def test_the_picture_of_a_labelled_frame_is_kept(viewer, folder):
    frames = np.random.default_rng(0).integers(0, 255, (9, 20, 30), np.uint8)
    video = viewer.add_image(frames, name="video")
    labelling = session_of(viewer).labelling
    labelling.open_project(folder, ("a",))
    labelling.use_video(video)
    labelling.frames.go_to(7)
    click(labelling, 3, 4)
    (face,) = LabelProject(folder).faces()
    np.testing.assert_array_equal(face.image, frames[7])


def test_drag_delete_restore_undo_and_redo_are_on_disk(viewer, labelling, folder):
    layer = labelling.keypoints.layer
    for x in (10, 20):
        click(labelling, x, 5)
    layer.data[0] = (8, 11)
    layer.events.data(value=layer.data, action="changed", data_indices=(0,), vertex_indices=((),))
    assert on_disk(folder)[0]["eye(top)"] == (11, 8)
    layer.selected_data = {1}
    layer.remove_selected()
    assert np.isnan(on_disk(folder)[0]["nose(tip)"]).all()
    viewer.dims.set_current_step(0, 50)
    for _ in range(3):
        labelling.keypoints.undo()
    assert on_disk(folder) == {0: {"eye(top)": (10, 5)}}
    assert labelling.keypoints.frame == 0
    labelling.keypoints.undo()
    assert on_disk(folder) == {}
    labelling.keypoints.redo()
    labelling.keypoints.redo()
    assert on_disk(folder) == {0: {"eye(top)": (10, 5), "nose(tip)": (20, 5)}}
    layer.selected_data = {0}
    labelling.keypoints.restore()
    assert on_disk(folder) == {0: {"nose(tip)": (20, 5)}}


def test_labels_come_back_when_a_project_is_opened_again(viewer, labelling, folder):
    click(labelling, 10, 5)
    labelling.keypoints.placing.hide()
    labelling.frames.set([3, 9])
    viewer.layers.remove(labelling.keypoints.layer)
    assert labelling.keypoints is None
    labelling.close()
    labelling.open_project(folder)
    points = labelling.keypoints.store.frame(0)
    assert points.edited.tolist() == [True, True, False]
    np.testing.assert_allclose(points.position[0], (10, 5))
    assert np.isnan(points.position[1]).all()
    assert labelling.frames.to_label == [3, 9]
    assert labelling.frames.listed == [0, 3, 9]
    # What was loaded is no correction that undo takes back.
    labelling.keypoints.undo()
    assert on_disk(folder)[0]["eye(top)"] == (10, 5)


def test_predictions_never_get_into_the_project(viewer, video, make_store, folder):
    session = session_of(viewer)
    tracked = session.add_keypoints(layer_data(make_store()))
    session.labelling.open_project(folder, OURS)
    session.labelling.use_video(video)
    assert session.labelling.keypoints is tracked
    assert set(OURS) <= set(tracked.names)  # "tongue" was added
    assert not on_disk(folder)
    viewer.dims.set_current_step(0, 8)
    tracked.store.place(8, {"nose(tip)": (50, 51)})
    tracked.after_edit()
    assert on_disk(folder) == {8: {"nose(tip)": (50, 51)}}
    # A person looked at all of them.
    tracked.placing.accept()
    labels = on_disk(folder)[8]
    assert sorted(labels) == ["eye(top)", "nose(tip)"]
    np.testing.assert_allclose(labels["eye(top)"], (0.8, 20), atol=1e-3)


def test_a_keypoint_that_is_not_the_projects_is_a_correction_only(
    viewer, video, make_store, folder
):
    session = session_of(viewer)
    tracked = session.add_keypoints(layer_data(make_store()))
    session.labelling.open_project(folder, OURS)
    session.labelling.use_video(video)
    tracked.store.place(0, {"paw": (1, 2)})
    tracked.after_edit()
    assert on_disk(folder) == {}
    tracked.store.place(0, {"nose(tip)": (1, 2)})
    tracked.after_edit()
    assert on_disk(folder) == {0: {"nose(tip)": (1, 2)}}
    # It stays when the project is opened again on the same layer.
    session.labelling.close()
    session.labelling.open_project(folder)
    assert tracked.store.frame(0).edited[tracked.names.index("paw")]


def test_an_accepted_range_is_no_label_until_a_person_touches_the_frame(
    viewer, video, make_store, folder
):
    session = session_of(viewer)
    tracked = session.add_keypoints(layer_data(make_store()))
    labelling = session.labelling
    labelling.open_project(folder, OURS)
    labelling.use_video(video)
    frames, place = range(10, 20), np.full((10, 2, 1), 30.0)
    tracked.store.propose(frames, ["nose(tip)"], place, np.ones((10, 1)))
    tracked.store.accept()
    tracked.edited.emit()
    assert on_disk(folder) == {}
    assert labelling.unlabelled_corrections() == list(frames)
    tracked.undo()
    tracked.redo()
    assert on_disk(folder) == {}
    viewer.dims.set_current_step(0, 12)
    tracked.placing.choose("eye(top)")
    click(labelling, 3, 3)
    assert on_disk(folder) == {12: {"eye(top)": (3, 3), "nose(tip)": (30, 30)}}
    assert labelling.add_corrected() == 9
    assert sorted(on_disk(folder)) == list(frames)
    assert labelling.unlabelled_corrections() == []


def test_accepted_points_of_a_labelled_frame_can_become_labels(labelling, folder):
    click(labelling, 10, 5)
    keypoints = labelling.keypoints
    keypoints.store.propose([0], ["tongue"], np.full((1, 2, 1), 30.0), np.ones((1, 1)))
    keypoints.store.accept()
    keypoints.edited.emit()
    assert on_disk(folder) == {0: {"eye(top)": (10, 5)}}
    assert labelling.unlabelled_corrections() == [0]
    labelling.add_corrected()
    assert on_disk(folder) == {0: {"eye(top)": (10, 5), "tongue": (30, 30)}}


def test_the_project_wins_and_says_so(viewer, labelling, folder, make_store, monkeypatch):
    click(labelling, 10, 5)
    viewer.layers.remove(labelling.keypoints.layer)
    said = []
    monkeypatch.setattr("napari_facemap.viewer.labelling.show_warning", said.append)
    store = make_store()
    store.place(0, {"eye(top)": (70, 50), "paw": (1, 2)})
    store.place(3, {"eye(top)": (70, 50)})
    keypoints = session_of(viewer).add_keypoints(layer_data(store, "other"))
    assert labelling.keypoints is keypoints  # taken up, as there was none
    np.testing.assert_allclose(keypoints.store.frame(0).position[0], (10, 5))
    np.testing.assert_allclose(keypoints.store.frame(3).position[0], (70, 50))
    # Of what the project does not know nothing is replaced.
    paw = keypoints.names.index("paw")
    assert keypoints.store.frame(0).edited[paw]
    np.testing.assert_allclose(keypoints.store.frame(0).position[paw], (1, 2))
    assert len(said) == 1
    assert "'other'" in said[0]
    table = folder / "labeled-data" / "video" / "replaced.csv"
    assert str(table) in said[0]
    assert table.read_text().split()[1:] == ["0,eye(top),70.000,50.000"]
    assert on_disk(folder) == {0: {"eye(top)": (10, 5)}}


def test_tracking_again_keeps_labels_and_the_projects_keypoints(labelling, make_store, folder):
    click(labelling, 10, 5)
    poses = make_store().to_poses()
    labelling.keypoints.set_store(labelling.keypoints.store.with_predictions(poses))
    store = labelling.keypoints.store
    assert "tongue" in store.keypoints
    np.testing.assert_allclose(store.frame(0).position[store.keypoints.index("eye(top)")], (10, 5))
    labelling.keypoints.placing.choose("tongue")
    click(labelling, 1, 2)
    assert on_disk(folder)[0]["tongue"] == (1, 2)


def test_two_videos_of_different_sizes(viewer, labelling, add_video, folder):
    first = labelling.keypoints
    click(labelling, 10, 5)
    other = add_video(viewer, n_frames=40, shape=(200, 300))
    other.name = "other"
    labelling.use_video(other)
    assert labelling.keypoints is not first
    viewer.dims.set_point(0, 4 / 50)
    click(labelling, 250, 150)
    project = LabelProject(folder)
    assert project.labels("other") == {4: {"eye(top)": (250, 150)}}
    assert project.labels("video") == {0: {"eye(top)": (10, 5)}}
    assert [face.image.shape for face in project.faces()] == [(200, 300), (60, 80)]
    labelling.use_video(viewer.layers["video"])
    assert labelling.keypoints is first
    # What is done to the layer of another video is no label of this one.
    second = session_of(viewer).keypoint_layers[1]
    second.store.place(0, {"nose(tip)": (2, 2)})
    second.after_edit()
    assert LabelProject(folder).labels("video") == {0: {"eye(top)": (10, 5)}}


def test_the_video_is_removed_and_comes_back(viewer, labelling, add_video, folder):
    click(labelling, 10, 5)
    viewer.layers.remove("video")
    assert labelling.video is None
    assert labelling.keypoints is None
    labelling.use_video(add_video(viewer))
    viewer.dims.set_current_step(0, 2)
    click(labelling, 11, 5)
    assert sorted(on_disk(folder)) == [0, 2]


def test_a_duplicate_of_the_layer_labels_nothing(viewer, labelling, folder):
    from napari.layers import Layer

    click(labelling, 10, 5)
    data, attributes, kind = labelling.keypoints.layer.as_layer_data_tuple()
    twin = viewer.add_layer(Layer.create(data.copy(), attributes, kind))
    other = session_of(viewer).keypoints_of(twin)
    other.store.place(0, {"eye(top)": (1, 1)})
    other.after_edit()
    assert on_disk(folder) == {0: {"eye(top)": (10, 5)}}
    click(labelling, 20, 5)
    assert set(on_disk(folder)[0]) == {"eye(top)", "nose(tip)"}


def test_a_moved_video_keeps_its_labels(viewer, tmp_path, folder):
    from napari_facemap.video.video import open_video
    from napari_facemap.video.write import write_video
    from napari_facemap.viewer.readers import video_layer_data

    def written(name, seed):
        path = tmp_path / name / "mouse.mp4"
        path.parent.mkdir()
        rng = np.random.default_rng(seed)
        write_video(path, rng.integers(0, 255, (12, 48, 64), np.uint8), 25.0)
        return path

    def opened(path):
        video = open_video(path)
        data, attributes, _ = video_layer_data(video)
        return video, viewer.add_image(data, **attributes)

    path = written("first", 0)
    labelling = session_of(viewer).labelling
    labelling.open_project(folder, ("a",))
    video, layer = opened(path)
    labelling.use_video(layer)
    labelling.frames.go_to(5)
    click(labelling, 9, 9)
    video.close()
    viewer.layers.clear()
    # Another recording whose file has the same name is another video,
    path.rename(tmp_path / "second.mp4")
    video, layer = opened(written("other", 1))
    labelling.use_video(layer)
    assert labelling.video_name == "mouse-2"
    video.close()
    viewer.layers.clear()
    # but the same one in another folder is not.
    (tmp_path / "third").mkdir()
    moved = (tmp_path / "second.mp4").rename(tmp_path / "third" / "mouse.mp4")
    video, layer = opened(moved)
    labelling.use_video(layer)
    assert labelling.video_name == "mouse"
    assert labelling.labelled == [5]
    assert labelling.project.videos["mouse"] == moved.resolve()
    video.close()


def test_two_files_of_one_name_are_two_videos(tmp_path):
    project = LabelProject(tmp_path / "project", ("a",))
    names = []
    for folder, size in (("first", 10), ("second", 20)):
        path = tmp_path / folder / "mouse.mp4"
        path.parent.mkdir()
        path.write_bytes(bytes(size))
        names.append(name_in(project, None, SimpleNamespace(path=path)))
    assert names == ["mouse", "mouse-2"]


def test_pictures_that_came_from_no_file_are_told_apart(folder):
    """Their layers often have one name: that of a variable, or what somebody calls each."""
    names = {}
    for value in (10, 200, 10):
        viewer = ViewerModel()
        video = viewer.add_image(np.full((9, 20, 30), value, np.uint8), name="video")
        labelling = session_of(viewer).labelling
        labelling.open_project(folder, ("a",))
        labelling.use_video(video)
        names.setdefault(value, []).append((labelling.video_name, labelling.labelled))
        labelling.frames.go_to(4)
        click(labelling, 3, 5)
        labelling.close()
    assert names == {10: [("video", []), ("video", [4])], 200: [("video-2", [])]}


def test_what_cannot_be_written_is_kept_and_said(labelling, folder, monkeypatch):
    def full(*_):
        raise OSError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(label_project, "_write_rows", full)
        click(labelling, 10, 5)
        assert "no space left" in labelling.problem
        assert labelling.keypoints.store.frame(0).edited[0]
    labelling.keypoints.clock.go_to_frame(4)
    click(labelling, 20, 5)
    assert labelling.problem == ""
    assert sorted(on_disk(folder)) == [0, 4]


def test_of_many_frames_that_cannot_be_written_none_is_forgotten(labelling, folder, monkeypatch):
    def full(*_):
        raise OSError("no space left on device")

    store = labelling.keypoints.store
    for frame in (2, 5, 8):
        store.place(frame, {"tongue": (frame, 1)})
    with monkeypatch.context() as patched:
        patched.setattr(label_project, "_write_rows", full)
        labelling.add_corrected()
        assert "Labels of 3 frames are not saved" in labelling.problem
    labelling.retry()
    assert sorted(on_disk(folder)) == [2, 5, 8]


def test_a_frame_that_cannot_be_written_does_not_hold_up_others(labelling, folder, monkeypatch):
    write = LabelProject.set_labels

    def damaged(project, video, frame, *rest):
        if frame == 0:
            raise ValueError("frame 0 does not decode")
        write(project, video, frame, *rest)

    monkeypatch.setattr(LabelProject, "set_labels", damaged)
    click(labelling, 10, 5)
    labelling.frames.go_to(4)
    click(labelling, 20, 5)
    assert sorted(on_disk(folder)) == [4]
    assert "frame 0 does not decode" in labelling.problem


def test_a_list_that_is_not_saved_stays_a_problem(labelling, folder, monkeypatch):
    def full(*_):
        raise OSError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(label_project, "write_description", full)
        labelling.frames.set([7])
        labelling.retry()
        assert "list of frames is not saved" in labelling.problem
    labelling.retry()
    assert labelling.problem == ""
    assert LabelProject(folder).to_label("video") == [7]


def test_a_layer_that_is_made_for_labels_is_listened_to_once(
    viewer, labelling, add_video, folder, monkeypatch
):
    written = []
    write = LabelProject.set_labels
    monkeypatch.setattr(
        LabelProject, "set_labels", lambda *given: (written.append(given[2]), write(*given))
    )
    click(labelling, 10, 5)
    assert written == [0]
    # Nor is a layer of another video listened to any more.
    first = labelling.keypoints
    labelling.use_video(add_video(viewer, n_frames=40))
    labelling.keypoints.store.place(3, {"tongue": (9, 9)})  # as when a range was accepted
    first.store.place(3, {"tongue": (1, 1)})
    first.touched.emit((3,))
    assert written == [0]


def test_labels_beyond_the_end_of_the_video_stay(labelling, folder, monkeypatch):
    said = []
    monkeypatch.setattr("napari_facemap.viewer.labelling.show_warning", said.append)
    click(labelling, 10, 5)
    labelling.project.set_labels("video", 500, {"tongue": (1, 2)}, np.zeros((60, 80), np.uint8))
    labelling.unlabel([0, 500])
    assert on_disk(folder) == {500: {"tongue": (1, 2)}}
    assert "500" in said[0]


def test_a_keypoint_takes_the_name_of_one_that_is_tracked(viewer, video, make_store, folder):
    session = session_of(viewer)
    tracked = session.add_keypoints(layer_data(make_store()))
    labelling = session.labelling
    labelling.open_project(folder, ("snout", "tongue"))
    labelling.use_video(video)
    tracked.store.place(0, {"paw": (2, 2)})
    click(labelling, 44, 7)
    labelling.keypoints.placing.choose("tongue")
    click(labelling, 1, 1)
    labelling.set_keypoints(("nose(tip)", "tongue"), {"snout": "nose(tip)"})
    assert "snout" not in tracked.names
    assert len(set(tracked.names)) == len(tracked.names)
    nose = tracked.names.index("nose(tip)")
    points = tracked.store.frame(0)
    np.testing.assert_allclose(points.position[nose], (44, 7))
    assert points.edited[[nose, tracked.names.index("paw")]].all()
    np.testing.assert_allclose(tracked.store.frame(9).position[nose], (20.9, 22), atol=1e-3)
    # Further labels of the frame leave it as it is.
    click(labelling, 5, 6)
    assert on_disk(folder) == {0: {"nose(tip)": (44, 7), "tongue": (5, 6)}}


def test_names_that_are_not_saved_are_the_layers_all_the_same(labelling, folder, monkeypatch):
    def full(*_):
        raise OSError("no space left on device")

    for x in (10, 20):
        click(labelling, x, 5)
    with monkeypatch.context() as patched:
        patched.setattr(label_project, "_write_rows", full)
        with pytest.raises(OSError, match="no space"):
            labelling.set_keypoints(("eye(top)", "snout", "tongue"), {"nose(tip)": "snout"})
    click(labelling, 30, 5)
    assert on_disk(folder)[0] == {"eye(top)": (10, 5), "snout": (20, 5), "tongue": (30, 5)}


def test_a_video_that_cannot_be_taken_up_is_not_labelled(
    viewer, labelling, add_video, make_store, monkeypatch
):
    def damaged(*_):
        raise ValueError("img00000004.png: damaged")

    other = add_video(viewer, n_frames=40)
    with monkeypatch.context() as patched:
        patched.setattr("napari_facemap.viewer.labelling.name_in", damaged)
        with pytest.raises(ValueError, match="damaged"):
            labelling.use_video(other)
        session_of(viewer).add_keypoints(layer_data(make_store(40)))
        assert labelling.keypoints is None
    labelling.use_video(other)
    assert labelling.keypoints is not None


def test_skeleton_changes_reach_layer_and_project(viewer, labelling, folder):
    for x in (10, 20, 30):
        click(labelling, x, 5)
    labelling.set_keypoints(
        ("eye(top)", "snout", "paw(left)"), {"nose(tip)": "snout"}
    )  # and "tongue" is gone
    assert labelling.keypoints.names == ("eye(top)", "snout", "paw(left)")
    assert on_disk(folder) == {0: {"eye(top)": (10, 5), "snout": (20, 5)}}
    assert LabelProject(folder).origin == {"snout": "nose(tip)"}
    assert (folder / "labeled-data" / "video" / "removed-tongue.csv").is_file()
    np.testing.assert_allclose(labelling.keypoints.store.frame(0).position[1], (20, 5))
    labelling.keypoints.placing.choose("paw(left)")
    click(labelling, 3, 3)
    assert on_disk(folder)[0]["paw(left)"] == (3, 3)


def test_a_removed_keypoint_that_is_tracked_stays_in_the_layer(viewer, video, make_store, folder):
    session = session_of(viewer)
    tracked = session.add_keypoints(layer_data(make_store()))
    session.labelling.open_project(folder, tracked.names)
    session.labelling.use_video(video)
    session.labelling.set_keypoints(tracked.names[1:])
    assert tracked.names[0] == "eye(top)"
    assert "eye(top)" not in LabelProject(folder).keypoints
    assert tracked.placing.current in LabelProject(folder).keypoints


def test_copying_fills_what_has_no_label(viewer, labelling, folder):
    for x in (10, 20):
        click(labelling, x, 5)
    labelling.keypoints.placing.hide()
    labelling.frames.go_to(30)
    labelling.keypoints.placing.choose("nose(tip)")
    click(labelling, 44, 7)
    labelling.keypoints.placing.copy_labelled()
    labels = on_disk(folder)[30]
    assert (labels["eye(top)"], labels["nose(tip)"]) == ((10, 5), (44, 7))
    assert np.isnan(labels["tongue"]).all()
    labelling.keypoints.undo()  # one step
    assert on_disk(folder)[30] == {"nose(tip)": (44, 7)}
    labelling.frames.go_to(1)
    labelling.keypoints.placing.copy_before()
    assert on_disk(folder)[1] == {"eye(top)": (10, 5), "nose(tip)": (20, 5)}


def test_keys_step_through_the_list(viewer, labelling):
    labelling.frames.set([10, 20, 30])
    by_text = {
        str(binding): function for binding, function in labelling.keypoints.layer.keymap.items()
    }
    layer = labelling.keypoints.layer
    by_text["L"](layer)
    assert labelling.keypoints.frame == 10
    click(labelling, 1, 1)
    by_text["F"](layer)  # off the list, but labelled
    assert labelling.frames.to_label == [20, 30]
    assert labelling.frames.listed == [10, 20, 30]
    by_text["L"](layer)
    click(labelling, 1, 1)
    labelling.frames.go_to(0)
    by_text["U"](layer)
    assert labelling.keypoints.frame == 30
    by_text["Shift+L"](layer)
    assert labelling.keypoints.frame == 20
    by_text["Down"](layer)
    by_text["M"](layer)
    assert labelling.keypoints.placing.after == NEXT_FRAME


def test_going_to_a_frame_begins_with_its_first_missing_keypoint(labelling):
    click(labelling, 1, 1)
    labelling.frames.go_to(5)
    assert labelling.keypoints.placing.current == "eye(top)"
    labelling.frames.go_to(0)
    assert labelling.keypoints.placing.current == "nose(tip)"


def test_taking_labels_out_can_be_undone(labelling, folder):
    click(labelling, 1, 1)
    labelling.frames.set([0, 4])
    labelling.unlabel([0])
    assert on_disk(folder) == {}
    assert labelling.frames.to_label == [4]
    labelling.keypoints.undo()
    assert on_disk(folder) == {0: {"eye(top)": (1, 1)}}


def test_taking_out_labels_of_many_frames_is_one_step(labelling, folder):
    for frame in (0, 3, 6):
        labelling.frames.go_to(frame)
        click(labelling, 1, 1)
    labelling.unlabel([0, 3, 6])
    assert on_disk(folder) == {}
    labelling.keypoints.undo()
    assert sorted(on_disk(folder)) == [0, 3, 6]


def test_labelling_ends_with_its_viewer(folder):
    viewer = ViewerModel()
    labelling = session_of(viewer).labelling
    labelling.open_project(folder, OURS)
    # With a name: to find one, napari looks at this function's variables, and keeps them.
    labelling.use_video(viewer.add_image(np.zeros((4, 20, 30), np.uint8), name="video"))
    left = weakref.ref(labelling)
    del viewer, labelling
    gc.collect()
    assert left() is None


def test_keys_are_let_go_of_with_the_project(labelling):
    layer = labelling.keypoints.layer
    labelling.close()
    bound = {str(binding) for binding in layer.keymap}
    assert not {"L", "U", "F"} & bound
    assert {"N", "K"} <= bound


def test_no_key_is_one_of_naparis_own():
    from napari.utils.shortcuts import default_shortcuts

    taken = {
        str(binding).replace("Control", "Ctrl").lower()
        for action, bindings in default_shortcuts.items()
        if not any(other in action for other in ("labels", "shape", "_label", "polygon", "vector"))
        and not any(other in action for other in ("add_", "brush", "plane", "contrast", "vertex"))
        and not any(other in action for other in ("direct_mode", "select_mode", "reset_poly"))
        for binding in bindings
    }
    ours = [key.label.replace("↓", "down").replace("↑", "up").lower() for key in KEYS + LABEL_KEYS]
    assert len(ours) == len(set(ours))
    assert "left" in taken
    assert not taken & set(ours)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_the_process_is_killed_right_after_a_label(tmp_path):
    script = f"""
        import os, signal
        import numpy as np
        from napari.components import ViewerModel
        from napari_facemap.viewer.session import session_of

        viewer = ViewerModel()
        video = viewer.add_image(np.full((30, 20, 30), 90, np.uint8), name="video")
        labelling = session_of(viewer).labelling
        labelling.open_project({str(tmp_path / "project")!r}, ("a", "b"))
        labelling.use_video(video)
        for frame in (3, 17):
            labelling.frames.go_to(frame)
            labelling.keypoints.layer.add((frame, 10.0))
            labelling.keypoints.placing.hide()
        layer = labelling.keypoints.layer
        layer.data[0] = (1.5, 2.5)
        layer.events.data(
            value=layer.data, action="changed", data_indices=(0,), vertex_indices=((),)
        )
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], timeout=120)
    assert done.returncode < 0
    project = LabelProject(tmp_path / "project")
    labels = project.labels("video")
    assert labels[3]["a"] == (10, 3)
    assert labels[17]["a"] == (2.5, 1.5)
    assert np.isnan([labels[frame]["b"] for frame in (3, 17)]).all()
    assert len(project.faces()) == 2
