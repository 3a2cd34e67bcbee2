from __future__ import annotations

from qtpy.QtWidgets import QFormLayout, QGroupBox, QScrollArea, QVBoxLayout, QWidget

from napari_facemap.viewer.wrapped_label import WrappedLabel


def test_all_lines_have_room_in_a_group_that_scrolls(qtbot):
    labels = [WrappedLabel("many words that need several lines here " * 4) for _ in range(6)]
    content, scroll = QWidget(), QScrollArea()
    column = QVBoxLayout(content)
    for label in labels:
        group = QGroupBox("group")
        form = QFormLayout(group)
        form.addRow(label)
        column.addWidget(group)
    scroll.setWidgetResizable(True)
    scroll.setWidget(content)
    qtbot.addWidget(scroll)
    scroll.resize(220, 150)
    scroll.show()
    qtbot.waitUntil(lambda: all(x.height() >= x.heightForWidth(x.width()) for x in labels))
    before = labels[0].height()
    labels[0].setText("short")
    assert labels[0].minimumHeight() < before
    labels[0].setText("")
    assert labels[0].minimumHeight() == 0
