from __future__ import annotations

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDockWidget, QMainWindow, QWidget

from napari_facemap.viewer.dock_tab import DockTab

RIGHT, LEFT = Qt.DockWidgetArea.RightDockWidgetArea, Qt.DockWidgetArea.LeftDockWidgetArea


@pytest.fixture
def add(qtbot):
    """Add a dock to a window; as napari does it, the panel is made before its dock."""
    window = QMainWindow()
    qtbot.addWidget(window)
    window.show()

    def add(side=RIGHT, ours=True):
        panel = QWidget()
        if ours:
            DockTab(panel)
        dock = QDockWidget(window)
        dock.setWidget(panel)
        window.addDockWidget(side, dock)
        qtbot.wait(20)
        return dock

    add.window = window
    return add


def test_docks_of_one_side_stand_in_tabs_with_the_newest_in_front(add):
    first, second, third = add(), add(), add()
    assert set(add.window.tabifiedDockWidgets(third)) == {first, second}
    assert third.isVisible()
    assert third.widget().visibleRegion().boundingRect().height() > 0


def test_docks_of_others_and_of_the_other_side_are_left_alone(add):
    napari, ours, there = add(ours=False), add(), add(side=LEFT)
    for dock in (napari, ours, there):
        assert add.window.tabifiedDockWidgets(dock) == []


def test_docks_that_a_person_parted_stay_apart(add, qtbot):
    first, second = add(), add()
    second.setFloating(True)
    second.hide()
    second.show()
    qtbot.wait(20)
    assert add.window.tabifiedDockWidgets(first) == []
    assert second.isFloating()
