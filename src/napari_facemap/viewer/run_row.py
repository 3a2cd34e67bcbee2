"""Run and Cancel, a bar with rate and time left, and one line for what came of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_facemap.viewer.tasks import Task, describe_rate
from napari_facemap.viewer.wrapped_label import WrappedLabel


class RunRow(QWidget):
    """Runs one `Task` at a time and shows it.

    Parameters
    ----------
    title : str
        On the button that runs.
    unit : str
        What is counted, such as "frames".
    after : str
        What is said when all are counted and the work goes on; the count where it is empty.
    """

    finished = Signal(object)
    """What the work returned, also when it was cancelled."""
    failed = Signal(str)
    """Why the work failed, which is shown already."""
    busy = Signal(bool)
    """Work has begun (True), or is over."""

    def __init__(
        self, title: str, unit: str, after: str = "", parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._unit, self._after = unit, after
        self.task: Task | None = None
        self.run = QPushButton(title)
        self.cancel = QPushButton("Cancel")
        self.bar = QProgressBar()
        self.text = WrappedLabel()
        self.cancel.setEnabled(False)
        self.bar.setTextVisible(False)
        self.bar.setMaximumHeight(8)
        self.bar.setVisible(False)
        self.buttons = QHBoxLayout()
        self.buttons.addWidget(self.run, stretch=2)
        self.buttons.addWidget(self.cancel, stretch=1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(self.buttons)
        layout.addWidget(self.bar)
        layout.addWidget(self.text)
        self.cancel.clicked.connect(self._on_cancel)

    @property
    def running(self) -> bool:
        """Whether work goes on."""
        return self.task is not None

    def start(self, work: Callable[..., Any], text: str = "Starting …") -> None:
        """Run `work(progress)` beside the window, and say `text` until it reports."""
        if self.task is not None:
            return
        self.run.setEnabled(False)
        self.cancel.setEnabled(True)
        self.bar.setRange(0, 0)
        self.bar.setVisible(True)
        self.show_text(text)
        self.task = Task(work, self)
        self.task.progressed.connect(self._on_progress)
        self.task.finished.connect(self._on_finished)
        self.task.failed.connect(self._on_failed)
        self.busy.emit(True)
        self.task.start()

    def stop(self) -> None:
        """Ask the work to stop, for good, and wait for it a little."""
        if self.task is not None:
            self.task.cancel()
            self.task.wait()

    def show_text(self, text: str) -> None:
        """Say something."""
        self.text.setStyleSheet("")
        self.text.setText(text)

    def show_error(self, text: str) -> None:
        """Say what is wrong."""
        self.text.setStyleSheet("color: #ff8a80;")
        self.text.setText(text)

    def _on_cancel(self) -> None:
        if self.task is not None:
            self.task.cancel()
            self.cancel.setEnabled(False)
            self.show_text("Stopping …")

    def _on_progress(self, done: int, total: int, rate: float, left: float) -> None:
        if self.task is None or self.task.cancelled:
            return
        self.bar.setRange(0, total)
        self.bar.setValue(done)
        over = self._after if done >= total else ""
        self.show_text(over or describe_rate(done, total, rate, left, self._unit))

    def _on_finished(self, result: Any) -> None:
        self._end()
        self.finished.emit(result)

    def _on_failed(self, text: str) -> None:
        self._end()
        self.show_error(text)
        self.failed.emit(text)

    def _end(self) -> None:
        self.task = None
        self.bar.setVisible(False)
        self.run.setEnabled(True)
        self.cancel.setEnabled(False)
        self.show_text("")
        self.busy.emit(False)
