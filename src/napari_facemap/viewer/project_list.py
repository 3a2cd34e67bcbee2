"""Which projects of labels a model is fine-tuned on: the open one, and others beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_facemap.files.label_project import LabelProject
from napari_facemap.viewer.session import Session
from napari_facemap.viewer.tasks import one_line

_ROWS = 3  # that are seen without scrolling


class ProjectList(QWidget):
    """List of projects, the one that is open in the viewer first.

    Parameters
    ----------
    session : Session
        Of the viewer.
    """

    changed = Signal()
    """Projects came or went, or the labels of the open one changed."""
    failed = Signal(str)
    """A folder could not be added: why."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._others: list[LabelProject] = []
        self.list = QListWidget()
        self.add = QPushButton("Add project…")
        self.remove = QPushButton("Remove")
        self._build()
        session.labelling.changed.connect(self.refresh)
        self.refresh()

    def _build(self) -> None:
        self.list.setToolTip("Labels of all these projects are learnt from together")
        row = self.list.fontMetrics().height() + 6
        self.list.setFixedHeight(_ROWS * row + 6)
        self.list.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.add.setToolTip("Learn from the labels of another project as well")
        self.remove.setToolTip("Leave the chosen project out; its folder stays as it is")
        self.add.clicked.connect(self._on_add)
        self.remove.clicked.connect(self._on_remove)
        self.list.currentRowChanged.connect(self._on_row)
        buttons = QHBoxLayout()
        buttons.addWidget(self.add)
        buttons.addWidget(self.remove)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.list)
        layout.addLayout(buttons)

    @property
    def projects(self) -> list[LabelProject]:
        """The projects, the open one first."""
        opened = self._session.labelling.project
        if opened is None:
            return list(self._others)
        return [opened, *(p for p in self._others if p.folder != opened.folder)]

    def add_folder(self, folder: str | Path) -> None:
        """Add a project.

        Raises
        ------
        ValueError
            When the folder is none.
        """
        project = LabelProject(folder)
        if all(project.folder.resolve() != other.folder.resolve() for other in self.projects):
            self._others.append(project)
            self.refresh()

    def refresh(self) -> None:
        """Show the projects and how much is labelled in each."""
        opened = self._session.labelling.project
        chosen = self.list.currentRow()
        self.list.blockSignals(True)
        self.list.clear()
        for project in self.projects:
            n = project.n_labelled
            text = f"{project.folder.name} ({n:,} frame{'' if n == 1 else 's'})"
            item = QListWidgetItem(text + (", open" if project is opened else ""))
            item.setToolTip(str(project.folder))
            self.list.addItem(item)
        self.list.setCurrentRow(min(chosen, self.list.count() - 1))
        self.list.blockSignals(False)
        self._on_row()
        self.changed.emit()

    def disconnect_viewer(self) -> None:
        """Let go of the viewer's session."""
        self._session.labelling.changed.disconnect(self.refresh)

    def _on_row(self, row: Any = None) -> None:
        row, projects = self.list.currentRow(), self.projects
        removable = 0 <= row < len(projects) and projects[row] in self._others
        self.remove.setEnabled(removable)

    def _on_add(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Project of labels")
        if folder:
            try:
                self.add_folder(folder)
            except ValueError as error:
                self.failed.emit(one_line(error))

    def _on_remove(self) -> None:
        gone = self.projects[self.list.currentRow()]
        self._others = [project for project in self._others if project is not gone]
        self.refresh()
