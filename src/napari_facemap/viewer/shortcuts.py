"""The list of all shortcuts in a window of its own, which may stay open beside the work."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog, QLabel, QScrollArea, QVBoxLayout, QWidget

from napari_facemap.viewer.keys import as_html

_TEXT = "They act while the keypoint layer is selected and the mouse was last on the picture."


class Shortcuts(QDialog):
    """Window with all keys of the keypoint layer."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Shortcuts")
        self.table = QLabel(f"<p>{_TEXT}</p>{as_html()}")
        self.table.setWordWrap(True)
        self.table.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.table.setMargin(8)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setWidget(self.table)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(scroll)
        self.resize(540, 700)
