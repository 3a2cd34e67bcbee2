"""Tracking again with another model, all frames or some, under the corrections."""

from __future__ import annotations

from functools import partial

from qtpy.QtWidgets import (
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSpinBox,
    QWidget,
)

from napari_facemap.viewer import refine_work
from napari_facemap.viewer.keypoint_layer import KeypointLayer
from napari_facemap.viewer.layers import video_of
from napari_facemap.viewer.model_choice import ModelChoice
from napari_facemap.viewer.refine_work import Retracked
from napari_facemap.viewer.run_row import RunRow
from napari_facemap.viewer.session import Session
from napari_facemap.viewer.target import keypoints_to_refine, video_to_refine


class RetrackBox(QWidget):
    """Chooses a model and frames, and puts what it finds there under the corrections.

    Parameters
    ----------
    session : Session
        Of the viewer.
    """

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.device = "auto"
        self._run: tuple[KeypointLayer, str] | None = None  # that goes on
        self._offered: KeypointLayer | None = None  # whose corrected stretch is offered
        self.model = ModelChoice(session)
        self.run_row = RunRow("Retrack all", "frames")
        self.stretch = QPushButton("Retrack")
        self.first = QSpinBox()
        self.last = QSpinBox()
        self._build()
        session.labelling.changed.connect(self.refresh)
        session.layers_changed.connect(self.refresh)
        self.refresh()

    def _build(self) -> None:
        self.run_row.run.setToolTip("Track all frames with this model; corrections stay")
        self.stretch.setToolTip("Track these frames alone, first and last included")
        frames = QHBoxLayout()
        frames.addWidget(self.first, stretch=1)
        frames.addWidget(QLabel("to"))
        frames.addWidget(self.last, stretch=1)
        frames.addWidget(self.stretch)
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setVerticalSpacing(4)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Retrack with", self.model.with_button())
        form.addRow("Frames", frames)
        form.addRow(self.run_row)
        self.run_row.run.clicked.connect(self._on_all)
        self.stretch.clicked.connect(self._on_stretch)
        self.run_row.finished.connect(self._on_finished)
        self.run_row.busy.connect(self.stretch.setDisabled)
        self.model.failed.connect(self.run_row.show_error)

    def refresh(self) -> None:
        """Offer the frames between the first and the last correction of a layer that is new."""
        keypoints = keypoints_to_refine(self.session)
        if keypoints is None or keypoints is self._offered:
            return
        self._offered = keypoints
        store = keypoints.store
        first = store.next_edited(-1)
        last = store.next_edited(store.n_frames, -1)
        for box, frame in ((self.first, first), (self.last, last)):
            box.setRange(0, store.n_frames - 1)
            box.setValue(frame or 0)
        if first is None or first == last:
            self.last.setValue(store.n_frames - 1)

    def _on_all(self) -> None:
        keypoints = keypoints_to_refine(self.session)
        self._start(range(keypoints.store.n_frames) if keypoints is not None else range(0))

    def _on_stretch(self) -> None:
        first, last = sorted((self.first.value(), self.last.value()))
        self._start(range(first, last + 1))

    def _start(self, frames: range) -> None:
        keypoints, video = keypoints_to_refine(self.session), video_to_refine(self.session)
        if keypoints is None or video is None:
            self.run_row.show_error("Open a video first, and track or label it.")
            return
        if self.model.choice is None:
            self.run_row.show_error("The models are still being listed: try again in a moment.")
            return
        self._run = keypoints, self.model.currentText()
        predicted, model = keypoints.store.predicted, self.model.choice
        work = partial(refine_work.track_again, video_of(video), predicted, model)
        self.run_row.start(partial(work, frames, self.device))

    def _on_finished(self, found: Retracked) -> None:
        run, self._run = self._run, None
        if run is None or run[0].layer not in self.session.viewer.layers:
            return
        keypoints, model = run
        if not found.n_frames:
            self.run_row.show_text("Cancelled before the first frames were done.")
            return
        keypoints.set_store(keypoints.store.with_predictions(found.poses))
        keypoints.edited.emit()
        n_edits = keypoints.store.n_edits
        kept = f" {n_edits:,} corrected points stay." if n_edits else ""
        what = "Tracked" if found.complete else "Cancelled: tracked"
        self.run_row.show_text(f"{what} {found.n_frames:,} frames with {model}.{kept}")

    def disconnect_viewer(self) -> None:
        """Stop what is running and let go of the viewer."""
        self.run_row.stop()
        self.model.disconnect_viewer()
        self.session.labelling.changed.disconnect(self.refresh)
        self.session.layers_changed.disconnect(self.refresh)
