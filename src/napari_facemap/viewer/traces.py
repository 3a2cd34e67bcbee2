"""Plot of traces over time, with a cursor that is the viewer's time slider."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

# isort: off
import pyqtgraph as pg  # after qtpy, so that it takes the binding napari uses

# isort: on
from napari_facemap.viewer.trace_math import Lane, lane_scale, limits_of, page, peaks, window

BEHIND_COLOR = (150, 156, 166)
COLORS = ("#4fc3f7", "#ffb74d", "#aed581", "#f48fb1", "#b39ddb", "#4db6ac")
SHADE_COLOR = (255, 209, 102, 26)
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
    """Lanes of traces one above the other, some stretches of time shaded."""

    time_chosen = Signal(float)
    """A person clicked or dragged to this time, in seconds."""
    window_changed = Signal(float)
    """Half the width of the window, in seconds."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._lanes: tuple[Lane, ...] = ()
        self._half = 15.0
        self._box = TimeBox(enableMenu=False)
        self.plot = pg.PlotWidget(viewBox=self._box)
        self.cursor = pg.InfiniteLine(angle=90, movable=False, pen=pg.mkPen("#ff5252", width=1.5))
        self._curves: list[list[Any]] = []
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

    @property
    def lanes(self) -> tuple[Lane, ...]:
        """What is shown, from top to bottom."""
        return self._lanes

    def set_lanes(self, lanes: Sequence[Lane], shades: Sequence[tuple[float, float]] = ()) -> None:
        """Choose what is shown.

        Parameters
        ----------
        lanes : sequence of Lane
            From top to bottom.
        shades : sequence of (start, stop)
            Seconds between which the background is shaded.
        """
        for curve in self._curves_drawn():
            self.plot.removeItem(curve)
        limits = limits_of(lanes)
        if limits != limits_of(self._lanes):
            self._box.setXRange(0, 0.1)  # of other lanes: no page of them can stay
        self._lanes = tuple(lanes)
        self._curves = [self._new_curves(k, lane) for k, lane in enumerate(lanes)]
        self._box.setYRange(-max(len(lanes), 1) + 0.4, 0.6)
        ticks = [(-k, f"{lane.label}  ") for k, lane in enumerate(lanes)]
        self.plot.getPlotItem().getAxis("left").setTicks([ticks])
        self._shade(shades)
        self._turn_to(self.time)
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
        after = page(seconds, before, self._half, limits_of(self._lanes))
        if after != before:
            self._box.setXRange(*after)
            self._draw()

    def _on_chosen(self, seconds: float) -> None:
        self.time_chosen.emit(seconds)

    def _on_zoomed(self, factor: float) -> None:
        self.set_half_window(self._half * factor)
        self.window_changed.emit(self._half)

    def _shade(self, spans: Sequence[tuple[float, float]]) -> None:
        for shade in self._shades:
            self.plot.removeItem(shade)
        self._shades = []
        for span in spans:
            shade = pg.LinearRegionItem(span, movable=False, brush=SHADE_COLOR)
            for line in shade.lines:
                line.setPen(None)
            shade.setZValue(-10)
            self.plot.addItem(shade)
            self._shades.append(shade)

    def _curves_drawn(self) -> list[Any]:
        return [curve for curves in self._curves for curve in curves]

    def _new_curves(self, place: int, lane: Lane) -> list[Any]:
        color = COLORS[place % len(COLORS)]
        behind = len(lane.values) - 1
        pens = [pg.mkPen(BEHIND_COLOR, width=1)] * behind + [
            pg.mkPen(color, width=1.8 if behind else 1.2)
        ]
        curves = [pg.PlotCurveItem(pen=pen, connect="finite") for pen in pens]
        for curve in curves:
            self.plot.addItem(curve)
        return curves

    def _draw(self) -> None:
        n_bins = max(self.plot.width(), 200)
        for place, (lane, curves) in enumerate(zip(self._lanes, self._curves, strict=True)):
            seen = window(lane.times, *self.shown_window)
            middle, height = lane_scale(lane.values[0])
            for curve, values in zip(curves, lane.values, strict=True):
                x, y = peaks(lane.times[seen], values[seen], n_bins)
                curve.setData(x, (y - middle) / height * 0.9 - place)
