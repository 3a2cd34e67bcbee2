"""The keypoint models at hand: what they are, taking in, taking out, handing on, fetching."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QFileDialog,
    QGridLayout,
    QGroupBox,
    QHeaderView,
    QMessageBox,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_facemap.viewer.model_card import show_card
from napari_facemap.viewer.model_choice import FILTER
from napari_facemap.viewer.run_row import RunRow
from napari_facemap.viewer.session import Session
from napari_facemap.viewer.tasks import Task, one_line
from napari_facemap.viewer.wrapped_label import WrappedLabel

if TYPE_CHECKING:
    from napari_facemap.keypoints.model_store import ModelInfo

_COLUMNS = ("Model", "Origin", "Points", "Error", "Date")
_KB = 1024


class ModelsPanel(QGroupBox):
    """List of all models, with what can be done to them.

    Parameters
    ----------
    viewer : napari viewer
        To follow.
    session : Session
        Of that viewer.
    """

    def __init__(self, viewer: Any, session: Session, parent: QWidget | None = None) -> None:
        super().__init__("Models", parent)
        self.session = session
        self.models: list[ModelInfo] = []
        self._task: Task | None = None  # that lists them
        self._again = False
        self._wanted = ""  # is chosen once it is listed
        self.list = QTreeWidget()
        self.about = WrappedLabel()
        self.card = QPushButton("Card…")
        self.add = QPushButton("Add…")
        self.export = QPushButton("Export…")
        self.remove = QPushButton("Remove")
        self.fetch_row = RunRow("Fetch Facemap's model…", "kB", after="Checking the files …")
        self._build()
        self._connect()
        self.refresh()

    def _build(self) -> None:
        self.list.setHeaderLabels(_COLUMNS)
        self.list.setRootIsDecorated(False)
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.list.setFixedHeight(130)
        self.list.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        header = self.list.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.list.headerItem().setToolTip(
            3,
            "Median, in % of the distance from eye to nose, on frames that the model was not\n"
            "trained on. They differ from model to model, so compare with care.",
        )
        self.card.setToolTip("What the chosen model was trained on, and how large its errors are")
        self.add.setToolTip("Take in a model file: ours (.safetensors) or Facemap's (.pt)")
        self.export.setToolTip("Copy the chosen model to a file, to hand it on")
        self.remove.setToolTip("Take the chosen model out of the list; its file is kept aside")
        self.fetch_row.run.setToolTip("Download the model that Facemap's authors publish")
        buttons = QGridLayout()
        for column, button in enumerate((self.card, self.add, self.export, self.remove)):
            buttons.addWidget(button, 0, column)
        layout = QVBoxLayout(self)
        layout.setSpacing(4)
        layout.addWidget(self.list)
        layout.addWidget(self.about)
        layout.addLayout(buttons)
        layout.addWidget(self.fetch_row)

    def _connect(self) -> None:
        self.list.currentItemChanged.connect(self._on_chosen)
        self.list.itemDoubleClicked.connect(self._on_card)
        self.card.clicked.connect(self._on_card)
        self.add.clicked.connect(self._on_add)
        self.export.clicked.connect(self._on_export)
        self.remove.clicked.connect(self._on_remove)
        self.fetch_row.run.clicked.connect(self.fetch)
        self.fetch_row.finished.connect(self._on_fetched)
        self.session.models_changed.connect(self.refresh)

    # -- the list ---------------------------------------------------------------------------------

    @property
    def chosen(self) -> ModelInfo | None:
        """The model that is chosen in the list."""
        row = self.list.indexOfTopLevelItem(self.list.currentItem())
        return self.models[row] if 0 <= row < len(self.models) else None

    def refresh(self) -> None:
        """List the models anew, beside the window: it imports PyTorch."""
        if self._task is not None:
            self._again = True
            return
        self._task = Task(_describe, self)
        self._task.finished.connect(self._on_listed)
        self._task.failed.connect(self._on_failed)
        self._task.start()
        self._on_chosen()

    def _on_listed(self, models: list[ModelInfo]) -> None:
        self._task = None
        before = self.chosen.name if self.chosen is not None else ""
        wanted, self._wanted = self._wanted or before, ""
        self.models = models
        self.list.clear()
        for model in models:
            item = QTreeWidgetItem(_cells(model))
            item.setToolTip(0, str(model.path))
            for column in (2, 3):
                item.setTextAlignment(column, Qt.AlignmentFlag.AlignRight)
            self.list.addTopLevelItem(item)
        names = [model.name for model in models]
        row = names.index(wanted) if wanted in names else 0
        self.list.setCurrentItem(self.list.topLevelItem(row))
        self._on_chosen()
        self._look_again()

    def _on_failed(self, text: str) -> None:
        self._task = None
        self.fetch_row.show_error(text)
        self._look_again()

    def _look_again(self) -> None:
        if self._again:
            self._again = False
            self.refresh()

    def _on_chosen(self, *_: Any) -> None:
        model = self.chosen
        usable = model is not None and not model.problem
        self.card.setEnabled(usable)
        self.export.setEnabled(usable)
        self.remove.setEnabled(model is not None and model.origin != "built-in")
        self.add.setEnabled(bool(self.models))
        self.fetch_row.run.setEnabled(bool(self.models) and not self.fetch_row.running)
        self.about.setText("Looking …" if model is None else _in_words(model))

    # -- what is done to them ---------------------------------------------------------------------

    def _on_card(self, *_: Any) -> None:
        if self.chosen is not None:
            self._try(partial(show_card, self.chosen.name, self))

    def _on_add(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Keypoint model", "", FILTER)
        if path:
            self._try(partial(self._add, path))

    def _add(self, path: str) -> None:
        from napari_facemap.keypoints.model_store import add_model

        added = add_model(path)
        self._changed(added.name, f"Added {added.name!r}.")

    def _on_export(self) -> None:
        model = self.chosen
        if model is None:
            return
        suffix = model.path.suffix
        kind = "Keypoint model (*.pt)" if suffix == ".pt" else "Keypoint model (*.safetensors)"
        start = f"{model.name}{suffix}"
        path, _ = QFileDialog.getSaveFileName(self, "Export the model", start, kind)
        if path:
            self._try(partial(self._export, model.name, path))

    def _export(self, name: str, path: str) -> None:
        from napari_facemap.keypoints.model_store import export_model

        written = export_model(name, path)
        self.fetch_row.show_text(f"Wrote {' and '.join(str(file) for file in written)}.")

    def _on_remove(self) -> None:
        model = self.chosen
        if model is None:
            return
        answer = QMessageBox.question(
            self, "Remove a model", f"Take {model.name!r} out of the list? Its file is kept aside."
        )
        if answer == QMessageBox.StandardButton.Yes:
            self._try(partial(self._remove, model.name))

    def _remove(self, name: str) -> None:
        from napari_facemap.keypoints.model_store import remove_model

        kept = remove_model(name)
        self._changed("", f"Removed {name!r}; its file is kept as {kept}.")

    def _changed(self, name: str, text: str) -> None:
        self._wanted = name
        self.fetch_row.show_text(text)
        self.session.models_changed.emit()

    def _try(self, action: Any) -> None:
        try:
            action()
        except (ValueError, OSError) as error:
            self.fetch_row.show_error(one_line(error))

    # -- fetching ---------------------------------------------------------------------------------

    def fetch(self) -> None:
        """Say what is to be fetched and whose it is, ask, and fetch it."""
        from napari_facemap.keypoints.facemap_weights import about

        question = QMessageBox(self)
        question.setWindowTitle("Fetch Facemap's model")
        question.setIcon(QMessageBox.Icon.Question)
        question.setText("Download the model that Facemap's authors publish?")
        question.setInformativeText(about())
        question.setStandardButtons(
            QMessageBox.StandardButton.Yes | QMessageBox.StandardButton.Cancel
        )
        question.button(QMessageBox.StandardButton.Yes).setText("Download")
        question.setDefaultButton(QMessageBox.StandardButton.Cancel)
        if question.exec() == QMessageBox.StandardButton.Yes:
            self.fetch_row.start(_fetch, "Asking the server …")

    def _on_fetched(self, name: str | None) -> None:
        if name is None:
            self.fetch_row.show_text("Stopped; the next time goes on from there.")
        else:
            self._changed(name, f"Facemap's model is here, as {name!r}.")

    def disconnect_viewer(self) -> None:
        """Stop what is running and let go of the viewer's session."""
        self.fetch_row.stop()
        self.session.models_changed.disconnect(self.refresh)


def _cells(model: ModelInfo) -> list[str]:
    error = "" if model.error is None else f"{model.error:.1f} %"
    points = str(len(model.keypoints)) if model.keypoints else ""
    origin = "refined" if model.origin.startswith("refined") else model.origin
    return [model.name, origin, points, error, model.date]


def _in_words(model: ModelInfo) -> str:
    if model.problem:
        return f"{model.name}: {model.problem}"
    error = "" if model.error is None else f", median error {model.error:.1f} %"
    date = f", {model.date}" if model.date else ""
    return f"{model.name}: {model.origin}, {len(model.keypoints)} keypoints{error}{date}."


# Work, off the window's thread. It imports PyTorch, which takes seconds.


def _describe(progress: Any) -> list[ModelInfo]:
    from napari_facemap.keypoints.model_store import describe_models

    return describe_models()


def _fetch(progress: Any) -> str | None:
    """Fetch Facemap's model; gives its name, None when it was cancelled."""
    from napari_facemap.download import DownloadStopped
    from napari_facemap.keypoints.facemap_weights import fetch_facemap

    def in_kb(had: int, total: int) -> bool:
        return bool(progress(max(had // _KB, 1), max(total // _KB, 1)))

    try:
        return fetch_facemap(_agreed, in_kb).name
    except DownloadStopped:
        return None


def _agreed(_text: str) -> bool:
    """Somebody was asked in the window already."""
    return True
