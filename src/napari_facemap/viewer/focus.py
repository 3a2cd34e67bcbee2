"""Keys go to the picture, also after a button of a dock was pressed."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractButton, QAbstractItemView, QComboBox, QSlider, QWidget

_CANVAS = "CanvasBackendDesktop"  # of vispy


def leave_keys_to_picture(panel: QWidget) -> None:
    """Have no button, list or slider of a panel take the keyboard when it is clicked."""
    for kind in (QAbstractButton, QAbstractItemView, QComboBox, QSlider):
        for widget in panel.findChildren(kind):
            widget.setFocusPolicy(Qt.FocusPolicy.NoFocus)


def focus_picture(widget: QWidget) -> None:
    """Give the keyboard to the picture of the window that a widget is in."""
    window = widget.window()
    for child in window.findChildren(QWidget) if window is not None else ():
        if child.metaObject().className() == _CANVAS and child.isVisible():
            child.setFocus()
            return
    widget.clearFocus()
