"""Text that may take several lines, and always has the room for them."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QLabel, QWidget


class WrappedLabel(QLabel):
    """Label that wraps its words and asks for the height that it then needs.

    Qt's own forgets about that inside of groups in a scroll area, and cuts lines off.
    """

    def __init__(self, text: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWordWrap(True)
        self.setText(text)

    def setText(self, text: str | None) -> None:
        """Show another text."""
        super().setText(text)
        self._fit()

    def resizeEvent(self, event: Any) -> None:
        """Ask for another height when the lines are longer or shorter."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        self.setMinimumHeight(0)  # else it counts in what is needed
        self.setMinimumHeight(self.heightForWidth(self.width()) if self.text() else 0)
