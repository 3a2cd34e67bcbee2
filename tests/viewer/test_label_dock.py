from __future__ import annotations

import csv
from types import SimpleNamespace

import numpy as np
import pytest
from qtpy.QtWidgets import QMessageBox

from napari_facemap.files.label_project import LabelProject
from napari_facemap.viewer.keypoint_layer import layer_data
from napari_facemap.viewer.label_dock import LabelDock
from napari_facemap.viewer.name_list import OWN, KeypointsDialog, names_in
from napari_facemap.viewer.review_panel import ReviewPanel
from napari_facemap.viewer.session import session_of
from napari_facemap.viewer.suggestion_panel import spread

OURS = ("paw(left)", "paw(right)", "tongue")


@pytest.fixture
def yes(monkeypatch):
    """Questions that were asked, all of them answered with yes."""
    asked = []

    def question(parent, title, text):
        asked.append(text)
        return QMessageBox.StandardButton.Yes

    monkeypatch.setattr(QMessageBox, "question", question)
    return asked


@pytest.fixture
def made(viewer, qtbot, monkeypatch):
    """Docks that were made, closed at the end."""
    from napari_facemap.keypoints import model_store, models

    # Both: imported only afterwards, the store would take the stand-in for good.
    for module in (models, model_store):
        monkeypatch.setattr(module, "list_models", list)
    docks = []

    def make():
        dock = LabelDock(viewer)
        qtbot.addWidget(dock)
        docks.append(dock)
        return dock

    yield make
    session_of(viewer).labelling.close()


@pytest.fixture
def dock(viewer, add_video, made, tmp_path):
    add_video(viewer)
    viewer.dims.set_current_step(0, 0)
    dock = made()
    dock.project.make_project(tmp_path / "mouse 7", OURS)
    return dock


def click(dock, x, y):
    dock.session.labelling.keypoints.layer.add((y, x))


def rows(dock):
    table = dock.frames.table
    return [[table.item(r, c).text() for c in range(3)] for r in range(table.rowCount())]


def states(dock):
    tree = dock.keypoints.list
    items = (tree.topLevelItem(k) for k in range(tree.topLevelItemCount()))
    return {item.text(0): item.text(1) for item in items}


def test_the_dock_says_where_labels_are_and_how_many(dock, tmp_path):
    assert "mouse 7" in dock.project.where.text()
    assert str(tmp_path) in dock.project.where.text()
    assert "0 labelled frames" in dock.project.where.text()
    click(dock, 3, 4)
    assert "1 labelled frame, 3 keypoints" in dock.project.where.text()


def test_the_list_of_frames_is_made_by_hand_and_kept(dock, viewer, tmp_path, yes):
    viewer.dims.set_current_step(0, 40)
    dock.frames.add.click()
    viewer.dims.set_current_step(0, 7)
    dock.frames.add.click()
    click(dock, 3, 4)
    assert rows(dock) == [["7", "0.14 s", "1 of 3"], ["40", "0.80 s", "–"]]
    assert "1 of 2 frames" in dock.frames.state.text()
    dock.frames.table.cellDoubleClicked.emit(1, 0)
    assert viewer.dims.current_step[0] == 40
    assert dock.frames.chosen() == [40]
    dock.frames.previous.click()
    assert viewer.dims.current_step[0] == 7
    dock.frames.next_unlabelled.click()
    assert viewer.dims.current_step[0] == 40
    dock.frames.remove.click()
    assert LabelProject(tmp_path / "mouse 7").to_label("video") == [7]
    assert yes == []  # nothing was lost
    viewer.dims.set_current_step(0, 7)
    dock.frames.remove.click()
    assert "Frame 7" in yes[0]
    assert LabelProject(tmp_path / "mouse 7").labels("video") == {}


def test_whole_frames_are_ticked(dock):
    for x in (1, 2, 3):
        click(dock, x, 4)
    assert rows(dock) == [["0", "0.00 s", "✓ 3 of 3"]]


def test_a_frame_without_a_new_keypoint_is_not_whole(
    viewer, add_video, made, make_store, tmp_path
):
    add_video(viewer)
    store = make_store()
    store.predicted.position[7, :, 4] = np.nan  # the tracker does not see the paw here
    session_of(viewer).add_keypoints(layer_data(store))
    dock = made()
    dock.project.make_project(tmp_path / "p", store.keypoints)
    dock.session.labelling.frames.go_to(7)
    dock.keypoints._buttons["accept"].click()
    assert [row[2] for row in rows(dock)] == ["✓ 4 of 5"]
    assert dock.skeleton.add_points(["cheek(upper)"])
    assert [row[2] for row in rows(dock)] == ["4 of 6"]


def test_suggestions_are_spread_where_nothing_is_tracked(dock, qtbot):
    dock.frames.wanted.setValue(4)
    dock.frames.run_row.run.click()
    assert dock.session.labelling.frames.to_label == [20, 40, 59, 79]
    assert "spread evenly" in dock.frames.run_row.text.text()
    dock.frames.wanted.setValue(3)
    dock.frames.run_row.run.click()
    listed = dock.session.labelling.frames.to_label
    assert len(listed) == 7
    assert {20, 40, 59, 79} < set(listed)


def test_suggestions_come_from_what_is_tracked(
    viewer, add_video, made, make_store, qtbot, tmp_path
):
    add_video(viewer)
    store = make_store()
    store.predicted.confidence[[30, 80]] = 0.01
    session_of(viewer).add_keypoints(layer_data(store))
    dock = made()
    dock.project.make_project(tmp_path / "p", (*store.keypoints, "tongue"))
    dock.frames.wanted.setValue(2)
    with qtbot.waitSignal(dock.frames.run_row.finished, timeout=60_000):
        dock.frames.run_row.run.click()
    assert len(dock.session.labelling.frames.to_label) == 2
    assert "unlike each other" in dock.frames.run_row.text.text()


def test_suggestions_for_a_video_that_is_no_longer_open_are_not_added(dock, viewer):
    dock.frames._for = ("another project", "video")
    dock.frames._on_suggested(([3, 4], True))
    assert dock.session.labelling.frames.to_label == []


def test_spread_takes_the_widest_gaps():
    assert spread(101, 1) == [50]
    assert spread(101, 3) == [25, 50, 75]
    assert spread(101, 2, [50]) == [24, 75]
    assert spread(2, 5) == [0, 1]
    assert spread(3, 5, [1]) == [0, 2]


def test_the_current_keypoint_is_chosen_in_the_list(dock):
    panel = dock.keypoints
    assert states(dock) == dict.fromkeys(OURS, "–")
    panel.list.setCurrentItem(panel.list.topLevelItem(2))
    click(dock, 5, 6)
    assert states(dock)["tongue"] == "● labelled"
    assert panel.list.currentItem().text(0) == "paw(left)"
    panel.place.click()
    assert dock.session.labelling.keypoints.layer.mode == "add"
    assert panel.place.isChecked()
    panel._buttons["hide"].click()
    assert states(dock)["paw(left)"] == "⊘ not visible"
    assert "2 of 3 keypoints labelled" in panel.state.text()
    dock.review._call("undo")
    assert states(dock)["paw(left)"] == "–"


def test_selecting_a_point_makes_it_the_current_one(dock):
    for x in (10, 30, 50):
        click(dock, x, 6)
    dock.keypoints.drag.click()
    layer = dock.session.labelling.keypoints.layer
    assert layer.mode == "select"
    layer.selected_data = {1}
    assert dock.keypoints.list.currentItem().text(0) == "paw(right)"


def test_what_is_hidden_is_the_keypoint_that_is_marked(dock):
    for x in (10, 30, 50):
        click(dock, x, 6)
    layer, placing = dock.session.labelling.keypoints.layer, dock.keypoints._layer.placing
    layer.selected_data = {0}  # as after a drag
    placing.next_keypoint()
    dock.keypoints._buttons["hide"].click()
    assert states(dock) == {
        "paw(left)": "● labelled", "paw(right)": "⊘ not visible", "tongue": "● labelled"
    }  # fmt: skip
    layer.selected_data = {0, 2}
    dock.keypoints._buttons["hide"].click()
    assert set(states(dock).values()) == {"⊘ not visible"}


def test_proposed_points_look_different(dock):
    keypoints = dock.session.labelling.keypoints
    keypoints.store.propose([0], ["tongue"], np.full((1, 2, 1), 9.0), np.ones((1, 1)))
    keypoints.refresh(force=True)
    keypoints.edited.emit()
    assert states(dock)["tongue"] == "◇ proposed"
    np.testing.assert_allclose(keypoints.layer.border_color[2], (1, 0.85, 0.1, 1), atol=0.01)


def test_names_and_sizes(dock):
    click(dock, 10, 6)
    keypoints = dock.session.labelling.keypoints
    dock.keypoints.names.click()
    assert list(keypoints.layer.text.values) == ["paw(left)", "", ""]
    dock.session.viewer.dims.set_current_step(0, 5)
    assert list(keypoints.layer.text.values) == ["", "", ""]
    keypoints.toggle_names()
    assert not dock.keypoints.names.isChecked()
    dock.keypoints.point_size.setValue(17)
    dock.session.viewer.dims.set_current_step(0, 0)
    assert keypoints.layer.size[0] == 17


def test_skeleton_by_groups(dock, yes):
    click(dock, 1, 1)
    panel, project = dock.skeleton, dock.session.labelling.project
    groups = [item.text(0) for item in panel._groups()]
    assert groups == ["paw", "tongue"]
    panel.add_points(["paw(tip)"], after="paw(left)")
    assert project.keypoints == ("paw(left)", "paw(tip)", "paw(right)", "tongue")
    panel.rename_group("paw", "hand")
    assert project.keypoints == ("hand(left)", "hand(tip)", "hand(right)", "tongue")
    assert project.labels("video")[0] == {"hand(left)": (1, 1)}
    assert project.origin["hand(left)"] == "paw(left)"
    assert not panel.rename_point("tongue", "hand(tip)")
    assert "each once" in panel.state.text()
    panel.tree.setCurrentItem(panel._groups()[0])
    panel.remove.click()
    assert "1 labels in 1 frames are put aside" in yes[0]
    assert project.keypoints == ("tongue",)
    assert dock.session.labelling.keypoints.names == ("tongue",)


def test_names_of_a_new_project():
    assert names_in(" a \n\nb(c)\n") == ("a", "b(c)")
    for text, message in (("", "one a line"), ("a\na", "twice"), ("a/b", "slashes")):
        with pytest.raises(ValueError, match=message):
            names_in(text)


def test_the_dialog_of_a_new_project(qtbot, tmp_path):
    dialog = KeypointsDialog("New project", {"those of layer “mine”": ("x", "y")})
    qtbot.addWidget(dialog)
    assert dialog.keypoints() == ("x", "y")
    dialog.source.setCurrentIndex(1)
    assert len(dialog.keypoints()) == 19
    dialog.source.setCurrentText(OWN)
    dialog.accept()
    assert "one a line" in dialog.message.text()
    dialog.names.setPlainText("a\nb")
    dialog.accept()
    assert "Choose a folder" in dialog.message.text()
    LabelProject(tmp_path / "old", ("a",))
    dialog.folder.setText(str(tmp_path / "old"))
    dialog.accept()
    assert "Open…" in dialog.message.text()
    assert not dialog.result()


def test_folders_that_are_no_project_say_so(dock, tmp_path):
    dock.project.open_folder(tmp_path)
    row = dock.project.run_row
    assert "project.json" in row.text.text()
    assert not row.isHidden()
    assert row.cancel.isHidden()  # nothing goes on
    dock.project.open_folder(tmp_path / "mouse 7")
    assert row.isHidden()


def test_a_deeplabcut_project_is_taken_over(viewer, made, tmp_path, yes, qtbot):
    write_deeplabcut(tmp_path / "reach")
    frames = np.zeros((20, 30, 40), np.uint8)
    viewer.add_image(frames, name="mouse3")
    dock = made()
    with qtbot.waitSignal(dock.project.run_row.finished, timeout=30_000):
        dock.project.open_folder(tmp_path / "reach")
    assert "snout, paw_L" in yes[0]
    project = dock.session.labelling.project
    assert project.folder == tmp_path / "reach-facemap"
    assert project.keypoints == ("snout", "paw_L")
    assert project.labels("mouse3") == {4: {"snout": (11, 12)}, 9: {"paw_L": (13, 14)}}
    assert dock.session.labelling.labelled == [4, 9]  # of the layer, by its name
    assert "Took over 2 labelled frames" in dock.project.run_row.text.text()


def test_an_import_that_fails_leaves_the_project_open(dock, tmp_path, qtbot):
    project = dock.session.labelling.project
    write_deeplabcut(tmp_path / "reach")
    for table in (tmp_path / "reach").rglob("CollectedData_*"):
        table.write_text("nothing of the kind")
    with qtbot.waitSignal(dock.project.run_row.busy, check_params_cb=_is_over, timeout=30_000):
        dock.project.start_import(tmp_path / "reach")
    assert dock.session.labelling.project.folder == project.folder
    assert dock.session.labelling.keypoints is not None
    assert "CollectedData" in dock.project.run_row.text.text()


def _is_over(busy):
    return not busy


def write_deeplabcut(folder):
    from napari_facemap.files.label_pictures import write_picture

    pictures = folder / "labeled-data" / "mouse3"
    pictures.mkdir(parents=True)
    (folder / "config.yaml").write_text("scorer: me\n")
    table = [
        ["scorer", *["me"] * 4],
        ["bodyparts", "snout", "snout", "paw_L", "paw_L"],
        ["coords", "x", "y", "x", "y"],
        ["labeled-data/mouse3/img04.png", 11, 12, "", ""],
        ["labeled-data/mouse3/img09.png", "", "", 13, 14],
    ]
    with (pictures / "CollectedData_me.csv").open("w", newline="") as file:
        csv.writer(file).writerows(table)
    for name in ("img04.png", "img09.png"):
        write_picture(pictures / name, np.zeros((30, 40), np.uint8))


def test_the_dock_is_closed_and_opened_again(dock, made, viewer):
    click(dock, 3, 4)
    dock.close()
    click(dock, 5, 6)  # labelling goes on
    assert len(dock.session.labelling.labelled) == 1
    again = made()
    assert rows(again) == [["0", "0.00 s", "2 of 3"]]
    assert states(again)["paw(right)"] == "● labelled"
    click(again, 7, 8)
    assert rows(again) == [["0", "0.00 s", "✓ 3 of 3"]]
    assert "mouse 7" in again.project.where.text()


def test_a_dock_opened_again_stays_with_the_video_that_is_labelled(dock, made, viewer, add_video):
    other = add_video(viewer, n_frames=30)
    other.name = "other"
    dock.project.video.choose(other)
    assert dock.session.labelling.video is other
    dock.close()
    again = made()
    assert again.project.video.layer is other
    assert again.session.labelling.video is other
    again.session.labelling.use_video(viewer.layers["video"])
    assert again.project.video.layer is viewer.layers["video"]
    viewer.layers.remove("video")
    assert again.session.labelling.video is again.project.video.layer is other


def test_the_layer_is_removed_and_shown_again(dock, viewer):
    click(dock, 3, 4)
    assert dock.project.show_again.isHidden()
    viewer.layers.remove(dock.session.labelling.keypoints.layer)
    assert not dock.project.show_again.isHidden()
    assert not dock.keypoints.isEnabled()
    dock.project.show_again.click()
    assert states(dock)["paw(left)"] == "● labelled"
    viewer.layers.remove("video")
    assert not dock.frames.isEnabled()
    assert "Open a video" in dock.project.where.text()


def test_corrections_are_taken_up_by_a_button(dock):
    keypoints = dock.session.labelling.keypoints
    keypoints.store.place(31, {"tongue": (4, 4)})
    keypoints.edited.emit()
    assert dock.frames.take_up.text() == "Add corrected frames (1)"
    dock.frames.take_up.click()
    assert dock.frames.take_up.isHidden()
    assert rows(dock)[0][0] == "31"


def test_what_is_not_saved_is_said_in_red(dock, monkeypatch):
    from napari_facemap.files import label_project

    def full(*_):
        raise OSError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(label_project, "_write_rows", full)
        click(dock, 1, 1)
        assert not dock.project.problem.isHidden()
        assert "no space left" in dock.project.problem.text()
    dock.project.retry.click()
    assert dock.project.problem.isHidden()
    assert LabelProject(dock.session.labelling.project.folder).n_labelled == 1


def test_all_shortcuts_are_on_one_list(dock, qtbot):
    dock.review.show_shortcuts()
    text = dock.review.shortcuts.table.text()
    for key in ("Shift+B", "Ctrl+Z", ">U<", ">G<", "Delete"):
        assert key in text
    dock.review.shortcuts.close()


def test_a_frame_is_typed(viewer, dock):
    asked = []
    panel = SimpleNamespace(frame=SimpleNamespace(isVisible=lambda: True))
    panel.frame.setFocus = panel.frame.selectAll = lambda: asked.append(1)
    ReviewPanel._on_asked(panel)
    assert len(asked) == 2
    dock.review.frame.setValue(33)
    assert viewer.dims.current_step[0] == 33
