"""The neurons or components of a prediction, best explained first, of which some are plotted."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QAbstractItemView, QComboBox, QListWidget, QVBoxLayout, QWidget

from napari_facemap.viewer.tasks import Task
from napari_facemap.viewer.trace_math import Lane, TraceSet, spans, trace_set

if TYPE_CHECKING:
    import xarray as xr

NEURONS, COMPONENTS = "neurons", "principal components"
_SHOWN = 5  # are plotted at first, the best explained ones


class TraceList(QWidget):
    """List of neurons or of neural principal components, sorted by variance explained."""

    chosen = Signal()
    """Others are to be plotted."""
    failed = Signal(str)
    """Why there are no components."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.kind = QComboBox()
        self.list = QListWidget()
        self._traces: dict[str, TraceSet] = {}
        self._order = np.array([], int)
        self._components: Callable[[], xr.Dataset] | None = None
        self._task: Task | None = None
        self.kind.addItems([NEURONS, COMPONENTS])
        self.kind.setToolTip("What is listed, and plotted when chosen")
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.list.setToolTip("The best explained first; the chosen ones are plotted")
        self.list.setMinimumHeight(80)
        self.list.setUniformItemSizes(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.kind)
        layout.addWidget(self.list)
        self.kind.currentTextChanged.connect(self._on_kind)
        self.list.itemSelectionChanged.connect(self.chosen.emit)
        self.setEnabled(False)

    def show_prediction(
        self, prediction: xr.Dataset, components: Callable[[], xr.Dataset]
    ) -> None:
        """List what a prediction is of.

        Parameters
        ----------
        prediction : xarray.Dataset
            As of `predict_recording`.
        components : callable
            Gives the same of principal components; called, in a thread of its own, when somebody
            wants to see them.
        """
        self._traces = {NEURONS: trace_set(prediction)}
        self._components = components
        self._task = None  # one that still runs is of another prediction
        self.setEnabled(True)
        self._on_kind()

    @property
    def traces(self) -> TraceSet | None:
        """What is listed."""
        return self._traces.get(self.kind.currentText())

    @property
    def lanes(self) -> list[Lane]:
        """Of what is chosen, the best explained first."""
        if self.traces is None:
            return []
        rows = sorted(index.row() for index in self.list.selectedIndexes())
        return self.traces.lanes([int(self._order[row]) for row in rows])

    @property
    def tested(self) -> list[tuple[float, float]]:
        """Seconds of the test segments."""
        return [] if self.traces is None else spans(self.traces.times, self.traces.test)

    def choose_neuron(self, neuron: int) -> None:
        """Choose one neuron alone, as when its row is clicked."""
        self.kind.setCurrentText(NEURONS)
        (rows,) = np.nonzero(self._order == neuron)
        if len(rows):
            self.list.clearSelection()
            self.list.setCurrentRow(int(rows[0]))

    def _on_kind(self, _: str = "") -> None:
        if self.traces is not None:
            self._refill(self.traces)
        elif self._components is not None and self._task is None:
            self._task = Task(partial(_traces_of, self._components), self)
            self._task.finished.connect(self._on_components)
            self._task.failed.connect(self._on_failed)
            self._task.start()

    def _on_components(self, found: tuple[Any, TraceSet]) -> None:
        source, traces = found
        if source is self._components:  # not of an earlier prediction
            self._task = None
            self._traces[COMPONENTS] = traces
            self._on_kind()

    def _on_failed(self, text: str) -> None:
        self._task = None
        self.kind.setCurrentText(NEURONS)
        self.failed.emit(text)

    def _refill(self, traces: TraceSet) -> None:
        self._order = traces.best_first()
        self.list.blockSignals(True)
        self.list.clear()
        self.list.addItems([_said(traces, int(row)) for row in self._order])
        for row in range(min(_SHOWN, self.list.count())):
            self.list.item(row).setSelected(True)
        self.list.blockSignals(False)
        self.list.scrollToTop()
        self.chosen.emit()


def _said(traces: TraceSet, row: int) -> str:
    explained = traces.variance_explained[row]
    score = "" if np.isnan(explained) else f"   {100 * explained:.1f} %"
    return f"{traces.names[row]}{score}"


def _traces_of(components: Callable[[], xr.Dataset], progress: Any) -> tuple[Any, TraceSet]:
    return components, trace_set(components())
