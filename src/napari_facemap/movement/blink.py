"""Blinks: how far the eye is open, and when it shuts for a moment."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import xarray as xr
from scipy import ndimage, signal

from napari_facemap.keypoints.poses import check_poses
from napari_facemap.movement.regions import Region

EYE_KEYPOINTS = ("eye(top)", "eye(bottom)", "eye(front)", "eye(back)")
_SURE = 6.0  # robust standard deviations of the noise that no blink is smaller than
_LONGEST_GAP = 0.2  # seconds without a value that a blink may have


class DarkArea:
    """How dark a region is: Facemap's measure of blinks.

    Each frame's value is the sum of ``max(0, threshold - grey)`` over the region's pixels: a sum
    of grey levels, not a count of pixels. A lid that covers a dark eye makes it fall.

    Parameters
    ----------
    region : Region
        Its option ``threshold`` is a grey level.
    height, width : int
        The frames' size.

    Raises
    ------
    ValueError
        When the region lies outside of the frame.
    """

    def __init__(self, region: Region, height: int, width: int):
        self._window = region.window(height, width)
        self._outside = ~region.mask(height, width)
        threshold = float(region.options["threshold"] or 0.0)
        self._darkness = np.maximum(0.0, threshold - np.arange(256.0))

    def work(self, before: np.ndarray, frames: np.ndarray) -> np.ndarray:
        """Measure some frames; threads may call this at once.

        Parameters
        ----------
        before : ndarray of uint8, shape (rows, columns)
            Not used.
        frames : ndarray of uint8, shape (n, rows, columns)
            Full frames.

        Returns
        -------
        ndarray of float64, shape (n, 1)
        """
        found = np.empty((len(frames), 1))
        for i, frame in enumerate(self._window.of(frames)):
            # By the count of each grey level: exact, and quick.
            count = np.bincount(frame.ravel(), minlength=256)
            count -= np.bincount(frame[self._outside], minlength=256)
            found[i, 0] = (count * self._darkness).sum()
        return found


class Blink(NamedTuple):
    """A short closing of the eye.

    Attributes
    ----------
    start, stop : float
        Seconds when the lids are a quarter of the way down, and are there again; half of it
        beside a squint.
    depth : float
        How far they go: 0 as open as around, 1 shut.
    """

    start: float
    stop: float
    depth: float


def eyelid_opening(poses: xr.Dataset, least_confidence: float = 0.5) -> np.ndarray:
    """How far the eye is open: its height over its width.

    Parameters
    ----------
    poses : xarray.Dataset
        See `make_poses`.
    least_confidence : float
        Points below it, 0 to 1, are not known.

    Returns
    -------
    ndarray of float64, shape (time,)
        Distance of eye(top) and eye(bottom) over that of eye(front) and eye(back): a ratio
        without unit, that does not change with the picture's size or the head's tilt. NaN where
        one of these points is not known.

    Raises
    ------
    ValueError
        When these are no poses or a keypoint of the eye is missing.
    """
    check_poses(poses)
    missing = sorted(set(EYE_KEYPOINTS) - set(poses["keypoint"].values.tolist()))
    if missing:
        raise ValueError(
            f"Expected poses with the eye's keypoints; {', '.join(missing)} not found. "
            "Track with a model that has them, or draw a blink region."
        )
    chosen = poses.sel(keypoint=list(EYE_KEYPOINTS))
    known = chosen["confidence"].values >= least_confidence
    point = np.where(known[:, np.newaxis], chosen["position"].values.astype(float), np.nan)
    top, bottom, front, back = np.moveaxis(point, 2, 0)
    height, width = np.hypot(*(top - bottom).T), np.hypot(*(front - back).T)
    return np.divide(height, width, out=np.full(len(width), np.nan), where=width > 0)


def blink_events(
    opening: np.ndarray,
    times: np.ndarray,
    *,
    closed_is_high: bool = False,
    closed: float | None = None,
    depth: float = 0.5,
    shortest: float = 0.06,
    longest: float = 1.0,
    level_seconds: float = 10.0,
) -> list[Blink]:
    """Find blinks in a trace of how far the eye is open.

    A blink is a valley below the level of the open eye, which is followed over time. What lies
    on both sides must rise far above its ground within `longest`: neither noise within a blink,
    drift, nor a squint makes one.

    Parameters
    ----------
    opening : ndarray, shape (time,)
        As of `eyelid_opening` or `DarkArea`; NaN where not known.
    times : ndarray, shape (time,)
        Seconds, rising; need not be even.
    closed_is_high : bool
        Whether the trace rises when the eye shuts.
    closed : float, optional
        The trace's value when the eye is shut. By default 0, or the highest value where
        `closed_is_high`.
    depth : float
        Of the way from open to shut, above 0 and at most 1, that is a blink at the least.
    shortest, longest : float
        Seconds that a blink lasts, from and to half of its own depth.
    level_seconds : float
        Over how long the level of the open eye is taken.

    Returns
    -------
    list of Blink
        In order; they do not overlap.

    Raises
    ------
    ValueError
        When shapes differ, times do not rise or an option is out of range.
    """
    opening, times = np.asarray(opening, float), np.asarray(times, float)
    if opening.ndim != 1 or opening.shape != times.shape:
        raise ValueError(
            "Expected one time for each value of the opening; found shapes "
            f"{opening.shape} and {times.shape}."
        )
    if not (np.isfinite(times).all() and (np.diff(times) > 0).all()):
        raise ValueError("Expected times that rise from value to value; found some that do not.")
    if not (0 < depth <= 1 and 0 < shortest < longest and level_seconds > longest):
        raise ValueError(
            "Expected a depth of 0 to 1 and shortest < longest < level_seconds; found "
            f"{depth}, {shortest}, {longest} and {level_seconds}."
        )
    known = np.isfinite(opening)
    if known.sum() < 3:
        return []
    step = float(np.median(np.diff(times)))
    if closed_is_high:
        opening, closed = -opening, None if closed is None else -closed
    even = np.arange(times[0], times[-1] + step / 2, step)
    value = np.interp(even, times[known], opening[known])
    window = max(3, round(level_seconds / step))
    open_level = ndimage.percentile_filter(value, 75, size=window, mode="nearest")
    # Noise is what goes up and down from frame to frame.
    noise = 1.4826 * float(np.median(np.abs(np.diff(value)))) / np.sqrt(2)
    if closed is None:
        closed = float(ndimage.median_filter(value, 3).min()) if closed_is_high else 0.0
    way = open_level - closed
    clear = way > max(_SURE * noise, 1e-12 * float(np.abs(value).max()))
    # How far shut; where open and shut cannot be told apart, open.
    shut = np.where(clear, (open_level - value) / np.where(clear, way, 1.0), 0.0)
    shut[_unknown(even, times[known])] = 0.0
    least = max(depth, _SURE * noise / float(np.median(way[clear]))) if clear.any() else depth
    far = max(1, round(longest / step))
    peaks, found = signal.find_peaks(
        shut, height=least, prominence=0.7 * depth, wlen=2 * far + 1, plateau_size=(1, far)
    )
    bases = found["prominences"], found["left_bases"], found["right_bases"]
    half, quarter = (
        np.interp(signal.peak_widths(shut, peaks, part, bases)[2:], np.arange(len(even)), even)
        for part in (0.5, 0.75)
    )
    lasts = half[1] - half[0]
    good = (lasts >= shortest) & (lasts <= longest)
    # Beside a squint the lids may not come up to a quarter.
    start, stop = np.where(quarter[1] - quarter[0] <= longest, quarter, half)
    blinks = zip(start[good], stop[good], found["peak_heights"][good], strict=True)
    return _apart([Blink(float(a), float(b), float(h)) for a, b, h in blinks])


def during_blinks(events: Iterable[Blink], times: np.ndarray, margin: float = 0.0) -> np.ndarray:
    """Which times lie in blinks, ends included.

    Parameters
    ----------
    events : iterable of Blink
        As of `blink_events`.
    times : ndarray, shape (time,)
        Seconds.
    margin : float
        Seconds by which each blink is taken to begin earlier and to end later.

    Returns
    -------
    ndarray of bool, shape (time,)
    """
    times = np.asarray(times, float)
    shut = np.zeros(len(times), bool)
    for blink in events:
        shut |= (times >= blink.start - margin) & (times <= blink.stop + margin)
    return shut


def _unknown(even: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Which times lie in gaps that are too long to bridge."""
    after = np.clip(np.searchsorted(known, even), 1, len(known) - 1)
    gap = known[after] - known[after - 1]
    within = (even > known[after - 1] + 1e-9) & (even < known[after] - 1e-9)
    return (within & (gap > _LONGEST_GAP)) | (even < known[0]) | (even > known[-1] + 1e-9)


def _apart(blinks: list[Blink]) -> list[Blink]:
    """One for those that overlap."""
    kept: list[Blink] = []
    for blink in blinks:
        if kept and blink.start <= kept[-1].stop:
            last = kept.pop()
            blink = Blink(last.start, max(last.stop, blink.stop), max(last.depth, blink.depth))
        kept.append(blink)
    return kept
