"""A list of keypoint models to choose from, the same in every dock."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QFileDialog, QToolButton, QWidget

from napari_facemap.viewer.rows import beside
from napari_facemap.viewer.session import Session
from napari_facemap.viewer.tasks import Task

FILTER = "Keypoint models (*.safetensors *.pt *.pth)"
_LOOKING = "looking …"


class ModelChoice(QComboBox):
    """Combo box of the keypoint models at hand, and of files that a person chose.

    Disabled until the models were listed for the first time, which imports PyTorch and takes
    seconds, beside the window. Listed anew when the session says that there are others.

    Parameters
    ----------
    session : Session
        Of the viewer.
    """

    listed = Signal(list)
    """The models were listed: their names."""
    failed = Signal(str)
    """They could not be listed: why."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._files: list[str] = []
        self._wanted = ""
        self._task: Task | None = None
        self._again = False
        # A long name shall not widen the dock.
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(12)
        self.addItem(_LOOKING)
        self.setEnabled(False)
        self.other = QToolButton()
        self.other.setText("…")
        self.other.setToolTip("Use a model file (.safetensors, or Facemap's .pt)")
        self.other.clicked.connect(self.choose_file)
        session.models_changed.connect(self.refresh)
        self.refresh()

    @property
    def choice(self) -> str | None:
        """Name or file of the chosen model; None while there is none."""
        return (self.currentData() or self.currentText()) if self.isEnabled() else None

    def with_button(self) -> QWidget:
        """Give the list with the button that chooses a file, to be put in a form."""
        return beside(self, self.other)

    def choose(self, model: str) -> None:
        """Choose a model by its name; where it is not listed yet, when it is."""
        index = self._index_of(model)
        if index >= 0 and self.isEnabled():
            self.setCurrentIndex(index)
        else:
            self._wanted = model

    def choose_file(self) -> None:
        """Ask for a file, and choose it."""
        path, _ = QFileDialog.getOpenFileName(self, "Keypoint model", "", FILTER)
        if path:
            self._files.append(path)
            if not self.isEnabled():
                self.clear()
                self.setEnabled(True)
            self._add_file(path)
            self.setCurrentIndex(self.count() - 1)

    def refresh(self) -> None:
        """List the models anew."""
        if self._task is not None:
            self._again = True
            return
        self._task = Task(_list_models, self)
        self._task.finished.connect(self._on_listed)
        self._task.failed.connect(self._on_failed)
        self._task.start()

    def disconnect_viewer(self) -> None:
        """Let go of the viewer's session."""
        self._session.models_changed.disconnect(self.refresh)

    def _index_of(self, model: str) -> int:
        return max(self.findData(model), self.findText(model))

    def _add_file(self, path: str) -> None:
        self.addItem(Path(path).name, path)
        self.setItemData(self.count() - 1, path, Qt.ItemDataRole.ToolTipRole)

    def _on_listed(self, names: list[str]) -> None:
        self._task = None
        before, self._wanted = self._wanted or self.choice or "", ""
        self.blockSignals(True)
        self.clear()
        self.addItems(names)
        for path in self._files:
            self._add_file(path)
        self.setCurrentIndex(max(self._index_of(before), 0))
        self.blockSignals(False)
        self.setEnabled(bool(self.count()))
        self.currentIndexChanged.emit(self.currentIndex())
        self.listed.emit(names)
        self._look_again()

    def _on_failed(self, text: str) -> None:
        self._task = None
        self.failed.emit(text)
        self._look_again()

    def _look_again(self) -> None:
        if self._again:
            self._again = False
            self.refresh()


def _list_models(progress: Any) -> list[str]:
    from napari_facemap.keypoints.models import list_models

    return list_models()
