"""Every key of the keypoint layer, in one place.

They act while the keypoint layer is the selected one:

==================  =====================================================
N, Shift+N          next, previous frame with an unsure keypoint
J, Shift+J          next, previous frame that was corrected
Ctrl+Z              undo the last correction, wherever it was
Ctrl+Shift+Z        redo
Ctrl+C, Ctrl+V      copy the keypoints of a frame, paste them on another
R                   bring back the prediction of the selected keypoints
3, 2, Delete        napari's own: select and drag, add, delete (not visible)
Left, Right         napari's own: the frame before, the next frame
==================  =====================================================
"""

from __future__ import annotations

from typing import NamedTuple


class Key(NamedTuple):
    """A key, the method of `KeypointLayer` it calls, and what it says in the dock."""

    binding: str
    method: str
    label: str
    text: str


KEYS: tuple[Key, ...] = (
    Key("N", "next_low_confidence", "N", "next unsure frame"),
    Key("Shift-N", "previous_low_confidence", "Shift+N", "previous unsure frame"),
    Key("J", "next_edited", "J", "next corrected frame"),
    Key("Shift-J", "previous_edited", "Shift+J", "previous corrected frame"),
    Key("Control-Z", "undo", "Ctrl+Z", "undo a correction"),
    Key("Control-Shift-Z", "redo", "Ctrl+Shift+Z", "redo"),
    Key("Control-C", "copy", "Ctrl+C", "copy this frame's keypoints"),
    Key("Control-V", "paste", "Ctrl+V", "paste them on this frame"),
    Key("R", "restore", "R", "bring the prediction back"),
)

OF_NAPARI: tuple[tuple[str, str], ...] = (
    ("3", "select and drag"),
    ("2", "add the first hidden keypoint"),
    ("Delete", "not visible here"),
    ("← →", "frame by frame"),
)


def as_html() -> str:
    """Table of all keys for a dock."""
    rows = [(key.label, key.text) for key in KEYS] + list(OF_NAPARI)
    cells = "".join(
        f"<tr><td><b>{label}</b>&nbsp;&nbsp;</td><td>{text}</td></tr>" for label, text in rows
    )
    return f"<table>{cells}</table>"
