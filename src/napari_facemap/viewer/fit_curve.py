"""How a fit goes: a small plot of its scores or errors while it runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

# isort: off
import pyqtgraph as pg  # after qtpy, so that it takes the binding napari uses

# isort: on

_PENS = (("#8a8a8a", 1), ("#4fc3f7", 2))


class FitCurve(QWidget):
    """Small plot of two numbers over a fit's steps, the second of which matters more.

    Hidden until there is something to see. `watch` may be called from any thread.

    Parameters
    ----------
    label : str
        Of the axis of values.
    names : sequence of str
        Of the curves.
    scale : float
        What values are multiplied by to be shown.
    rises : bool
        Whether more is better; the names stand where the curves do not.
    """

    _seen = Signal(int, float, float)

    def __init__(
        self,
        label: str = "explained (%)",
        names: Sequence[str] = ("training data", "validation data"),
        scale: float = 100.0,
        rises: bool = True,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._scale, self._room = scale, 1.0 if rises else 1.3  # room for the names above
        self.plot = pg.PlotWidget(background=None)
        self.plot.setMenuEnabled(False)
        self.plot.setMouseEnabled(False, False)
        self.plot.hideButtons()
        self.plot.setLabel("bottom", "step")
        self.plot.getAxis("bottom").enableAutoSIPrefix(False)
        corner = (-4, -4 if rises else 4)
        self._legend = self.plot.addLegend(offset=corner, labelTextSize="8pt", colCount=2)
        self._legend.setBrush(None)
        self._curves = [
            self.plot.plot(pen=pg.mkPen(color, width=width), connect="finite")
            for color, width in _PENS
        ]
        self.points: list[tuple[int, float, float]] = []
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.plot)
        self.setFixedHeight(130)
        self._seen.connect(self._add)
        self.set_names(label, names)
        self.clear()

    def set_names(self, label: str, names: Sequence[str]) -> None:
        """Show something else, with the axis and the curves named so."""
        self.plot.setLabel("left", label)
        self._legend.clear()
        # The last curve is the one that matters, also when it is alone.
        for curve, name in zip(self._curves[-len(names) :], names, strict=True):
            self._legend.addItem(curve, name)

    def clear(self) -> None:
        """Forget the last fit."""
        self.points = []
        for curve in self._curves:
            curve.setData([], [])
        self.setVisible(False)

    def watch(self, step: int, first: float, second: float) -> None:
        """Take in the two numbers of a step; NaN where there is none."""
        try:
            self._seen.emit(step, first, second)
        except RuntimeError:  # the window was closed while the fit went on
            return

    def _add(self, *point: Any) -> None:
        self.points.append(point)
        steps, *values = np.array(self.points, float).T
        for curve, of in zip(self._curves, values, strict=True):
            curve.setData(steps, self._scale * of)
        # Before anything is learnt scores are far below 0, where nothing is to be seen.
        known = np.concatenate(values)
        best = float(np.max(known, where=np.isfinite(known), initial=0.0))
        self.plot.setXRange(0, max(steps[-1], 1), padding=0.03)
        self.plot.setYRange(0, max(self._room * self._scale * best, 1), padding=0.05)
        self.setVisible(True)
