"""The project of labels: made, opened, and which video it is labelled on."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt, QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import (
    QFileDialog,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QMenu,
    QMessageBox,
    QPushButton,
    QToolButton,
    QWidget,
)

from napari_facemap.files.deeplabcut import deeplabcut_bodyparts, is_deeplabcut
from napari_facemap.files.label_import import Imported, import_deeplabcut, names_for
from napari_facemap.files.label_project import LabelProject
from napari_facemap.viewer.choices import LayerChoice
from napari_facemap.viewer.layers import is_video
from napari_facemap.viewer.name_list import KeypointsDialog
from napari_facemap.viewer.run_row import RunRow
from napari_facemap.viewer.session import Session
from napari_facemap.viewer.tasks import one_line

_NONE = "No project yet. Labels are kept in a project folder: make one, or open one."


class LabelProjectPanel(QGroupBox):
    """Makes and opens projects, and says what is in the one that is open.

    Parameters
    ----------
    viewer : napari viewer
        To follow.
    session : Session
        Of that viewer.
    """

    def __init__(self, viewer: Any, session: Session, parent: QWidget | None = None) -> None:
        super().__init__("Project", parent)
        self.session = session
        self.labelling = session.labelling
        self.video = LayerChoice(viewer, is_video)
        self.where = QLabel()
        self.problem = QLabel()
        self.retry = QPushButton("Save again")
        self.show_again = QPushButton("Show the labels again")
        self.run_row = RunRow("Import", "frames")
        self._before: Path | None = None  # project that was open when an import began
        self._build()
        self.video.chosen.connect(self._on_video)
        self.labelling.changed.connect(self.refresh)
        if self.labelling.video is None:
            self._on_video()
        self.refresh()

    def _build(self) -> None:
        self.new = QPushButton("New…")
        self.new.setToolTip("Make a project: a folder for labels, and a list of keypoints")
        self.new.clicked.connect(self._on_new)
        self.open = QPushButton("Open…")
        self.open.setToolTip("Open a project, or take over the labels of a DeepLabCut project")
        self.open.clicked.connect(self._on_open)
        self.more = QToolButton()
        self.more.setText("⋯")
        self.more.setToolTip("More")
        self.more.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(self.more)
        self.import_labels = menu.addAction("Import labels from a DeepLabCut project…")
        self.import_labels.triggered.connect(self._on_import)
        self.show_folder = menu.addAction("Show the project's folder")
        self.show_folder.triggered.connect(self._on_show_folder)
        self.close_project = menu.addAction("Close the project")
        self.close_project.triggered.connect(self.labelling.close)
        self.more.setMenu(menu)
        self.where.setWordWrap(True)
        self.where.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.problem.setWordWrap(True)
        self.problem.setStyleSheet("color: #ff8a80; font-weight: bold;")
        self.retry.clicked.connect(self.labelling.retry)
        self.show_again.setToolTip("Make a keypoint layer with the project's labels")
        self.show_again.clicked.connect(self.labelling.show_layer)
        self.video.setToolTip("The video that is labelled now; a project may hold several")
        self.run_row.run.hide()
        self.run_row.cancel.hide()  # until something is read
        self.run_row.hide()
        self.run_row.busy.connect(self._on_busy)
        self.run_row.finished.connect(self._on_imported)
        self.run_row.failed.connect(self._on_import_failed)
        buttons = QHBoxLayout()
        buttons.addWidget(self.new, stretch=1)
        buttons.addWidget(self.open, stretch=1)
        buttons.addWidget(self.more)
        form = QFormLayout(self)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow(buttons)
        form.addRow("Video", self.video)
        form.addRow(self.where)
        form.addRow(self.run_row)
        form.addRow(self.problem)
        form.addRow(self.retry)
        form.addRow(self.show_again)

    # -- what buttons do --------------------------------------------------------------------------

    def _on_new(self) -> None:
        layers = {}
        for keypoints in reversed(self.session.keypoint_layers):
            layers[f"those of layer “{keypoints.layer.name}”"] = keypoints.names
        dialog = KeypointsDialog("New project", layers, parent=self)
        if dialog.exec():
            self.make_project(dialog.folder.text().strip(), dialog.keypoints())

    def make_project(self, folder: str | Path, keypoints: tuple[str, ...]) -> None:
        """Make a project and open it."""
        self._say_nothing()
        try:
            self.labelling.open_project(Path(folder).expanduser(), keypoints)
        except (OSError, ValueError) as error:
            self._say(one_line(error))

    def _on_open(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Folder of a project")
        if folder:
            self.open_folder(folder)

    def open_folder(self, folder: str | Path) -> None:
        """Open a project; of DeepLabCut's make one of ours, if the person agrees."""
        folder = Path(folder)
        self._say_nothing()
        try:
            if not (folder / "project.json").is_file() and is_deeplabcut(folder):
                self._offer_import(folder)
            else:
                self._open(folder)
        except (OSError, ValueError) as error:
            self._say(one_line(error))

    def _offer_import(self, folder: Path) -> None:
        parts = deeplabcut_bodyparts(folder)
        ours = folder.with_name(f"{folder.name}-facemap")
        if (ours / "project.json").exists():
            question = (
                f"{folder.name} is a DeepLabCut project, and its labels were taken over before. "
                f"Open {ours} and take over what is new?"
            )
        else:
            question = (
                f"{folder.name} is a DeepLabCut project with the body parts {', '.join(parts)}.\n"
                f"\nMake the project {ours} with copies of its labels and pictures? Nothing in "
                "the DeepLabCut project is changed."
            )
        if self._agreed("DeepLabCut project", question):
            self._start_import(ours, folder, tuple(names_for(parts).values()))

    def _on_import(self) -> None:
        if self.labelling.project is None:
            self._say("Make or open a project first.")
            return
        folder = QFileDialog.getExistingDirectory(self, "Folder of a DeepLabCut project")
        if folder:
            self.start_import(folder)

    def start_import(self, folder: str | Path) -> None:
        """Copy labels of a DeepLabCut project into the one that is open, off this thread."""
        project = self.labelling.project
        if project is not None and not self.run_row.running:
            self._start_import(project.folder, Path(folder))

    def _start_import(self, ours: Path, folder: Path, keypoints: tuple[str, ...] = ()) -> None:
        opened = self.labelling.project
        self._before = opened.folder if opened is not None else None
        self.labelling.close()  # so that nobody writes to it meanwhile
        self.run_row.start(partial(_import, ours, folder, keypoints), "Reading …")

    def _on_busy(self, busy: bool) -> None:
        self.run_row.setVisible(True)
        self.run_row.cancel.setVisible(busy)
        for widget in (self.new, self.open, self.more, self.video):
            widget.setDisabled(busy)

    def _on_imported(self, result: tuple[Path, Imported]) -> None:
        folder, found = result
        if not self._open(folder):
            return
        text = f"Took over {found.n_frames} labelled frames."
        if not found.complete:
            text += " Stopped before the end."
        if found.keypoints:
            text += f" New keypoints: {', '.join(found.keypoints)}."
        if found.left_out:
            text += f" Left out {len(found.left_out)} pictures without a frame number."
        self.run_row.show_text(text)

    def _on_import_failed(self, text: str) -> None:
        if self._before is not None and self._open(self._before):
            self._say(text)

    def _open(self, folder: Path) -> bool:
        try:
            self.labelling.open_project(folder)
        except (OSError, ValueError) as error:
            self._say(one_line(error))
            return False
        return True

    def _on_show_folder(self) -> None:
        if self.labelling.project is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self.labelling.project.folder)))

    def _on_video(self) -> None:
        try:
            self.labelling.use_video(self.video.layer)
        except (OSError, ValueError) as error:
            self._say(one_line(error))

    def _agreed(self, title: str, question: str) -> bool:
        return QMessageBox.question(self, title, question) == QMessageBox.StandardButton.Yes

    def _say(self, text: str) -> None:
        self.run_row.setVisible(True)
        self.run_row.show_error(text)

    def _say_nothing(self) -> None:
        """Take back what went wrong before, which is over."""
        if not self.run_row.running:
            self.run_row.hide()

    # -- what is shown ----------------------------------------------------------------------------

    def refresh(self) -> None:
        """Say which project is open, what it holds, and which video is labelled."""
        if self.labelling.video is not None and self.video.layer is not self.labelling.video:
            self.video.blockSignals(True)
            self.video.choose(self.labelling.video)
            self.video.blockSignals(False)
        labelling, project = self.labelling, self.labelling.project
        self.close_project.setEnabled(project is not None)
        self.show_folder.setEnabled(project is not None)
        self.import_labels.setEnabled(project is not None)
        self.problem.setVisible(bool(labelling.problem))
        self.retry.setVisible(bool(labelling.problem))
        self.problem.setText(labelling.problem)
        self.show_again.setVisible(labelling.video_name is not None and not labelling.keypoints)
        self.where.setToolTip("" if project is None else str(project.folder))
        self.where.setText(_NONE if project is None else _describe(project, labelling.video_name))

    def disconnect_viewer(self) -> None:
        """Let go of the viewer."""
        self.run_row.stop()
        self.video.disconnect_viewer()
        self.labelling.changed.disconnect(self.refresh)


def _describe(project: LabelProject, video: str | None) -> str:
    folder = project.folder
    lines = [f"<b>{folder.name}</b> <small>in {folder.parent}</small>"]
    n, videos = project.n_labelled, sum(bool(project.labels(name)) for name in project.videos)
    text = f"{n:,} labelled frame{'s' if n != 1 else ''}"
    if videos > 1 or (video is None and videos):
        text += f" in {videos} video{'s' if videos != 1 else ''}"
    if video is not None and videos > 1:
        text += f", {len(project.labels(video)):,} in this one"
    lines.append(f"{text}, {len(project.keypoints)} keypoints. Every change is saved at once.")
    if video is None:
        lines.append("Open a video to label: drop the file on the window.")
    return "<br>".join(lines)


def _import(
    folder: Path, source: Path, keypoints: tuple[str, ...], progress: Any
) -> tuple[Path, Imported]:
    return folder, import_deeplabcut(LabelProject(folder, keypoints), source, progress)
