from __future__ import annotations

import threading

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import Qt

from napari_facemap.keypoints.cleaning import Cleaning
from napari_facemap.keypoints.poses import make_poses
from napari_facemap.keypoints.store import KeypointStore
from napari_facemap.viewer.clean_panel import CleanPanel
from napari_facemap.viewer.keypoint_layer import layer_data
from napari_facemap.viewer.session import session_of

NAMES = ("eye(top)", "nose(tip)", "paw")
N_FRAMES = 200


def tracked():
    """Points that drift, one frame of the paw far off and two of the nose hidden."""
    time = np.arange(N_FRAMES)[:, None, None]
    position = np.broadcast_to(30 + 0.02 * time, (N_FRAMES, 2, 3)).copy()
    position[50, :, 2] += 40
    position[80:82, :, 1] = np.nan
    confidence = np.full((N_FRAMES, 3), 0.9)
    confidence[50, 2] = 0.1
    confidence[80:82, 1] = 0
    return make_poses(position, confidence, NAMES, np.arange(N_FRAMES) / 50)


@pytest.fixture
def panel(qtbot, add_video):
    viewer = ViewerModel()
    session = session_of(viewer)
    add_video(viewer, N_FRAMES)
    session.add_keypoints(layer_data(KeypointStore(tracked())))
    panel = CleanPanel(viewer, session)
    qtbot.addWidget(panel)
    panel.show()
    yield panel
    panel.disconnect_viewer()


def click(qtbot, button):
    assert button.isEnabled()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def run(panel, qtbot):
    click(qtbot, panel.run_row.run)
    qtbot.waitUntil(lambda: not panel.run_row.running, timeout=30_000)


def test_cleaning_takes_out_outliers_fills_gaps_and_is_taken_off(panel, qtbot):
    (keypoints,) = panel.session.keypoint_layers
    assert not panel.take_off.isEnabled()
    panel.viewer.dims.set_current_step(0, 50)
    far = keypoints.layer.data[2].copy()
    run(panel, qtbot)
    assert keypoints.store.is_cleaned
    np.testing.assert_allclose(keypoints.layer.data[2], 31, atol=1)  # shown at once
    np.testing.assert_allclose(keypoints.store.frame(81).position[1], 31.62, atol=1)
    text = panel.run_row.text.text()
    assert "Outliers taken out: 1. Points put into gaps: 3. Moved by more than 0.5 px: 1." in text
    click(qtbot, panel.take_off)
    assert not keypoints.store.is_cleaned
    np.testing.assert_allclose(keypoints.layer.data[2], far)
    assert np.isnan(keypoints.store.frame(81).position[1]).all()


def test_options_are_passed_on(panel, qtbot):
    (keypoints,) = panel.session.keypoint_layers
    usual = Cleaning()
    assert (panel.gap.value(), panel.smoothing.value()) == (usual.largest_gap, usual.smoothing)
    run(panel, qtbot)
    how = keypoints.store.cleaning
    assert (how["outliers"], how["largest_gap"], how["smoothing"]) == (True, 0.2, 0.01)
    panel.outliers.setChecked(False)
    panel.gap.setValue(0)
    panel.smooth.setChecked(False)
    assert not panel.smoothing.isEnabled()
    run(panel, qtbot)
    how = keypoints.store.cleaning
    assert (how["outliers"], how["largest_gap"], how["smoothing"]) == (False, 0, 0)
    assert "taken out: 0. Points put into gaps: 0." in panel.run_row.text.text()


def test_corrections_are_never_moved(panel, qtbot):
    (keypoints,) = panel.session.keypoint_layers
    keypoints.store.place(50, {"paw": (60.0, 60.0)})
    keypoints.store.delete(120, ["eye(top)"])
    run(panel, qtbot)
    assert keypoints.store.frame(50).position[2].tolist() == [60, 60]
    assert np.isnan(keypoints.store.frame(120).position[0]).all()
    # Cleaning again begins with what was tracked, and changes nothing.
    before = keypoints.store.predicted.cleaned.copy()
    run(panel, qtbot)
    np.testing.assert_array_equal(keypoints.store.predicted.cleaned, before)


def test_the_plot_shows_before_and_after_and_moves_with_the_slider(panel, qtbot):
    (keypoints,) = panel.session.keypoint_layers
    panel.keypoint.setCurrentText("paw")
    x, y = panel.plot.lanes
    assert [x.label, y.label] == ["x", "y"]
    assert len(x.values) == 1
    assert not panel.legend.isVisible()
    run(panel, qtbot)
    before, after = panel.plot.lanes[0].values
    assert before[50] == pytest.approx(71)
    assert after[50] == pytest.approx(31, abs=1)
    assert panel.legend.isVisible()
    panel.viewer.dims.set_current_step(0, 60)
    assert panel.plot.time == pytest.approx(60 / 50)
    panel.plot.time_chosen.emit(2.0)
    assert panel.viewer.dims.current_step[0] == 100
    panel.keypoint.setCurrentText("nose(tip)")
    assert np.isnan(panel.plot.lanes[0].values[0][80])
    keypoints.store.place(80, {"nose(tip)": (12.0, 13.0)})
    keypoints.edited.emit()
    assert [lane.values[0][80] for lane in panel.plot.lanes] == [12, 13]
    assert [lane.values[1][80] for lane in panel.plot.lanes] == [12, 13]


def test_without_keypoints_it_says_so(panel, qtbot):
    panel.viewer.layers.clear()
    click(qtbot, panel.run_row.run)
    assert "Track a video" in panel.run_row.text.text()
    assert not panel.plot.isVisible()


@pytest.fixture
def gate(monkeypatch):
    """Cleaning waits until this is set."""
    import napari_facemap.keypoints.cleaning as module

    gate, usual = threading.Event(), module.clean

    def wait(*args, **options):
        gate.wait(10)
        return usual(*args, **options)

    monkeypatch.setattr(module, "clean", wait)
    return gate


def test_what_was_cancelled_changes_nothing(panel, qtbot, gate):
    (keypoints,) = panel.session.keypoint_layers
    click(qtbot, panel.run_row.run)
    click(qtbot, panel.run_row.cancel)
    gate.set()
    qtbot.waitUntil(lambda: not panel.run_row.running, timeout=30_000)
    assert not keypoints.store.is_cleaned
    assert "Cancelled" in panel.run_row.text.text()


def test_points_that_were_tracked_anew_meanwhile_stay_as_they_are(panel, qtbot, gate):
    (keypoints,) = panel.session.keypoint_layers
    click(qtbot, panel.run_row.run)
    other = tracked().rename({"keypoint": "k"}).assign_coords(k=["a", "b", "c"])
    keypoints.set_store(KeypointStore(other.rename({"k": "keypoint"}).isel(keypoint=[0, 1])))
    gate.set()
    qtbot.waitUntil(lambda: not panel.run_row.running, timeout=30_000)
    assert not keypoints.store.is_cleaned
    assert "clean again" in panel.run_row.text.text()
