"""Carrying corrections on to other frames, and accepting what is proposed there."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QGridLayout,
    QGroupBox,
    QPushButton,
    QSpinBox,
    QWidget,
)

from napari_facemap.viewer.keypoint_layer import KeypointLayer
from napari_facemap.viewer.layers import video_of
from napari_facemap.viewer.proposals import Labels, labels_between, least_sure, stretch
from napari_facemap.viewer.run_row import RunRow
from napari_facemap.viewer.session import Session
from napari_facemap.viewer.target import keypoints_to_refine, video_to_refine
from napari_facemap.viewer.wrapped_label import WrappedLabel

if TYPE_CHECKING:
    from napari_facemap.keypoints.propagation import Propagated

THIS_FRAME, ALL_IN_RANGE = "this frame", "all corrected frames in the range"
FORWARD, BACKWARD, BOTH = "forward", "backward", "both ways"


class PropagatePanel(QGroupBox):
    """Follows corrected points from frame to frame and proposes where they are.

    Parameters
    ----------
    viewer : napari viewer
        To follow.
    session : Session
        Of that viewer.
    """

    def __init__(self, viewer: Any, session: Session, parent: QWidget | None = None) -> None:
        super().__init__("Propagate", parent)
        self.session = session
        self.viewer = session.viewer
        self._keypoints: KeypointLayer | None = None  # of the run that goes on
        self._least_sure: int | None = None  # frame
        self.source = QComboBox()
        self.direction = QComboBox()
        self.frames = QSpinBox()
        self.to_next = QCheckBox("not beyond the next corrected frame")
        self.run_row = RunRow("Propagate", "steps")
        self.state = WrappedLabel()
        self.accept_frame = QPushButton("Accept this frame")
        self.accept_all = QPushButton("Accept all")
        self.reject_all = QPushButton("Reject all")
        self.show_least_sure = QPushButton("Go to least sure")
        self._build()
        self._connect()
        self.refresh()

    def _build(self) -> None:
        self.source.addItems((THIS_FRAME, ALL_IN_RANGE))
        self.source.setToolTip("Points that you corrected are followed from frame to frame")
        self.direction.addItems((FORWARD, BACKWARD, BOTH))
        self.frames.setRange(1, 100_000)
        self.frames.setValue(50)
        self.frames.setSuffix(" frames")
        self.frames.setToolTip("How far from the frame shown")
        self.to_next.setChecked(True)
        self.accept_frame.setToolTip("Make the points proposed here corrections of your own")
        self.accept_all.setToolTip("Make all proposed points corrections of your own")
        self.reject_all.setToolTip("Drop all proposed points; what was there before comes back")
        self.show_least_sure.setToolTip(
            "Show the frame with the least sure of the proposed points"
        )
        buttons = QGridLayout()
        buttons.addWidget(self.show_least_sure, 0, 0)
        buttons.addWidget(self.accept_frame, 0, 1)
        buttons.addWidget(self.reject_all, 1, 0)
        buttons.addWidget(self.accept_all, 1, 1)
        form = QFormLayout(self)
        form.setVerticalSpacing(4)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("From", self.source)
        form.addRow("Direction", self.direction)
        form.addRow("Through", self.frames)
        form.addRow("", self.to_next)
        form.addRow(self.run_row)
        form.addRow(self.state)
        form.addRow(buttons)

    def _connect(self) -> None:
        self.run_row.run.clicked.connect(self.run)
        self.run_row.finished.connect(self._on_finished)
        self.accept_frame.clicked.connect(self._on_accept_frame)
        self.accept_all.clicked.connect(self._on_accept_all)
        self.reject_all.clicked.connect(self._on_reject_all)
        self.show_least_sure.clicked.connect(self._on_least_sure)
        self.session.edited.connect(self.refresh)
        self.session.labelling.changed.connect(self.refresh)
        self.session.layers_changed.connect(self.refresh)
        self.viewer.dims.events.current_step.connect(self._refresh_frame, position="last")

    # -- running ----------------------------------------------------------------------------------

    def run(self) -> None:
        """Follow the chosen points through the chosen frames."""
        keypoints, video = keypoints_to_refine(self.session), video_to_refine(self.session)
        if keypoints is None or video is None:
            self.run_row.show_error("Open a video and label a frame of it first.")
            return
        start, stop, labels = self._chosen(keypoints)
        if not labels:
            self.run_row.show_error(
                "No corrected points to follow: correct points of this frame first, or choose "
                f"“{ALL_IN_RANGE}”."
            )
            return
        if stop - start <= 1:
            self.run_row.show_error("No frame to go to in this direction.")
            return
        self._keypoints = keypoints
        self.run_row.start(partial(_propagate, video_of(video), labels, start, stop))

    def _chosen(self, keypoints: KeypointLayer) -> tuple[int, int, Labels]:
        frame, store = keypoints.frame, keypoints.store
        direction = self.direction.currentText()
        back = self.frames.value() if direction != FORWARD else 0
        ahead = self.frames.value() if direction != BACKWARD else 0
        whole = self.source.currentText() == ALL_IN_RANGE
        start, stop = stretch(store, frame, back, ahead, self.to_next.isChecked(), whole)
        found = labels_between(store, start, stop)
        if not whole:
            found = {frame: found[frame]} if frame in found else {}
        return start, stop, found

    def _on_finished(self, found: Propagated) -> None:
        keypoints, self._keypoints = self._keypoints, None
        if keypoints is None or keypoints.layer not in self.viewer.layers:
            return
        store = keypoints.store
        known = [k for k, name in enumerate(found.keypoints) if name in store.keypoints]
        n = store.propose(
            found.frames,
            [found.keypoints[k] for k in known],
            found.position[:, :, known],
            found.confidence[:, known],
        )
        self._changed(keypoints)
        text = _outcome(n, store.last_changed if n else (), found.complete)
        gone = [name for name in found.keypoints if name not in store.keypoints]
        if gone:
            text += f" Renamed or removed meanwhile, so left out: {', '.join(gone)}."
        self.run_row.show_text(text)

    # -- proposals --------------------------------------------------------------------------------

    def refresh(self, event: Any = None) -> None:
        """Say how much is proposed."""
        keypoints = keypoints_to_refine(self.session)
        n = keypoints.store.n_proposed if keypoints is not None else 0
        self._least_sure = None
        if keypoints is None or not n:
            self.state.setText("No proposed points.")
        else:
            store = keypoints.store
            self._least_sure, confidence = least_sure(store)
            self.state.setText(
                f"{n:,} points proposed in {len(store.proposed_frames):,} frames (yellow rings); "
                f"the least sure has confidence {confidence:.2f}, in frame {self._least_sure:,}."
            )
        for button in (self.accept_all, self.reject_all, self.show_least_sure):
            button.setEnabled(bool(n))
        self._refresh_frame()

    def _refresh_frame(self, event: Any = None) -> None:
        keypoints = keypoints_to_refine(self.session)
        here = keypoints is not None and keypoints.store.frame(keypoints.frame).proposed.any()
        self.accept_frame.setEnabled(bool(here))

    def _on_accept_frame(self) -> None:
        keypoints = keypoints_to_refine(self.session)
        if keypoints is not None:
            n = keypoints.store.accept([keypoints.frame])
            # Somebody looked at it, so it is a label, as if each point had been dragged.
            keypoints.touched.emit((keypoints.frame,))
            self._changed(keypoints)
            self.run_row.show_text(f"Accepted {n:,} points of this frame: it is labelled now.")

    def _on_accept_all(self) -> None:
        keypoints = keypoints_to_refine(self.session)
        if keypoints is not None:
            n = keypoints.store.accept()
            self._changed(keypoints)
            self.run_row.show_text(
                f"Accepted {n:,} points: they are corrections now, and are no labels to learn "
                "from unless you add their frames. Ctrl+Z takes it back."
            )

    def _on_reject_all(self) -> None:
        keypoints = keypoints_to_refine(self.session)
        if keypoints is not None:
            n = keypoints.store.reject()
            self._changed(keypoints)
            self.run_row.show_text(f"Rejected {n:,} points. Ctrl+Z takes it back.")

    def _on_least_sure(self) -> None:
        keypoints = keypoints_to_refine(self.session)
        if keypoints is not None and self._least_sure is not None:
            keypoints.clock.go_to_frame(self._least_sure)
            if keypoints.placing.current is not None:  # where a frame is labelled, show which
                points = keypoints.store.frame(self._least_sure)
                unsure = np.where(points.proposed, points.confidence, np.inf)
                keypoints.placing.choose(keypoints.names[int(unsure.argmin())])

    def _changed(self, keypoints: KeypointLayer) -> None:
        keypoints.refresh(force=True)
        keypoints.edited.emit()

    def disconnect_viewer(self) -> None:
        """Stop what is running and let go of the viewer."""
        self.run_row.stop()
        self.session.edited.disconnect(self.refresh)
        self.session.labelling.changed.disconnect(self.refresh)
        self.session.layers_changed.disconnect(self.refresh)
        self.viewer.dims.events.current_step.disconnect(self._refresh_frame)


def _outcome(n_points: int, frames: Sequence[int], complete: bool) -> str:
    text = "" if complete else "Cancelled. "
    if not n_points:
        return f"{text}Nothing was found to propose."
    return (
        f"{text}Proposed {n_points:,} points in {len(frames):,} frames: step through them, drag "
        "what is off, then accept or reject."
    )


def _propagate(video: Any, labels: Labels, start: int, stop: int, progress: Any) -> Propagated:
    from napari_facemap.keypoints.propagation import propagate

    return propagate(video, labels, start, stop, progress=progress)
