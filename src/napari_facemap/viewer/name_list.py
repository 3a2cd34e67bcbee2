"""Asking for the keypoints of a new project or skeleton, and for a project's folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from qtpy.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
    QWidget,
)

from napari_facemap.keypoints.skeleton import FACEMAP_KEYPOINTS, KEYPOINTS

OWN = "my own list"
SKELETONS: Mapping[str, tuple[str, ...]] = {
    f"face and pupil, {len(KEYPOINTS)} points (built-in model)": KEYPOINTS,
    f"face, {len(FACEMAP_KEYPOINTS)} points (Facemap)": FACEMAP_KEYPOINTS,
}


def names_in(text: str) -> tuple[str, ...]:
    """Keypoints of a list that a person typed, one a line.

    Raises
    ------
    ValueError
        When there is none, one is there twice, or one holds a comma or slash.
    """
    names = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not names:
        raise ValueError("Give the keypoints, one a line.")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(f"“{twice[0]}” is on the list twice.")
    odd = [name for name in names if "," in name or "/" in name]
    if odd:
        raise ValueError(f"“{odd[0]}”: names hold neither commas nor slashes.")
    return names


class KeypointsDialog(QDialog):
    """Asks for keypoints, and for a new project also for its folder.

    Parameters
    ----------
    title : str
        Of the window.
    layers : mapping of str to sequence of str
        Keypoints that can be taken from layers, by what they are called in the list.
    with_folder : bool
        Whether to ask for a folder.
    """

    def __init__(
        self,
        title: str,
        layers: Mapping[str, Sequence[str]] | None = None,
        with_folder: bool = True,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        self._skeletons = {**(layers or {}), **SKELETONS, OWN: ()}
        self.folder = QLineEdit()
        self.source = QComboBox()
        self.names = QPlainTextEdit()
        self.message = QLabel()
        self._with_folder = with_folder
        self._build()
        self._on_source()

    def _build(self) -> None:
        self.setMinimumWidth(460)
        self.source.addItems(list(self._skeletons))
        self.folder.setPlaceholderText("an empty folder, or a new one")
        browse = QPushButton("Browse…")
        browse.clicked.connect(self._on_browse)
        self.names.setToolTip(
            "One name a line. Points with the same word before a bracket form a group:\n"
            "paw(left), paw(right). Names of the built-in model keep what it has learnt of them."
        )
        self.names.setPlaceholderText("one name a line, such as\npaw(left)\npaw(right)\ntongue")
        self.names.setMinimumHeight(220)
        self.message.setWordWrap(True)
        self.message.setStyleSheet("color: #ff8a80;")
        ok, cancel = QDialogButtonBox.StandardButton.Ok, QDialogButtonBox.StandardButton.Cancel
        buttons = QDialogButtonBox(ok | cancel)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        form = QFormLayout(self)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        if self._with_folder:
            row = QHBoxLayout()
            row.addWidget(self.folder, stretch=1)
            row.addWidget(browse)
            form.addRow("Folder", row)
        form.addRow("Keypoints", self.source)
        form.addRow("", self.names)
        form.addRow(self.message)
        form.addRow(buttons)
        self.source.currentTextChanged.connect(self._on_source)

    def _on_source(self, text: str = "") -> None:
        names = self._skeletons[self.source.currentText()]
        if names:
            self.names.setPlainText("\n".join(names))
        elif self.names.toPlainText() in map("\n".join, self._skeletons.values()):
            self.names.clear()

    def _on_browse(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Folder of the new project")
        if folder:
            self.folder.setText(folder)

    def keypoints(self) -> tuple[str, ...]:
        """The keypoints on the list; raises ValueError when it is not one."""
        return names_in(self.names.toPlainText())

    def accept(self) -> None:
        """Close, unless something is missing, which is said."""
        try:
            self.keypoints()
        except ValueError as error:
            self.message.setText(str(error))
            return
        if self._with_folder and not self.folder.text().strip():
            self.message.setText("Choose a folder: labels are saved in it from the first click.")
            return
        if self._with_folder and (Path(self.folder.text()) / "project.json").exists():
            self.message.setText("This folder holds a project already: use “Open…”.")
            return
        super().accept()
