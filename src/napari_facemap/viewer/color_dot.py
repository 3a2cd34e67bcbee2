"""A keypoint's colour in a list."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPixmap

_SIDE = 24  # pixels, of which lists show half


def dot(color: str) -> QIcon:
    """A disc.

    Parameters
    ----------
    color : str
        ``"#rrggbb"``.

    Returns
    -------
    QIcon
    """
    pixmap = QPixmap(_SIDE, _SIDE)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setBrush(QColor(color))
    painter.setPen(Qt.PenStyle.NoPen)
    painter.drawEllipse(2, 2, _SIDE - 4, _SIDE - 4)
    painter.end()
    return QIcon(pixmap)
