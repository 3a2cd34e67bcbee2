"""From where to where corrections are carried on, and how sure the proposed points are."""

from __future__ import annotations

import numpy as np

from napari_facemap.keypoints.store import KeypointStore

Labels = dict[int, dict[str, tuple[float, float]]]
"""Places (x, y) of corrected points by frame and keypoint, NaN where they are hidden."""


def stretch(
    store: KeypointStore, frame: int, back: int, ahead: int, to_next: bool, with_ends: bool
) -> tuple[int, int]:
    """Frames that are gone through from a frame.

    Parameters
    ----------
    store : KeypointStore
        Whose corrected frames may end the stretch.
    frame : int
        Where it begins.
    back, ahead : int
        How many frames to go before and after it at most.
    to_next : bool
        Whether it goes no further than the nearest corrected frames.
    with_ends : bool
        Whether those are part of it.

    Returns
    -------
    start, stop : int
        `stop` is not included.
    """
    start, stop = max(frame - back, 0), min(frame + ahead + 1, store.n_frames)
    if to_next:
        before, after = store.next_edited(frame, -1), store.next_edited(frame, 1)
        if before is not None:
            start = max(start, before + (not with_ends))
        if after is not None:
            stop = min(stop, after + with_ends)
    return start, stop


def labels_between(store: KeypointStore, start: int, stop: int) -> Labels:
    """Corrected points of frames from `start` to `stop`, which is not included.

    Frames in which no corrected point is visible are left out; elsewhere NaN says that one is
    hidden.
    """
    found: Labels = {}
    for frame in store.edited_frames:
        if start <= frame < stop:
            points = store.frame(frame)
            if np.isfinite(points.position[points.edited, 0]).any():
                places = points.position.tolist()
                found[frame] = {
                    store.keypoints[k]: (places[k][0], places[k][1])
                    for k in np.flatnonzero(points.edited)
                }
    return found


def least_sure(store: KeypointStore) -> tuple[int, float]:
    """Frame and confidence of the least sure of the proposed points; there must be some."""
    lowest = {}
    for frame in store.proposed_frames:
        points = store.frame(frame)
        lowest[frame] = float(points.confidence[points.proposed].min())
    frame = min(lowest, key=lowest.__getitem__)
    return frame, lowest[frame]
