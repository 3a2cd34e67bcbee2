"""Which groups of behavioural features an encoder is given."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QListWidget, QListWidgetItem, QWidget

from napari_facemap.neural.behavior import SPEED

_CHECKED, _OFF = Qt.CheckState.Checked, Qt.CheckState.Unchecked


class FeatureChoice(QListWidget):
    """Groups with a box each; all are taken but the speed, until a person chooses."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._left_out = {SPEED}
        self.setMaximumHeight(92)
        self.setToolTip("What activity is predicted from. Motion comes from “Motion and pupil”")
        self.itemChanged.connect(self._on_changed)

    @property
    def checked(self) -> list[str]:
        """Groups that are taken."""
        items = [self.item(row) for row in range(self.count())]
        return [item.text() for item in items if item.checkState() == _CHECKED]

    def offer(self, groups: list[str]) -> None:
        """Offer groups, and keep what was chosen."""
        self.blockSignals(True)
        self.clear()
        for group in groups:
            item = QListWidgetItem(group)
            item.setCheckState(_OFF if group in self._left_out else _CHECKED)
            self.addItem(item)
        self.blockSignals(False)

    def _on_changed(self, item: QListWidgetItem) -> None:
        if item.checkState() == _CHECKED:
            self._left_out.discard(item.text())
        else:
            self._left_out.add(item.text())
