"""The encoder's dock in a window, driven by clicks, on a recording with a microscope's pictures."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_facemap.files.poses import write_poses
from napari_facemap.simulate.face import simulate_face
from napari_facemap.simulate.population import simulate_population
from napari_facemap.video.write import write_video
from napari_facemap.viewer.session import session_of

if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
    pytest.skip("needs a screen: run under xvfb-run", allow_module_level=True)

FPS = 25.0
SIDE = 256  # pixels of the microscope
# To draw the pictures of the docs: a folder to put them in.
PICTURES = os.environ.get("NAPARI_FACEMAP_PICTURES")
SECONDS, N_NEURONS, N_DRAWN = (100, 200, 850) if PICTURES else (60, 40, 20)


def disc(x, y, radius=4.2):
    """Pixels of a round neuron, and their weights."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE]
    square = (rows - y) ** 2 + (columns - x) ** 2
    inside = square < radius**2
    return rows[inside], columns[inside], np.exp(-square[inside] / radius**2).astype(np.float32)


def write_suite2p(folder, recording, seed=0):
    """As suite2p leaves it: activity, footprints, cells and the mean image."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    places = recording.positions * (SIDE - 20) / 500 + 10
    stat, mean = [], 30 + 2 * rng.standard_normal((SIDE, SIDE))
    for x, y in places:
        ypix, xpix, lam = disc(x, y)
        stat.append({"ypix": ypix, "xpix": xpix, "lam": lam, "med": [int(y), int(x)]})
        mean[ypix, xpix] += rng.uniform(20, 60) * lam
    np.save(folder / "spks.npy", recording.activity)
    np.save(folder / "stat.npy", np.array(stat, dtype=object), allow_pickle=True)
    np.save(folder / "iscell.npy", np.ones((len(stat), 2)))
    ops = {"fs": recording.rate, "meanImg": mean.astype(np.float32), "Ly": SIDE, "Lx": SIDE}
    (folder / "ops.npy").write_bytes(b"")
    np.save(folder / "ops.npy", ops, allow_pickle=True)
    return mean, stat


def movie_of(recording, mean, stat):
    """What the microscope filmed, a frame a sample."""
    rng = np.random.default_rng(1)
    movie = np.empty((len(recording.times), SIDE, SIDE), np.uint8)
    for frame, activity in zip(movie, recording.activity.T, strict=True):
        picture = mean + 4 * rng.standard_normal(mean.shape)
        for one, bright in zip(stat, activity, strict=True):
            picture[one["ypix"], one["xpix"]] += 45 * bright * one["lam"]
        frame[:] = np.clip(picture, 0, 255)
    return movie


@pytest.fixture
def session(tmp_path):
    """A face video with keypoints, and a suite2p folder whose clock began 0.4 s later."""
    face = simulate_face(int(SECONDS * FPS), fps=FPS, seed=3)
    frames = (face.frame(i % N_DRAWN) for i in range(len(face.times)))
    write_video(tmp_path / "mouse.mp4", frames, FPS)
    write_poses(face.poses, tmp_path / "mouse_FacemapPose.h5")
    recording = simulate_population(
        face, N_NEURONS, rate=10.0, seed=0, explainable=(0.1, 0.85)
    ).recording
    mean, stat = write_suite2p(tmp_path / "mouse7" / "suite2p" / "plane0", recording)
    np.save(tmp_path / "times.npy", recording.times)
    return tmp_path, recording, movie_of(recording, mean, stat)


@pytest.fixture
def click(qtbot):
    """Click on a place (row, column) of the world, on the canvas."""
    from qtpy.QtCore import QPoint, Qt
    from qtpy.QtOpenGLWidgets import QOpenGLWidget
    from qtpy.QtTest import QTest
    from qtpy.QtWidgets import QApplication

    def click_on_canvas(viewer, place):
        (canvas,) = (
            widget
            for top in QApplication.topLevelWidgets()
            for widget in top.findChildren(QOpenGLWidget)
            if widget.isVisible() and widget.width() > 200
        )
        center = np.array(viewer.camera.center[-2:])
        across = (np.array(place) - center) * viewer.camera.zoom
        spot = QPoint(
            *(round(v) for v in np.add(across[::-1], [canvas.width() / 2, canvas.height() / 2]))
        )
        QTest.mouseMove(canvas, spot)
        qtbot.wait(50)
        QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=spot)
        QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=spot)
        QApplication.processEvents()

    return click_on_canvas


def picture(viewer, qtbot, name, tmp_path):
    """What the window looks like; kept where the docs want it, in few colours."""
    from PIL import Image

    qtbot.wait(300)
    shot = viewer.screenshot(canvas_only=False, flash=False)
    few = (
        Image.fromarray(shot)
        .convert("RGB")
        .quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    )
    few.save(Path(PICTURES or tmp_path) / name, optimize=True)
    return shot


def test_a_recording_with_footprints_and_a_movie(
    make_napari_viewer, qtbot, click, session, tmp_path, monkeypatch
):
    from qtpy.QtCore import QPointF, Qt

    from napari_facemap.viewer.recording_dialog import RecordingDialog

    left = Qt.MouseButton.LeftButton
    folder, recording, movie = session
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1440, 1020)
    viewer.open(str(folder / "mouse_FacemapPose.h5"), plugin="napari-facemap")
    _, dock = viewer.window.add_plugin_dock_widget("napari-facemap", "Neural encoder")

    def fill_in(dialog):
        dialog.activity.setText(str(folder / "mouse7" / "suite2p"))
        dialog.by_file.setChecked(True)
        dialog.times.setText(str(folder / "times.npy"))
        dialog.accept()
        qtbot.waitUntil(lambda: dialog.recording is not None, timeout=30_000)
        return True

    monkeypatch.setattr(RecordingDialog, "exec", fill_in)
    qtbot.mouseClick(dock.open_activity, left)
    assert dock.recording.n_neurons == N_NEURONS
    assert len(dock.recording.footprints) == N_NEURONS
    dock.model.model.setCurrentText("network" if PICTURES else "ridge")
    with qtbot.waitSignal(dock.run_row.finished, timeout=300_000):
        qtbot.mouseClick(dock.run_row.run, left)
    assert np.nanmax(dock.prediction["variance_explained"].values) > 0.2
    keypoints = session_of(viewer).keypoint_layers[0]

    # The map: labels over the mean image, beside the face; a click plots the neuron's trace.
    dock.views.map_box.setChecked(True)
    viewer.reset_view()
    qtbot.wait(300)
    neuron = int(dock.listed._order[7])
    rows, columns, _ = dock.recording.footprints[neuron]
    place = dock.views.map.layer.data_to_world((rows.mean(), columns.mean()))
    expected = int(dock.views.map.neuron_at(place))
    click(viewer, place)
    (lane,) = dock.plot.lanes
    assert lane.label.split()[0] == dock.recording.names[expected]

    # The imaging movie, on the video's clock.
    dock.views.map_box.setChecked(False)
    layer = viewer.add_image(
        movie, name="imaging", contrast_limits=(0, 160), colormap="green", scale=(0.1, 1, 1),
        units=("s", "pixel", "pixel"),
    )  # fmt: skip
    dock.movie.choose(layer)
    qtbot.mouseClick(dock.show_movie, left)
    shown = viewer.layers["imaging on the video's clock"]
    keypoints.clock.go_to_frame(int(20 * FPS))
    sample = int(np.searchsorted(recording.times, 20.0, side="right")) - 1
    frame = viewer.dims.current_step[0]
    np.testing.assert_array_equal(np.asarray(shown.data[frame]), movie[sample])

    # The raster; a click in it moves slider, traces and movie.
    dock.views.raster_box.setChecked(True)
    raster = dock.views.raster
    qtbot.waitUntil(lambda: len(raster._plots) == 2, timeout=30_000)
    qtbot.wait(300)
    view = raster._plots[1].getViewBox()
    spot = raster.canvas.mapFromScene(view.mapViewToScene(QPointF(33.0, 5.0)))
    qtbot.mouseClick(raster.canvas.viewport(), left, pos=spot)
    qtbot.waitUntil(lambda: abs(keypoints.clock.time() - 33) < 1)
    assert dock.plot.time == pytest.approx(keypoints.clock.time())
    assert raster.time == pytest.approx(keypoints.clock.time())
    dock.listed.list.clearSelection()
    for row in range(4):
        dock.listed.list.item(row).setSelected(True)
    viewer.layers["imaging on the video's clock"].visible = False
    dock.views.map_box.setChecked(True)
    viewer.reset_view()
    shot = picture(viewer, qtbot, "encoder.png", tmp_path)
    assert len(np.unique(shot.reshape(-1, 4), axis=0)) > 500

    dock.views.map_box.setChecked(False)
    viewer.layers["imaging on the video's clock"].visible = True
    viewer.reset_view()
    dock.listed.kind.setCurrentText("principal components")
    qtbot.waitUntil(lambda: dock.plot.lanes[0].label.startswith("PC "), timeout=30_000)
    picture(viewer, qtbot, "encoder-movie.png", tmp_path)
