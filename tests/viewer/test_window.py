"""In a real window: what napari itself does with our manifest, files, keys and mouse."""

from __future__ import annotations

import os
import sys
from collections import namedtuple
from types import SimpleNamespace

import numpy as np
import pytest

from napari_facemap.files.poses import read_poses
from napari_facemap.keypoints.box import Box
from napari_facemap.viewer.keypoint_layer import layer_data
from napari_facemap.viewer.session import session_of

if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
    pytest.skip("needs a screen: run under xvfb-run", allow_module_level=True)


@pytest.fixture
def video_file(tmp_path):
    from napari_facemap.video.write import write_video

    path = tmp_path / "mouse.mp4"
    write_video(path, (np.full((96, 128), 3 * i, np.uint8) for i in range(50)), 50.0)
    return path


@pytest.fixture
def window(make_napari_viewer):
    return make_napari_viewer(show=True)


def test_open_drag_save_and_open_again(window, video_file, make_store, drag, tmp_path, qtbot):
    window.open(str(video_file), plugin="napari-facemap")
    assert window.dims.current_step[0] == 0
    keypoints = session_of(window).add_keypoints(layer_data(make_store(50)))
    keypoints.layer.size = 6
    window.reset_view()
    window.dims.set_current_step(0, 20)
    keypoints.layer.mode = "select"
    window.layers.selection.active = keypoints.layer
    qtbot.wait(50)
    x, y = keypoints.store.frame(20).position[3]
    drag(window, (x, y), (x + 15, y + 30))
    points = keypoints.store.frame(20)
    assert points.edited.tolist() == [False, False, False, True, False]
    np.testing.assert_allclose(points.position[3], (x + 15, y + 30), atol=0.6)
    assert keypoints.store.n_edits == 1

    path = tmp_path / "saved.h5"
    window.layers.selection = {keypoints.layer}
    assert window.layers.save(str(path), selected=True, plugin="napari-facemap") == [str(path)]
    assert read_poses(path).sizes["time"] == 50
    # Not removed first: napari 0.9.2 may crash in OpenGL when a Points layer is added
    # after one with a selection was removed (napari issue 6472).
    window.open(str(path), plugin="napari-facemap")
    _, again = session_of(window).keypoint_layers
    window.dims.set_current_step(0, 20)
    np.testing.assert_allclose(again.layer.data[3], points.position[3][::-1], atol=1e-4)


def test_keys_act_in_the_window(window, video_file, make_store, qtbot):
    from qtpy.QtCore import Qt
    from qtpy.QtWidgets import QApplication

    window.open(str(video_file), plugin="napari-facemap")
    keypoints = session_of(window).add_keypoints(layer_data(make_store(50)))
    window.layers.selection.active = keypoints.layer
    keypoints.store.delete(31, ["paw"])
    (canvas,) = (
        w
        for w in QApplication.allWidgets()
        if w.metaObject().className() == "CanvasBackendDesktop" and w.isVisible()
    )
    canvas.setFocus()
    qtbot.keyClick(canvas, Qt.Key.Key_J)
    assert window.dims.current_step[0] == 31
    qtbot.keyClick(canvas, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert keypoints.store.n_edits == 0
    qtbot.keyClick(canvas, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    window.dims.set_current_step(0, 2)
    qtbot.keyClick(canvas, Qt.Key.Key_V, Qt.KeyboardModifier.ControlModifier)
    assert keypoints.store.frame(2).edited.all()


def test_a_found_face_box_is_dragged_and_tracked(window, video_file, drag, qtbot, monkeypatch):
    from qtpy.QtCore import Qt

    from napari_facemap.keypoints import models, tracking
    from napari_facemap.keypoints.poses import make_poses

    face = namedtuple("Face", "box facing share")(Box(-20, 10, 60, 90), "left", 1.0)
    module = SimpleNamespace(
        find_face=lambda *a, **k: face, NoFaceError=ValueError, SearchStopped=KeyError
    )
    monkeypatch.setitem(sys.modules, "napari_facemap.keypoints.finder", module)
    monkeypatch.setattr(models, "list_models", lambda: ["mine"])
    boxes = []

    def track(video, box, **settings):
        boxes.append(box)
        place = np.full((len(video), 2, 1), 30.0)
        return make_poses(place, np.ones((len(video), 1)), ["paw"], video.times)

    monkeypatch.setattr(tracking, "track", track)
    _, dock = window.window.add_plugin_dock_widget("napari-facemap", "Track keypoints")
    window.open(str(video_file), plugin="napari-facemap")
    qtbot.waitUntil(dock.model.isEnabled)

    def click(button):
        with qtbot.waitSignal(dock.run_row.finished):
            qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    click(dock.run_row.run)
    for _ in range(3):  # a layer goes and comes: napari draws on
        click(dock.find_face)
        qtbot.wait(50)
    click(dock.run_row.run)
    assert boxes == [face.box, face.box]
    window.layers.selection.active = dock.box.layer
    qtbot.wait(50)
    drag(window, (20, 50), (35, 45))
    click(dock.run_row.run)
    np.testing.assert_allclose(boxes[2], (-5, 5, 75, 85), atol=1)
    assert len(session_of(window).keypoint_layers) == 3


def test_an_unreadable_video_says_so(window, tmp_path):
    path = tmp_path / "not.mp4"
    path.write_bytes(b"nothing of the kind" * 50)
    with pytest.raises(ValueError, match=r"not\.mp4"):
        window.open(str(path), plugin="napari-facemap")
    assert len(window.layers) == 0


def test_a_region_is_drawn_measured_saved_and_opened_again(window, drag, tmp_path, qtbot):
    from qtpy.QtCore import Qt

    from napari_facemap.video.write import write_video

    y, x = np.mgrid[:96, :128]
    frames = (
        np.where(np.hypot(x - 64, y - 48) < 12 + t % 9, 30, 160).astype(np.uint8)
        for t in range(50)
    )
    write_video(tmp_path / "mouse.mp4", frames, 50.0)
    _, dock = window.window.add_plugin_dock_widget("napari-facemap", "Motion and pupil")
    window.open(str(tmp_path / "mouse.mp4"), plugin="napari-facemap")
    dock.regions.kind.setCurrentText("pupil")
    qtbot.mouseClick(dock.regions.draw, Qt.MouseButton.LeftButton)
    qtbot.wait(50)
    drag(window, (30, 14), (98, 82))
    (row,) = dock.regions.regions.rows
    assert row["name"] == "pupil 1"
    dock.regions.threshold.setValue(95)
    qtbot.wait(50)
    assert "quality" in dock.regions.fit.text()
    dock.number.setValue(5)
    with qtbot.waitSignal(dock.run_row.finished, timeout=60_000):
        qtbot.mouseClick(dock.run_row.run, Qt.MouseButton.LeftButton)
    dock.results.show_mask.setChecked(True)
    window.dims.set_current_step(0, 23)
    plot = dock.session.plot.widget
    assert plot.parent() is not None
    assert plot.time == pytest.approx(0.46)
    assert plot.lanes[1].values[0][23] == pytest.approx(2 * (12 + 23 % 9), abs=1.5)
    window.screenshot(canvas_only=False, flash=False)
    saved = tmp_path / "mouse_motion.nc"
    dock.results.save_file(str(saved))
    regions = tmp_path / "regions.json"
    window.layers.selection = {dock.regions.regions.layer}
    window.layers.save(str(regions), selected=True, plugin="napari-facemap")
    assert regions.is_file()
    window.window.remove_dock_widget(dock.parent())
    assert plot.parent() is None
    # The file brings back the dock, its traces and the pupil.
    window.layers.clear()
    window.open(str(saved), plugin="napari-facemap")
    names = [layer.name for layer in window.layers]
    assert names[:2] == ["mouse.mp4", "mouse_motion regions"]
    assert len(plot.lanes) == 2
    assert plot.parent() is not None


def test_docks_open_from_the_manifest_and_close(window, video_file):
    dock, tracking = window.window.add_plugin_dock_widget("napari-facemap", "Track keypoints")
    other, encoder = window.window.add_plugin_dock_widget("napari-facemap", "Neural encoder")
    window.open(str(video_file), plugin="napari-facemap")
    assert tracking.video.layer.name == "mouse.mp4"
    window.window.remove_dock_widget(other)
    assert encoder.plot.parent() is None
    tracking.close()
    window.window.remove_dock_widget(dock)


def test_manifest_is_valid_and_complete():
    from npe2 import PluginManifest

    manifest = PluginManifest.from_distribution("napari-facemap")
    manifest.validate_imports()
    contributions = manifest.contributions
    patterns = {p for reader in contributions.readers for p in reader.filename_patterns}
    for suffix in ("mp4", "avi", "mov", "mkv", "mj2", "wmv", "mpg", "m4v", "h5", "json", "nc"):
        assert f"*.{suffix}" in patterns
    assert contributions.sample_data[0].key == "synthetic_face"
    assert [w.filename_extensions for w in contributions.writers] == [[".h5"], [".json"]]
