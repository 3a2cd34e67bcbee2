"""The plugin's docks stand in tabs: one below the other none of them has the height it needs."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, QTimer
from qtpy.QtWidgets import QDockWidget, QMainWindow, QWidget


class DockTab(QObject):
    """Puts a dock into a tab with others of the plugin at the same side, when it is first shown.

    Only then: whoever drags docks apart afterwards keeps them so.

    Parameters
    ----------
    panel : QWidget
        What is in the dock; napari makes the dock itself later.
    """

    def __init__(self, panel: QWidget) -> None:
        super().__init__(panel)
        self._panel = panel
        panel.installEventFilter(self)

    def eventFilter(self, panel: QObject | None, event: QEvent | None) -> bool:
        """Wait for the panel to be shown."""
        if event is not None and event.type() == QEvent.Type.Show:
            self._panel.removeEventFilter(self)
            QTimer.singleShot(0, self._place)  # once napari is done with the dock
        return False

    def _place(self) -> None:
        dock = _dock_of(self._panel)
        window = dock.parent() if dock is not None else None
        if dock is None or not isinstance(window, QMainWindow) or dock.isFloating():
            return
        side = window.dockWidgetArea(dock)
        others = [
            other
            for other in window.findChildren(QDockWidget)
            if other is not dock
            and other.isVisible()
            and not other.isFloating()
            and window.dockWidgetArea(other) == side
            and other.findChild(DockTab) is not None
        ]
        if others and not window.tabifiedDockWidgets(dock):
            window.tabifyDockWidget(others[-1], dock)
            dock.raise_()


def _dock_of(panel: QWidget) -> QDockWidget | None:
    parent = panel.parentWidget()
    while parent is not None and not isinstance(parent, QDockWidget):
        parent = parent.parentWidget()
    return parent
