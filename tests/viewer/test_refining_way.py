"""From hard frames to a tracker of one's own, by what a person does in the window."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from napari_facemap import built_in, refining
from napari_facemap.files.label_project import LabelProject
from napari_facemap.keypoints.models import list_models
from napari_facemap.keypoints.skeleton import KEYPOINTS
from napari_facemap.simulate.face import simulate_face
from napari_facemap.viewer.session import session_of

if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
    pytest.skip("needs a screen: run under xvfb-run", allow_module_level=True)

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

LEFT = Qt.MouseButton.LeftButton
N_FRAMES, FPS, SIZE = 100, 25.0, (120, 160)

# Another napari, which labels a frame by a key and is killed before it could close anything.
KILLED = """
import os, signal, sys
import napari
from napari_facemap.viewer.session import session_of
viewer = napari.Viewer(show=False)
viewer.open(sys.argv[1], plugin="napari-facemap")
_, dock = viewer.window.add_plugin_dock_widget("napari-facemap", "Label and refine")
dock.project.open_folder(sys.argv[2])
labelling = session_of(viewer).labelling
viewer.dims.set_current_step(0, 3)
labelling.keypoints.layer.add([[30.0, 40.0]])  # what a click does
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def models(tmp_path, monkeypatch):
    """A folder of models, and a fine-tuning of few steps, mice and views to round by."""
    monkeypatch.setenv("NAPARI_FACEMAP_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(refining, "_MICE", 1)
    monkeypatch.setattr(built_in, "_ROUNDING_VIEWS", 4)
    quick = replace(refining.OPTIONS, steps=12, evaluate_every=6, batch_size=4)
    monkeypatch.setattr(refining, "OPTIONS", quick)


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "mouse.mp4"
    simulate_face(N_FRAMES, fps=FPS, size=SIZE, seed=3).write(path)
    return path


def saved(folder):
    """Labels as another program would find them now."""
    return LabelProject(folder).labels("mouse")


def test_from_hard_frames_to_a_tracker(
    make_napari_viewer, qtbot, drag, video, models, tmp_path, monkeypatch
):
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1500, 950)
    viewer.open(str(video), plugin="napari-facemap")
    _, tracking = viewer.window.add_plugin_dock_widget("napari-facemap", "Track keypoints")
    qtbot.waitUntil(tracking.model.isEnabled, timeout=60_000)
    click_and_wait(qtbot, tracking.run_row)
    viewer.layers["face box"].visible = False
    (keypoints,) = session_of(viewer).keypoint_layers

    # Suggest frames.
    _, dock = viewer.window.add_plugin_dock_widget("napari-facemap", "Label and refine")
    folder = tmp_path / "project"
    dock.project.make_project(folder, KEYPOINTS)
    labelling = session_of(viewer).labelling
    assert labelling.keypoints is keypoints
    dock.frames.wanted.setValue(3)
    click_and_wait(qtbot, dock.frames.run_row)
    listed = LabelProject(folder).to_label("mouse")
    assert len(listed) == 3
    assert saved(folder) == {}

    # Label three: drag the nose, and in one of them hide a point; the rest is right.
    nose = KEYPOINTS.index("nose(tip)")
    qtbot.mouseClick(dock.keypoints.drag, LEFT)
    for row, frame in enumerate(listed):
        dock.frames.table.cellDoubleClicked.emit(row, 0)
        assert keypoints.frame == frame
        before = keypoints.store.frame(frame).position[nose]
        viewer.camera.center, viewer.camera.zoom = before[::-1], 8.0
        QApplication.processEvents()
        drag(viewer, before, before + np.array([-4, 2]))
        (moved,) = np.flatnonzero(keypoints.store.frame(frame).edited)
        assert list(saved(folder)[frame]) == [KEYPOINTS[moved]]  # at once
        qtbot.mouseClick(dock.keypoints._buttons["accept"], LEFT)
    hidden = "paw" if moved != KEYPOINTS.index("paw") else "mouth"
    keypoints.placing.choose(hidden)
    keypoints.layer.selected_data = set()
    qtbot.mouseClick(dock.keypoints._buttons["hide"], LEFT)
    labels = saved(folder)
    assert sorted(labels) == listed
    assert np.isnan(labels[listed[2]][hidden]).all()
    assert len(labels[listed[0]]) > 10

    # Another napari with this project is killed in the middle.
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(video), str(folder)], capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]
    after = saved(folder)
    assert set(after) == {*listed, 3}
    assert list(after[3].values()) == [pytest.approx((40, 30), abs=1e-3)]
    assert {frame: after[frame].keys() for frame in listed} == {
        frame: points.keys() for frame, points in labels.items()
    }

    # Propagate from the frame shown, and take the proposals.
    dock.propagate.direction.setCurrentText("both ways")
    dock.propagate.frames.setValue(6)
    dock.propagate.to_next.setChecked(False)
    click_and_wait(qtbot, dock.propagate.run_row)
    assert keypoints.store.n_proposed > 10
    n_edits = keypoints.store.n_edits
    qtbot.mouseClick(dock.propagate.accept_all, LEFT)
    assert keypoints.store.n_proposed == 0
    accepted = keypoints.store.n_edits
    assert accepted > n_edits
    assert saved(folder).keys() == after.keys()  # corrections, but nothing to learn from

    # Fine-tune, and track a stretch with what came of it; corrections stay.
    for k in (10, 30, 50, 70, 90):
        viewer.dims.set_current_step(0, k)
        qtbot.mouseClick(dock.keypoints._buttons["accept"], LEFT)
    dock.refine.name.setText("mine")
    qtbot.waitUntil(dock.refine.run_row.run.isEnabled, timeout=60_000)
    click_and_wait(qtbot, dock.refine.run_row)
    assert "mine" in list_models() or "better" in dock.refine.run_row.text.text()
    corrected = keypoints.store.to_poses()["position"].values[listed]
    edits = keypoints.store.n_edits
    dock.refine.retrack.first.setValue(0)
    dock.refine.retrack.last.setValue(19)
    qtbot.waitUntil(lambda: dock.refine.retrack.model.choice is not None, timeout=60_000)
    with qtbot.waitSignal(dock.refine.retrack.run_row.finished, timeout=120_000):
        qtbot.mouseClick(dock.refine.retrack.stretch, LEFT)
    edits += 1  # the label of the other napari is shown from now on
    assert keypoints.store.n_edits == edits
    np.testing.assert_array_equal(keypoints.store.to_poses()["position"].values[listed], corrected)

    # Undo what was done last by hand, in a frame that nothing else was done to.
    near = [*listed, 3, 10, 30, 50, 70, 90]
    other = next(k for k in range(N_FRAMES) if min(abs(k - np.array(near))) > 6)
    viewer.dims.set_current_step(0, other)
    QApplication.processEvents()
    qtbot.mouseClick(dock.keypoints._buttons["accept"], LEFT)
    assert other in saved(folder)
    dock.review.undo()
    assert other not in saved(folder)
    assert keypoints.store.n_edits == edits


def click_and_wait(qtbot, run_row):
    with qtbot.waitSignal(run_row.finished, timeout=180_000):
        qtbot.mouseClick(run_row.run, LEFT)
