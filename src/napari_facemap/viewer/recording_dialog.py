"""Asking for a recording of neural activity: its file and its clock."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QRadioButton,
    QWidget,
)

if TYPE_CHECKING:
    from napari_facemap.neural.recording import Recording

_ACTIVITY_FILES = "Neural activity (*.npy *.npz *.mat *.nwb *.h5 *.hdf5 *.csv *.tsv params.py)"
_TIMES_FILES = "Times (*.npy *.npz *.mat *.csv *.tsv *.txt)"
_KNOW_THEIR_TIMES = (".nwb", ".h5", ".hdf5", ".py", ".csv", ".tsv", "")  # "" is a folder
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
        self.text = QLabel()
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
        browse_activity, browse_times = QPushButton("File…"), QPushButton("File…")
        browse_folder = QPushButton("Folder…")
        browse_folder.setToolTip("suite2p, Kilosort or phy")
        browse_folder.clicked.connect(self._browse_folder)
        browse_activity.clicked.connect(self._browse_activity)
        self.activity.textChanged.connect(self._on_activity)
        browse_times.clicked.connect(self._browse_times)
        buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Open | QDialogButtonBox.StandardButton.Cancel
        )
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        self.text.setWordWrap(True)
        self.text.setStyleSheet("color: #ff8a80;")
        form = QFormLayout(self)
        form.addRow("Activity", _beside(self.activity, browse_activity, browse_folder))
        form.addRow("Signal", self.signal)
        form.addRow("Its times come from", self.by_rate)
        form.addRow("", self.rate)
        form.addRow("", self.by_file)
        form.addRow("", _beside(self.times, browse_times))
        form.addRow("", self.inside)
        form.addRow("Offset to the video", self.start)
        form.addRow(self.text)
        form.addRow(buttons)

    def accept(self) -> None:
        """Read what was chosen; stay open and say why when it cannot be read."""
        times = self.times.text() if self.by_file.isChecked() else None
        rate = self.rate.value() if self.by_rate.isChecked() else None
        signal = self.signal.currentText() if self.signal.currentIndex() else None
        try:
            self.recording = open_recording(
                self.activity.text(), times or None, rate, self.start.value(), signal
            )
        except (ValueError, OSError) as error:
            self.text.setText(" ".join(str(error).split()))
            return
        super().accept()

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

    Returns
    -------
    Recording

    Raises
    ------
    ValueError
        When the files cannot be read or do not fit together.
    """
    from napari_facemap.files.recordings import read_recording

    recording = read_recording(activity, times=times, rate=rate, signal=signal)
    name = recording.name or Path(activity).stem
    return replace(recording, times=recording.times + start, name=name)


def _beside(field: QWidget, *buttons: QWidget) -> QWidget:
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.addWidget(field, stretch=1)
    for button in buttons:
        layout.addWidget(button)
    return row
