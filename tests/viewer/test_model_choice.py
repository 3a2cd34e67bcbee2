from __future__ import annotations

import pytest
from napari.components import ViewerModel
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from napari_facemap.keypoints import models
from napari_facemap.viewer.model_choice import ModelChoice
from napari_facemap.viewer.session import session_of


@pytest.fixture
def names(monkeypatch):
    names = ["mouse-face", "mine"]
    monkeypatch.setattr(models, "list_models", lambda: list(names))
    return names


@pytest.fixture
def choice(qtbot, names):
    viewer = ViewerModel()
    choice = ModelChoice(session_of(viewer))
    choice.viewer = viewer  # lives as long
    row = choice.with_button()
    qtbot.addWidget(row)
    row.show()
    assert choice.choice is None
    qtbot.waitUntil(choice.isEnabled)
    yield choice
    choice.disconnect_viewer()


def shown(choice):
    return [choice.itemText(k) for k in range(choice.count())]


def test_the_choice_stays_when_models_come_and_goes_with_its_model(choice, qtbot, names):
    assert choice.choice == "mouse-face"
    choice.choose("mine")
    names.insert(1, "fast")
    session_of(choice.viewer).models_changed.emit()
    qtbot.waitUntil(lambda: shown(choice) == ["mouse-face", "fast", "mine"])
    assert choice.choice == "mine"
    names.remove("mine")
    session_of(choice.viewer).models_changed.emit()
    qtbot.waitUntil(lambda: shown(choice) == ["mouse-face", "fast"])
    assert choice.choice == "mouse-face"


def test_a_model_can_be_chosen_before_it_is_listed(choice, qtbot, names):
    names.append("new")
    choice.choose("new")
    assert choice.choice == "mouse-face"
    session_of(choice.viewer).models_changed.emit()
    qtbot.waitUntil(lambda: choice.choice == "new")


def test_a_file_stays_in_the_list(choice, qtbot, names, monkeypatch):
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: ("/a/odd.pt", ""))
    qtbot.mouseClick(choice.other, Qt.MouseButton.LeftButton)
    assert choice.choice == "/a/odd.pt"
    assert choice.currentText() == "odd.pt"
    names.append("new")
    session_of(choice.viewer).models_changed.emit()
    qtbot.waitUntil(lambda: shown(choice) == ["mouse-face", "mine", "new", "odd.pt"])
    assert choice.choice == "/a/odd.pt"


def test_that_models_cannot_be_listed_is_said(choice, qtbot, monkeypatch):
    def fail():
        raise OSError("no folder")

    monkeypatch.setattr(models, "list_models", fail)
    with qtbot.waitSignal(choice.failed) as said:
        choice.refresh()
    assert said.args == ["no folder"]
    assert choice.choice == "mouse-face"
