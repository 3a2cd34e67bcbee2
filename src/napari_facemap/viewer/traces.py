"""Plot of measured and predicted activity, with a cursor that is the viewer's time slider."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

# isort: off
import pyqtgraph as pg  # after qtpy, so that it takes the binding napari uses

# isort: on
from napari_facemap.viewer.trace_math import TraceSet, lane_scale, page, peaks, spans, window

MEASURED_COLOR = (150, 156, 166)
PREDICTED_COLORS = ("#4fc3f7", "#ffb74d", "#aed581", "#f48fb1", "#b39ddb", "#4db6ac")
TEST_COLOR = (255, 209, 102, 26)
_MIN_HALF, _MAX_HALF = 0.5, 36_000.0


class TimeBox(pg.ViewBox):
    """View in which the left button is a hand on the clock and the wheel is the window's width."""

    chosen = Signal(float)
    zoomed = Signal(float)

    def mouseClickEvent(self, event: Any) -> None:
        """Go to the time that was clicked."""
        if event.button() == Qt.MouseButton.LeftButton:
            event.accept()
            self.chosen.emit(float(self.mapSceneToView(event.scenePos()).x()))

    def mouseDragEvent(self, event: Any, axis: Any = None) -> None:
        """Go through time with the mouse."""
        if event.button() == Qt.MouseButton.LeftButton:
            event.accept()
            self.chosen.emit(float(self.mapSceneToView(event.scenePos()).x()))

    def wheelEvent(self, event: Any, axis: Any = None) -> None:
        """Make the window wider or narrower."""
        event.accept()
        self.zoomed.emit(0.8 if event.delta() > 0 else 1.25)


class TracesPlot(QWidget):
    """Neurons one above the other: measured in grey, predicted in colour.

    Both are drawn with the measured trace's scale. Stretches that the encoder was not fitted on
    are shaded.
    """

    time_chosen = Signal(float)
    """A person clicked or dragged to this time, in seconds."""
    window_changed = Signal(float)
    """Half the width of the window, in seconds."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._traces: TraceSet | None = None
        self._neurons: list[int] = []
        self._half = 15.0
        self._box = TimeBox(enableMenu=False)
        self.plot = pg.PlotWidget(viewBox=self._box)
        self.cursor = pg.InfiniteLine(angle=90, movable=False, pen=pg.mkPen("#ff5252", width=1.5))
        self._curves: list[tuple[Any, Any]] = []
        self._shades: list[Any] = []
        self._build()

    def _build(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.plot)
        self.setMinimumHeight(160)
        item = self.plot.getPlotItem()
        item.hideButtons()
        item.setLabel("bottom", "time (s)")
        item.getAxis("bottom").enableAutoSIPrefix(False)
        item.getAxis("left").setStyle(tickLength=0)
        self._box.setMouseEnabled(x=False, y=False)
        self._box.setDefaultPadding(0)
        self._box.disableAutoRange()
        self._box.setYRange(-0.6, 0.6)
        self._box.setXRange(0, 2 * self._half)
        self._box.chosen.connect(self._on_chosen)
        self._box.zoomed.connect(self._on_zoomed)
        self.cursor.setZValue(10)
        self.plot.addItem(self.cursor)

    def sizeHint(self) -> QSize:
        """Ask for a strip below the video and not for half the window."""
        return QSize(900, 250)

    def set_colors(self, background: Any, text: Any) -> None:
        """Take the colours of the window."""
        self.plot.setBackground(background)
        for side in ("bottom", "left"):
            axis = self.plot.getPlotItem().getAxis(side)
            axis.setPen(text)
            axis.setTextPen(text)

    @property
    def time(self) -> float:
        """Where the cursor is, in seconds."""
        return float(self.cursor.value())

    @property
    def shown_window(self) -> tuple[float, float]:
        """First and last second of the window."""
        return tuple(self._box.viewRange()[0])

    def set_traces(self, traces: TraceSet | None) -> None:
        """Plot other traces; which neurons, says `set_neurons`."""
        self._traces = traces
        for shade in self._shades:
            self.plot.removeItem(shade)
        self._shades = []
        for start, stop in spans(traces.times, traces.test) if traces is not None else ():
            shade = pg.LinearRegionItem((start, stop), movable=False, brush=TEST_COLOR)
            for line in shade.lines:
                line.setPen(None)
            shade.setZValue(-10)
            self.plot.addItem(shade)
            self._shades.append(shade)
        self._box.setXRange(0, 0.1)  # of another recording: no page of it can stay
        self._turn_to(self.time)
        self.set_neurons([])

    def set_neurons(self, neurons: Sequence[int]) -> None:
        """Choose what is shown.

        Parameters
        ----------
        neurons : sequence of int
            Rows of the traces, from top to bottom.
        """
        for pair in self._curves:
            for curve in pair:
                self.plot.removeItem(curve)
        self._neurons = list(neurons) if self._traces is not None else []
        self._curves = [self._new_curves(lane) for lane in range(len(self._neurons))]
        n_lanes = max(len(self._neurons), 1)
        self._box.setYRange(-n_lanes + 0.4, 0.6)
        ticks = [(-lane, self._label(neuron)) for lane, neuron in enumerate(self._neurons)]
        self.plot.getPlotItem().getAxis("left").setTicks([ticks])
        self._draw()

    def set_half_window(self, seconds: float) -> None:
        """Show so many seconds before and after the time."""
        self._half = float(np.clip(seconds, _MIN_HALF, _MAX_HALF))
        self._turn_to(self.time)

    def set_time(self, seconds: float) -> None:
        """Move the cursor; the window turns its page when the cursor leaves it."""
        self.cursor.setValue(seconds)
        self._turn_to(seconds)

    def _turn_to(self, seconds: float) -> None:
        before = self.shown_window
        after = page(seconds, before, self._half, self._limits())
        if after != before:
            self._box.setXRange(*after)
            self._draw()

    def _limits(self) -> tuple[float, float] | None:
        if self._traces is None or not len(self._traces.times):
            return None
        return min(0.0, float(self._traces.times[0])), float(self._traces.times[-1])

    def _on_chosen(self, seconds: float) -> None:
        self.time_chosen.emit(seconds)

    def _on_zoomed(self, factor: float) -> None:
        self.set_half_window(self._half * factor)
        self.window_changed.emit(self._half)

    def _label(self, neuron: int) -> str:
        assert self._traces is not None
        explained = self._traces.variance_explained[neuron]
        name = self._traces.names[neuron]
        return f"{name}  " if np.isnan(explained) else f"{name}  {100 * explained:.0f} %"

    def _new_curves(self, lane: int) -> tuple[Any, Any]:
        color = PREDICTED_COLORS[lane % len(PREDICTED_COLORS)]
        measured = pg.PlotCurveItem(pen=pg.mkPen(MEASURED_COLOR, width=1), connect="finite")
        predicted = pg.PlotCurveItem(pen=pg.mkPen(color, width=1.8), connect="finite")
        self.plot.addItem(measured)
        self.plot.addItem(predicted)
        return measured, predicted

    def _draw(self) -> None:
        traces = self._traces
        if traces is None:
            return
        seen = window(traces.times, *self.shown_window)
        n_bins = max(self.plot.width(), 200)
        for lane, (neuron, curves) in enumerate(zip(self._neurons, self._curves, strict=True)):
            source = traces.predicted if traces.measured is None else traces.measured
            middle, height = lane_scale(source[neuron])
            for curve, values in zip(curves, (traces.measured, traces.predicted), strict=True):
                if values is None:
                    continue
                x, y = peaks(traces.times[seen], values[neuron, seen], n_bins)
                curve.setData(x, (y - middle) / height * 0.9 - lane)
