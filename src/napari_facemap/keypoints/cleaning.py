"""Keypoints without jumps, short gaps and noise, beside those that were tracked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import xarray as xr
from scipy.ndimage import median_filter

from napari_facemap.keypoints.poses import check_poses
from napari_facemap.keypoints.predictions import CLEANING
from napari_facemap.keypoints.smoothing import smooth
from napari_facemap.keypoints.view import face_size

_SECONDS = 0.3  # over which the running median is taken
_TAPS = 9  # values that a running median is taken of
_SPREADS = 8.0  # a point that always moves much may be so many usual deviations from its median
_OF_USUAL = 0.1  # of a keypoint's median confidence: what is unsure for it
_CERTAIN = 0.03  # of the face: confidence is the probability of an error below this
_USUAL = 0.9  # confidence of a point that counts as one in smoothing
_LEAST_SURE = 2.0  # times its error; with more, whiskers that a model is unsure of stand still
_LONGEST_STEP = 3.0  # usual times between frames: a frame stands for no longer


@dataclass(frozen=True)
class Cleaning:
    """What is to be cleaned. Sizes are relative to the distance from eye to nose.

    Attributes
    ----------
    outliers : bool
        Whether points are taken out: those below `least_confidence`, those farther than
        `farthest` from their running median over 0.3 s, and those that jump to and fro faster
        than `fastest`.
    least_confidence : float
        Between 0 and 1. A keypoint that is always unsure is not taken out for that: its points
        must lie below a tenth of its median confidence too.
    farthest : float
        Distances from eye to nose. A point that always moves much may move more: 8 times its
        usual deviation (1.48 times the median one) from its running median.
    fastest : float
        Distances from eye to nose a second.
    largest_gap : float
        Seconds between known points over which the missing ones are filled in.
    smoothing : float
        Seconds. Of a movement of f cycles a second the share ``1 / (1 + (2 pi f smoothing)^4)``
        is left, whatever the camera's rate, for points of confidence 0.9; less for those that
        are less sure, as if it were at most 1.4 times as long. By default whisking of 8 cycles
        keeps 80 to 94 %. 0 is none.
    """

    outliers: bool = True
    least_confidence: float = 0.05
    farthest: float = 0.1
    fastest: float = 10.0
    largest_gap: float = 0.2
    smoothing: float = 0.01

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not value >= 0:
                raise ValueError(f"cleaning: expected {name} of 0 or more; found {value}.")


def clean(poses: xr.Dataset, options: Cleaning | None = None, **changes: Any) -> xr.Dataset:
    """Take out outliers, fill short gaps and smooth.

    What was tracked is cleaned, also where `poses` were cleaned before, so that doing it again
    changes nothing. Points that a person placed are kept exactly and guide those beside them;
    what a person marked as hidden stays hidden. Smoothing is that of a Kalman smoother for
    constant velocity, see `smooth`, of each keypoint by itself. A point's noise follows from its
    expected error e, as ``s = e / 1.25``, or from its confidence c, as ``s = 0.03 D / sqrt(-2
    ln(1 - c))``, for errors that are normal in x and y; D is the distance from eye to nose.

    Parameters
    ----------
    poses : xarray.Dataset
        Poses, with times in seconds.
    options : Cleaning, optional
        By default `Cleaning()`.
    **changes
        Options by name, such as ``smoothing=0``.

    Returns
    -------
    xarray.Dataset
        Poses with cleaned ``position``, ``tracked_position`` and ``tracked_confidence`` as they
        were tracked, and options and counts in ``attrs["cleaning"]`` as JSON. Confidence and
        expected error stay the tracker's. Longer gaps, and those before the first and after the
        last known point, are NaN.

    Raises
    ------
    ValueError
        When `poses` is not poses, its times are unknown or do not increase, or an option is
        below 0.
    """
    check_poses(poses)
    chosen = replace(options or Cleaning(), **changes)
    times = np.asarray(poses["time"].values, float)
    if not poses.attrs.get("times_known", 1):
        raise ValueError(
            "cleaning: these keypoints come without times; assign the frames' times in seconds, "
            "as in poses.assign_coords(time=times), and remove attrs['times_known']."
        )
    if len(times) > 1 and not (np.diff(times) > 0).all():
        raise ValueError("cleaning: expected times that increase from frame to frame.")
    tracked, confidence = _tracked(poses)
    edited = poses["edited"].values
    placed = edited & np.isfinite(poses["position"].values).all(axis=1)
    position = np.where(edited[:, None], poses["position"].values, tracked).astype(float)
    unit = face_unit(position, [str(name) for name in poses["keypoint"].values])
    there = np.isfinite(position).all(axis=1)
    kept = there & ~_outliers(position, confidence, times, unit, chosen) | placed
    spread = _relative_noise(poses, confidence, unit)
    spread[placed] = 0
    found = np.full(position.shape, np.nan)
    for k in range(position.shape[2]):
        _clean_one(times, position[..., k], kept[:, k], spread[:, k], chosen, found[..., k])
    found = np.where(edited[:, None], poses["position"].values, found)
    counts = {
        "face_size": round(unit, 3),
        "removed": int((there & ~kept).sum()),
        "filled": int((np.isfinite(found).all(axis=1) & ~kept).sum()),
    }
    cleaned = poses.drop_vars("cleaned_position", errors="ignore").copy()
    cleaned["position"] = (poses["position"].dims, found.astype(np.float32))
    cleaned["tracked_position"] = (poses["position"].dims, tracked)
    cleaned["tracked_confidence"] = (poses["confidence"].dims, confidence)
    cleaned.attrs[CLEANING] = json.dumps(asdict(chosen) | counts)
    return cleaned


def face_unit(position: np.ndarray, keypoints: Sequence[str]) -> float:
    """Distance from eye to nose, pixels: the median over frames, or else the points' width.

    Parameters
    ----------
    position : ndarray, shape (time, 2, keypoint)
        x and y in pixels.
    keypoints : sequence of str
        Names.

    Returns
    -------
    float
        Above 0; 1 when nothing is known.
    """
    sizes = face_size(position, keypoints)
    if np.isfinite(sizes).any() and np.nanmedian(sizes) > 0:
        return float(np.nanmedian(sizes))
    known = position.transpose(0, 2, 1).reshape(-1, 2)
    known = known[np.isfinite(known).all(axis=1)]
    if not len(known):
        return 1.0
    return max(float(np.ptp(np.percentile(known, (5, 95), axis=0), axis=0).max()), 1.0)


def _tracked(poses: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    if "tracked_position" in poses and "tracked_confidence" in poses:
        return poses["tracked_position"].values, poses["tracked_confidence"].values
    return poses["position"].values, poses["confidence"].values


def _relative_noise(poses: xr.Dataset, confidence: np.ndarray, unit: float) -> np.ndarray:
    """Variance of each point's error, 1 for one of the usual confidence."""
    share = np.clip(np.nan_to_num(confidence), 0.01, 0.999)
    deviation = _CERTAIN / np.sqrt(-2 * np.log1p(-share.astype(float)))
    if "expected_error" in poses:
        expected = poses["expected_error"].values / (1.25 * unit)
        deviation = np.where(np.isfinite(expected), expected, deviation)
    usual = _CERTAIN / np.sqrt(-2 * np.log1p(-_USUAL))
    return np.clip(deviation / usual, 0.1, _LEAST_SURE) ** 2


def _outliers(
    position: np.ndarray,
    confidence: np.ndarray,
    times: np.ndarray,
    unit: float,
    options: Cleaning,
) -> np.ndarray:
    """Points that cannot be right, shape (time, keypoint)."""
    if not options.outliers or len(times) < 3:
        return np.zeros(confidence.shape, bool)
    known = np.isfinite(position).all(axis=1)
    sure = np.where(known, confidence, np.nan)
    usual = np.array([np.nanmedian(c) if np.isfinite(c).any() else 0 for c in sure.T])
    out = confidence < np.minimum(options.least_confidence, _OF_USUAL * usual)
    for k in range(position.shape[2]):
        there = np.flatnonzero(known[:, k] & ~out[:, k])
        if len(there) > 2:
            out[there, k] = _jumps(position[there, :, k], times[there], unit, options)
    return out


def _jumps(xy: np.ndarray, times: np.ndarray, unit: float, options: Cleaning) -> np.ndarray:
    """Which points of one keypoint lie where it cannot be, shape (time,)."""
    away = np.hypot(*(xy - _running_median(xy, times)).T)
    usual = 1.48 * float(np.median(away))
    wrong = away > max(options.farthest * unit, _SPREADS * usual)
    velocity = np.diff(xy, axis=0) / np.diff(times)[:, None]
    fast = np.hypot(*velocity.T) > options.fastest * unit
    back = (velocity[:-1] * velocity[1:]).sum(axis=1) < 0
    wrong[1:-1] |= fast[:-1] & fast[1:] & back
    return wrong


def _running_median(xy: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Median about each time, of a handful of values that are medians themselves if need be."""
    width = _SECONDS / float(np.median(np.diff(times)))
    # A keypoint may be seen for less time than a block is long.
    block = max(1, min(round(width / _TAPS), len(xy)))
    taps = _TAPS if block > 1 else max(3, round(width) // 2 * 2 + 1)
    if block == 1:
        return median_filter(xy, size=(taps, 1), mode="nearest")
    n = len(xy) // block * block
    coarse = np.median(xy[:n].reshape(-1, block, 2), axis=1)
    when = times[:n].reshape(-1, block).mean(axis=1)
    coarse = median_filter(coarse, size=(taps, 1), mode="nearest")
    return np.stack([np.interp(times, when, column) for column in coarse.T], axis=1)


def _clean_one(
    times: np.ndarray,
    xy: np.ndarray,
    kept: np.ndarray,
    noise: np.ndarray,
    options: Cleaning,
    found: np.ndarray,
) -> None:
    """Smooth one keypoint and fill its short gaps; written to `found`, shape (time, 2)."""
    known = np.flatnonzero(kept)
    if not len(known):
        return
    missing = np.flatnonzero(~kept)
    missing = missing[(missing > known[0]) & (missing < known[-1])]
    after = np.searchsorted(known, missing)
    gap = times[known[after]] - times[known[after - 1]]
    missing = missing[gap <= options.largest_gap * (1 + 1e-9)]
    # A frame says as much as the time that it stands for: the camera's rate does not matter.
    stands_for = np.gradient(times) if len(times) > 1 else np.ones(1)
    stands_for = np.minimum(stands_for, _LONGEST_STEP * np.median(stands_for))
    found[known], found[missing] = smooth(
        times[known],
        xy[known],
        noise[known] / stands_for[known],
        times[missing],
        options.smoothing**4,
    )
