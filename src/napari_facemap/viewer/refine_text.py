"""Fine-tuning in words: which frames are measured on, and how the error changed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from napari_facemap.viewer.refine_work import Frame

_SHOWN = 8  # frames that are named


def parts_in_words(kept: Sequence[Frame], held_out: Sequence[Frame], fewest: int) -> str:
    """Which frames are learnt from and which are measured on.

    Parameters
    ----------
    kept, held_out : sequence of Frame
        See `parted`.
    fewest : int
        Labelled frames from which on some are held out.
    """
    if not kept:
        return "No labelled frames yet."
    if not held_out:
        return (
            f"Learns from all {len(kept)} labelled frames. Label {fewest} or more, and every "
            "fifth is kept aside to measure the error on."
        )
    more = len(held_out) - _SHOWN
    named = frames_in_words(held_out[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
    return f"Learns from {len(kept)} frames; the error is measured on {len(held_out)}: {named}."


def frames_in_words(frames: Sequence[Frame]) -> str:
    """Name frames by video: ``"mouse1 frames 12, 480; mouse2 frame 7"``."""
    several = len({frame.project for frame in frames}) > 1
    parts = []
    for (project, video), group in groupby(frames, key=lambda frame: frame[:2]):
        numbers = [f"{frame.number:,}" for frame in group]
        name = f"{project}/{video}" if several else video
        parts.append(f"{name} frame{'s' if len(numbers) > 1 else ''} {', '.join(numbers)}")
    return "; ".join(parts)


def ending_in_words(last: int, steps: int, cancelled: bool) -> str:
    """Why it ended before all steps were done; "" when it did not."""
    if last >= steps:
        return ""
    why = "cancelled" if cancelled else "the error no longer fell"
    return f" Ended after {last:,} of {steps:,} steps: {why}."


def nothing_in_words(before: dict[str, Any] | None, cancelled: bool) -> str:
    """Why there is no new model."""
    if cancelled:
        return "Cancelled before anything better was learnt; no model was saved."
    error = "" if before is None else f" than before ({before['median']:.1f} %)"
    return (
        f"Nothing was learnt that finds the frames kept aside better{error}; no model was saved. "
        "Label more frames, and other ones."
    )


def outcome_in_words(
    before: dict[str, Any] | None, after: dict[str, Any] | None, n_frames: int
) -> str:
    """How the error on the frames held out changed.

    Parameters
    ----------
    before, after : dict or None
        See `summary`; None where no frame was held out.
    n_frames : int
        Held out.
    """
    if before is None or after is None:
        return "With so few labelled frames none was kept aside to measure the error on."
    frames = "1 frame" if n_frames == 1 else f"{n_frames} frames"
    text = (
        f"Median error on {frames} kept aside: {before['median']:.1f} % before, "
        f"{after['median']:.1f} % now, of the distance from eye to nose."
    )
    old = before.get("per_keypoint", {})
    new = {k: error for k, error in after.get("per_keypoint", {}).items() if k not in old}
    if new:
        errors = ", ".join(f"{name} {_percent(error)}" for name, error in new.items())
        text += f" New: {errors}."
    if after["score"] >= before["score"]:
        text += " It did not become better there: label more frames, and other ones."
    return text


def outcome_table(before: dict[str, Any] | None, after: dict[str, Any] | None) -> str:
    """Errors by group before and after, as HTML; "" where none was measured."""
    if before is None or after is None:
        return ""
    rows = [("all points", before["median"], after["median"])]
    rows += [
        (group, before["groups"].get(group), value) for group, value in after["groups"].items()
    ]
    rows.append(("95th percentile", before["p95"], after["p95"]))
    lines = "".join(
        f"<tr><td>{name}&nbsp;&nbsp;</td><td align=right>{_percent(was)}&nbsp;&nbsp;</td>"
        f"<td align=right>{_percent(now)}</td></tr>"
        for name, was, now in rows
    )
    head = "<tr><td></td><td align=right><b>before</b>&nbsp;&nbsp;</td><td><b>now</b></td></tr>"
    return f"<table>{head}{lines}</table>"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} %"
