"""Going through tracked keypoints: to a frame, to unsure ones, to corrected ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtWidgets import (
    QDoubleSpinBox,
    QGridLayout,
    QGroupBox,
    QLabel,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QWidget,
)

from napari_facemap.viewer.focus import focus_picture, leave_keys_to_picture
from napari_facemap.viewer.keypoint_style import expected_error
from napari_facemap.viewer.session import Session
from napari_facemap.viewer.shortcuts import Shortcuts


class ReviewPanel(QGroupBox):
    """Buttons for the keypoint layer in use, and the list of its keys.

    Parameters
    ----------
    viewer : napari viewer
        To follow.
    session : Session
        Of that viewer.
    """

    def __init__(self, viewer: Any, session: Session, parent: QWidget | None = None) -> None:
        super().__init__("Review", parent)
        self.session = session
        self.viewer = session.viewer
        self.frame = QSpinBox()
        self.threshold = QDoubleSpinBox()
        self.state = QLabel()
        self.shortcuts: Shortcuts | None = None
        self._build()
        self.viewer.dims.events.current_step.connect(self.refresh, position="last")
        for event in ("inserted", "removed"):
            getattr(self.viewer.layers.events, event).connect(self.refresh, position="last")
        self.viewer.layers.selection.events.active.connect(self.refresh)
        self.session.edited.connect(self.refresh)
        self.session.frame_asked.connect(self._on_asked)
        self.refresh()

    def _build(self) -> None:
        self.frame.setKeyboardTracking(False)
        self.frame.setToolTip("Go to a frame: type its number and press Enter (G)")
        self.frame.valueChanged.connect(self._on_frame)
        self.frame.editingFinished.connect(self._on_typed)
        self.threshold.setRange(0, 1)
        self.threshold.setSingleStep(0.05)
        self.threshold.setValue(0.5)
        self.threshold.setToolTip("A keypoint below this confidence is unsure")
        self.threshold.valueChanged.connect(self._on_threshold)
        self.state.setWordWrap(True)
        grid = QGridLayout(self)
        grid.addWidget(QLabel("Frame"), 0, 0)
        grid.addWidget(self.frame, 0, 1, 1, 2)
        grid.addWidget(QLabel("Unsure below"), 1, 0)
        grid.addWidget(self.threshold, 1, 1, 1, 2)
        grid.addWidget(QLabel("Unsure frame"), 2, 0)
        self._add_button(grid, 2, 1, "◀", self.previous_unsure, "Previous (Shift+N)")
        self._add_button(grid, 2, 2, "▶", self.next_unsure, "Next (N)")
        grid.addWidget(QLabel("Corrected frame"), 3, 0)
        self._add_button(grid, 3, 1, "◀", self.previous_corrected, "Previous (Shift+J)")
        self._add_button(grid, 3, 2, "▶", self.next_corrected, "Next (J)")
        show = self._add_button(grid, 4, 0, "Shortcuts…", self.show_shortcuts, "All keys")
        show.setSizePolicy(QSizePolicy.Policy.Minimum, QSizePolicy.Policy.Fixed)
        self._add_button(grid, 4, 1, "Undo", self.undo, "Take back the last correction (Ctrl+Z)")
        self._add_button(grid, 4, 2, "Redo", self.redo, "Do it again (Ctrl+Shift+Z)")
        grid.addWidget(self.state, 5, 0, 1, 3)
        grid.setColumnStretch(1, 1)
        grid.setColumnStretch(2, 1)
        leave_keys_to_picture(self)

    def _add_button(
        self, grid: QGridLayout, row: int, column: int, text: str, slot: Any, tip: str
    ) -> QPushButton:
        button = QPushButton(text)
        button.setToolTip(tip)
        button.clicked.connect(slot)
        grid.addWidget(button, row, column)
        return button

    def show_shortcuts(self) -> None:
        """Show all keys in a window beside this one."""
        if self.shortcuts is None:
            self.shortcuts = Shortcuts(self)
        self.shortcuts.show()
        self.shortcuts.raise_()

    def _on_asked(self) -> None:
        if self.frame.isVisible():
            self.frame.setFocus()
            self.frame.selectAll()

    def _on_typed(self) -> None:
        if self.frame.hasFocus():
            focus_picture(self)

    def refresh(self, event: Any = None) -> None:
        """Show where the slider stands and how much was corrected."""
        keypoints = self.session.active()
        self.setEnabled(keypoints is not None)
        if keypoints is None:
            self.state.setText("No keypoints yet.")
            return
        self.frame.blockSignals(True)
        self.frame.setRange(0, keypoints.store.n_frames - 1)
        self.frame.setValue(keypoints.frame)
        self.frame.blockSignals(False)
        points = keypoints.store.frame(keypoints.frame)
        low = (points.confidence < self.threshold.value()) & ~points.edited
        unsure = int((low & np.isfinite(points.position[:, 0])).sum())
        edits = keypoints.store.n_edits
        text = f"{keypoints.clock.time():.2f} s, {unsure} unsure here, {edits:,} corrected in all"
        error = expected_error(points)
        if error is not None and np.isfinite(error).any():
            text += f", expected error {np.nanmedian(error):.1f} px (median here)"
        self.state.setText(text)

    def _on_frame(self, frame: int) -> None:
        keypoints = self.session.active()
        if keypoints is not None:
            keypoints.clock.go_to_frame(frame)

    def _on_threshold(self, threshold: float) -> None:
        for keypoints in self.session.keypoint_layers:
            keypoints.threshold = threshold
        self.refresh()

    def next_unsure(self) -> None:
        """Go to the next frame with an unsure keypoint."""
        self._call("next_low_confidence")

    def previous_unsure(self) -> None:
        """Go to the frame before with an unsure keypoint."""
        self._call("previous_low_confidence")

    def next_corrected(self) -> None:
        """Go to the next corrected frame."""
        self._call("next_edited")

    def previous_corrected(self) -> None:
        """Go to the corrected frame before."""
        self._call("previous_edited")

    def undo(self) -> None:
        """Take back the last correction."""
        self._call("undo")

    def redo(self) -> None:
        """Do again what was taken back."""
        self._call("redo")

    def _call(self, method: str) -> None:
        keypoints = self.session.active()
        if keypoints is not None:
            keypoints.threshold = self.threshold.value()
            getattr(keypoints, method)()
            self.refresh()

    def disconnect_viewer(self) -> None:
        """Let go of the viewer."""
        self.viewer.dims.events.current_step.disconnect(self.refresh)
        for event in ("inserted", "removed"):
            getattr(self.viewer.layers.events, event).disconnect(self.refresh)
        self.viewer.layers.selection.events.active.disconnect(self.refresh)
        self.session.edited.disconnect(self.refresh)
        self.session.frame_asked.disconnect(self._on_asked)
