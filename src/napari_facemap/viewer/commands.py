"""What the menus and the command palette call; each acts on the keypoint layer in use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.utils.notifications import show_info

from napari_facemap.viewer.session import session_of

if TYPE_CHECKING:
    import napari


def next_low_confidence(viewer: napari.viewer.Viewer) -> None:
    """Show the next frame with an unsure keypoint."""
    _call(viewer, "next_low_confidence")


def previous_low_confidence(viewer: napari.viewer.Viewer) -> None:
    """Show the previous frame with an unsure keypoint."""
    _call(viewer, "previous_low_confidence")


def next_edited(viewer: napari.viewer.Viewer) -> None:
    """Show the next corrected frame."""
    _call(viewer, "next_edited")


def previous_edited(viewer: napari.viewer.Viewer) -> None:
    """Show the previous corrected frame."""
    _call(viewer, "previous_edited")


def undo(viewer: napari.viewer.Viewer) -> None:
    """Take back the last correction."""
    _call(viewer, "undo")


def restore(viewer: napari.viewer.Viewer) -> None:
    """Bring back the predictions of the selected keypoints."""
    _call(viewer, "restore")


def _call(viewer: napari.viewer.Viewer, method: str) -> None:
    keypoints = session_of(viewer).active()
    if keypoints is None:
        show_info("There is no keypoint layer: track a video or open a keypoint file first.")
        return
    getattr(keypoints, method)()
