"""A model's card, to be read by a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QDialog, QDialogButtonBox, QTextBrowser, QVBoxLayout, QWidget

from napari_facemap.files.label_project import frame_of

if TYPE_CHECKING:
    from napari_facemap.keypoints.models import Model

_SHOWN = 40  # frames that are listed


class CardDialog(QDialog):
    """Shows the card of a model.

    Parameters
    ----------
    title : str
        Of the window.
    html : str
        See `card_as_html`.
    """

    def __init__(self, title: str, html: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(title)
        self.text = QTextBrowser()
        self.text.setHtml(html)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addWidget(self.text)
        layout.addWidget(buttons)
        self.resize(520, 560)


def show_card(model: str | None, parent: QWidget) -> CardDialog:
    """Open the card of a model beside the window.

    Parameters
    ----------
    model : str or None
        Name or file; None is the built-in model.
    parent : QWidget
        Of the dialog.

    Raises
    ------
    ModelError
        When the model cannot be read.
    """
    from napari_facemap.keypoints.models import load_model

    loaded = load_model(model)
    dialog = CardDialog(f"Model {loaded.name}", card_as_html(loaded), parent)
    dialog.show()
    return dialog


def card_as_html(model: Model) -> str:
    """What is known of a model.

    Parameters
    ----------
    model : Model
        Of any layout.

    Returns
    -------
    str
        HTML.
    """
    card = model.card
    facts = {
        "Keypoints": f"{len(model.keypoints)}: {', '.join(model.keypoints)}",
        "Made on": card.get("date"),
        "Made with": card.get("software"),
        "Started from": card.get("refined_from", {}).get("name"),
        "Labels of": card.get("project"),
        "Learnt from": _learnt_from(card),
        "Measured on": _measured_on(card),
        "SHA-256": model.sha256,
    }
    rows = "".join(
        f"<tr><td><b>{name}</b>&nbsp;&nbsp;</td><td>{escape(str(value))}</td></tr>"
        for name, value in facts.items()
        if value
    )
    note = "" if card else "<p>A model file of Facemap: it has no card.</p>"
    return f"<h3>{escape(model.name)}</h3>{note}<table cellpadding=2>{rows}</table>{_errors(card)}"


def _learnt_from(card: Mapping[str, Any]) -> str:
    if "training_frames" in card:
        return _frames(card["training_frames"])
    counts = card.get("training_pictures", {})
    return ", ".join(f"{n:,} pictures of {name}" for name, n in counts.items())


def _measured_on(card: Mapping[str, Any]) -> str:
    if "validation_frames" in card:
        return _frames(card["validation_frames"]) or "nothing"
    counts = card.get("validation_pictures", {})
    return ", ".join(f"{n:,} pictures of {name}" for name, n in counts.items())


def _frames(sources: Sequence[str]) -> str:
    """Frames by video: ``"9 frames: odd camera/mouse 20, 75, …"``."""
    if not sources:
        return ""
    parts: dict[str, list[str]] = {}
    for source in sources[:_SHOWN]:
        path = PurePosixPath(source)
        number = frame_of(path.name)
        parts.setdefault(str(path.parent), []).append(path.stem if number is None else str(number))
    listed = "; ".join(f"{video} {', '.join(numbers)}" for video, numbers in parts.items())
    more = f" and {len(sources) - _SHOWN} more" if len(sources) > _SHOWN else ""
    return f"{len(sources)} frame{'s' if len(sources) > 1 else ''}: {listed}{more}"


def _errors(card: Mapping[str, Any]) -> str:
    """Table of errors by group and by keypoint, before and after where both are known."""
    before = card.get("validation_error_before") or {}
    after = card.get("validation_error_after")
    if after is None:
        after = card.get("validation_error_percent_of_eye_to_nose", {}).get("all")
    if not after:
        return "<p>Its errors were not measured.</p>"
    rows = [
        ("all", before.get("median"), after["median"]),
        ("95th percentile", before.get("p95"), after["p95"]),
    ]
    for part in ("groups", "per_keypoint"):
        was = before.get(part, {})
        rows += [(name, was.get(name), value) for name, value in after.get(part, {}).items()]
    head = (
        "<tr><td></td><td><b>before</b>&nbsp;&nbsp;</td><td><b>after</b></td></tr>"
        if before
        else ""
    )
    lines = "".join(
        f"<tr><td>{escape(name)}&nbsp;&nbsp;</td>"
        + (f"<td align=right>{_percent(was)}&nbsp;&nbsp;</td>" if before else "")
        + f"<td align=right>{_percent(now)}</td></tr>"
        for name, was, now in rows
    )
    return (
        "<h4>Median error in % of the distance from eye to nose</h4>"
        f"<table cellpadding=1>{head}{lines}</table>"
    )


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"
