from __future__ import annotations

import threading

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import Qt

from napari_facemap import built_in, refining
from napari_facemap.files.label_project import LabelProject
from napari_facemap.keypoints.evaluation import summary
from napari_facemap.keypoints.models import list_models, load_model
from napari_facemap.keypoints.poses import make_poses
from napari_facemap.keypoints.training import TrainingOptions
from napari_facemap.simulate.face import simulate_face
from napari_facemap.viewer import refine_work
from napari_facemap.viewer.refine_panel import RefinePanel
from napari_facemap.viewer.refine_text import (
    frames_in_words,
    outcome_in_words,
    outcome_table,
    parts_in_words,
)
from napari_facemap.viewer.refine_work import Frame
from napari_facemap.viewer.session import session_of
from napari_facemap.viewer.tracking_dock import TrackingDock

NAMES = ("eye(back)", "eye(front)", "nose(tip)", "mouth")
N_FRAMES = 30


class Learner:
    """Stands in for fine-tuning: errors fall from 8 to 4 % over four epochs."""

    def __init__(self):
        self.asked = []
        self.go_on = threading.Event()
        self.go_on.set()
        self.errors = [8.0, 7.0, 6.0, 5.0, 4.0]
        self.epochs = 5

    def refine(self, faces, keypoints, model, held_out=None, options=None, device="auto",
               report=None, progress=None, origin=None):  # fmt: skip
        assert threading.current_thread() is not threading.main_thread()
        sources = [face.source for face in faces]
        self.asked.append({"sources": sources, "keypoints": keypoints, "device": device})
        kept, measured = refining.split(faces)
        history = []
        for epoch in range(self.epochs):
            errors = summary(np.full((2, len(keypoints)), self.errors[epoch]), keypoints)
            row = {"step": 60 * epoch, "seconds": 1.0, "loss": 3.0 - epoch / 2}
            history.append(row | (errors if measured else {}))
            report(history[-1])
            if epoch == 2:
                self.go_on.wait(5)
            if epoch and progress(60 * epoch, 240) is False:
                break
        before, after = (history[k] if measured else None for k in (0, -1))
        options = options or refining.OPTIONS
        network = refining.with_keypoints(model.network, model.keypoints, keypoints)
        return refining.Refined(
            network, keypoints, history, before, after, kept, measured, options
        )


@pytest.fixture
def models(tmp_path, monkeypatch):
    folder = tmp_path / "models"
    monkeypatch.setenv("NAPARI_FACEMAP_MODELS", str(folder))
    return folder


@pytest.fixture
def learner(monkeypatch):
    fake = Learner()
    monkeypatch.setattr(refining, "refine", fake.refine)
    return fake


def make_project(folder, n_frames, video="mouse.avi", names=NAMES, black=False):
    project = LabelProject(folder, names)
    name = project.add_video(folder / video)
    face = simulate_face(n_frames=100, size=(60, 80), seed=3)
    position = face.poses["position"].sel(keypoint=list(NAMES)).values
    for frame in range(n_frames):
        points = {
            name: tuple(position[frame, :, k].tolist())
            for k, name in enumerate(NAMES)
            if name in names
        }
        picture = face.frame(frame)
        project.set_labels(name, frame, points, 0 * picture if black else picture)
    return project


@pytest.fixture
def panel(qtbot, models, add_video, tmp_path):
    # Black, as the video that is added below: by its pictures it is known to be the project's.
    make_project(tmp_path / "odd camera", 10, "video", black=True)
    viewer = ViewerModel()
    session = session_of(viewer)
    video = add_video(viewer, N_FRAMES)
    session.labelling.open_project(tmp_path / "odd camera")
    session.labelling.use_video(video)
    panel = RefinePanel(viewer, session)
    qtbot.addWidget(panel)
    panel.show()
    qtbot.waitUntil(panel.model.isEnabled, timeout=20_000)
    qtbot.waitUntil(panel.retrack.model.isEnabled, timeout=20_000)
    qtbot.waitUntil(lambda: bool(panel.parts.text()), timeout=20_000)
    yield panel
    panel.disconnect_viewer()


def click(qtbot, button):
    assert button.isEnabled()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def run(panel, qtbot, row=None, button=None):
    row = row or panel.run_row
    click(qtbot, button or row.run)
    qtbot.waitUntil(lambda: not row.running, timeout=60_000)


def names_in(choice):
    return [choice.itemText(k) for k in range(choice.count())]


def test_a_model_is_made_and_is_in_every_list(panel, qtbot, learner, models):
    dock = TrackingDock(panel.viewer)
    qtbot.addWidget(dock)
    qtbot.waitUntil(dock.model.isEnabled)
    assert panel.name.text() == "odd-camera"
    panel.name.setText("mine")
    panel.device.setCurrentText("cpu")
    run(panel, qtbot)
    (asked,) = learner.asked
    assert asked["keypoints"] == NAMES
    assert len(asked["sources"]) == 10
    assert asked["device"] == "cpu"
    assert list_models()[-1] == "mine"
    assert (models / "mine.png").is_file()  # its error curve
    card = load_model("mine").card
    assert card["project"] == "odd camera"
    assert card["refined_from"]["name"] == "mouse-face"
    for choice in (panel.model, panel.retrack.model, dock.model):
        qtbot.waitUntil(lambda choice=choice: "mine" in names_in(choice))
    assert panel.retrack.model.choice == "mine"
    assert panel.model.choice == "mouse-face"
    assert dock.model.choice == "mouse-face"
    dock.close()


def test_frames_kept_aside_and_errors_are_shown(panel, qtbot, learner):
    assert panel.parts.text() == (
        "Learns from 8 frames; the error is measured on 2: video frames 2, 7."
    )
    assert not panel.curve.isVisible()
    run(panel, qtbot)
    assert [point[0] for point in panel.curve.points] == [0, 60, 120, 180, 240]
    assert [point[2] for point in panel.curve.points] == [8, 7, 6, 5, 4]
    assert panel.curve.isVisible()
    text = panel.run_row.text.text()
    assert "Saved as model 'odd-camera'." in text
    assert "Median error on 2 frames kept aside: 8.0 % before, 4.0 % now" in text
    assert "eye" in panel.table.text()
    assert "8.0 %" in panel.table.text()
    click(qtbot, panel.new_card)
    (dialog,) = (child for child in panel.children() if hasattr(child, "text") and
                 "odd-camera" in getattr(child, "windowTitle", str)())  # fmt: skip
    assert "Started from" in dialog.text.toPlainText()
    assert "2 frames: odd camera/video 2, 7" in dialog.text.toPlainText()
    qtbot.waitUntil(lambda: panel.name.text() == "odd-camera-2")  # a name that is free


def test_cancel_keeps_the_best_so_far(panel, qtbot, learner):
    learner.go_on.clear()
    click(qtbot, panel.run_row.run)
    qtbot.waitUntil(lambda: len(panel.curve.points) == 3)
    assert "of 240 steps" in panel.run_row.text.text()
    click(qtbot, panel.run_row.cancel)
    with qtbot.waitSignal(panel.run_row.finished, timeout=20_000):
        learner.go_on.set()
    assert "Ended after 120 of 240 steps: cancelled." in panel.run_row.text.text()
    assert list_models()[-1] == "odd-camera"


def test_several_projects_are_learnt_from_at_once(panel, qtbot, learner, tmp_path, monkeypatch):
    from qtpy.QtWidgets import QFileDialog

    other = make_project(tmp_path / "other", 3, names=("nose(tip)", "mouth"))
    other.set_keypoints(("nose(tip)", "mouth", "ear"))
    folders = iter([str(tmp_path / "other"), str(tmp_path)])
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: next(folders))
    click(qtbot, panel.projects.add)
    assert "13" not in panel.parts.text()
    assert panel.parts.text().startswith("Learns from 10 frames; the error is measured on 3:")
    click(qtbot, panel.projects.add)
    assert "expected a folder with project.json" in panel.run_row.text.text()
    run(panel, qtbot)
    (asked,) = learner.asked
    assert asked["keypoints"] == (*NAMES, "ear")
    assert asked["sources"][0].startswith("odd camera/video/")
    assert asked["sources"][-1].startswith("other/mouse/")
    panel.projects.list.setCurrentRow(0)
    assert not panel.projects.remove.isEnabled()
    panel.projects.list.setCurrentRow(1)
    click(qtbot, panel.projects.remove)
    assert len(panel.projects.projects) == 1


def test_new_labels_are_counted_at_once(panel, qtbot):
    keypoints = panel.session.labelling.keypoints
    keypoints.clock.go_to_frame(20)
    keypoints.store.place(20, {"mouth": (1, 2)})
    keypoints.touched.emit((20,))
    assert panel.parts.text().startswith("Learns from 9 frames")


def test_what_is_missing_is_said(panel, qtbot, learner):
    panel.name.setText("a/b")
    click(qtbot, panel.run_row.run)
    assert "a/b" in panel.run_row.text.text()
    panel.name.setText("mouse-face")
    click(qtbot, panel.run_row.run)
    assert "There is a model 'mouse-face' already" in panel.run_row.text.text()
    panel.session.labelling.close()
    click(qtbot, panel.run_row.run)
    assert "No labelled frames" in panel.run_row.text.text()
    assert learner.asked == []


def test_nothing_better_is_not_saved(panel, qtbot, learner):
    learner.errors = [8.0, 9.0, 8.5, 8.1, 9.0]
    run(panel, qtbot)
    assert "Nothing was learnt that finds the frames kept aside better than before (8.0 %)" in (
        panel.run_row.text.text()
    )
    assert "odd-camera" not in list_models()
    assert not panel.new_card.isVisible()


def test_an_early_end_is_explained(panel, qtbot, learner):
    learner.epochs = 3
    run(panel, qtbot)
    assert "Ended after 120 of 240 steps: the error no longer fell." in panel.run_row.text.text()


@pytest.fixture
def tracker(monkeypatch):
    """Stands in for tracking: finds everything at x = y = 7."""
    asked = []

    def track(video, model, box, device, progress, facing=None, frames=None, **how):
        start, stop = frames
        asked.append({"model": model, "frames": frames, "device": device, "box": box})
        n = stop - start
        done = n if progress(n, n) else n // 2
        position = np.full((n, 2, len(NAMES)), 7.0)
        position[done:] = np.nan
        confidence = np.full((n, len(NAMES)), 0.8)
        attrs = {"complete": int(done == n), "frames_tracked": done, "model": model}
        return make_poses(position, confidence, NAMES, np.arange(n) / 50, attrs=attrs)

    monkeypatch.setattr("napari_facemap.keypoints.retracking.track", track)
    return asked


def test_retracking_keeps_corrections(panel, qtbot, tracker):
    box, keypoints = panel.retrack, panel.session.labelling.keypoints
    assert (box.first.value(), box.last.value()) == (0, 9)  # that are corrected
    box.first.setValue(12)
    box.last.setValue(15)
    panel.device.setCurrentText("cpu")
    run(panel, qtbot, box.run_row, box.stretch)
    assert tracker == [{"model": "mouse-face", "frames": (12, 16), "device": "cpu", "box": None}]
    assert keypoints.store.frame(12).position[0].tolist() == [7, 7]
    assert np.isnan(keypoints.store.frame(16).position[0]).all()
    before = keypoints.store.frame(3).position.copy()
    run(panel, qtbot, box.run_row)
    assert tracker[-1]["frames"] == (0, N_FRAMES)
    assert keypoints.store.frame(16).position[0].tolist() == [7, 7]
    np.testing.assert_array_equal(keypoints.store.frame(3).position, before)
    assert keypoints.store.prediction(3).position[0].tolist() == [7, 7]
    assert (
        box.run_row.text.text() == "Tracked 30 frames with mouse-face. 40 corrected points stay."
    )


def test_what_was_taken_back_while_it_tracked_stays_taken_back(panel, qtbot, tracker, monkeypatch):
    box, keypoints = panel.retrack, panel.session.labelling.keypoints
    true_work, go_on = refine_work.track_again, threading.Event()

    def slow(*arguments):
        go_on.wait(5)
        return true_work(*arguments)

    monkeypatch.setattr(refine_work, "track_again", slow)
    click(qtbot, box.run_row.run)
    keypoints.clock.go_to_frame(3)
    keypoints.restore()
    keypoints.clock.go_to_frame(4)
    keypoints.store.place(4, {"mouth": (1.0, 2.0)})
    keypoints.touched.emit((4,))
    with qtbot.waitSignal(box.run_row.finished, timeout=10_000):
        go_on.set()
    assert not keypoints.store.frame(3).edited.any()
    assert keypoints.store.frame(4).position[3].tolist() == [1, 2]


def test_a_cancelled_retracking_keeps_what_was_found(panel, qtbot, tracker, monkeypatch):
    box, keypoints = panel.retrack, panel.session.labelling.keypoints
    true_work, go_on = refine_work.track_again, threading.Event()

    def slow(*arguments):
        go_on.wait(5)
        return true_work(*arguments)

    monkeypatch.setattr(refine_work, "track_again", slow)
    click(qtbot, box.run_row.run)
    click(qtbot, box.run_row.cancel)
    with qtbot.waitSignal(box.run_row.finished, timeout=10_000):
        go_on.set()
    assert "Cancelled: tracked 15 frames" in box.run_row.text.text()
    assert keypoints.store.frame(12).position[0].tolist() == [7, 7]
    assert np.isnan(keypoints.store.frame(20).position[0]).all()


def test_the_whole_way_with_the_real_network(panel, qtbot, monkeypatch):
    """Few steps of true fine-tuning, and tracking with what came of it."""
    monkeypatch.setattr(refining, "_MICE", 1)
    monkeypatch.setattr(built_in, "_ROUNDING_VIEWS", 2)
    panel.options = TrainingOptions(steps=2, batch_size=2, evaluate_every=1, fixed_norms=True)
    panel.device.setCurrentText("cpu")
    run(panel, qtbot)
    assert "Saved as model" in panel.run_row.text.text()
    assert [point[0] for point in panel.curve.points] == [0, 1, 2]
    made = load_model("odd-camera")
    assert made.keypoints == NAMES
    assert len(made.card["validation_frames"]) == 2
    qtbot.waitUntil(lambda: panel.retrack.model.choice == "odd-camera")
    panel.session.labelling.keypoints.store.attrs["box"] = (0, 0, 80, 60)
    run(panel, qtbot, panel.retrack.run_row)
    assert "Tracked 30 frames with odd-camera" in panel.retrack.run_row.text.text()


def test_parts_and_outcomes_in_words():
    frames = [Frame("p", "a", 1), Frame("p", "a", 1200), Frame("p", "b", 7)]
    assert frames_in_words(frames) == "a frames 1, 1,200; b frame 7"
    assert frames_in_words([Frame("q", "a", 1), *frames]).startswith("q/a frame 1; p/a frames")
    assert "all 3 labelled frames" in parts_in_words(frames, [], 8)
    many = [Frame("p", "a", k) for k in range(20)]
    assert parts_in_words(frames, many, 8).endswith("and 12 more.")
    assert parts_in_words([], [], 8) == "No labelled frames yet."
    worse = summary(np.full((1, 4), 5.0), NAMES)
    better = summary(np.full((1, 4), 3.0), NAMES)
    assert "did not become better" not in outcome_in_words(worse, better, 1)
    assert "did not become better" in outcome_in_words(better, worse, 1)
    assert "1 frame kept aside: 5.0 % before, 3.0 % now" in outcome_in_words(worse, better, 1)
    new = {**worse, "per_keypoint": {}}
    assert f"New: {NAMES[0]} 3.0 %, " in outcome_in_words(new, better, 1)
    assert "New:" not in outcome_in_words(worse, better, 1)
    assert outcome_table(None, None) == ""
    assert "none was kept aside" in outcome_in_words(None, None, 0)
