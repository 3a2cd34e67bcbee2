"""Labelling a frame: the current keypoint, what follows a click, and how points look."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QComboBox,
    QFormLayout,
    QGridLayout,
    QGroupBox,
    QHeaderView,
    QLabel,
    QPushButton,
    QSizePolicy,
    QSlider,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_facemap.keypoints.skeleton import color_of, group_of
from napari_facemap.viewer.color_dot import dot
from napari_facemap.viewer.keypoint_layer import KeypointLayer
from napari_facemap.viewer.placing import AFTER
from napari_facemap.viewer.session import Session
from napari_facemap.viewer.target import keypoints_to_refine

_LABELLED, _HIDDEN, _PROPOSED, _PREDICTED, _NOTHING = (
    "● labelled",
    "⊘ not visible",
    "◇ proposed",
    "○ tracked",
    "–",
)
_SIZES = (2, 40)  # pixels of the frame, of a point


class KeypointPanel(QGroupBox):
    """Which keypoint the next click places, and what else is done to a frame.

    Parameters
    ----------
    viewer : napari viewer
        To follow.
    session : Session
        Of that viewer.
    """

    def __init__(self, viewer: Any, session: Session, parent: QWidget | None = None) -> None:
        super().__init__("Label this frame", parent)
        self.session = session
        self.viewer = session.viewer
        self.labelling = session.labelling
        self.place = QPushButton("Place points")
        self.drag = QPushButton("Drag points")
        self.after = QComboBox()
        self.list = QTreeWidget()
        self.state = QLabel()
        self.names = QCheckBox("names")
        self.point_size = QSlider(Qt.Orientation.Horizontal)
        self._layer: KeypointLayer | None = None  # whose mode is followed
        self._items: dict[str, QTreeWidgetItem] = {}
        self._build()
        self._connect()
        self.refresh()

    def _build(self) -> None:
        for button, tip in (
            (self.place, "A click puts the current keypoint there (2)"),
            (self.drag, "Select points and drag them (3)"),
        ):
            button.setCheckable(True)
            button.setToolTip(tip)
        self.after.addItems(AFTER)
        self.after.setToolTip("What is next after a point was placed (M changes it)")
        self.list.setColumnCount(2)
        self.list.setHeaderHidden(True)
        self.list.setRootIsDecorated(False)
        self.list.setUniformRowHeights(True)
        self.list.setIconSize(QSize(12, 12))
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.list.setToolTip("Click the keypoint to place next (↓ and ↑ on the picture)")
        header = self.list.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        self.list.setFixedHeight(190)
        self.state.setWordWrap(True)
        self.names.setToolTip("Write names beside the points (T)")
        self.point_size.setRange(*_SIZES)
        self.point_size.setToolTip("Size of all points")
        self.point_size.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        modes = QGridLayout()
        modes.addWidget(self.place, 0, 0)
        modes.addWidget(self.drag, 0, 1)
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("After a click", self.after)
        grid = QGridLayout()
        self._buttons = {
            method: self._add_button(grid, row, column, text, method, tip)
            for row, column, text, method, tip in (
                (0, 0, "Not visible", "hide", "The selected points, else the current one (H)"),
                (0, 1, "Accept frame", "accept", "All points of this frame are right (K)"),
                (
                    1,
                    0,
                    "Copy before",
                    "copy_before",
                    "From the frame before, what has no label here (B)",
                ),
                (
                    1,
                    1,
                    "Copy labelled",
                    "copy_labelled",
                    "From the last labelled frame, what has no label here (Shift+B)",
                ),
            )
        }
        look = QGridLayout()
        look.addWidget(QLabel("Points"), 0, 0)
        look.addWidget(self.point_size, 0, 1)
        look.addWidget(self.names, 0, 2)
        column = QVBoxLayout(self)
        column.addLayout(modes)
        column.addLayout(form)
        column.addWidget(self.list)
        column.addWidget(self.state)
        column.addLayout(grid)
        column.addLayout(look)

    def _add_button(
        self, grid: QGridLayout, row: int, column: int, text: str, method: str, tip: str
    ) -> QPushButton:
        button = QPushButton(text)
        button.setToolTip(tip)
        button.setProperty("method", method)
        button.clicked.connect(self._on_button)
        grid.addWidget(button, row, column)
        return button

    def _connect(self) -> None:
        self.place.clicked.connect(self._on_place)
        self.drag.clicked.connect(self._on_drag)
        self.after.textActivated.connect(self._on_after)
        self.list.currentItemChanged.connect(self._on_item)
        self.names.toggled.connect(self._on_names)
        self.point_size.valueChanged.connect(self._on_size)
        self.viewer.dims.events.current_step.connect(self._show_frame, position="last")
        self.viewer.layers.selection.events.active.connect(self.refresh)
        self.session.edited.connect(self._show_frame)
        self.session.chosen.connect(self._show_choice)
        self.session.layers_changed.connect(self.refresh)
        self.labelling.changed.connect(self.refresh)

    @property
    def keypoints(self) -> KeypointLayer | None:
        """Keypoint layer that is labelled, else the one in use."""
        return keypoints_to_refine(self.session)

    # -- what is shown ----------------------------------------------------------------------------

    def refresh(self, event: Any = None) -> None:
        """Show the keypoints of the layer, and what is known of them in this frame."""
        keypoints = self.keypoints
        self.setEnabled(keypoints is not None)
        self._follow_mode(keypoints)
        names = keypoints.names if keypoints is not None else ()
        if list(self._items) != list(names):
            self._fill(names)
        self._show_frame()
        self._show_choice()

    def _fill(self, names: tuple[str, ...]) -> None:
        self.list.blockSignals(True)
        self.list.clear()
        self._items = {}
        for name in names:
            item = self._items[name] = QTreeWidgetItem([name, ""])
            item.setIcon(0, dot(color_of(name)))
            item.setToolTip(0, f"{name}, of the group {group_of(name)}")
            self.list.addTopLevelItem(item)
        self.list.blockSignals(False)

    def _show_frame(self, event: Any = None) -> None:
        keypoints = self.keypoints
        if keypoints is None or list(self._items) != list(keypoints.names):
            self.state.setText("Open a video and a project to label.")
            return
        points = keypoints.store.frame(keypoints.frame)
        project = self.labelling.project
        ours = project.keypoints if project is not None else keypoints.names
        for k, (name, item) in enumerate(self._items.items()):
            seen = np.isfinite(points.position[k, 0])
            if points.edited[k]:
                text = _LABELLED if seen else _HIDDEN
            elif points.proposed[k]:
                text = _PROPOSED
            else:
                text = f"{_PREDICTED} {points.confidence[k]:.2f}" if seen else _NOTHING
            item.setText(1, text if name in ours else f"{text} (not in project)")
            color = None if points.edited[k] else QColor("#8a8a8a")
            item.setData(1, Qt.ItemDataRole.ForegroundRole, color)
        n = sum(bool(points.edited[k]) for k, name in enumerate(keypoints.names) if name in ours)
        frame = f"Frame {keypoints.frame:,}: {n} of {len(ours)} keypoints labelled."
        saved = self.labelling.keypoints is keypoints and not self.labelling.problem
        self.state.setText(frame if saved else f"{frame} Not in a project.")

    def _show_choice(self) -> None:
        keypoints = self.keypoints
        if keypoints is None:
            return
        for widget in (self.list, self.after, self.names, self.point_size):
            widget.blockSignals(True)
        self.after.setCurrentText(keypoints.placing.after)
        self.names.setChecked(keypoints.names_shown)
        self.point_size.setValue(round(keypoints.size))
        item = self._items.get(keypoints.placing.current or "")
        if item is not None:
            self.list.setCurrentItem(item)
            self.list.scrollToItem(item)
        else:
            self.list.setCurrentItem(None)  # so that a click on any of them chooses it
        for widget in (self.list, self.after, self.names, self.point_size):
            widget.blockSignals(False)

    def _follow_mode(self, keypoints: KeypointLayer | None) -> None:
        if keypoints is not self._layer:
            if self._layer is not None:
                self._layer.layer.events.mode.disconnect(self._show_mode)
            self._layer = keypoints
            if keypoints is not None:
                keypoints.layer.events.mode.connect(self._show_mode)
        self._show_mode()

    def _show_mode(self, event: Any = None) -> None:
        mode = str(self._layer.layer.mode) if self._layer is not None else ""
        self.place.setChecked(mode == "add")
        self.drag.setChecked(mode == "select")

    # -- what buttons do --------------------------------------------------------------------------

    def _on_place(self) -> None:
        keypoints = self.keypoints
        if keypoints is not None and keypoints.placing.current is None:
            keypoints.placing.next_keypoint()
        self._set_mode("add")

    def _on_drag(self) -> None:
        self._set_mode("select")

    def _set_mode(self, mode: str) -> None:
        keypoints = self.keypoints
        if keypoints is not None:
            self.viewer.layers.selection.active = keypoints.layer
            keypoints.layer.mode = mode
        self._show_mode()

    def _on_item(self, item: QTreeWidgetItem | None, before: Any = None) -> None:
        keypoints = self.keypoints
        if item is not None and keypoints is not None:
            keypoints.placing.choose(item.text(0))

    def _on_after(self, after: str) -> None:
        keypoints = self.keypoints
        if keypoints is not None:
            keypoints.placing.set_after(after)

    def _on_names(self, shown: bool) -> None:
        keypoints = self.keypoints
        if keypoints is not None:
            keypoints.show_names(shown)

    def _on_size(self, size: int) -> None:
        keypoints = self.keypoints
        if keypoints is not None:
            keypoints.resize(size)

    def _on_button(self) -> None:
        keypoints, button = self.keypoints, self.sender()
        if keypoints is not None and button is not None:
            getattr(keypoints.placing, button.property("method"))()

    def disconnect_viewer(self) -> None:
        """Let go of the viewer."""
        self._follow_mode(None)
        self.viewer.dims.events.current_step.disconnect(self._show_frame)
        self.viewer.layers.selection.events.active.disconnect(self.refresh)
        self.session.edited.disconnect(self._show_frame)
        self.session.chosen.disconnect(self._show_choice)
        self.session.layers_changed.disconnect(self.refresh)
        self.labelling.changed.disconnect(self.refresh)
