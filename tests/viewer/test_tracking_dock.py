from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_facemap.keypoints.box import Box
from napari_facemap.keypoints.finder import Face, NoFaceError, SearchStopped
from napari_facemap.keypoints.poses import make_poses
from napari_facemap.viewer.face_box import box_of
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

    def track(
        self, video, model=None, box=None, facing=None, device="auto", progress=None, **more
    ):
        self.asked.append({"model": model, "box": box, "facing": facing, "device": device, **more})
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
            "box_found": 0,
            "runtime": "torch",
            "device": "cpu",
            "precision": "8-bit",
            "deviation_p95": 0.42,
        }
        return make_poses(position, confidence, NAMES, video.times, attrs=attrs)


class Finder:
    """Stands in for the finder: finds what it is told, or nothing."""

    def __init__(self):
        # Box sticks out on the left and below: the frame is 80 x 60.
        self.face = Face(Box(-8, 6, 62, 76), "left", 15 / 16)
        self.looked = []
        self.go_on = threading.Event()
        self.go_on.set()

    def find_face(self, video, model=None, n_frames=16, device="auto", progress=None):
        self.looked.append({"shape": video.shape, "model": model, "device": device})
        assert threading.current_thread() is not threading.main_thread()
        while not self.go_on.wait(0.02):
            if progress(1, n_frames) is False:
                raise SearchStopped
        if self.face is None:
            raise NoFaceError("video: no face in any of 16 frames.")
        return self.face


@pytest.fixture
def finder(monkeypatch):
    fake = Finder()
    monkeypatch.setattr("napari_facemap.keypoints.finder.find_face", fake.find_face)
    return fake


@pytest.fixture
def tracker(monkeypatch, finder):
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


def click(qtbot, button):
    from qtpy.QtCore import Qt

    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def click_run(dock, qtbot, button=None):
    with qtbot.waitSignal(dock.run_row.finished, timeout=10_000):
        click(qtbot, button or dock.run_row.run)


def boxes_of(dock):
    return [layer for layer in dock.viewer.layers if layer.name.startswith("face box")]


def test_run_makes_a_keypoint_layer(dock, qtbot, tracker):
    assert [dock.model.itemText(i) for i in range(dock.model.count())] == ["mouse-face", "mine"]
    dock.model.setCurrentText("mine")
    dock.device.setCurrentText("cpu")
    click_run(dock, qtbot)
    (asked,) = tracker.asked
    assert asked["model"] == "mine"
    assert asked["device"] == "cpu"
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


def test_a_drawn_box_is_used(dock, qtbot, tracker, finder):
    click(qtbot, dock.draw_box)
    shapes = dock.box.layer
    assert shapes is not None
    shapes.data = [np.array([[10, 20], [10, 50], [40, 50], [40, 20]])]
    click_run(dock, qtbot)
    assert tracker.asked[-1]["box"] == (20, 10, 51, 41)
    assert finder.looked == []
    assert dock.box.layer is shapes
    dock.box.setCurrentText("whole frame")
    click_run(dock, qtbot)
    assert tracker.asked[-1]["box"] == "whole"
    assert finder.looked == []


def test_without_a_box_the_face_is_found_shown_and_tracked(dock, qtbot, tracker, finder):
    finder.go_on.clear()
    tracker.go_on.clear()
    dock.model.setCurrentText("mine")
    click(qtbot, dock.run_row.run)
    assert dock.run_row.text.text() == "Looking for the face …"
    assert not dock.find_face.isEnabled()
    assert boxes_of(dock) == []
    finder.go_on.set()
    qtbot.waitUntil(lambda: bool(boxes_of(dock)))
    assert dock.run_row.running  # the box is shown while tracking goes on
    (shapes,) = boxes_of(dock)
    assert dock.box.layer is shapes
    assert shapes.name == "face box"
    assert shapes.shape_type == ["rectangle"]
    expected = [[5.5, -8.5], [5.5, 61.5], [75.5, 61.5], [75.5, -8.5]]
    np.testing.assert_allclose(shapes.data[0], expected)
    with qtbot.waitSignal(dock.run_row.finished, timeout=10_000):
        tracker.go_on.set()
    assert finder.looked == [{"shape": (N_FRAMES, 60, 80), "model": "mine", "device": "auto"}]
    (asked,) = tracker.asked
    assert asked["box"] == finder.face.box
    assert asked["facing"] == "left"
    (keypoints,) = session_of(dock.viewer).keypoint_layers
    assert keypoints.store.attrs["box_found"] == 1
    assert boxes_of(dock) == [shapes]
    assert dock.find_face.isEnabled()


def test_a_found_box_is_used_until_changed_and_then_as_changed(dock, qtbot, tracker, finder):
    click_run(dock, qtbot, dock.find_face)
    assert tracker.asked == []
    assert "Face found in 94% of the frames" in dock.run_row.text.text()
    assert "facing left" in dock.run_row.text.text()
    shapes = dock.box.layer
    click_run(dock, qtbot)
    assert tracker.asked[-1]["box"] == finder.face.box
    assert tracker.asked[-1]["facing"] == "left"
    changed = shapes.data[0] + (-10, 5)
    shapes.data = [changed]
    click_run(dock, qtbot)
    assert tracker.asked[-1]["box"] == (-3, -4, 67, 66)
    assert tracker.asked[-1]["facing"] is None
    assert len(finder.looked) == 1
    (keypoints,) = session_of(dock.viewer).keypoint_layers
    assert keypoints.store.attrs["box_found"] == 0
    np.testing.assert_array_equal(shapes.data[0], changed)
    assert boxes_of(dock) == [shapes]


def test_find_face_replaces_what_was_found_and_keeps_what_was_drawn(dock, qtbot, finder):
    click_run(dock, qtbot, dock.find_face)
    finder.face = finder.face._replace(box=Box(10, 10, 50, 50))
    click_run(dock, qtbot, dock.find_face)
    (found,) = boxes_of(dock)
    assert box_of(found, dock.video.layer) == (10, 10, 50, 50)
    drawn = np.array([[20, 20], [20, 40], [40, 40], [40, 20]])
    found.data = [drawn]
    click_run(dock, qtbot, dock.find_face)
    before, now = boxes_of(dock)
    assert before is found
    assert not before.visible
    np.testing.assert_array_equal(before.data[0], drawn)
    assert dock.box.layer is now
    assert now.visible
    assert box_of(now, dock.video.layer) == (10, 10, 50, 50)


def test_a_deleted_rectangle_is_found_anew(dock, qtbot, tracker, finder):
    click(qtbot, dock.draw_box)
    dock.box.layer.selected_data = {0}
    dock.box.layer.remove_selected()
    click_run(dock, qtbot)
    (shapes,) = boxes_of(dock)
    assert box_of(shapes, dock.video.layer) == finder.face.box
    assert tracker.asked[-1]["box"] == finder.face.box


@pytest.mark.parametrize("button", ["run", "find_face"])
def test_no_face_is_said_and_changes_nothing(dock, qtbot, tracker, finder, button):
    finder.face = None
    layers = list(dock.viewer.layers)
    click(qtbot, dock.run_row.run if button == "run" else dock.find_face)
    qtbot.waitUntil(lambda: not dock.run_row.running)
    text = dock.run_row.text.text()
    assert text.startswith("video: no face in any of 16 frames. ")
    assert "“Draw box”" in text
    assert list(dock.viewer.layers) == layers
    assert tracker.asked == []
    assert dock.run_row.run.isEnabled()
    click(qtbot, dock.draw_box)
    click_run(dock, qtbot)
    assert "Tracked 40 frames" in dock.run_row.text.text()


def test_the_precision_is_passed_on_and_what_computed_is_said(dock, qtbot, tracker):
    click_run(dock, qtbot)
    assert "precision" not in tracker.asked[-1]
    dock.precision.setCurrentText("8-bit")
    click_run(dock, qtbot)
    assert tracker.asked[-1]["precision"] == "8-bit"
    assert "Computed by torch on cpu in 8-bit" in dock.run_row.text.text()
    assert "0.42 pixels" in dock.run_row.text.text()


@pytest.mark.parametrize("button", ["run", "find_face"])
def test_cancel_while_looking_changes_nothing(dock, qtbot, tracker, finder, button):
    finder.go_on.clear()
    click(qtbot, dock.run_row.run if button == "run" else dock.find_face)
    click(qtbot, dock.run_row.cancel)
    qtbot.waitUntil(lambda: not dock.run_row.running)  # the search is not waited for
    assert boxes_of(dock) == []
    assert tracker.asked == []
    assert "Cancelled" in dock.run_row.text.text()


def test_every_video_has_its_own_box(dock, qtbot, tracker, finder, add_video):
    from napari_facemap.viewer.tracking_dock import TrackingDock

    click_run(dock, qtbot)
    first = dock.box.layer
    other = add_video(dock.viewer, N_FRAMES, shape=(100, 100))
    dock.video.choose(other)
    assert dock.box.currentText() == "automatic"
    finder.face = Face(Box(20, 20, 90, 90), "right", 1.0)
    click_run(dock, qtbot)
    assert finder.looked[-1]["shape"] == (N_FRAMES, 100, 100)
    assert tracker.asked[-1]["facing"] == "right"
    second = dock.box.layer
    assert boxes_of(dock) == [first, second]
    assert first.visible
    dock.video.choose(dock.viewer.layers["video"])
    assert dock.box.layer is first
    # A dock that is opened later knows them too.
    later = TrackingDock(dock.viewer)
    qtbot.addWidget(later)
    assert later.box.layer is first
    dock.viewer.layers.remove(first)
    assert dock.box.currentText() == "automatic"
    qtbot.waitUntil(later.model.isEnabled)


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
    while not tracker.threads:  # asleep, so that the found face arrives after the dock closed
        time.sleep(0.01)
    task = dock.run_row.task
    threading.Timer(0.2, tracker.go_on.set).start()
    start = time.perf_counter()
    dock.close()
    assert task.cancelled
    assert task.wait(1)
    assert time.perf_counter() - start < 5


def test_closing_while_looking_stops_before_tracking(dock, qtbot, tracker, finder):
    finder.go_on.clear()
    click(qtbot, dock.run_row.run)
    qtbot.waitUntil(lambda: bool(finder.looked))
    threading.Timer(0.2, finder.go_on.set).start()
    dock.close()
    qtbot.wait(50)
    assert tracker.asked == []
    assert boxes_of(dock) == []
