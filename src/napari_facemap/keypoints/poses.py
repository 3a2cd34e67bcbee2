"""Poses: keypoints over time as one dataset with named axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr


def make_poses(
    position: np.ndarray,
    confidence: np.ndarray,
    keypoints: Sequence[str],
    times: np.ndarray,
    edited: np.ndarray | None = None,
    attrs: Mapping[str, Any] | None = None,
    expected_error: np.ndarray | None = None,
) -> xr.Dataset:
    """Put keypoints into a dataset.

    Parameters
    ----------
    position : ndarray, shape (time, 2, keypoint)
        x (column) and y (row) in pixels of the full frame, pixel centres at integers. NaN where
        a keypoint is hidden, deleted or was not tracked.
    confidence : ndarray, shape (time, keypoint)
        Between 0 and 1.
    keypoints : sequence of str
        Names, each once.
    times : ndarray, shape (time,)
        Seconds, one a frame.
    edited : ndarray of bool, shape (time, keypoint), optional
        True where a person placed or deleted the keypoint. By default nowhere.
    attrs : mapping, optional
        Provenance: strings and numbers.
    expected_error : ndarray, shape (time, keypoint), optional
        Mean distance in pixels that a tracked point is expected to have from its true place.

    Returns
    -------
    xarray.Dataset
        Variables ``position (time, space, keypoint)``, ``confidence (time, keypoint)`` and
        ``edited (time, keypoint)``, and ``expected_error (time, keypoint)`` where it is given.
        ``poses.expand_dims("individual")`` follows the poses schema of the `movement`
        package.

    Raises
    ------
    ValueError
        When shapes or names do not fit together.
    """
    position = np.asarray(position, np.float32)
    confidence = np.asarray(confidence, np.float32)
    if edited is None:
        edited = np.zeros(confidence.shape, bool)
    time_keypoint = ("time", "keypoint")
    poses = xr.Dataset(
        {
            "position": (("time", "space", "keypoint"), position),
            "confidence": (time_keypoint, confidence),
            "edited": (time_keypoint, np.asarray(edited, bool)),
        },
        coords={
            "time": np.asarray(times, np.float64),
            "space": ["x", "y"],
            "keypoint": list(keypoints),
        },
        attrs=dict(attrs or {}),
    )
    if expected_error is not None:
        poses["expected_error"] = (time_keypoint, np.asarray(expected_error, np.float32))
    check_poses(poses)
    return poses


def check_poses(poses: xr.Dataset) -> None:
    """Refuse a dataset that is not poses.

    Parameters
    ----------
    poses : xarray.Dataset
        What is to be checked.

    Raises
    ------
    ValueError
        Naming what is missing or wrong.
    """
    expected = {
        "position": ("time", "space", "keypoint"),
        "confidence": ("time", "keypoint"),
        "edited": ("time", "keypoint"),
    }
    for name, dims in expected.items():
        if name not in poses:
            raise ValueError(f"Poses need a variable {name!r}; found {sorted(map(str, poses))}.")
        if poses[name].dims != dims:
            raise ValueError(f"Poses need {name!r} over {dims}; found {poses[name].dims}.")
    if list(poses["space"].values) != ["x", "y"]:
        raise ValueError(f"Poses need space x, y; found {list(poses['space'].values)}.")
    names = [str(name) for name in poses["keypoint"].values]
    if len(set(names)) != len(names):
        raise ValueError(f"Poses need each keypoint once; found {names}.")
