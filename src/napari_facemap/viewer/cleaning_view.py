"""What cleaning changed: in numbers, and as traces before and after."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray as xr

from napari_facemap.keypoints.store import KeypointStore
from napari_facemap.viewer.trace_math import Lane

_MOVED = 0.5  # pixels: less is not seen


class Changed(NamedTuple):
    """How many points cleaning moved, took away and put where none was."""

    moved: int
    removed: int
    filled: int

    def __str__(self) -> str:
        return (
            f"{self.moved:,} points moved by more than {_MOVED:g} px, {self.removed:,} removed, "
            f"{self.filled:,} put into gaps"
        )


def uncleaned(store: KeypointStore) -> xr.Dataset:
    """Predicted points with the corrections over them, without cleaning.

    Parameters
    ----------
    store : KeypointStore
        Cleaned or not; stays as it is.

    Returns
    -------
    xarray.Dataset
        Poses, as cleaning takes them.
    """
    poses = store.to_poses(predictions=True)
    if "tracked_position" not in poses:
        return poses
    edited = poses["edited"]
    poses["position"] = poses["position"].where(edited, poses["tracked_position"])
    gone = ["tracked_position", "tracked_confidence", "cleaned_position"]
    poses = poses.drop_vars([name for name in gone if name in poses])
    poses.attrs = dict(store.attrs)
    return poses


def changed(before: np.ndarray, after: np.ndarray) -> Changed:
    """Count what is different.

    Parameters
    ----------
    before, after : ndarray, shape (time, 2, keypoint)
        Pixels, NaN where hidden.
    """
    was, is_now = np.isfinite(before[:, 0]), np.isfinite(after[:, 0])
    far = np.hypot(*np.moveaxis(after - before, 1, 0)) > _MOVED  # False where NaN
    return Changed(int(far.sum()), int((was & ~is_now).sum()), int((is_now & ~was).sum()))


def lanes(
    times: np.ndarray, before: np.ndarray, after: np.ndarray | None, keypoint: int
) -> list[Lane]:
    """Traces of x and y of a keypoint: grey before and in colour after, or as they are.

    Parameters
    ----------
    times : ndarray, shape (time,)
        Seconds.
    before : ndarray, shape (time, 2, keypoint)
        Pixels.
    after : ndarray, shape (time, 2, keypoint), or None
        Where cleaned.
    keypoint : int
        Which.
    """
    tables = [before] if after is None else [before, after]
    return [
        Lane(name, times, tuple(table[:, axis, keypoint] for table in tables))
        for axis, name in enumerate("xy")
    ]
