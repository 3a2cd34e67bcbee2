"""What pupils do over time: traces from fitted ellipses, and from keypoints."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from napari_facemap.keypoints.poses import check_poses
from napari_facemap.keypoints.skeleton import PUPIL_KEYPOINTS
from napari_facemap.movement.pupil import PupilFit

_OUTLIER_SECONDS = 1.0  # how far around is looked to judge a value
_OUTLIER = 5.0  # robust standard deviations: one of 2 million of normal noise
_TOGETHER = 1_000_000  # numbers held at a time


def pupil_traces(
    fits: np.ndarray, blinks: np.ndarray | None = None, mm_per_pixel: float | None = None
) -> dict[str, np.ndarray]:
    """Name what was fitted, and compute areas and diameters.

    Parameters
    ----------
    fits : ndarray, shape (time, 6)
        Rows as in `PupilFit`.
    blinks : ndarray of bool, shape (time,), optional
        Where the eye is shut: all traces are NaN there.
    mm_per_pixel : float, optional
        Scale of the picture.

    Returns
    -------
    dict of ndarray, each shape (time,)
        ``x``, ``y`` (px of the full frame), ``major``, ``minor`` (semi-axes, px), ``angle``
        (radians), ``area`` (px^2: pi major minor), ``diameter`` (px: that of the circle of this
        area, 2 sqrt(major minor)), ``quality`` (0 to 1) and, given a scale, ``diameter_mm``.

    Raises
    ------
    ValueError
        When shapes do not fit together or the scale is not above 0.
    """
    fits = np.array(fits, float)
    if fits.ndim != 2 or fits.shape[1] != len(PupilFit._fields):
        raise ValueError(f"Expected fits of shape (time, 6), one row a frame; found {fits.shape}.")
    if blinks is not None:
        blinks = np.asarray(blinks, bool)
        if blinks.shape != fits.shape[:1]:
            raise ValueError(
                f"Expected one blink or none for each of {len(fits)} frames; found {blinks.shape}."
            )
        fits[blinks] = np.nan
    if mm_per_pixel is not None and not mm_per_pixel > 0:
        raise ValueError(f"Expected mm per pixel above 0; found {mm_per_pixel}.")
    traces = dict(zip(PupilFit._fields, fits.T, strict=True))
    quality = traces.pop("quality")
    traces["area"] = np.pi * traces["major"] * traces["minor"]
    traces["diameter"] = 2 * np.sqrt(traces["major"] * traces["minor"])
    traces["quality"] = quality
    if mm_per_pixel is not None:
        traces["diameter_mm"] = traces["diameter"] * mm_per_pixel
    return traces


def pupil_from_keypoints(
    poses: xr.Dataset,
    blinks: np.ndarray | None = None,
    mm_per_pixel: float | None = None,
    least_confidence: float = 0.5,
) -> dict[str, np.ndarray]:
    """Traces of the pupil from the four keypoints on its rim.

    The ellipse has the lines from back to front and from bottom to top as conjugate diameters
    (its axes, where they are perpendicular) and so goes through its points. Where one point is
    not known, it is taken to lie opposite to its partner.

    Parameters
    ----------
    poses : xarray.Dataset
        See `make_poses`.
    blinks : ndarray of bool, shape (time,), optional
        Where the eye is shut.
    mm_per_pixel : float, optional
        Scale of the picture.
    least_confidence : float
        Points below it, 0 to 1, are not known.

    Returns
    -------
    dict of ndarray, each shape (time,)
        As of `pupil_traces`; ``quality`` is the smallest confidence among the points used, and
        all are NaN where fewer than three points are known.

    Raises
    ------
    ValueError
        When these are no poses or a keypoint of the pupil is missing.
    """
    check_poses(poses)
    missing = sorted(set(PUPIL_KEYPOINTS) - set(poses["keypoint"].values.tolist()))
    if missing:
        raise ValueError(
            f"Expected poses with the pupil's keypoints; {', '.join(missing)} not found. "
            "Track with a model that has them, or draw a pupil region."
        )
    chosen = poses.sel(keypoint=list(PUPIL_KEYPOINTS))
    point = chosen["position"].values.transpose(0, 2, 1).astype(float)
    confidence = chosen["confidence"].values.astype(float)
    known = (confidence >= least_confidence) & np.isfinite(point).all(axis=2)
    back, bottom, front, top = (_where(known[:, [k]], point[:, k]) for k in range(4))
    middles = np.stack([(back + front) / 2, (bottom + top) / 2])
    some = np.isfinite(middles[..., 0]).sum(axis=0)
    centre = np.nansum(middles, axis=0) / np.where(some, some, np.nan)[:, np.newaxis]
    along = _half(back, front, centre)
    down = _half(top, bottom, centre)
    fits = np.full((len(point), len(PupilFit._fields)), np.nan)
    whole = np.isfinite(along + down).all(axis=1)
    left, lengths, _ = np.linalg.svd(np.stack([along, down], axis=2)[whole])
    fits[whole, :2] = centre[whole]
    fits[whole, 2:4] = lengths
    angle = np.arctan2(left[:, 1, 0], left[:, 0, 0])
    fits[whole, 4] = (angle + np.pi / 2) % np.pi - np.pi / 2
    fits[whole, 5] = np.where(known, confidence, np.inf).min(axis=1)[whole]
    return pupil_traces(fits, blinks, mm_per_pixel)


def smooth_pupil(
    values: np.ndarray,
    times: np.ndarray,
    seconds: float = 0.1,
    longest_gap: float = 0.5,
) -> np.ndarray:
    """Take out stray values, bridge short gaps and smooth, over time.

    Values more than five robust standard deviations from the median of the second around them
    are strays (Hampel's identifier). Gaps, theirs too, are bridged by straight lines. Each value
    is then that of a straight line through those around it, weighted by a Gaussian over time
    (Cleveland 1979), so that slopes stay at the ends too.

    Parameters
    ----------
    values : ndarray, shape (time,)
        A trace; not of angles, which turn over. It is left as it is.
    times : ndarray, shape (time,)
        Seconds, rising; need not be even.
    seconds : float
        Standard deviation of the Gaussian. 0 keeps all values that are not strays.
    longest_gap : float
        Seconds between the values on both sides of a gap up to which it is bridged; longer
        gaps, and those at the ends, are NaN.

    Returns
    -------
    ndarray of float64, shape (time,)
        A new array.

    Raises
    ------
    ValueError
        When shapes differ, times do not rise or an option is below 0.
    """
    values, times = np.array(values, float), np.asarray(times, float)
    if values.ndim != 1 or values.shape != times.shape:
        raise ValueError(
            "Expected one time for each value of a trace; found shapes "
            f"{values.shape} and {times.shape}."
        )
    if not (np.isfinite(times).all() and (np.diff(times) > 0).all()):
        raise ValueError("Expected times that rise from value to value; found some that do not.")
    if seconds < 0 or longest_gap < 0:
        raise ValueError(
            f"Expected seconds of 0 or more; found {seconds} and a longest gap of {longest_gap}."
        )
    values[_strays(values, times)] = np.nan
    values = _bridged(values, times, longest_gap)
    return _local_lines(values, times, seconds) if seconds else values


def _where(known: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.where(known, values, np.nan)


def _half(first: np.ndarray, last: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Half of the way from first to last; by the centre where one of them is not known."""
    half = (last - first) / 2
    half = np.where(np.isfinite(half), half, last - centre)
    return np.where(np.isfinite(half), half, centre - first)


def _around(times: np.ndarray, half: float) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Which values lie within `half` seconds of others, some of these at a time.

    Yields those, indices of their neighbours, shape (value, neighbour), and whether they are
    neighbours: rows are filled up.
    """
    first = np.searchsorted(times, times - half)
    stop = np.searchsorted(times, times + half, side="right")
    chunk = max(1, _TOGETHER // max(1, int((stop - first).max(initial=1))))
    for start in range(0, len(times), chunk):
        part = slice(start, start + chunk)
        index = first[part, np.newaxis] + np.arange((stop[part] - first[part]).max())
        yield part, np.minimum(index, len(times) - 1), index < stop[part, np.newaxis]


def _strays(values: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Which values are far from those around them, shape (time,)."""
    known = np.isfinite(values)
    steps = np.abs(np.diff(values[known]))
    if not len(steps):
        return np.zeros(len(values), bool)
    # Where a trace hardly moves for a moment, its noise is still that of the whole.
    noise = 1.4826 * float(np.median(steps)) / np.sqrt(2)
    strays = np.zeros(len(values), bool)
    for part, index, near in _around(times, _OUTLIER_SECONDS / 2):
        near = near & known[index]
        found = np.where(near, values[index], np.inf)
        middle = _middle(found, near)
        spread = 1.4826 * _middle(np.where(near, np.abs(found - middle[:, None]), np.inf), near)
        limit = _OUTLIER * np.maximum(spread, noise)
        strays[part] = known[part] & (np.abs(values[part] - middle) > limit + 1e-9)
    return strays


def _middle(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Medians of rows whose unknown values are infinite; NaN where none is known."""
    count = known.sum(axis=1)
    ordered = np.sort(values, axis=1)
    low, high = (np.maximum(count, 1) - 1) // 2, np.minimum(count // 2, values.shape[1] - 1)
    row = np.arange(len(values))
    both = np.stack([ordered[row, low], ordered[row, np.maximum(low, high)]])
    return np.where(count, np.where(count, both, 0.0).mean(axis=0), 0.0)


def _bridged(values: np.ndarray, times: np.ndarray, longest: float) -> np.ndarray:
    known = np.flatnonzero(np.isfinite(values))
    if not len(known):
        return values
    after = np.searchsorted(known, np.arange(len(values)))
    between = (after > 0) & (after < len(known)) & ~np.isfinite(values)
    gap = np.zeros(len(values))
    gap[between] = times[known[after[between]]] - times[known[after[between] - 1]]
    fill = between & (gap <= longest + 1e-9)
    values[fill] = np.interp(times[fill], times[known], values[known])
    return values


def _local_lines(values: np.ndarray, times: np.ndarray, seconds: float) -> np.ndarray:
    smooth = np.full(len(values), np.nan)
    known = np.isfinite(values)
    for part, index, near in _around(times, 3 * seconds):
        apart = times[index] - times[part, np.newaxis]
        weight = np.exp(-((apart / seconds) ** 2) / 2) * (near & known[index])
        value = np.where(known[index], values[index], 0.0)
        total = np.maximum(weight.sum(axis=1), 1e-300)
        mean_t, mean = (weight * apart).sum(axis=1) / total, (weight * value).sum(axis=1) / total
        off = apart - mean_t[:, np.newaxis]
        spread = (weight * off**2).sum(axis=1) / total
        slope = (weight * off * value).sum(axis=1) / total / np.maximum(spread, 1e-12)
        smooth[part] = mean - slope * mean_t * (spread > 1e-12)
    return np.where(known, smooth, np.nan)
