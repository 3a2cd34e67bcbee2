"""Fine-tuning a model on one's own labels, and tracking again with what came of it."""

from __future__ import annotations

import re
from functools import partial
from itertools import chain, count
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QWidget,
)

from napari_facemap.viewer import refine_work
from napari_facemap.viewer.fit_curve import FitCurve
from napari_facemap.viewer.model_card import show_card
from napari_facemap.viewer.model_choice import ModelChoice
from napari_facemap.viewer.project_list import ProjectList
from napari_facemap.viewer.refine_text import (
    ending_in_words,
    nothing_in_words,
    outcome_in_words,
    outcome_table,
    parts_in_words,
)
from napari_facemap.viewer.refine_work import Made, Plan
from napari_facemap.viewer.retrack_box import RetrackBox
from napari_facemap.viewer.run_row import RunRow
from napari_facemap.viewer.session import Session
from napari_facemap.viewer.tasks import Task, one_line
from napari_facemap.viewer.wrapped_label import WrappedLabel

if TYPE_CHECKING:
    from napari_facemap.keypoints.training import TrainingOptions

DEVICES = ("auto", "cpu", "cuda", "mps")
_ERROR = ("error (%)", ("95th percentile", "median"))
_LOSS = ("loss", ("training",))


class RefinePanel(QGroupBox):
    """Makes a model one's own from labelled frames.

    Parameters
    ----------
    viewer : napari viewer
        To follow.
    session : Session
        Of that viewer.

    Attributes
    ----------
    options : TrainingOptions or None
        How to train; None is as `refine` does by itself.
    """

    def __init__(self, viewer: Any, session: Session, parent: QWidget | None = None) -> None:
        super().__init__("Fine-tune", parent)
        self.session = session
        self.viewer = session.viewer
        self.options: TrainingOptions | None = None
        self._proposed_name = ""
        self._ready = False
        self._task = Task(_get_ready, self)
        self.model = ModelChoice(session)
        self.card = QPushButton("Card…")
        self.name = QLineEdit()
        self.projects = ProjectList(session)
        self.parts = WrappedLabel()
        self.device = QComboBox()
        self.run_row = RunRow("Fine-tune", "steps", after="Rounding to 8 bits and saving …")
        self.curve = FitCurve(*_ERROR, scale=1.0, rises=False)
        self.table = QLabel()
        self.new_card = QPushButton("Card of the new model…")
        self.retrack = RetrackBox(session)
        self._build()
        self._connect()
        self._on_projects()
        self._task.start()

    def _build(self) -> None:
        self.card.setToolTip("What this model was trained on, and how large its errors are")
        self.name.setToolTip("The new model is listed under this name")
        self.table.setVisible(False)
        self.new_card.setVisible(False)
        self.device.addItems(DEVICES)
        start = QHBoxLayout()
        start.addWidget(self.model.with_button(), stretch=1)
        start.addWidget(self.card)
        form = QFormLayout(self)
        form.setVerticalSpacing(4)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Start from", start)
        form.addRow("New name", self.name)
        form.addRow("Labels of", self.projects)
        form.addRow(self.parts)
        form.addRow("Device", self.device)
        form.addRow(self.run_row)
        form.addRow(self.curve)
        form.addRow(self.table)
        form.addRow(self.new_card)
        form.addRow(self.retrack)

    def _connect(self) -> None:
        self.run_row.run.clicked.connect(self.run)
        self.run_row.finished.connect(self._on_finished)
        self.card.clicked.connect(self._on_card)
        self.new_card.clicked.connect(self._on_new_card)
        self._task.finished.connect(self._on_ready)
        self._task.failed.connect(self.run_row.show_error)
        self.model.listed.connect(self._on_projects)
        self.model.failed.connect(self.run_row.show_error)
        self.projects.changed.connect(self._on_projects)
        self.projects.failed.connect(self.run_row.show_error)
        self.device.currentTextChanged.connect(self._on_device)

    # -- what is chosen ---------------------------------------------------------------------------

    def _on_ready(self, _: Any) -> None:
        self._ready = True
        self._on_projects()

    def _on_projects(self, _: Any = None) -> None:
        """Say which frames are learnt from, and propose a name."""
        projects = self.projects.projects
        if projects and self.name.text() == self._proposed_name:
            self._proposed_name = self._free_name(_as_name(projects[0].folder.name))
            self.name.setText(self._proposed_name)
        frames = refine_work.labelled_frames(projects)
        if not self._ready:
            return
        from napari_facemap.refining import FEWEST_TO_HOLD_OUT

        kept, held_out = refine_work.parted(frames)
        self.parts.setText(parts_in_words(kept, held_out, FEWEST_TO_HOLD_OUT))

    def _free_name(self, name: str) -> str:
        numbered = (f"{name}-{k}" for k in count(2))
        return next(n for n in chain([name], numbered) if self.model.findText(n) < 0)

    def _on_device(self, device: str) -> None:
        self.retrack.device = device

    def _on_card(self) -> None:
        self._show_card(self.model.choice)

    def _on_new_card(self) -> None:
        self._show_card(self.new_card.property("model"))

    def _show_card(self, model: str | None) -> None:
        try:
            show_card(model, self)
        except ValueError as error:
            self.run_row.show_error(one_line(error))

    # -- running ----------------------------------------------------------------------------------

    def run(self) -> None:
        """Fine-tune the chosen model on the labels of the chosen projects."""
        projects, name = self.projects.projects, self.name.text().strip()
        wrong = self._whats_wrong(name)
        if wrong:
            self.run_row.show_error(wrong)
            return
        frames = refine_work.labelled_frames(projects)
        _, held_out = refine_work.parted(frames)
        self.curve.clear()
        self.curve.set_names(*(_ERROR if held_out else _LOSS))
        self.table.setVisible(False)
        self.new_card.setVisible(False)
        plan = Plan(
            [project.folder for project in projects],
            self.model.choice,
            name,
            self.device.currentText(),
            self.options,
        )
        self.run_row.start(
            partial(refine_work.fine_tune, plan, self._watch), "Reading labels, drawing mice …"
        )

    def _whats_wrong(self, name: str) -> str:
        """What stands in the way, in one line; "" when nothing does."""
        if not (self._ready and self.model.isEnabled()):
            return "The models are still being listed: try again in a moment."
        if not refine_work.labelled_frames(self.projects.projects):
            return "No labelled frames to learn from: label some first."
        from napari_facemap.keypoints.model_store import new_model_path

        try:
            new_model_path(name)
        except ValueError as error:
            return one_line(error)
        return ""

    def _watch(self, row: dict[str, Any]) -> None:
        """Take in a row of the history, in the thread that trains."""
        nothing = float("nan")
        if "median" in row:
            self.curve.watch(row["step"], row["p95"], row["median"])
        elif "loss" in row:
            self.curve.watch(row["step"], nothing, row["loss"])

    def _on_finished(self, made: Made) -> None:
        refined = made.refined
        if made.path is None:
            self.run_row.show_text(nothing_in_words(refined.before, made.cancelled))
            return
        name = made.path.stem
        how = ending_in_words(refined.history[-1]["step"], refined.options.steps, made.cancelled)
        outcome = outcome_in_words(refined.before, refined.after, len(refined.held_out))
        self.run_row.show_text(f"Saved as model {name!r}.{how} {outcome}")
        self.table.setText(outcome_table(refined.before, refined.after))
        self.table.setVisible(bool(self.table.text()))
        self.new_card.setProperty("model", name)
        self.new_card.setVisible(True)
        self.name.setText(self._proposed_name)  # when the models are listed, another one
        self.retrack.model.choose(name)
        self.session.models_changed.emit()

    def disconnect_viewer(self) -> None:
        """Stop what is running and let go of the viewer."""
        self.run_row.stop()
        self.retrack.disconnect_viewer()
        self.model.disconnect_viewer()
        self.projects.disconnect_viewer()


def _get_ready(progress: Any) -> None:
    """Import what takes seconds, beside the window."""
    import napari_facemap.refining  # noqa: F401


def _as_name(text: str) -> str:
    """A name that is good for a file."""
    return re.sub(r"[^\w.-]+", "-", text).strip("-.")
