"""What was measured: traces to be plotted, components to be looked at, and saving."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QGroupBox,
    QLabel,
    QListWidget,
    QPushButton,
    QSpinBox,
    QWidget,
)

from napari_facemap.viewer.motion_layers import ComponentsView
from napari_facemap.viewer.motion_traces import (
    NamedTrace,
    first_looked_at,
    named_traces,
    score_lane,
)

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_facemap.movement.results import Components, MotionResult
    from napari_facemap.viewer.linked_plot import LinkedPlot

_SOURCE = "motion"  # of lanes in the plot
_FILES = "Motion (*.nc);;Facemap (*_proc.npy);;Facemap for MATLAB (*_proc.mat)"


class MotionResults(QGroupBox):
    """Plots a result's traces, shows its components and saves it.

    Parameters
    ----------
    viewer : napari viewer
        A bare one.
    plot : LinkedPlot
        Of the viewer.
    """

    said = Signal(str, bool)
    """Something to tell the person, and whether it is wrong."""

    def __init__(self, viewer: Any, plot: LinkedPlot, parent: QWidget | None = None) -> None:
        super().__init__("Results", parent)
        self.plot = plot
        self.result: MotionResult | None = None
        self.videos: list[Layer] = []
        self.view = ComponentsView(viewer)
        self._times = np.zeros(0)
        self._traces: list[NamedTrace] = []
        self.traces = QListWidget()
        self.components = QComboBox()
        self.number = QSpinBox()
        self.show_mask = QCheckBox("Show mask and score")
        self.share = QLabel()
        self.save = QPushButton("Save results…")
        self._build()
        self._connect()
        self.setVisible(False)

    def _build(self) -> None:
        self.traces.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.traces.setToolTip("The chosen ones are plotted")
        self.traces.setMinimumHeight(90)
        self.components.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.components.setMinimumContentsLength(12)
        self.share.setWordWrap(True)
        self.number.setMinimum(1)
        form = QFormLayout(self)
        form.setVerticalSpacing(4)
        form.addRow(self.traces)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Components", self.components)
        form.addRow("Number", self.number)
        form.addRow(self.show_mask)
        form.addRow(self.share)
        form.addRow(self.save)
        self._form = form

    def _connect(self) -> None:
        self.traces.itemSelectionChanged.connect(self._plot)
        self.components.currentIndexChanged.connect(self._on_components)
        self.number.valueChanged.connect(self._on_number)
        self.show_mask.toggled.connect(self._on_number)
        self.save.clicked.connect(self._on_save)

    def show_result(self, result: MotionResult, videos: list[Layer]) -> None:
        """Plot a result.

        Parameters
        ----------
        result : MotionResult
            What was measured or read.
        videos : list of Image
            Layers of its views.
        """
        self.result, self.videos = result, videos
        self._times = result.traces["time"].values
        self._traces = named_traces(result.traces)
        self.traces.blockSignals(True)
        self.traces.clear()
        self.traces.addItems([trace.label for trace in self._traces])
        for row in first_looked_at(self._traces):
            self.traces.item(row).setSelected(True)
        self.traces.blockSignals(False)
        some = [c for c in result.components if len(c.singular_values)]
        self.components.blockSignals(True)
        self.components.clear()
        for found in some:
            self.components.addItem(found.label, found)
        self.components.blockSignals(False)
        for widget in (self.components, self.number, self.show_mask, self.share):
            self._form.setRowVisible(widget, bool(some))
        self.setVisible(True)
        self._on_components()

    def clear(self) -> None:
        """Take plot and mask away."""
        self.plot.clear(_SOURCE)
        self.view.hide()

    @property
    def _chosen(self) -> Components | None:
        return self.components.currentData()

    def _on_components(self, index: int = 0) -> None:
        found = self._chosen
        if found is not None:
            self.number.blockSignals(True)
            self.number.setMaximum(len(found.singular_values))
            self.number.setSuffix(f" of {len(found.singular_values)}")
            self.number.blockSignals(False)
        self._on_number()

    def _on_number(self, _: Any = None) -> None:
        found, k = self._chosen, self.number.value() - 1
        if found is not None and self.show_mask.isChecked():
            self.view.show(found, k, self.videos)
        else:
            self.view.hide()
        self.share.setText(_share(found, k) if found is not None else "")
        self._plot()

    def _plot(self) -> None:
        if self.result is None:
            return
        rows = sorted(index.row() for index in self.traces.selectedIndexes())
        lanes = [self._traces[row].lane(self._times) for row in rows]
        found = self._chosen
        if found is not None and self.show_mask.isChecked():
            lanes.append(score_lane(found, self.number.value() - 1, self._times))
        self.plot.show(_SOURCE, lanes)

    def _on_save(self) -> None:
        name = "motion.nc"
        if self.result is not None:
            video = self.result.traces.attrs.get("video", "")
            first = video if isinstance(video, str) else video[0]
            name = f"{Path(first).stem or 'video'}_motion.nc"
        path, chosen = QFileDialog.getSaveFileName(self, "Save results", name, _FILES)
        if path:
            self.save_file(path, chosen)

    def save_file(self, path: str, chosen: str = "") -> None:
        """Write the result; its ending says how, else the kind of file that was chosen."""
        from napari_facemap.files.facemap_proc_write import write_facemap_proc
        from napari_facemap.files.motion import write_motion

        assert self.result is not None  # nothing is shown without one
        file = Path(path)
        if file.suffix not in (".nc", ".npy", ".mat"):
            ending = next((e for e in ("_proc.npy", "_proc.mat") if e in chosen), ".nc")
            file = file.with_name(file.name + ending)
        try:
            (write_motion if file.suffix == ".nc" else write_facemap_proc)(self.result, file)
        except (ValueError, OSError) as error:
            self.said.emit(" ".join(str(error).split()), True)
            return
        self.said.emit(f"Saved {file}.", False)


def _share(found: Components, k: int) -> str:
    """How much of the variance a component holds, in words."""
    squares = found.singular_values**2
    if not np.isfinite(squares[k]) or not np.isfinite(found.variance) or not found.variance:
        return ""
    own, together = squares[k] / found.variance, squares[: k + 1].sum() / found.variance
    rest = f"; the first {k + 1} together {together:.1%}" if k else ""
    return f"Holds {own:.1%} of the variance{rest}."
