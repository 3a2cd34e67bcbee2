"""Labelling by clicks and keys: the current keypoint, and what comes after it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.notifications import show_info

if TYPE_CHECKING:
    from napari_facemap.viewer.keypoint_layer import KeypointLayer

NEXT_KEYPOINT = "next keypoint"
NEXT_FRAME = "same keypoint, next frame"
STAY = "same keypoint"
AFTER = (NEXT_KEYPOINT, NEXT_FRAME, STAY)


class Placing:
    """The keypoint that a click places, and which is next.

    Parameters
    ----------
    keypoints : KeypointLayer
        Whose points.

    Attributes
    ----------
    current : str or None
        Keypoint that the next click places; None: the first one that is hidden.
    after : str
        What follows a placed point: one of `AFTER`.
    names : tuple of str or None
        Keypoints to go through, in order; None for all of the layer.
    next_frame : callable or None
        Called with a frame; gives the one to label after it, or None.
    """

    def __init__(self, keypoints: KeypointLayer) -> None:
        self._keypoints = keypoints
        self.current: str | None = None
        self.after = NEXT_KEYPOINT
        self.names: tuple[str, ...] | None = None
        self.next_frame: Callable[[int], int | None] | None = None

    # -- the current keypoint ---------------------------------------------------------------

    def choose(self, name: str | None) -> None:
        """Make a keypoint the current one."""
        if name == self.current:
            return
        self.current = name
        names, layer = self._keypoints.names, self._keypoints.layer
        if name in names and layer.selected_data != {names.index(name)}:
            layer.selected_data = set()  # else H would hide the keypoint selected before
        self._keypoints.show_current()

    def next_keypoint(self, layer: Any = None, step: int = 1) -> None:
        """Make the next keypoint of the list the current one."""
        names = self._names()
        at = names.index(self.current) if self.current in names else -min(step, 0) - 1
        self.choose(names[(at + step) % len(names)])

    def previous_keypoint(self, layer: Any = None) -> None:
        """Make the keypoint before the current one."""
        self.next_keypoint(step=-1)

    def toggle_after(self, layer: Any = None) -> None:
        """Take the next of the three ways to go on after a click."""
        self.set_after(AFTER[(AFTER.index(self.after) + 1) % len(AFTER)])
        show_info(f"After a click: {self.after}.")

    def set_after(self, after: str) -> None:
        """Choose what follows a placed point."""
        self.after = after
        self._keypoints.chosen.emit()

    def go_on(self) -> None:
        """Go to what is to be labelled after a point was placed or hidden."""
        keypoints, frame = self._keypoints, self._keypoints.frame
        if self.current is None or self.after == STAY:
            return
        if self.after == NEXT_FRAME:
            following = self.next_frame(frame) if self.next_frame is not None else frame + 1
            if following is None or following >= keypoints.store.n_frames:
                show_info("This was the last frame.")
            else:
                keypoints.clock.go_to_frame(following)
            return
        names = self._names()
        at = names.index(self.current) if self.current in names else -1
        done = keypoints.store.corrections(frame)
        waiting = [n for n in (*names[at + 1 :], *names[: max(at, 0)]) if n not in done]
        if waiting:
            self.choose(waiting[0])
        else:
            show_info("All keypoints of this frame are labelled.")

    def _names(self) -> tuple[str, ...]:
        return self.names or self._keypoints.names

    # -- labels of a frame --------------------------------------------------------------------

    def hide(self, layer: Any = None) -> None:
        """Say that the selected keypoints, or else the current one, are not visible here."""
        keypoints = self._keypoints
        chosen = [keypoints.names[i] for i in sorted(keypoints.layer.selected_data)]
        if not chosen and self.current is not None:
            chosen = [self.current]
        if not chosen:
            show_info("Select a keypoint first.")
            return
        keypoints.layer.selected_data = set()
        keypoints.store.delete(keypoints.frame, chosen)
        keypoints.after_edit()
        if self.current in chosen:
            self.go_on()

    def accept(self, layer: Any = None) -> None:
        """Make labels of all points of this frame as they are."""
        keypoints = self._keypoints
        known = keypoints.store.accept_frame(keypoints.frame)
        if known:
            keypoints.after_edit()
        show_info(f"Accepted {known} points of frame {keypoints.frame}.")

    def copy_before(self, layer: Any = None) -> None:
        """Put the points of the frame before where this frame has no labels yet."""
        keypoints = self._keypoints
        if not keypoints.frame:
            show_info("There is no frame before this one.")
            return
        points = keypoints.store.frame(keypoints.frame - 1)
        places = {
            name: (float(x), float(y))
            for name, (x, y) in zip(keypoints.names, points.position, strict=True)
            if np.isfinite(x)
        }
        self._copy(places, keypoints.frame - 1)

    def copy_labelled(self, layer: Any = None) -> None:
        """Put the labels of the last labelled frame where this frame has none yet."""
        keypoints = self._keypoints
        frame = keypoints.store.next_edited(keypoints.frame, -1)
        if frame is None:
            show_info("No frame before this one is labelled.")
            return
        self._copy(keypoints.store.corrections(frame), frame)

    def _copy(self, places: dict[str, tuple[float, float]], source: int) -> None:
        keypoints = self._keypoints
        done = keypoints.store.corrections(keypoints.frame)
        new = {n: p for n, p in places.items() if n not in done and n in self._names()}
        if not new:
            show_info(f"Nothing to copy from frame {source}.")
            return
        keypoints.store.correct(keypoints.frame, new)
        keypoints.after_edit()
        show_info(f"Copied {len(new)} points of frame {source}.")
