"""Every key of the keypoint layer, in one place.

They act while the keypoint layer is the selected one. None of them is a key that napari has for
points layers or for the whole window, other than copy and paste, which do here what a person
expects of them.
"""

from __future__ import annotations

from typing import NamedTuple


class Key(NamedTuple):
    """A key, what it calls, and what it says in the list of shortcuts."""

    binding: str
    method: str
    label: str
    text: str


REVIEW: tuple[Key, ...] = (
    Key("N", "next_low_confidence", "N", "next unsure frame"),
    Key("Shift-N", "previous_low_confidence", "Shift+N", "previous unsure frame"),
    Key("J", "next_edited", "J", "next corrected frame"),
    Key("Shift-J", "previous_edited", "Shift+J", "previous corrected frame"),
    Key("G", "ask_for_frame", "G", "go to a frame: type its number"),
)
CORRECT: tuple[Key, ...] = (
    Key("Control-Z", "undo", "Ctrl+Z", "undo a correction"),
    Key("Control-Shift-Z", "redo", "Ctrl+Shift+Z", "redo"),
    Key("Control-C", "copy", "Ctrl+C", "copy this frame's keypoints"),
    Key("Control-V", "paste", "Ctrl+V", "paste them on this frame"),
    Key("R", "restore", "R", "bring the prediction back"),
    Key("H", "placing.hide", "H", "not visible: the selected points, else the current one"),
    Key("K", "placing.accept", "K", "this frame is right: accept all its points"),
    Key("B", "placing.copy_before", "B", "copy from the frame before what is not labelled here"),
    Key("Shift-B", "placing.copy_labelled", "Shift+B", "the same from the last labelled frame"),
)
LOOK: tuple[Key, ...] = (
    Key("Down", "placing.next_keypoint", "↓", "next keypoint"),
    Key("Up", "placing.previous_keypoint", "↑", "previous keypoint"),
    Key("M", "placing.toggle_after", "M", "what follows a click: next keypoint, next frame, none"),
    Key("T", "toggle_names", "T", "names beside the points"),
)
KEYS: tuple[Key, ...] = REVIEW + CORRECT + LOOK
"""Of `KeypointLayer`."""

LABEL_KEYS: tuple[Key, ...] = (
    Key("L", "frames.next_listed", "L", "next frame of the list"),
    Key("Shift-L", "frames.previous_listed", "Shift+L", "previous frame of the list"),
    Key("U", "frames.next_unlabelled", "U", "next frame of the list without labels"),
    Key("Shift-U", "frames.previous_unlabelled", "Shift+U", "previous frame without labels"),
    Key("F", "frames.toggle", "F", "put this frame on the list, or take it off"),
)
"""Of `Labelling`, for the layer that is labelled."""

OF_NAPARI: tuple[tuple[str, str], ...] = (
    ("2", "place points: a click puts the current keypoint"),
    ("3", "select and drag"),
    ("Delete", "not visible here"),
    ("Space", "hold to move the picture"),
    ("← →", "frame by frame"),
)

_CHAPTERS = (
    ("Frames to label", LABEL_KEYS),
    ("Other frames", REVIEW),
    ("Labels", CORRECT),
    ("Keypoints", LOOK),
)


def as_html() -> str:
    """Table of all keys for a dock or a window."""
    chapters = [(title, [(key.label, key.text) for key in keys]) for title, keys in _CHAPTERS]
    chapters.append(("napari's own", list(OF_NAPARI)))
    rows = []
    for title, entries in chapters:
        rows.append(f'<tr><td colspan="2"><i>{title}</i></td></tr>')
        rows += [
            f"<tr><td><b>{label}</b>&nbsp;&nbsp;</td><td>{text}</td></tr>"
            for label, text in entries
        ]
    return f"<table>{''.join(rows)}</table>"
