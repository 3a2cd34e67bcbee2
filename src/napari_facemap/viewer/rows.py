"""Widgets side by side in a row of a form."""

from __future__ import annotations

from qtpy.QtWidgets import QHBoxLayout, QSizePolicy, QWidget


def beside(first: QWidget, *others: QWidget) -> QWidget:
    """Put widgets side by side; the first takes the room that is left."""
    row = QWidget()
    row.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.addWidget(first, stretch=1)
    for widget in others:
        layout.addWidget(widget)
    return row
