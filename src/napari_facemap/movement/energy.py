"""Motion energy: how much grey levels change from each frame to the next."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_facemap.movement.regions import Region, Window

_ROWS = 256  # of 8-bit values whose sum fits 16 bits


class EnergyMeasure:
    """Sums of absolute differences over whole frames and regions; a `Measure`.

    Parameters
    ----------
    regions : sequence of Region or None
        None is the whole frame.
    height, width : int
        The frames' size.
    """

    def __init__(self, regions: Sequence[Region | None], height: int, width: int):
        whole = Window(0, height, 0, width)
        self._windows = [whole if r is None else r.window(height, width) for r in regions]
        self._masks = [None if r is None else _bytes(r.mask(height, width)) for r in regions]
        # Differences are found in the part of the frame that holds all regions.
        y0, y1, x0, x1 = zip(*self._windows, strict=True)
        self._all = Window(min(y0), max(y1), min(x0), max(x1))

    def work(self, before: np.ndarray, frames: np.ndarray) -> np.ndarray:
        """Sum ``|frame - frame before|`` over each region.

        Parameters and result are those of `Measure.work`, with a column for each region: whole
        numbers, exact.
        """
        found = np.empty((len(frames), len(self._windows)))
        earlier = self._all.of(before)
        high, low = np.empty(self._all.shape, np.uint8), np.empty(self._all.shape, np.uint8)
        for k, frame in enumerate(frames):
            part = self._all.of(frame)
            np.maximum(part, earlier, out=high)
            np.minimum(part, earlier, out=low)
            found[k] = self._sums(np.subtract(high, low, out=high))
            earlier = part
        return found

    def _sums(self, difference: np.ndarray) -> list[int]:
        sums = []
        for window, mask in zip(self._windows, self._masks, strict=True):
            y, x = window.y0 - self._all.y0, window.x0 - self._all.x0
            rows, columns = window.shape
            part = difference[y : y + rows, x : x + columns]
            sums.append(_total(part if mask is None else part & mask))
        return sums


def energy_traces(sums: np.ndarray, areas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Traces of what `EnergyMeasure` found in a whole video.

    The value at a frame compares it with the frame before; there is none for the first.

    Parameters
    ----------
    sums : ndarray, shape (time, region)
        Of all frames.
    areas : ndarray, shape (region,)
        Pixels of each region.

    Returns
    -------
    total, mean : ndarray, shape (time, region)
        Grey levels, of all pixels together and of one pixel.
    """
    total = np.array(sums, float)
    total[:1] = np.nan
    return total, total / np.asarray(areas, float)


def _bytes(mask: np.ndarray) -> np.ndarray | None:
    return None if mask.all() else np.where(mask, 255, 0).astype(np.uint8)


def _total(values: np.ndarray) -> int:
    """Exact sum of 8-bit values; narrow sums are several times as fast as wide ones."""
    return sum(
        int(values[k : k + _ROWS].sum(axis=0, dtype=np.uint16).sum(dtype=np.uint64))
        for k in range(0, len(values), _ROWS)
    )
