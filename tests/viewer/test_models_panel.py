from __future__ import annotations

import datetime
import threading

import pytest
from napari.components import ViewerModel
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QMessageBox

from napari_facemap.keypoints.models import list_models, load_model, save_model
from napari_facemap.keypoints.point_network import PointNetwork
from napari_facemap.viewer.model_card import card_as_html
from napari_facemap.viewer.models_panel import ModelsPanel
from napari_facemap.viewer.session import session_of

NAMES = ("eye(back)", "nose(tip)")
ERRORS = {
    "score": 2.5,
    "median": 2.5,
    "p95": 6.0,
    "within_5": 0.9,
    "groups": {"eye": 2.0, "nose": 3.0},
    "per_keypoint": {"eye(back)": 2.0, "nose(tip)": 3.0},
}
CARD = {
    "keypoints": list(NAMES),
    "date": "2026-11-28",
    "project": "odd camera",
    "refined_from": {"name": "mouse-face", "sha256": "0" * 64},
    "training_frames": ["odd/a/img1.png"],
    "validation_frames": ["odd/a/img2.png"],
    "validation_error_before": {**ERRORS, "median": 5.0, "groups": {"eye": 7.0}},
    "validation_error_after": ERRORS,
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setenv("NAPARI_FACEMAP_MODELS", str(folder))
    return folder


def write_model(path):
    save_model(PointNetwork(2, (4, 4, 4, 4, 8), (0, 0, 0, 0)).eval(), path, CARD)


@pytest.fixture
def panel(qtbot, folder):
    write_model(folder / "mine.safetensors")
    viewer = ViewerModel()
    panel = ModelsPanel(viewer, session_of(viewer))
    qtbot.addWidget(panel)
    panel.show()
    qtbot.waitUntil(lambda: bool(panel.models), timeout=20_000)
    yield panel
    panel.disconnect_viewer()


def click(qtbot, button):
    assert button.isEnabled()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def choose(panel, name):
    (item,) = panel.list.findItems(name, Qt.MatchFlag.MatchExactly, 0)
    panel.list.setCurrentItem(item)


def row_of(panel, name):
    (item,) = panel.list.findItems(name, Qt.MatchFlag.MatchExactly, 0)
    return [item.text(column) for column in range(1, 5)]


def names_in(panel):
    return [panel.list.topLevelItem(k).text(0) for k in range(panel.list.topLevelItemCount())]


def test_models_are_listed_with_what_is_known_of_them(panel, qtbot):
    assert names_in(panel) == list_models()
    assert row_of(panel, "mine") == ["refined", "2", "2.5 %", "2026-11-28"]
    assert row_of(panel, "mouse-face")[:2] == ["built-in", "19"]
    choose(panel, "mouse-face")
    assert not panel.remove.isEnabled()
    choose(panel, "mine")
    assert panel.about.text() == (
        "mine: refined from mouse-face, 2 keypoints, median error 2.5 %, 2026-11-28."
    )


def test_a_card_is_shown(panel, qtbot):
    choose(panel, "mine")
    click(qtbot, panel.card)
    (dialog,) = (c for c in panel.children() if getattr(c, "windowTitle", str)() == "Model mine")
    text = dialog.text.toPlainText()
    for part in (
        "mouse-face",
        "odd camera",
        "2: eye(back), nose(tip)",
        "1 frame: odd/a 2",
    ):
        assert part in text
    html = card_as_html(load_model("mine"))
    assert "<td>eye&nbsp;&nbsp;</td><td align=right>7.0&nbsp;&nbsp;</td>" in html


def test_a_file_is_taken_in_handed_on_and_taken_out(panel, qtbot, tmp_path, monkeypatch):
    changes = []
    panel.session.models_changed.connect(lambda: changes.append(list_models()))
    write_model(tmp_path / "gift.safetensors")
    asked = iter([str(tmp_path / "gift.safetensors"), str(tmp_path / "project.json")])
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (next(asked), ""))
    click(qtbot, panel.add)
    qtbot.waitUntil(lambda: "gift" in names_in(panel))
    assert panel.chosen.name == "gift"
    assert "gift" in changes[-1]

    target = tmp_path / "out.safetensors"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(target), ""))
    click(qtbot, panel.export)
    assert load_model(target).keypoints == NAMES
    assert str(target) in panel.fetch_row.text.text()
    click(qtbot, panel.export)
    assert "exists" in panel.fetch_row.text.text()

    answers = iter([QMessageBox.StandardButton.No, QMessageBox.StandardButton.Yes])
    monkeypatch.setattr(QMessageBox, "question", lambda *_: next(answers))
    click(qtbot, panel.remove)
    assert "gift" in list_models()
    click(qtbot, panel.remove)
    assert "gift" not in list_models()
    qtbot.waitUntil(lambda: "gift" not in names_in(panel))
    assert "is kept as" in panel.fetch_row.text.text()
    click(qtbot, panel.add)
    assert "no such file" in panel.fetch_row.text.text()


class Box:
    """Stands in for the person who reads a question and answers it."""

    def __init__(self, monkeypatch, answer):
        self.read = []

        def execute(box):
            self.read.append(box.text() + box.informativeText())
            assert box.defaultButton() is box.button(QMessageBox.StandardButton.Cancel)
            return answer

        monkeypatch.setattr(QMessageBox, "exec", execute)


def test_nothing_is_fetched_unless_somebody_agrees(panel, qtbot, monkeypatch):
    fetched = []
    monkeypatch.setattr(
        "napari_facemap.keypoints.facemap_weights.fetch_facemap", lambda *_: fetched.append(1)
    )
    person = Box(monkeypatch, QMessageBox.StandardButton.Cancel)
    click(qtbot, panel.fetch_row.run)
    (read,) = person.read
    assert "Facemap's authors" in read
    assert "licence" in read.lower()
    assert "https://osf.io" in read
    assert fetched == []
    assert not panel.fetch_row.running


def test_fetching_shows_progress_and_lists_the_model(panel, qtbot, folder, monkeypatch):
    go_on = threading.Event()

    def fetch(confirm, progress):
        assert threading.current_thread() is not threading.main_thread()
        assert confirm("?")
        progress(1, 4096)
        progress(2_097_152, 4_194_304)
        go_on.wait(5)
        write_model(folder / "facemap.safetensors")
        return load_model("facemap")

    monkeypatch.setattr("napari_facemap.keypoints.facemap_weights.fetch_facemap", fetch)
    Box(monkeypatch, QMessageBox.StandardButton.Yes)
    click(qtbot, panel.fetch_row.run)
    qtbot.waitUntil(lambda: panel.fetch_row.bar.maximum() > 0)
    assert "kB" in panel.fetch_row.text.text()
    go_on.set()
    qtbot.waitUntil(lambda: "facemap" in names_in(panel))
    assert panel.chosen.name == "facemap"
    assert "is here" in panel.fetch_row.text.text()
    assert datetime.date.fromisoformat(row_of(panel, "facemap")[3])


def test_without_a_network_it_says_what_to_do_by_hand(panel, qtbot, folder, monkeypatch):
    from napari_facemap.download import DownloadError

    def refuse(*_):
        raise DownloadError("https://osf.io/download/1/: the server cannot be reached.")

    monkeypatch.setattr("napari_facemap.download._ask", refuse)
    Box(monkeypatch, QMessageBox.StandardButton.Yes)
    click(qtbot, panel.fetch_row.run)
    qtbot.waitUntil(lambda: not panel.fetch_row.running)
    text = panel.fetch_row.text.text()
    assert "cannot be reached" in text
    assert str(folder / "facemap") in text
    assert panel.fetch_row.run.isEnabled()


def test_a_fetch_that_is_stopped_goes_on_later(panel, qtbot, monkeypatch):
    from napari_facemap.download import DownloadStopped

    def fetch(confirm, progress):
        while progress(1024, 4096):
            threading.Event().wait(0.01)
        raise DownloadStopped

    monkeypatch.setattr("napari_facemap.keypoints.facemap_weights.fetch_facemap", fetch)
    Box(monkeypatch, QMessageBox.StandardButton.Yes)
    click(qtbot, panel.fetch_row.run)
    qtbot.waitUntil(panel.fetch_row.cancel.isEnabled)
    with qtbot.waitSignal(panel.fetch_row.finished, timeout=10_000):
        click(qtbot, panel.fetch_row.cancel)
    assert panel.fetch_row.text.text() == "Stopped; the next time goes on from there."


def test_a_broken_file_is_listed_with_what_is_wrong(panel, qtbot, folder):
    (folder / "broken.safetensors").write_bytes(b"no")
    panel.session.models_changed.emit()
    qtbot.waitUntil(lambda: "broken" in names_in(panel))
    choose(panel, "broken")
    assert "cannot be read" in panel.about.text()
    assert not panel.card.isEnabled()
    assert panel.remove.isEnabled()
