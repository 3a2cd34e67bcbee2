"""Rasters of all neurons, measured above predicted, with a cursor that is the time slider."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from qtpy.QtCore import QRectF, QSize, Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

# isort: off
import pyqtgraph as pg  # after qtpy, so that it takes the binding napari uses

# isort: on
from napari_facemap.viewer.raster_math import Raster
from napari_facemap.viewer.traces import TimeBox

_NARROWEST = 0.5  # seconds


class RasterPlot(QWidget):
    """Pictures of activity over the same seconds, one below the other.

    The wheel makes the window narrower and wider, about the cursor; the whole recording is shown
    at first.
    """

    time_chosen = Signal(float)
    """A person clicked or dragged to this time, in seconds."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.canvas = pg.GraphicsLayoutWidget()
        self._rasters: tuple[Raster, ...] = ()
        self._plots: list[Any] = []
        self._images: list[Any] = []
        self._cursors: list[Any] = []
        self._colors: tuple[Any, Any] = ("k", "w")
        self._time = 0.0
        self._window = (0.0, 1.0)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.canvas)
        self.setMinimumHeight(160)

    def sizeHint(self) -> QSize:
        """Ask for a strip below the video."""
        return QSize(900, 280)

    @property
    def time(self) -> float:
        """Where the cursor is, in seconds."""
        return self._time

    @property
    def shown_window(self) -> tuple[float, float]:
        """First and last second that is shown."""
        return self._window

    def set_colors(self, background: Any, text: Any) -> None:
        """Take the colours of the window."""
        self._colors = background, text
        self.canvas.setBackground(background)
        for plot in self._plots:
            self._color_axes(plot)

    def set_rasters(self, rasters: Sequence[tuple[str, Raster]]) -> None:
        """Show others.

        Parameters
        ----------
        rasters : sequence of (str, Raster)
            Titles and what is shown, from top to bottom.
        """
        self.canvas.clear()
        self._rasters = tuple(raster for _, raster in rasters)
        self._plots, self._images, self._cursors = [], [], []
        for row, (title, raster) in enumerate(rasters):
            self._add(row, title, raster, last=row == len(rasters) - 1)
        if self._rasters:
            self._limits = (
                min(raster.start for raster in self._rasters),
                max(raster.stop for raster in self._rasters),
            )
            self._turn_to(*self._limits)
        self.set_time(self._time)

    def set_time(self, seconds: float) -> None:
        """Move the cursor; the window follows when the cursor leaves it."""
        self._time = seconds
        for cursor in self._cursors:
            cursor.setValue(seconds)
        start, stop = self._window
        if self._rasters and not start <= seconds <= stop:
            half = (stop - start) / 2
            self._turn_to(seconds - half, seconds + half)

    def _add(self, row: int, title: str, raster: Raster, last: bool) -> None:
        box = TimeBox(enableMenu=False)
        plot = self.canvas.addPlot(row=row, col=0, viewBox=box)
        plot.hideButtons()
        plot.setLabel("left", title)
        plot.getAxis("left").setStyle(showValues=False, tickLength=0)
        plot.getAxis("left").setWidth(24)
        bottom = plot.getAxis("bottom")
        bottom.enableAutoSIPrefix(False)
        if last:
            plot.setLabel("bottom", "time (s)")
        else:
            bottom.setStyle(showValues=False)
        box.setMouseEnabled(x=False, y=False)
        box.setDefaultPadding(0)
        box.disableAutoRange()
        box.invertY(True)
        box.setYRange(0, len(raster.levels[0]))
        box.chosen.connect(self.time_chosen.emit)
        box.zoomed.connect(self._on_zoomed)
        image = pg.ImageItem(axisOrder="row-major")
        image.setLookupTable(_shades())
        plot.addItem(image)
        cursor = pg.InfiniteLine(angle=90, movable=False, pen=pg.mkPen("#ff5252", width=1.5))
        plot.addItem(cursor)
        self._plots.append(plot)
        self._images.append(image)
        self._cursors.append(cursor)
        self._color_axes(plot)

    def _color_axes(self, plot: Any) -> None:
        for side in ("bottom", "left"):
            plot.getAxis(side).setPen(self._colors[1])
            plot.getAxis(side).setTextPen(self._colors[1])

    def show_seconds(self, width: float) -> None:
        """Make the window so many seconds wide; what is under the cursor stays there."""
        start, stop = self._window
        width = max(width, _NARROWEST)
        at = np.clip((self._time - start) / (stop - start), 0, 1)
        self._turn_to(self._time - at * width, self._time + (1 - at) * width)

    def _on_zoomed(self, factor: float) -> None:
        start, stop = self._window
        self.show_seconds(factor * (stop - start))

    def _turn_to(self, start: float, stop: float) -> None:
        low, high = self._limits
        width = min(stop - start, high - low)
        start = float(np.clip(start, low, high - width))
        self._window = (start, start + width)
        for plot in self._plots:
            plot.setXRange(*self._window, padding=0)
        self._draw()

    def _draw(self) -> None:
        pixels = max(self.canvas.width(), 200)
        for raster, image in zip(self._rasters, self._images, strict=True):
            picture, start, stop = raster.part(*self._window, pixels)
            image.setImage(picture, autoLevels=False, levels=(0, 255))
            image.setRect(QRectF(start, 0, stop - start, len(picture)))


def _shades() -> np.ndarray:
    """From black over blue and violet to yellow; what is not known is grey."""
    table = pg.colormap.get("inferno").getLookupTable(nPts=256)
    table[0] = (64, 64, 68)
    return table
