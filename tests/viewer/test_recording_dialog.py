from __future__ import annotations

import threading

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialogButtonBox

from napari_facemap.viewer import recording_dialog
from napari_facemap.viewer.recording_dialog import RecordingDialog

ACTIVITY = np.random.default_rng(0).normal(size=(4, 30)).astype(np.float32)


@pytest.fixture
def dialog(qtbot):
    dialog = RecordingDialog()
    qtbot.addWidget(dialog)
    dialog.show()
    return dialog


@pytest.fixture
def press(dialog, qtbot):
    def press_button(which):
        button = dialog.buttons.button(getattr(QDialogButtonBox.StandardButton, which))
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    return press_button


def test_a_file_at_a_rate(dialog, press, qtbot, tmp_path):
    np.save(tmp_path / "spks.npy", ACTIVITY)
    dialog.activity.setText(str(tmp_path / "spks.npy"))
    dialog.rate.setValue(5)
    dialog.start.setValue(1.5)
    with qtbot.waitSignal(dialog.accepted):
        press("Open")
    assert dialog.recording.name == "spks"
    np.testing.assert_allclose(dialog.recording.times, 1.5 + np.arange(30) / 5)


def test_the_user_says_which_axis_is_time(dialog, press, qtbot, tmp_path):
    np.save(tmp_path / "square.npy", ACTIVITY[:, :4])
    dialog.activity.setText(str(tmp_path / "square.npy"))
    press("Open")
    qtbot.waitUntil(lambda: "cannot be told" in dialog.text.text())
    assert dialog.isVisible()
    dialog.axis.setCurrentText("rows are times")
    with qtbot.waitSignal(dialog.accepted):
        press("Open")
    np.testing.assert_array_equal(dialog.recording.activity, ACTIVITY[:, :4].T)


def test_the_window_stays_alive_while_a_large_recording_is_read(dialog, press, qtbot, monkeypatch):
    go_on, threads = threading.Event(), []

    def slow(*_):
        threads.append(threading.current_thread())
        go_on.wait(10)
        return "recording"

    monkeypatch.setattr(recording_dialog, "open_recording", slow)
    press("Open")
    assert dialog.text.text() == "Reading …"
    press("Open")  # once is enough
    press("Cancel")
    go_on.set()
    threads[0].join()
    qtbot.wait(50)
    assert dialog.recording is None
    assert len(threads) == 1
    assert threads[0] is not threading.main_thread()
