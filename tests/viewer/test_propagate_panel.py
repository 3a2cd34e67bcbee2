from __future__ import annotations

import threading
from typing import NamedTuple

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import Qt

from napari_facemap.viewer.propagate_panel import PropagatePanel
from napari_facemap.viewer.proposals import labels_between, stretch
from napari_facemap.viewer.session import session_of

NAMES = ("eye(top)", "nose(tip)", "paw")
N_FRAMES = 40


class Found(NamedTuple):
    frames: np.ndarray
    keypoints: tuple
    position: np.ndarray
    confidence: np.ndarray
    complete: bool


class Follower:
    """Stands in for point tracking: points move by a pixel a frame, sure near the labels."""

    def __init__(self):
        self.asked = []
        self.go_on = threading.Event()
        self.go_on.set()

    def propagate(self, video, labels, start, stop, tracker=None, progress=None):
        assert threading.current_thread() is not threading.main_thread()
        self.asked.append((labels, start, stop))
        names = tuple(dict.fromkeys(name for points in labels.values() for name in points))
        frames = [f for f in range(start, stop) if f not in labels]
        position = np.full((len(frames), 2, len(names)), np.nan)
        confidence = np.zeros((len(frames), len(names)))
        for row, frame in enumerate(frames):
            near = min(labels, key=lambda f: abs(f - frame))
            for k, name in enumerate(names):
                position[row, :, k] = np.add(labels[near][name], frame - near)
                confidence[row, k] = 0.9 - abs(frame - near) / 100
            if row == 5:
                self.go_on.wait(5)
            if progress(row + 1, len(frames)) is False:
                rows = slice(row + 1)
                return Found(frames[rows], names, position[rows], confidence[rows], False)
        return Found(frames, names, position, confidence, True)


@pytest.fixture
def follower(monkeypatch):
    fake = Follower()
    monkeypatch.setattr("napari_facemap.keypoints.propagation.propagate", fake.propagate)
    return fake


@pytest.fixture
def panel(qtbot, follower, add_video, tmp_path):
    viewer = ViewerModel()
    session = session_of(viewer)
    video = add_video(viewer, N_FRAMES)
    session.labelling.open_project(tmp_path / "project", NAMES)
    session.labelling.use_video(video)
    panel = PropagatePanel(viewer, session)
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


def correct(panel, frame, **places):
    """Correct points as a person does: on the frame that is shown."""
    keypoints = panel.session.labelling.keypoints
    keypoints.clock.go_to_frame(frame)
    keypoints.store.place(frame, {name: places[name] for name in places})
    keypoints.touched.emit((frame,))
    keypoints.edited.emit()
    return keypoints


def test_the_points_of_this_frame_are_proposed_in_the_next(panel, qtbot, follower):
    keypoints = correct(panel, 10, paw=(5, 6))
    panel.frames.setValue(8)
    run(panel, qtbot)
    assert follower.asked == [({10: {"paw": (5.0, 6.0)}}, 10, 19)]
    assert keypoints.store.proposed_frames == list(range(11, 19))
    assert keypoints.store.frame(12).position[2].tolist() == [7, 8]
    assert "Proposed 8 points in 8 frames" in panel.run_row.text.text()
    assert "8 points proposed in 8 frames" in panel.state.text()
    assert "confidence 0.82, in frame 18" in panel.state.text()


def test_directions_and_all_corrected_frames(panel, qtbot, follower):
    correct(panel, 30, paw=(1, 1))
    keypoints = correct(panel, 10, paw=(5, 6))
    panel.frames.setValue(100)
    panel.direction.setCurrentText("backward")
    run(panel, qtbot)
    panel.direction.setCurrentText("both ways")
    run(panel, qtbot)
    panel.source.setCurrentText("all corrected frames in the range")
    run(panel, qtbot)
    panel.to_next.setChecked(False)
    run(panel, qtbot)
    here, there = {10: {"paw": (5.0, 6.0)}}, {30: {"paw": (1.0, 1.0)}}
    assert follower.asked == [
        (here, 0, 11),
        (here, 0, 30),
        (here | there, 0, 31),
        (here | there, 0, N_FRAMES),
    ]
    assert keypoints.store.frame(30).position[2].tolist() == [1, 1]


def test_accepting_a_frame_makes_it_a_label_and_undo_takes_it_back(panel, qtbot):
    keypoints = correct(panel, 10, paw=(5, 6))
    panel.frames.setValue(4)
    run(panel, qtbot)
    assert not panel.accept_frame.isEnabled()
    keypoints.placing.choose("mouth")
    click(qtbot, panel.show_least_sure)
    assert (keypoints.frame, keypoints.placing.current) == (14, "paw")
    click(qtbot, panel.accept_frame)
    project, name = panel.session.labelling.project, panel.session.labelling.video_name
    assert project.labels(name)[14] == {"paw": (9.0, 10.0)}
    assert keypoints.store.frame(14).edited[2]
    assert "3 points proposed" in panel.state.text()
    assert not panel.accept_frame.isEnabled()
    keypoints.undo()
    assert 14 not in project.labels(name)
    assert "4 points proposed" in panel.state.text()


def test_accepting_or_rejecting_all_is_one_step(panel, qtbot):
    keypoints = correct(panel, 10, paw=(5, 6))
    panel.frames.setValue(4)
    run(panel, qtbot)
    click(qtbot, panel.accept_all)
    assert keypoints.store.n_edits == 5
    assert panel.state.text() == "No proposed points."
    assert not panel.accept_all.isEnabled()
    # Frames that nobody looked at are no labels to learn from.
    assert panel.session.labelling.labelled == [10]
    keypoints.undo()
    assert keypoints.store.n_edits == 1
    click(qtbot, panel.reject_all)
    assert keypoints.store.n_proposed == 0
    keypoints.undo()
    assert keypoints.store.n_proposed == 4
    keypoints.undo()  # the proposal itself
    assert keypoints.store.n_proposed == 0
    assert keypoints.store.n_edits == 1


def test_a_cancelled_run_proposes_what_was_found(panel, qtbot, follower):
    keypoints = correct(panel, 0, paw=(5, 6))
    follower.go_on.clear()
    click(qtbot, panel.run_row.run)
    qtbot.waitUntil(lambda: "steps" in panel.run_row.text.text())
    click(qtbot, panel.run_row.cancel)
    with qtbot.waitSignal(panel.run_row.finished, timeout=10_000):
        follower.go_on.set()
    assert keypoints.store.proposed_frames == list(range(1, 7))
    assert panel.run_row.text.text().startswith("Cancelled. Proposed 6 points in 6 frames")


def test_what_is_missing_is_said(panel, qtbot, follower):
    click(qtbot, panel.run_row.run)
    assert "correct points of this frame first" in panel.run_row.text.text()
    keypoints = correct(panel, 0, paw=(5, 6))
    panel.direction.setCurrentText("backward")
    click(qtbot, panel.run_row.run)
    assert "No frame to go to" in panel.run_row.text.text()
    panel.viewer.layers.clear()
    click(qtbot, panel.run_row.run)
    assert "Open a video" in panel.run_row.text.text()
    assert keypoints.store.n_proposed == 0
    assert follower.asked == []


def test_stretches_end_at_corrected_frames_and_at_the_video(make_store):
    store = make_store(100)
    for frame in (20, 60):
        store.place(frame, {"paw": (1, 2)})
    assert stretch(store, 40, 30, 30, False, False) == (10, 71)
    assert stretch(store, 40, 30, 30, True, False) == (21, 60)
    assert stretch(store, 40, 30, 30, True, True) == (20, 61)
    assert stretch(store, 20, 30, 0, True, False) == (0, 21)
    assert stretch(store, 90, 5, 50, True, True) == (85, 100)


def test_labels_say_what_is_hidden_but_not_that_alone(make_store):
    store = make_store(10)
    store.delete(3, ["paw"])
    store.place(4, {"paw": (1, 2)})
    store.place(5, {"paw": (1, 2)})
    store.delete(5, ["mouth"])
    found = labels_between(store, 0, 10)
    assert sorted(found) == [4, 5]
    assert found[5]["paw"] == (1, 2)
    assert np.isnan(found[5]["mouth"]).all()
    store.restore(5)
    assert labels_between(store, 5, 10) == {}
    assert labels_between(store, 4, 5) == {4: {"paw": (1.0, 2.0)}}


def test_with_true_tracking_points_go_along(qtbot, add_video, tmp_path):
    """A bright square that moves by a pixel a frame, followed through eight frames."""
    viewer = ViewerModel()
    session = session_of(viewer)
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (16, 16)).astype(np.uint8)
    video = add_video(viewer, N_FRAMES)
    for frame in range(N_FRAMES):
        video.data[frame, 20:36, 10 + frame : 26 + frame] = picture
    session.labelling.open_project(tmp_path / "project", NAMES)
    session.labelling.use_video(video)
    panel = PropagatePanel(viewer, session)
    qtbot.addWidget(panel)
    keypoints = correct(panel, 5, paw=(22, 28))
    panel.frames.setValue(8)
    run(panel, qtbot)
    assert keypoints.store.proposed_frames == list(range(6, 14))
    np.testing.assert_allclose(keypoints.store.frame(13).position[2], (30, 28), atol=0.5)
    panel.disconnect_viewer()


def test_a_keypoint_that_is_renamed_meanwhile_is_left_out(panel, qtbot, follower):
    keypoints = correct(panel, 10, **{"paw": (5, 6), "nose(tip)": (7, 8)})
    follower.go_on.clear()
    click(qtbot, panel.run_row.run)
    qtbot.waitUntil(lambda: bool(follower.asked), timeout=30_000)
    panel.session.labelling.set_keypoints((*NAMES[:2], "hand"), {"paw": "hand"})
    follower.go_on.set()
    qtbot.waitUntil(lambda: not panel.run_row.running, timeout=30_000)
    points = keypoints.store.frame(12)
    assert points.proposed.tolist() == [False, True, False]
    assert "paw" in panel.run_row.text.text()
