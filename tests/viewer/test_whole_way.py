"""From a video file to predicted neural activity, by what a person does in the window."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest

from napari_facemap.files.poses import read_poses, write_poses
from napari_facemap.simulate.face import simulate_face
from napari_facemap.viewer.session import session_of

if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
    pytest.skip("needs a screen: run under xvfb-run", allow_module_level=True)

FPS = 25.0
SIZE = (120, 160)


@pytest.fixture
def short_video(tmp_path):
    path = tmp_path / "short.mp4"
    simulate_face(24, fps=FPS, size=SIZE, seed=3).write(path)
    return path


@pytest.fixture
def session_files(tmp_path):
    """A minute of video, its true keypoints beside it, and neurons that started 0.4 s later."""
    from napari_facemap.simulate.population import simulate_population
    from napari_facemap.video.write import write_video

    folder = tmp_path / "session"
    face = simulate_face(int(60 * FPS), fps=FPS, size=SIZE, seed=3)
    drawn = [face.frame(i) for i in range(20)]
    write_video(folder / "mouse.mp4", (drawn[i % 20] for i in range(len(face.times))), FPS)
    write_poses(face.poses, folder / "mouse_FacemapPose.h5")
    recording = simulate_population(face, 30, rate=10.0, seed=0).recording
    inside = recording.times >= 0.4
    np.save(folder / "neurons.npy", recording.activity[:, inside])
    np.save(folder / "times.npy", recording.times[inside])
    return folder


def test_from_video_to_neurons(
    make_napari_viewer, qtbot, drag, short_video, session_files, tmp_path, monkeypatch
):
    from qtpy.QtCore import QPointF, Qt

    left = Qt.MouseButton.LeftButton
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1500, 950)
    _, tracking = viewer.window.add_plugin_dock_widget("napari-facemap", "Track keypoints")

    # Open the video and track it.
    viewer.open(str(short_video), plugin="napari-facemap")
    qtbot.waitUntil(tracking.model.isEnabled, timeout=30_000)
    assert tracking.model.currentText() == "mouse-face"
    qtbot.mouseClick(tracking.draw_box, left)
    with qtbot.waitSignal(tracking.run_row.finished, timeout=120_000):
        qtbot.mouseClick(tracking.run_row.run, left)
    (keypoints,) = session_of(viewer).keypoint_layers
    assert keypoints.store.n_frames == 24
    truth = simulate_face(24, fps=FPS, size=SIZE, seed=3).poses["position"]
    error = np.hypot(*(keypoints.store.to_poses()["position"] - truth).values.swapaxes(0, 1))
    assert np.nanmedian(error) < 4  # of 160 pixels
    assert list(keypoints.store.attrs["box"]) == [16, 12, 145, 109]

    # Drag a point, save, and open what was saved.
    viewer.layers["face box"].visible = False
    tracking.review.frame.setValue(7)
    row = int(np.flatnonzero(keypoints.layer.shown)[0])
    start = keypoints.store.frame(7).position[row]
    goal = np.array([80.0, 60.0])
    qtbot.wait(50)
    drag(viewer, start, goal)
    edited = np.flatnonzero(keypoints.store.frame(7).edited)
    assert len(edited) == 1  # the topmost of those that lay under the mouse
    place = keypoints.store.frame(7).position[edited[0]]
    assert np.linalg.norm(place - goal) < 8
    saved = tmp_path / "short_FacemapPose.h5"
    viewer.layers.selection = {keypoints.layer}
    viewer.layers.save(str(saved), selected=True)
    assert read_poses(saved)["edited"].values.sum() == 1
    viewer.open(str(saved), plugin="napari-facemap")
    again = session_of(viewer).keypoint_layers[-1]
    assert again is not keypoints
    np.testing.assert_allclose(again.store.frame(7).position[edited[0]], place, atol=1e-3)

    # A whole session: its keypoints bring their video along.
    for layer in viewer.layers:
        layer.visible = False
    viewer.open(str(session_files / "mouse_FacemapPose.h5"), plugin="napari-facemap")
    truth = session_of(viewer).keypoint_layers[-1]
    assert truth.store.n_frames == 1500
    assert truth.clock.video_layer().name == "mouse.mp4"

    # Neural activity with its own clock, and an encoder.
    from napari_facemap.viewer.recording_dialog import RecordingDialog

    def fill_in(dialog):
        dialog.activity.setText(str(session_files / "neurons.npy"))
        dialog.by_file.setChecked(True)
        dialog.times.setText(str(session_files / "times.npy"))
        dialog.accept()
        qtbot.waitUntil(lambda: dialog.recording is not None, timeout=30_000)
        return True

    monkeypatch.setattr(RecordingDialog, "exec", fill_in)
    _, encoder = viewer.window.add_plugin_dock_widget(
        "napari-facemap", "Neural encoder", tabify=True
    )
    qtbot.mouseClick(encoder.open_activity, left)
    assert encoder.recording.activity.shape[0] == 30
    encoder.behavior.choose(truth.layer)
    encoder.model.model.setCurrentText("linear")
    with qtbot.waitSignal(encoder.run_row.finished, timeout=120_000):
        qtbot.mouseClick(encoder.run_row.run, left)
    best = float(np.nanmax(encoder.prediction["variance_explained"].values))
    assert best > 0.1
    assert encoder.listed.list.count() == 30

    # A click in the plot moves the slider, and the slider moves the cursor.
    plot = encoder.plot.plot
    qtbot.waitUntil(lambda: plot.getViewBox().width() > 200)
    spot = plot.mapFromScene(plot.getViewBox().mapViewToScene(QPointF(21.0, -1.0)))
    qtbot.mouseClick(plot.viewport(), left, pos=spot)
    qtbot.waitUntil(lambda: truth.frame > 0)
    assert truth.clock.time() == pytest.approx(21.0, abs=0.1)
    assert encoder.plot.time == pytest.approx(21.0, abs=0.1)
    truth.clock.go_to_frame(250)
    assert encoder.plot.time == pytest.approx(10.0)

    # What came of it can be saved, and an encoder be used again.
    from qtpy.QtWidgets import QFileDialog

    paths = iter([tmp_path / "e.safetensors", tmp_path / "p.nc", tmp_path / "e.safetensors"])

    def next_path(*arguments):
        return str(next(paths)), ""

    monkeypatch.setattr(QFileDialog, "getSaveFileName", next_path)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", next_path)
    qtbot.mouseClick(encoder.save_encoder, left)
    qtbot.mouseClick(encoder.save_predictions, left)
    assert (tmp_path / "e.safetensors").is_file()
    assert (tmp_path / "p.nc").is_file()
    before = encoder.prediction["predicted"].values
    with qtbot.waitSignal(encoder.run_row.finished, timeout=60_000):
        qtbot.mouseClick(encoder.load_encoder, left)
    np.testing.assert_allclose(encoder.prediction["predicted"].values, before, atol=1e-4)

    picture = os.environ.get("NAPARI_FACEMAP_SCREENSHOT", str(tmp_path / "window.png"))
    qtbot.wait(100)
    screenshot = viewer.screenshot(picture, canvas_only=False, flash=False)
    assert len(np.unique(screenshot.reshape(-1, 4), axis=0)) > 500  # not an empty window
