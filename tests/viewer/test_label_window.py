"""Labelling in a real window: clicks and keys on the picture, buttons of the dock."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest

from napari_facemap.files.label_project import LabelProject
from napari_facemap.viewer.session import session_of

if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
    pytest.skip("needs a screen: run under xvfb-run", allow_module_level=True)

from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QApplication

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def window(make_napari_viewer, tmp_path):
    from napari_facemap.video.write import write_video

    path = tmp_path / "mouse.mp4"
    write_video(path, (np.full((96, 128), 3 * i, np.uint8) for i in range(50)), 50.0)
    viewer = make_napari_viewer(show=True)
    viewer.open(str(path), plugin="napari-facemap")
    return viewer


@pytest.fixture
def dock(window, tmp_path, monkeypatch):
    from napari_facemap.keypoints import model_store, models

    # Both: imported only afterwards, the store would take the stand-in for good.
    for module in (models, model_store):
        monkeypatch.setattr(module, "list_models", list)
    _, dock = window.window.add_plugin_dock_widget("napari-facemap", "Label and refine")
    dock.project.make_project(tmp_path / "project", ("nose(tip)", "paw(left)", "tongue"))
    window.reset_view()
    QApplication.processEvents()
    return dock


@pytest.fixture
def canvas(dock):
    (found,) = (
        w
        for w in QApplication.allWidgets()
        if w.metaObject().className() == "CanvasBackendDesktop" and w.isVisible()
    )
    return found


@pytest.fixture
def click(window, canvas, qtbot):
    """Click on an (x, y) of the picture."""

    def click_at(x, y):
        zoom, (_, cy, cx) = window.camera.zoom, window.camera.center
        place = (np.array([x, y]) - (cx, cy)) * zoom + (canvas.width() / 2, canvas.height() / 2)
        point = QPoint(*(int(v) for v in np.round(place)))
        qtbot.mouseMove(canvas, point)
        qtbot.wait(60)
        qtbot.mouseClick(canvas, LEFT, pos=point)
        QApplication.processEvents()

    return click_at


def test_a_frame_is_labelled_by_clicks_keys_and_a_drag(
    window, dock, canvas, click, drag, qtbot, tmp_path
):
    labelling = session_of(window).labelling
    qtbot.mouseClick(dock.keypoints.place, LEFT)
    assert window.layers.selection.active is labelling.keypoints.layer
    click(30, 40)
    click(60, 50)
    labels = LabelProject(tmp_path / "project").labels("mouse")[0]
    np.testing.assert_allclose(labels["nose(tip)"], (30, 40), atol=0.5)
    np.testing.assert_allclose(labels["paw(left)"], (60, 50), atol=0.5)

    # The dock's buttons and lists leave the keys to the picture.
    canvas.setFocus()
    qtbot.mouseClick(dock.keypoints._buttons["hide"], LEFT)
    assert canvas.window().focusWidget() is canvas
    assert np.isnan(LabelProject(tmp_path / "project").labels("mouse")[0]["tongue"]).all()
    qtbot.keyClick(canvas, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert "tongue" not in LabelProject(tmp_path / "project").labels("mouse")[0]

    # A click moves the current keypoint where it is placed already.
    qtbot.keyClick(canvas, Qt.Key.Key_Up)
    assert labelling.keypoints.placing.current == "paw(left)"
    click(70, 20)
    labels = LabelProject(tmp_path / "project").labels("mouse")[0]
    np.testing.assert_allclose(labels["paw(left)"], (70, 20), atol=0.5)
    assert set(labels) == {"nose(tip)", "paw(left)"}

    qtbot.keyClick(canvas, Qt.Key.Key_3)
    assert dock.keypoints.drag.isChecked()
    drag(window, labels["paw(left)"], (90, 70))
    labels = LabelProject(tmp_path / "project").labels("mouse")[0]
    np.testing.assert_allclose(labels["paw(left)"], (90, 70), atol=1)
    assert labelling.keypoints.placing.current == "paw(left)"


def test_keys_go_from_frame_to_frame(window, dock, canvas, click, qtbot, tmp_path):
    labelling = session_of(window).labelling
    labelling.frames.set([5, 25])
    qtbot.mouseClick(dock.keypoints.place, LEFT)
    canvas.setFocus()
    qtbot.keyClick(canvas, Qt.Key.Key_U)
    assert window.dims.current_step[0] == 5
    qtbot.keyClick(canvas, Qt.Key.Key_M)
    click(20, 20)
    assert window.dims.current_step[0] == 25
    click(24, 20)
    labels = LabelProject(tmp_path / "project").labels("mouse")
    assert {frame: list(points) for frame, points in labels.items()} == {
        5: ["nose(tip)"],
        25: ["nose(tip)"],
    }
    qtbot.keyClick(canvas, Qt.Key.Key_L, Qt.KeyboardModifier.ShiftModifier)
    assert window.dims.current_step[0] == 5
    qtbot.keyClick(canvas, Qt.Key.Key_H)
    qtbot.keyClick(canvas, Qt.Key.Key_T)
    assert dock.keypoints.names.isChecked()
    qtbot.keyClick(canvas, Qt.Key.Key_G)
    assert canvas.window().focusWidget() is dock.review.frame
    for key in (Qt.Key.Key_1, Qt.Key.Key_2, Qt.Key.Key_Return):
        qtbot.keyClick(dock.review.frame, key)
    assert window.dims.current_step[0] == 12
    qtbot.keyClick(canvas, Qt.Key.Key_F)
    assert labelling.frames.to_label == [5, 12, 25]


def test_the_skeleton_changes_while_labelling(window, dock, click, qtbot, tmp_path):
    # No layer is removed in this file: napari 0.9.2 then crashes in OpenGL now and then, also
    # without this plugin (napari issue 6472).
    labelling = session_of(window).labelling
    qtbot.mouseClick(dock.keypoints.place, LEFT)
    click(30, 40)
    click(60, 50)
    labels = LabelProject(tmp_path / "project").labels("mouse")[0]
    assert set(labels) == {"nose(tip)", "paw(left)"}
    labelling.set_keypoints(("nose(tip)", "paw(left)", "tongue", "ear"))
    qtbot.wait(50)
    click(70, 60)
    click(80, 60)
    assert len(LabelProject(tmp_path / "project").labels("mouse")[0]) == 4
