"""Asking for a recording of neural activity: its file and its clock."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QRadioButton,
    QWidget,
)

from napari_facemap.viewer.rows import beside
from napari_facemap.viewer.tasks import Task

if TYPE_CHECKING:
    from napari_facemap.neural.recording import Recording

_ACTIVITY_FILES = "Neural activity (*.npy *.npz *.mat *.nwb *.h5 *.hdf5 *.csv *.tsv params.py)"
_TIMES_FILES = "Times (*.npy *.npz *.mat *.csv *.tsv *.txt)"
_KNOW_THEIR_TIMES = (".nwb", ".h5", ".hdf5", ".py", ".csv", ".tsv", "")  # "" is a folder
_AXES = {"found from the times": None, "rows are neurons": 1, "rows are times": 0}
_SIGNALS = ("automatic", "spks", "F", "F-Fneu", "dF/F")


class RecordingDialog(QDialog):
    """Form for one recording: a file or folder, and times from it, from a file or from a rate."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Open neural activity")
        self.activity = QLineEdit()
        self.by_rate = QRadioButton("a steady rate")
        self.by_file = QRadioButton("a file of times in seconds")
        self.inside = QRadioButton("the recording itself (suite2p, CaImAn, NWB, phy, .npz, .mat)")
        self.rate = QDoubleSpinBox()
        self.times = QLineEdit()
        self.start = QDoubleSpinBox()
        self.signal = QComboBox()
        self.axis = QComboBox()
        self.text = QLabel()
        self.buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Open | QDialogButtonBox.StandardButton.Cancel
        )
        self._task: Task | None = None
        self.recording: Recording | None = None
        self._build()

    def _build(self) -> None:
        self.by_rate.setChecked(True)
        self.rate.setRange(0.001, 1e6)
        self.rate.setDecimals(4)
        self.rate.setValue(10)
        self.rate.setSuffix(" Hz")
        self.start.setRange(-1e7, 1e7)
        self.start.setDecimals(4)
        self.start.setSuffix(" s")
        self.start.setToolTip(
            "Added to every time: when the recording's clock read 0, in seconds after the "
            "video's first frame"
        )
        self.signal.addItems(_SIGNALS)
        self.signal.setToolTip("Which activity, where a recording holds several")
        self.axis.addItems(list(_AXES))
        self.axis.setToolTip("Of a .npy, .npz or .mat file, where the times do not tell")
        browse_activity, browse_times = QPushButton("File…"), QPushButton("File…")
        browse_folder = QPushButton("Folder…")
        browse_folder.setToolTip("suite2p, Kilosort or phy")
        browse_folder.clicked.connect(self._browse_folder)
        browse_activity.clicked.connect(self._browse_activity)
        self.activity.textChanged.connect(self._on_activity)
        browse_times.clicked.connect(self._browse_times)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        self.text.setWordWrap(True)
        form = QFormLayout(self)
        form.addRow("Activity", beside(self.activity, browse_activity, browse_folder))
        form.addRow("Signal", self.signal)
        form.addRow("Matrix", self.axis)
        form.addRow("Its times come from", self.by_rate)
        form.addRow("", self.rate)
        form.addRow("", self.by_file)
        form.addRow("", beside(self.times, browse_times))
        form.addRow("", self.inside)
        form.addRow("Offset to the video", self.start)
        form.addRow(self.text)
        form.addRow(self.buttons)

    def accept(self) -> None:
        """Read what was chosen; stay open and say why when it cannot be read."""
        if self._task is not None:
            return
        work = partial(
            open_recording,
            self.activity.text(),
            (self.times.text() or None) if self.by_file.isChecked() else None,
            self.rate.value() if self.by_rate.isChecked() else None,
            self.start.value(),
            self.signal.currentText() if self.signal.currentIndex() else None,
            _AXES[self.axis.currentText()],
        )
        self.text.setStyleSheet("")
        self.text.setText("Reading …")
        self.buttons.button(QDialogButtonBox.StandardButton.Open).setEnabled(False)
        self._task = Task(lambda progress: work(), self)
        self._task.finished.connect(self._on_read)
        self._task.failed.connect(self._on_failed)
        self._task.start()

    def reject(self) -> None:
        """Close, and forget what may still be read."""
        self._task = None
        super().reject()

    def _on_read(self, recording: Recording) -> None:
        if self._task is not None:
            self.recording = recording
            super().accept()

    def _on_failed(self, text: str) -> None:
        self._task = None
        self.buttons.button(QDialogButtonBox.StandardButton.Open).setEnabled(True)
        self.text.setStyleSheet("color: #ff8a80;")
        self.text.setText(text)

    def _browse_activity(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Neural activity", "", _ACTIVITY_FILES)
        if path:
            self.activity.setText(path)

    def _browse_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Folder of a recording")
        if path:
            self.activity.setText(path)

    def _on_activity(self, path: str) -> None:
        """Most kinds of recordings know their own times."""
        if Path(path).suffix.lower() in _KNOW_THEIR_TIMES and Path(path).exists():
            self.inside.setChecked(True)

    def _browse_times(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Times of the samples", "", _TIMES_FILES)
        if path:
            self.times.setText(path)
            self.by_file.setChecked(True)


def open_recording(
    activity: str,
    times: str | None = None,
    rate: float | None = None,
    start: float = 0.0,
    signal: str | None = None,
    time_axis: int | None = None,
) -> Recording:
    """Read a recording and put it on the video's clock.

    Parameters
    ----------
    activity : str
        File or folder; see `read_recording`.
    times : str, optional
        File of seconds, one a sample.
    rate : float, optional
        Samples a second.
    start : float
        Seconds added to every time.
    signal : str, optional
        Which activity, where there are several.
    time_axis : 0 or 1, optional
        Which axis of a matrix is time, where times do not tell.

    Returns
    -------
    Recording

    Raises
    ------
    ValueError
        When the files cannot be read or do not fit together.
    """
    from napari_facemap.files.recordings import read_recording

    recording = read_recording(
        activity, times=times, rate=rate, signal=signal, time_axis=time_axis
    )
    recording.times = recording.times + start
    recording.name = recording.name or Path(activity).stem
    return recording
