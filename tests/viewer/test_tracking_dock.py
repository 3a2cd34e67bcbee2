from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_facemap.keypoints.poses import make_poses
from napari_facemap.viewer.face_box import add_face_box, box_of
from napari_facemap.viewer.session import session_of

NAMES = ("eye(top)", "mouth", "paw")
N_FRAMES = 40


class SlowTracker:
    """Stands in for the network: the same interface, a keypoint k at x = 10 k, y = frame."""

    def __init__(self):
        self.asked = []
        self.threads = []
        self.go_on = threading.Event()
        self.go_on.set()

    def track(self, video, model=None, box=None, device="auto", progress=None):
        self.asked.append({"model": model, "box": box, "device": device})
        self.threads.append(threading.current_thread())
        n_frames = video.shape[0]
        position = np.full((n_frames, 2, 3), np.nan, np.float32)
        confidence = np.zeros((n_frames, 3), np.float32)
        done = 0
        for done in range(1, n_frames + 1):
            position[done - 1, 0] = 10 * np.arange(3)
            position[done - 1, 1] = done - 1
            confidence[done - 1] = 0.9
            if progress(done, n_frames) is False:
                break
            if done == 10:
                self.go_on.wait(5)
        attrs = {
            "video": "v",
            "complete": int(done == n_frames),
            "frames_tracked": done,
        }
        return make_poses(position, confidence, NAMES, video.times, attrs=attrs)


@pytest.fixture
def tracker(monkeypatch):
    from napari_facemap.keypoints import models, tracking

    slow = SlowTracker()
    monkeypatch.setattr(tracking, "track", slow.track)
    monkeypatch.setattr(models, "list_models", lambda: ["mouse-face", "mine"])
    return slow


@pytest.fixture
def dock(qtbot, tracker, add_video):
    from napari_facemap.viewer.tracking_dock import TrackingDock

    viewer = ViewerModel()
    add_video(viewer, N_FRAMES)
    dock = TrackingDock(viewer)
    qtbot.addWidget(dock)
    qtbot.waitUntil(dock.model.isEnabled)
    return dock


def click_run(dock, qtbot):
    from qtpy.QtCore import Qt

    with qtbot.waitSignal(dock.run_row.finished, timeout=10_000):
        qtbot.mouseClick(dock.run_row.run, Qt.MouseButton.LeftButton)


def test_run_makes_a_keypoint_layer(dock, qtbot, tracker):
    assert [dock.model.itemText(i) for i in range(dock.model.count())] == ["mouse-face", "mine"]
    dock.model.setCurrentText("mine")
    dock.device.setCurrentText("cpu")
    click_run(dock, qtbot)
    assert tracker.asked == [{"model": "mine", "box": None, "device": "cpu"}]
    assert tracker.threads[0] is not threading.main_thread()
    (keypoints,) = session_of(dock.viewer).keypoint_layers
    dock.viewer.dims.set_current_step(0, 7)
    np.testing.assert_allclose(keypoints.layer.data[:, 0], 7)
    assert dock.viewer.layers.selection.active is keypoints.layer
    assert "Tracked 40 frames" in dock.run_row.text.text()


def test_the_window_lives_while_it_tracks_and_cancel_keeps_what_is_done(dock, qtbot, tracker):
    from qtpy.QtCore import Qt

    tracker.go_on.clear()
    qtbot.mouseClick(dock.run_row.run, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "of 40 frames" in dock.run_row.text.text())
    dock.viewer.dims.set_current_step(0, 3)
    assert dock.run_row.running
    assert not dock.run_row.run.isEnabled()
    qtbot.mouseClick(dock.run_row.cancel, Qt.MouseButton.LeftButton)
    with qtbot.waitSignal(dock.run_row.finished, timeout=10_000):
        tracker.go_on.set()
    (keypoints,) = session_of(dock.viewer).keypoint_layers
    assert np.isfinite(keypoints.store.frame(9).position).all()
    assert np.isnan(keypoints.store.frame(20).position).all()
    assert dock.run_row.text.text().startswith("Cancelled: 11 frames")
    assert dock.run_row.run.isEnabled()


def test_tracking_again_keeps_corrections(dock, qtbot):
    click_run(dock, qtbot)
    (keypoints,) = session_of(dock.viewer).keypoint_layers
    keypoints.store.place(5, {"paw": (1, 2)})
    click_run(dock, qtbot)
    assert session_of(dock.viewer).keypoint_layers == [keypoints]
    assert keypoints.store.frame(5).position[2].tolist() == [1, 2]
    assert "1 corrections kept" in dock.run_row.text.text()
    dock.keep_edits.setChecked(False)
    click_run(dock, qtbot)
    first, second = session_of(dock.viewer).keypoint_layers
    assert first.store.n_edits == 1
    assert second.store.n_edits == 0


def test_a_cancelled_run_does_not_replace_a_whole_one(dock, qtbot, tracker):
    from qtpy.QtCore import Qt

    click_run(dock, qtbot)
    tracker.go_on.clear()
    qtbot.mouseClick(dock.run_row.run, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "of 40 frames" in dock.run_row.text.text())
    dock.run_row.task.cancel()
    with qtbot.waitSignal(dock.run_row.finished, timeout=10_000):
        tracker.go_on.set()
    first, second = session_of(dock.viewer).keypoint_layers
    assert np.isfinite(first.store.frame(39).position).all()
    assert np.isnan(second.store.frame(39).position).all()


def test_errors_are_one_line(dock, qtbot, monkeypatch):
    from napari_facemap.keypoints import tracking

    def fail(*args, **kwargs):
        raise ValueError("video.avi: cannot\nbe read")

    monkeypatch.setattr(tracking, "track", fail)
    dock.run()
    qtbot.waitUntil(lambda: not dock.run_row.running)
    assert dock.run_row.text.text() == "video.avi: cannot be read"
    dock.viewer.layers.clear()
    dock.run()
    assert "Open a video first" in dock.run_row.text.text()


def test_a_drawn_box_is_used(dock, qtbot, tracker):
    from qtpy.QtCore import Qt

    qtbot.mouseClick(dock.draw_box, Qt.MouseButton.LeftButton)
    shapes = dock.box.layer
    assert shapes is not None
    shapes.data = [np.array([[10, 20], [10, 50], [40, 50], [40, 20]])]
    click_run(dock, qtbot)
    assert tracker.asked[-1]["box"] == (20, 10, 51, 41)
    dock.box.choose(None)
    click_run(dock, qtbot)
    assert tracker.asked[-1]["box"] is None


def test_review_panel_goes_to_frames_and_counts(dock, qtbot):
    click_run(dock, qtbot)
    panel = dock.review
    assert panel.isEnabled()
    panel.frame.setValue(17)
    assert dock.viewer.dims.current_step[0] == 17
    (keypoints,) = session_of(dock.viewer).keypoint_layers
    keypoints.layer.selected_data = {2}
    keypoints.layer.remove_selected()
    assert "1 corrected in all" in panel.state.text()
    panel.frame.setValue(30)
    panel.previous_corrected()
    assert panel.frame.value() == 17
    panel.undo()
    assert "0 corrected in all" in panel.state.text()
    panel.threshold.setValue(0.95)
    panel.next_unsure()
    assert panel.frame.value() == 18


def test_closing_stops_the_work(dock, qtbot, tracker):
    tracker.go_on.clear()
    dock.run()
    qtbot.waitUntil(lambda: bool(tracker.threads))
    task = dock.run_row.task
    threading.Timer(0.2, tracker.go_on.set).start()
    start = time.perf_counter()
    dock.close()
    assert task.cancelled
    assert task.wait(1)
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_box_of_follows_both_layers_scales(viewer, add_video, scale):
    video = add_video(viewer)
    video.scale = (0.02, scale, scale)
    shapes = add_face_box(viewer, video)
    assert box_of(shapes, video) == (8, 6, 73, 55)
    shapes.scale = (2 * scale, 2 * scale)
    assert box_of(shapes, video) == (16, 12, 80, 60)
    shapes.translate = (1000, 1000)
    with pytest.raises(ValueError, match="outside the video"):
        box_of(shapes, video)
    assert box_of(None, video) is None
