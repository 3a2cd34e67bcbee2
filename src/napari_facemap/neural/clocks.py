"""Two clocks joined in seconds: camera frames, neural samples, and the regular grid between."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

GRID_RATE = 50.0
"""Samples a second of the grid that behaviour is put on before a model sees it."""

MAX_GAP = 0.5
"""Longest pause between two camera frames, in seconds, that is bridged."""


def overlap(first: np.ndarray, second: np.ndarray) -> tuple[float, float] | None:
    """Find the span that two clocks share.

    Parameters
    ----------
    first, second : ndarray, shape (time,)
        Increasing seconds.

    Returns
    -------
    (float, float) or None
        First and last second of the span; None when they share none.
    """
    start, stop = max(first[0], second[0]), min(first[-1], second[-1])
    return (float(start), float(stop)) if start <= stop else None


def nearest(times: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Find the sample nearest to each wanted time, whatever the two rates.

    Parameters
    ----------
    times : ndarray, shape (time,)
        Increasing seconds.
    wanted : ndarray, shape (wanted,)
        Seconds.

    Returns
    -------
    ndarray of int, shape (wanted,)
        Indices into `times`; of two samples equally near, the earlier.
    """
    after = np.clip(np.searchsorted(times, wanted), 1, max(len(times) - 1, 1))
    before = after - 1
    if len(times) == 1:
        return np.zeros(len(wanted), int)
    return np.where(wanted - times[before] <= times[after] - wanted, before, after)


def bridged_gap(times: np.ndarray, max_gap: float = MAX_GAP) -> float:
    """Give the longest pause to bridge: `max_gap`, or four frames of a slower camera.

    Parameters
    ----------
    times : ndarray, shape (time,)
        Increasing seconds of the camera.
    max_gap : float
        Seconds.

    Returns
    -------
    float
        Seconds.
    """
    return max(max_gap, 4 * float(np.median(np.diff(times)))) if len(times) > 1 else max_gap


def covered(times: np.ndarray, wanted: np.ndarray, max_gap: float = MAX_GAP) -> np.ndarray:
    """Say at which wanted times there is behaviour to go by.

    A time is covered when a camera frame lies within half the longest bridged pause of it. So a
    pause of the camera makes the neural samples in it unusable and leaves all others as they are.

    Parameters
    ----------
    times : ndarray, shape (time,)
        Increasing seconds of the camera.
    wanted : ndarray, shape (wanted,)
        Seconds.
    max_gap : float
        Longest pause that is bridged, in seconds; see `bridged_gap`.

    Returns
    -------
    ndarray of bool, shape (wanted,)
    """
    distance = np.abs(times[nearest(times, wanted)] - wanted)
    # Tolerance: times a day from 0 have steps of some 1e-11 s.
    return distance <= bridged_gap(times, max_gap) / 2 + 1e-9


@dataclass(frozen=True, eq=False)
class Grid:
    """Behaviour at regular steps.

    Attributes
    ----------
    values : ndarray, shape (step, feature)
        float32.
    start : float
        Time of the first step in seconds.
    rate : float
        Steps a second.
    """

    values: np.ndarray
    start: float
    rate: float

    @property
    def times(self) -> np.ndarray:
        """Seconds, one a step."""
        return self.start + np.arange(len(self.values)) / self.rate

    def positions(self, times: np.ndarray) -> np.ndarray:
        """Where times lie on the grid, in steps from its start; held at its ends."""
        return np.clip((np.asarray(times) - self.start) * self.rate, 0, len(self.values) - 1)


def resample(values: np.ndarray, times: np.ndarray, rate: float = GRID_RATE) -> Grid:
    """Put samples at any times onto a regular grid that begins with the first of them.

    A camera slower than the grid is interpolated linearly. A faster one is averaged over each
    step (exactly, as the integral of the linear interpolation), so that what is too fast for the
    grid does not come back as something slow.

    Parameters
    ----------
    values : ndarray, shape (time, feature)
        Finite.
    times : ndarray, shape (time,)
        Increasing seconds.
    rate : float
        Steps a second.

    Returns
    -------
    Grid
    """
    n_steps = int(np.floor((times[-1] - times[0]) * rate + 1e-6)) + 1
    steps = np.arange(n_steps) / rate
    seconds = times - times[0]
    # At most a quarter faster aliases nothing that keypoints hold.
    faster = len(times) > 1 and 1 / np.median(np.diff(times)) > 1.25 * rate
    if not faster:
        return Grid(_interpolate(values, seconds, steps), float(times[0]), rate)
    half = 0.5 / rate
    left, right = np.clip(steps - half, 0, None), np.clip(steps + half, None, seconds[-1])
    mean = values.mean(axis=0, dtype=float)  # a running sum keeps more digits near 0
    area = _integral(values - mean, seconds, right) - _integral(values - mean, seconds, left)
    averaged = mean + area / (right - left)[:, None]
    return Grid(averaged.astype(np.float32), float(times[0]), rate)


def _interpolate(values: np.ndarray, times: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    columns = [np.interp(wanted, times, column) for column in values.T]
    return np.stack(columns, axis=1).astype(np.float32)


def _integral(values: np.ndarray, times: np.ndarray, until: np.ndarray) -> np.ndarray:
    """Integrate the linear interpolation from the first time until each of `until`."""
    step = np.diff(times)[:, None]
    areas = (values[1:] + values[:-1]) / 2 * step
    whole = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(areas, axis=0)])
    at = np.clip(np.searchsorted(times, until, side="right") - 1, 0, len(times) - 2)
    into = (until - times[at])[:, None]
    slope = (values[at + 1] - values[at]) / step[at]
    return whole[at] + into * (values[at] + slope * into / 2)
