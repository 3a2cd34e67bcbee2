"""What a raster of thousands of neurons needs, without a plot: rows, grey levels, a pyramid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MOST_ROWS = 600  # more are not told apart on a screen
_LOW, _HIGH = -0.5, 3.0  # z-scores that are black and white
_AT_ONCE = 1 << 24  # numbers


@dataclass(frozen=True, eq=False)
class Raster:
    """Activity as grey levels, at full and at ever coarser resolution over time.

    Attributes
    ----------
    levels : tuple of ndarray of uint8, each shape (row, column)
        Each has half the columns of the one before it.
    start : float
        Seconds at which the first column begins.
    step : float
        Seconds of a column of the first level.
    """

    levels: tuple[np.ndarray, ...]
    start: float
    step: float

    @property
    def stop(self) -> float:
        """Seconds at which the last column ends."""
        return self.start + self.step * self.levels[0].shape[1]

    def part(self, start: float, stop: float, width: int) -> tuple[np.ndarray, float, float]:
        """What is seen between two times.

        Parameters
        ----------
        start, stop : float
            Seconds.
        width : int
            Pixels that there are for it.

        Returns
        -------
        picture : ndarray of uint8, shape (row, column)
            Of at most a few columns a pixel.
        start, stop : float
            Seconds that the picture covers: a column more at either side.
        """
        level = 0
        while level + 1 < len(self.levels) and (stop - start) / self._step(level) > 2 * width:
            level += 1
        step, picture = self._step(level), self.levels[level]
        first = int(np.clip((start - self.start) / step, 0, picture.shape[1] - 1))
        last = int(np.clip(np.ceil((stop - self.start) / step) + 1, first + 1, picture.shape[1]))
        return picture[:, first:last], self.start + first * step, self.start + last * step

    def _step(self, level: int) -> float:
        return self.step * 2**level


def raster_of(
    activity: np.ndarray,
    times: np.ndarray,
    order: np.ndarray,
    like: tuple[np.ndarray, np.ndarray] | None = None,
) -> Raster:
    """Draw activity as a raster.

    Parameters
    ----------
    activity : ndarray, shape (neuron, time)
        Any unit; NaN where it is not known.
    times : ndarray, shape (time,)
        Seconds, increasing. Pauses stay empty.
    order : ndarray of int, shape (neuron,)
        Neurons from top to bottom. Where there are more than `MOST_ROWS`, neighbours share rows.
    like : (ndarray, ndarray), optional
        Mean and standard deviation of each neuron to z-score by; its own unless given. So a
        prediction is drawn with the measured scale.

    Returns
    -------
    Raster
    """
    mean, spread = scale_of(activity) if like is None else like
    gain = np.where(spread > 0, 1 / np.where(spread > 0, spread, 1), 0).astype(np.float32)
    groups = np.array_split(order, min(MOST_ROWS, len(order)))
    step = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
    columns = np.round((times - times[0]) / step).astype(int)
    picture = np.zeros((len(groups), int(columns[-1]) + 1), np.uint8)
    for row, group in enumerate(groups):
        # Averages of few neurons vary more than those of many, and are drawn so.
        weight = gain[group] / np.float32(len(group) ** 0.75)
        shared = weight @ np.asarray(activity[group], np.float32)
        shared -= np.float32(weight @ mean[group])
        shade = 1 + 254 * (np.clip(shared, _LOW, _HIGH) - _LOW) / (_HIGH - _LOW)
        shade[np.isnan(shade)] = 0
        picture[row, columns] = shade.astype(np.uint8)
    return Raster(_pyramid(picture), float(times[0]) - step / 2, step)


def scale_of(activity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each neuron, finite, in portions that fit in memory."""
    n_neurons, n_times = activity.shape
    mean, spread = np.empty(n_neurons), np.empty(n_neurons)
    rows = max(1, _AT_ONCE // max(n_times, 1))
    for start in range(0, n_neurons, rows):
        part = np.asarray(activity[start : start + rows], np.float32)
        mean[start : start + rows] = part.mean(axis=1)
        spread[start : start + rows] = part.std(axis=1)
    return mean, spread


def _pyramid(picture: np.ndarray) -> tuple[np.ndarray, ...]:
    levels = [picture]
    while levels[-1].shape[1] > 512:
        fine = levels[-1]
        if fine.shape[1] % 2:
            fine = np.concatenate([fine, fine[:, -1:]], axis=1)
        pair = fine.reshape(len(fine), -1, 2).astype(np.uint16)
        levels.append(((pair.sum(axis=2) + 1) // 2).astype(np.uint8))
    return tuple(levels)
