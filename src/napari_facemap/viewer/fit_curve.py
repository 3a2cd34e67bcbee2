"""How a fit goes: variance explained while it runs."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

# isort: off
import pyqtgraph as pg  # after qtpy, so that it takes the binding napari uses

# isort: on

_TRAINING, _VALIDATION = "#8a8a8a", "#4fc3f7"


class FitCurve(QWidget):
    """Small plot of the variance explained in training and validation data over a fit's steps.

    Hidden until there is something to see. `watch` may be called from any thread.
    """

    _seen = Signal(int, float, float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.plot = pg.PlotWidget(background=None)
        self.plot.setMenuEnabled(False)
        self.plot.setMouseEnabled(False, False)
        self.plot.hideButtons()
        self.plot.setLabel("left", "explained (%)")
        self.plot.setLabel("bottom", "step")
        legend = self.plot.addLegend(offset=(-4, -4), labelTextSize="8pt")
        legend.setBrush(None)
        self._curves = [
            self.plot.plot(pen=pg.mkPen(color, width=width), name=name)
            for name, color, width in (
                ("training data", _TRAINING, 1),
                ("validation data", _VALIDATION, 2),
            )
        ]
        self.points: list[tuple[int, float, float]] = []
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.plot)
        self.setFixedHeight(130)
        self.setVisible(False)
        self._seen.connect(self._add)

    def clear(self) -> None:
        """Forget the last fit."""
        self.points = []
        self.setVisible(False)

    def watch(self, step: int, training: float, validation: float) -> None:
        """Take in variances explained (1 is all)."""
        try:
            self._seen.emit(step, training, validation)
        except RuntimeError:  # the window was closed while the fit went on
            return

    def _add(self, *point: Any) -> None:
        self.points.append(point)
        steps, *explained = zip(*self.points, strict=True)
        for curve, values in zip(self._curves, explained, strict=True):
            curve.setData(steps, [100 * value for value in values])
        # Before anything is learnt scores are far below 0, where nothing is to be seen.
        best = max(max(values) for values in explained)
        self.plot.setYRange(0, max(100 * best, 1), padding=0.05)
        self.setVisible(True)
