"""Predictions of one video from two runs, put together."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import xarray as xr

RETRACKED = "retracked"
"""Attribute that lists, as JSON, which frames were tracked anew and with what."""

_ORIGIN = ("software", "model", "model_sha256", "box")


def check_stretch(frames: range | slice, n_frames: int) -> range:
    """Frames that a slice or range stands for.

    Raises
    ------
    ValueError
        When there are none, they leave some out between them, or the video has not so many.
    """
    if isinstance(frames, slice):
        frames = range(*frames.indices(n_frames))
    if not frames or frames.step != 1 or frames[0] < 0 or frames[-1] >= n_frames:
        raise ValueError(
            f"Expected a stretch of the video's {n_frames} frames without gaps; found {frames}."
        )
    return frames


def with_keypoints(poses: xr.Dataset, names: Sequence[str]) -> xr.Dataset:
    """Give poses these keypoints, in this order; those that they lack are hidden everywhere."""
    poses = poses.reindex(keypoint=list(names))
    for name in ("confidence", "tracked_confidence"):
        if name in poses:
            poses[name] = poses[name].fillna(0)
    poses["edited"] = poses["edited"].fillna(False).astype(bool)
    return poses


def with_stretch(earlier: xr.Dataset, fresh: xr.Dataset, frames: range) -> xr.Dataset:
    """Take new predictions in a stretch and keep the earlier ones elsewhere.

    Parameters
    ----------
    earlier : xarray.Dataset
        Poses of the whole video, without edits.
    fresh : xarray.Dataset
        Poses of the whole video or of the stretch alone, without edits.
    frames : range
        The stretch.

    Returns
    -------
    xarray.Dataset
        Keypoints of both, those of `earlier` first. In the stretch keypoints that only `earlier`
        knows are kept; elsewhere keypoints that only `fresh` knows are hidden. The attributes are
        those of `earlier`, with the stretch added to ``attrs["retracked"]``.

    Raises
    ------
    ValueError
        When `fresh` has neither as many frames as the video nor as the stretch.
    """
    n_frames = earlier.sizes["time"]
    if fresh.sizes["time"] == n_frames:
        part = fresh.isel(time=slice(frames.start, frames.stop))
    elif fresh.sizes["time"] == len(frames):
        part = fresh
    else:
        raise ValueError(
            f"New predictions have {fresh.sizes['time']} frames, the video {n_frames} and the "
            f"stretch {len(frames)}: they are not of the same video. Make a new layer of them."
        )
    known = [str(name) for name in earlier["keypoint"].values]
    names = [str(name) for name in part["keypoint"].values]
    merged = with_keypoints(earlier, known + [name for name in names if name not in known])
    columns = [list(merged["keypoint"].values).index(name) for name in names]
    if "expected_error" in part and "expected_error" not in merged:
        merged["expected_error"] = xr.full_like(merged["confidence"], np.nan)
    for name in ("position", "confidence", "expected_error"):
        if name in merged:
            values = merged[name].values.copy()
            values[frames.start : frames.stop, ..., columns] = (
                part[name].values if name in part else np.nan
            )
            merged[name] = (merged[name].dims, values)
    merged.attrs = dict(earlier.attrs) | {RETRACKED: _listed(earlier, part, frames)}
    return merged


def _listed(earlier: xr.Dataset, part: xr.Dataset, frames: range) -> str:
    """The stretches that were tracked anew, this one last, as JSON."""
    own = json.loads(part.attrs.get(RETRACKED, "[]"))
    if own and (own[-1]["start"], own[-1]["stop"]) == (frames.start, frames.stop):
        return str(part.attrs[RETRACKED])  # put together before, see `retrack`
    origin = {
        key: value.tolist() if isinstance(value, np.ndarray) else value
        for key, value in part.attrs.items()
        if key in _ORIGIN
    }
    so_far = json.loads(earlier.attrs.get(RETRACKED, "[]"))
    stretch = {"start": frames.start, "stop": frames.stop, **origin}
    return json.dumps([*so_far, stretch], default=lambda value: getattr(value, "tolist", str)())
