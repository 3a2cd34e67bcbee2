"""Corrections that come from elsewhere, laid over keypoints; and other skeletons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np
import xarray as xr

from napari_facemap.keypoints.merging import with_keypoints
from napari_facemap.keypoints.poses import make_poses
from napari_facemap.keypoints.store import KeypointStore, Point

_LOOKED_AT = 50  # frames


def nothing_tracked(
    keypoints: Sequence[str], times: np.ndarray, attrs: Mapping[str, Any] | None = None
) -> KeypointStore:
    """Keypoints of a video of which nothing is known yet.

    Parameters
    ----------
    keypoints : sequence of str
        Names.
    times : ndarray, shape (time,)
        Seconds of the frames.
    attrs : mapping, optional
        Provenance.

    Returns
    -------
    KeypointStore
        Every keypoint of every frame hidden, at confidence 0.
    """
    position = np.full((len(times), 2, len(keypoints)), np.nan, np.float32)
    confidence = np.zeros((len(times), len(keypoints)), np.float32)
    return KeypointStore(make_poses(position, confidence, keypoints, times, attrs=attrs))


def names_after(store: KeypointStore, renamed: Mapping[str, str]) -> list[str]:
    """Keypoints of a store once some have other names.

    One whose new name is that of another becomes that other one, and is gone, unless a model
    tracked it: then the tracked points keep the old name.
    """
    met = _meeting(store, renamed)
    kept = [n for n in store.keypoints if n not in met or is_tracked(store, n)]
    return [name if name in met else renamed.get(name, name) for name in kept]


def with_corrections(
    store: KeypointStore,
    keypoints: Sequence[str],
    corrections: Mapping[int, Mapping[str, Point]],
    renamed: Mapping[str, str] | None = None,
) -> KeypointStore:
    """Give keypoints of another skeleton, and with other corrections in some frames.

    Parameters
    ----------
    store : KeypointStore
        Stays as it is.
    keypoints : sequence of str
        Of the result, in order. New ones have no predictions.
    corrections : mapping of int to mapping of str to (x, y)
        By frame all corrections of that frame, by keypoint; NaN where one is hidden. Other
        frames keep those they have.
    renamed : mapping of str to str, optional
        From names in `store` to those in `keypoints`. Where `store` has a keypoint of the new
        name already, corrections go over to it.

    Returns
    -------
    KeypointStore
        What is proposed stays so. The log of corrections is empty.
    """
    poses = store.to_poses(predictions=True)
    renamed = renamed or {}
    met = _meeting(store, renamed)
    corrections = {**_gone_over(store, renamed, met), **corrections}
    names = [n if n in met else renamed.get(n, n) for n in store.keypoints]
    poses = with_keypoints(poses.assign_coords(keypoint=names), keypoints)
    if "tracked_position" not in poses:
        poses["tracked_position"] = poses["position"].copy()
        poses["tracked_confidence"] = poses["confidence"].copy()
    elif store.is_cleaned and "cleaned_position" not in poses:
        poses["cleaned_position"] = poses["position"].copy()
    _lay(poses, corrections)
    new = KeypointStore(poses)
    _propose_again(store, new, names)
    return new


def _meeting(store: KeypointStore, renamed: Mapping[str, str]) -> set[str]:
    """Keypoints whose new name is that of another, which keeps it."""
    staying = set(store.keypoints) - set(renamed)
    return {old for old, new in renamed.items() if old in store.keypoints and new in staying}


def _gone_over(
    store: KeypointStore, renamed: Mapping[str, str], met: Set[str]
) -> dict[int, dict[str, Point]]:
    """Corrections, under the new names, of frames in which some go over to another keypoint."""
    found = {}
    for frame in store.edited_frames if met else ():
        points = store.corrections(frame)
        if met & points.keys():
            stay = {renamed.get(n, n): point for n, point in points.items() if n not in met}
            found[frame] = {**stay, **{renamed[n]: p for n, p in points.items() if n in met}}
    return found


def _lay(poses: xr.Dataset, corrections: Mapping[int, Mapping[str, Point]]) -> None:
    index = {str(name): k for k, name in enumerate(poses["keypoint"].values)}
    position, edited = poses["position"].values, poses["edited"].values
    for frame, points in corrections.items():
        edited[frame] = False
        for name, point in points.items():
            if name in index:
                position[frame, :, index[name]] = point
                edited[frame, index[name]] = True


def _propose_again(store: KeypointStore, new: KeypointStore, names: Sequence[str]) -> None:
    """Hand what is proposed to another store; `names` are those of the keypoints there."""
    frames = store.proposed_frames
    if not frames:
        return
    points = [store.frame(frame) for frame in frames]
    proposed = np.array([p.proposed for p in points])
    position = np.array([np.where(p.proposed, p.position.T, np.nan) for p in points])
    confidence = np.array([p.confidence for p in points])
    known = [k for k, name in enumerate(names) if name in new.keypoints and proposed[:, k].any()]
    new.propose(frames, [names[k] for k in known], position[:, :, known], confidence[:, known])


def is_tracked(store: KeypointStore, keypoint: str | None = None) -> bool:
    """Whether a model predicted anything, or a keypoint, in frames all over the video."""
    tracked = tracked_keypoints(store)
    return bool(tracked.any() if keypoint is None else tracked[store.keypoints.index(keypoint)])


def tracked_keypoints(store: KeypointStore) -> np.ndarray:
    """Which keypoints a model predicted in frames all over the video, (keypoint,) of bool."""
    tracked = np.zeros(len(store.keypoints), bool)
    some = np.linspace(0, store.n_frames - 1, min(store.n_frames, _LOOKED_AT)).astype(int)
    for frame in some:
        tracked |= np.isfinite(store.prediction(int(frame)).position).any(axis=1)
        if tracked.all():
            break
    return tracked
