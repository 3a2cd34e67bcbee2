"""List of a video's regions, and the options of the chosen one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from napari.layers import Image
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QGroupBox,
    QHeaderView,
    QLabel,
    QPushButton,
    QSizePolicy,
    QSlider,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_facemap.movement.regions import KINDS, OPTIONS, Region, Regions
from napari_facemap.viewer.layers import bare, frame_size
from napari_facemap.viewer.region_files import RegionFiles
from napari_facemap.viewer.region_layer import (
    COLORS,
    RegionLayer,
    layer_for_regions,
    region_layer_of,
    regions_in,
)
from napari_facemap.viewer.rows import beside

_KIND_WIDTH = 96  # pixels
_TELL = {
    "motion": "how much grey levels change, and components of it",
    "pupil": "an ellipse on the pupil's rim; draw around all places where it may be",
    "blink": "how much of the dark eye is seen; draw around the eye",
    "running": "how far a belt or wheel moves; draw where nothing else is",
    "glint": "left out of the pupil: a reflection that always lies there",
}


class RegionPanel(QGroupBox):
    """Draws, names and sets up the regions of one video layer.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Given by napari.
    """

    changed = Signal()
    """Regions or their options are others now."""
    said = Signal(str, bool)
    """Something to tell the person, and whether it is wrong."""

    def __init__(self, viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__("Regions", parent)
        self.viewer = bare(viewer)
        self.video: Image | None = None
        self.others: list[Image] = []  # of further cameras, measured with it
        self.regions: RegionLayer | None = None
        self._filling = False
        self.kind = QComboBox()
        self.draw = QPushButton("Draw")
        self.table = QTableWidget(0, 2)
        self.threshold = QSlider(Qt.Orientation.Horizontal)
        self.level = QLabel()
        self.bright = QCheckBox("bright pupil (lit from behind)")
        self.mm = _scale(" mm a pixel")
        self.cm = _scale(" cm a pixel")
        self.fit = QLabel()
        self.files = RegionFiles(self)
        self._build()
        self._connect()
        self._fill()

    # -- building ---------------------------------------------------------------------------------

    def _build(self) -> None:
        for kind in KINDS:
            self.kind.addItem(kind, kind)
            self.kind.setItemData(
                self.kind.count() - 1, f"{kind}: {_TELL[kind]}", Qt.ItemDataRole.ToolTipRole
            )
        self.draw.setToolTip("Drag the region on the video; napari's other shapes do as well")
        self.table.setHorizontalHeaderLabels(["Name", "Kind"])
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Fixed)
        header.resizeSection(1, _KIND_WIDTH)
        self.table.verticalHeader().setVisible(False)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setMinimumHeight(96)
        self.table.setMaximumHeight(150)
        self.threshold.setRange(0, 255)
        self.level.setMinimumWidth(28)
        self.mm.setToolTip("Gives the diameter in millimetres too")
        self.cm.setToolTip("Gives the speed in centimetres a second too")
        self.fit.setWordWrap(True)
        self.options = QFormLayout()
        self.options.setVerticalSpacing(4)
        self.options.addRow("Threshold", beside(self.threshold, self.level))
        self.options.addRow("", self.bright)
        self.options.addRow("Scale", self.mm)
        self.options.addRow("Scale", self.cm)
        self.options.addRow(self.fit)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        layout = QVBoxLayout(self)
        layout.setSpacing(4)
        layout.addWidget(beside(self.kind, self.draw))
        layout.addWidget(self.table)
        layout.addLayout(self.options)
        layout.addWidget(self.files)

    def _connect(self) -> None:
        self.draw.clicked.connect(self.start_drawing)
        self.table.itemChanged.connect(self._on_name)
        self.table.itemSelectionChanged.connect(self._on_row)
        self.threshold.valueChanged.connect(self._on_threshold)
        self.bright.toggled.connect(self._on_bright)
        self.mm.valueChanged.connect(self._on_mm)
        self.cm.valueChanged.connect(self._on_cm)

    # -- the layer ----------------------------------------------------------------------------------

    def set_video(self, video: Image | None) -> None:
        """Show the regions of another video."""
        self.video = video
        self._take(region_layer_of(self.viewer, video))

    def refresh(self) -> None:
        """Look again for the layer of regions: layers come and go."""
        found = region_layer_of(self.viewer, self.video)
        if found is not (self.regions.layer if self.regions else None):
            self._take(found)

    def start_drawing(self) -> None:
        """Let the person draw a region of the chosen kind, in a layer of its own."""
        if self.video is None:
            self.said.emit("Open a video first: drop the file on the window.", True)
            return
        self._layer().draw(self.kind.currentData())
        assert self.regions is not None
        self.viewer.layers.selection.active = self.regions.layer

    def _layer(self) -> RegionLayer:
        """Controller of the video's layer of regions, which is made when there is none."""
        assert self.video is not None
        layer_for_regions(self.viewer, self.video)
        self.refresh()
        assert self.regions is not None
        return self.regions

    def _take(self, layer: Any) -> None:
        self.disconnect_layer()
        if layer is not None:
            self.regions = RegionLayer(layer)
            self.regions.changed.connect(self._on_changed)
            layer.selected_data.events.items_changed.connect(self._on_selected)
        self._on_changed()

    def disconnect_layer(self) -> None:
        """Let go of the layer."""
        if self.regions is not None:
            self.regions.changed.disconnect(self._on_changed)
            self.regions.layer.selected_data.events.items_changed.disconnect(self._on_selected)
            self.regions.disconnect()
            self.regions = None

    def _on_changed(self) -> None:
        self._fill()
        self.changed.emit()

    def _on_selected(self, *_: Any) -> None:
        """Choose the row of the shape that was clicked."""
        chosen = self.regions.layer.selected_data if self.regions else ()
        if len(chosen) == 1 and not self._filling:
            self.table.selectRow(next(iter(chosen)))

    # -- the table ------------------------------------------------------------------------------------

    @property
    def row(self) -> int | None:
        """Which region is chosen."""
        rows = self.table.selectionModel().selectedRows()
        return rows[0].row() if rows else None

    def _rows(self) -> list[dict[str, Any]]:
        return self.regions.rows if self.regions is not None else []

    def _fill(self) -> None:
        before, rows = self.row, self._rows()
        new = len(rows) > self.table.rowCount()
        self._filling = True
        self.table.setRowCount(len(rows))
        for k, row in enumerate(rows):
            self._show_row(k, row["name"], row["kind"])
        chosen = len(rows) - 1 if new or before is None else min(before, len(rows) - 1)
        if rows:
            self.table.selectRow(chosen)
        self._filling = False
        self.files.save.setEnabled(bool(rows))
        self._on_row()

    def _show_row(self, row: int, name: str, kind: str) -> None:
        """Set what differs: cells made anew at each step of the slider would be felt."""
        item = self.table.item(row, 0)
        if item is None:
            self.table.setItem(row, 0, QTableWidgetItem(name))
        elif item.text() != name:
            item.setText(name)
        choice = self.table.cellWidget(row, 1)
        if not isinstance(choice, QComboBox):
            choice = QComboBox()
            choice.addItems(KINDS)
            choice.setProperty("row", row)
            choice.currentTextChanged.connect(self._on_kind)
            self.table.setCellWidget(row, 1, choice)
        if choice.property("kind") != kind:
            choice.setCurrentText(kind)
            choice.setProperty("kind", kind)
            choice.setStyleSheet(f"color: {COLORS[kind]};")

    def _on_kind(self, kind: str) -> None:
        row = self.sender().property("row")
        if not self._filling and self.regions is not None:
            self.regions.set(row, kind=kind)

    def _on_name(self, item: QTableWidgetItem) -> None:
        if not self._filling and self.regions is not None:
            self.regions.set(item.row(), name=item.text())

    def _on_row(self) -> None:
        """Show the options of the chosen region."""
        row, rows = self.row, self._rows()
        chosen = rows[row] if row is not None and row < len(rows) else None
        kind = chosen["kind"] if chosen else None
        known = OPTIONS[kind] if kind else {}
        shown = {
            self.threshold.parentWidget(): "threshold" in known,
            self.bright: "bright" in known,
            self.mm: "mm_per_pixel" in known,
            self.cm: "cm_per_pixel" in known,
            self.fit: kind == "pupil",
        }
        for widget, visible in shown.items():
            self.options.setRowVisible(widget, visible)
        if chosen is None:
            return
        values = {**known, **{o: chosen[o] for o in known if chosen[o] is not None}}
        self._filling = True
        self.threshold.setValue(round(values.get("threshold") or 0))
        self.level.setText(str(self.threshold.value()))
        self.bright.setChecked(bool(values.get("bright")))
        self.mm.setValue(values.get("mm_per_pixel") or 0)
        self.cm.setValue(values.get("cm_per_pixel") or 0)
        self._filling = False

    # -- options --------------------------------------------------------------------------------------

    def _on_threshold(self, level: int) -> None:
        self.level.setText(str(level))
        self._set(threshold=float(level))

    def _on_bright(self, bright: bool) -> None:
        self._set(bright=bright)

    def _on_mm(self, scale: float) -> None:
        self._set(mm_per_pixel=scale or None)

    def _on_cm(self, scale: float) -> None:
        self._set(cm_per_pixel=scale or None)

    def _set(self, **values: Any) -> None:
        row = self.row
        if not self._filling and self.regions is not None and row is not None:
            self.regions.set(row, **values)

    def add(self, video: Image, regions: Sequence[Region]) -> None:
        """Add regions to those of a video."""
        if video is self.video:
            self._layer().add(regions)
            return
        controller = RegionLayer(layer_for_regions(self.viewer, video))
        controller.add(regions)
        controller.disconnect()

    @property
    def views(self) -> list[Image]:
        """The video, and those that are measured with it."""
        return [self.video, *self.others] if self.video is not None else []

    def found(self) -> Regions:
        """Regions of all views.

        Raises
        ------
        ValueError
            When a shape cannot be a region.
        """
        layers = [region_layer_of(self.viewer, video) for video in self.views]
        return regions_in(layers, [frame_size(video) for video in self.views])


def _scale(suffix: str) -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    box.setDecimals(5)
    box.setRange(0, 10)
    box.setSingleStep(0.001)
    box.setSuffix(suffix)
    box.setSpecialValueText("not known")
    return box
