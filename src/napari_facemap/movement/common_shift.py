"""How far most of a picture moved, to a part of a pixel, when some of it moved otherwise.

Whiskers before a belt, paws and shadows have shifts of their own, and a fit to all pixels lies
between theirs and the belt's. Here shifts come from brightness and its slopes (Lucas and Kanade
1981) by least squares that leave out pixels which do not agree with the others (Black and
Anandan 1996).
"""

from __future__ import annotations

import numpy as np

_POINTS = 2000  # of a picture that are looked at
_ROUNDS = 5
_ENOUGH = 0.01  # pixels of a step after which there are no more
_FAR = 4.0  # pixels from the start: what is further away was lost on the way
_FAIR = 3.0  # robust standard deviations from which on a pixel is left out
# Share of the differences' variance that noise has in a slope: of central differences, after
# averaging three pixels twice along each axis.
_NOISE = (1 - 10 / 19) / 8
_HOLD = 1e-2  # of the slopes' strength, by which the start is held where there are no slopes


def evened(frame: np.ndarray) -> np.ndarray:
    """A picture of uint8, averaged over 3 x 3 pixels twice, float32 and 4 pixels smaller."""
    sums = frame.astype(np.uint16)
    for _ in range(2):
        sums = sums[:-2] + sums[1:-1] + sums[2:]
        sums = sums[:, :-2] + sums[:, 1:-1] + sums[:, 2:]
    return sums.astype(np.float32) / np.float32(81)


class CommonShift:
    """Fits shifts between pictures of one size.

    Parameters
    ----------
    weights : ndarray of float32, shape (rows, columns)
        How much each pixel counts, 0 to 1.
    """

    def __init__(self, weights: np.ndarray):
        self._weights = weights[2:-2, 2:-2]  # as `evened` leaves them
        self._stride = max(1, int(np.sqrt(self._weights.size / _POINTS)))

    def near(
        self, before: np.ndarray, after: np.ndarray, x: float, y: float
    ) -> tuple[float, float]:
        """The shift from one evened picture to another, near a shift that is known roughly."""
        at = np.array([x, y, 0.0])
        whole, points = (0, 0), None
        for _ in range(_ROUNDS):
            nearest = round(at[0]), round(at[1])
            if points is None or whole != nearest:
                whole = nearest
                points = self._points(before, after, *whole)
                if points is None:
                    return x, y
                weights, slopes, differences = points
            rest = at - (*whole, 0)
            off = differences - rest.astype(np.float32) @ slopes
            # Of some of them, as medians take time.
            some = np.abs(off[::4])
            spread = 1.4826 * float(np.partition(some, len(some) // 2)[len(some) // 2]) + 1e-3
            off *= np.float32(1 / (_FAIR * spread))
            off *= off
            fair = np.maximum(np.float32(1) - off, np.float32(0))
            fair *= fair
            fair *= weights
            weighted = slopes * fair
            bend = (weighted @ slopes.T).astype(float)
            # Noise in the slopes makes them steeper than they are, and shifts smaller.
            noise = _NOISE * spread**2 * float(fair.sum())
            for k in (0, 1):
                bend[k, k] = max(bend[k, k] - noise, 0.2 * bend[k, k]) + 1e-9
            hold = _HOLD * (bend[0, 0] + bend[1, 1])
            bend[[0, 1], [0, 1]] += hold
            aim = (weighted @ differences).astype(float)
            aim[:2] += hold * (np.array([x, y]) - whole)
            bend[2, 2] += 1e-6
            found = np.array(_solved(bend.tolist(), aim.tolist()))
            found[:2] += whole
            step = np.abs(found - at)[:2].max()
            at = found
            if not np.hypot(at[0] - x, at[1] - y) < _FAR:
                return x, y
            if step < _ENOUGH:
                break
        return float(at[0]), float(at[1])

    def _points(
        self, before: np.ndarray, after: np.ndarray, x: int, y: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """Weights, slopes (x, y and 1) and differences of points where both pictures are seen."""
        rows, columns = after.shape
        if min(rows - abs(y), columns - abs(x)) < 8:
            return None
        there = slice(max(y, 0), rows + min(y, 0)), slice(max(x, 0), columns + min(x, 0))
        here = (
            slice(there[0].start - y, there[0].stop - y),
            slice(there[1].start - x, there[1].stop - x),
        )
        a, b, n = before[here], after[there], self._stride
        middle = slice(1, -1, n)
        difference = a[middle, middle] - b[middle, middle]
        high, wide = difference.shape

        def both(dy: int, dx: int) -> np.ndarray:
            part = slice(1 + dy, rows, n), slice(1 + dx, columns, n)
            return (a[part] + b[part])[:high, :wide]

        slopes = np.empty((3, high * wide), np.float32)
        slopes[0] = (both(0, 1) - both(0, -1)).ravel()
        slopes[1] = (both(1, 0) - both(-1, 0)).ravel()
        slopes[:2] *= 0.25  # of the mean of both, over two pixels
        slopes[2] = 1
        weights = self._weights[there][middle, middle]
        return weights.ravel(), slopes, difference.ravel()


def _solved(rows: list[list[float]], aim: list[float]) -> tuple[float, float, float]:
    """Solve three equations by Cramer's rule, ten times as fast as by LAPACK's call."""
    (a, b, c), (d, e, f), (g, h, i) = rows
    x, y, z = aim
    first, second, third = e * i - f * h, d * i - f * g, d * h - e * g
    whole = a * first - b * second + c * third
    return (
        (x * first - b * (y * i - f * z) + c * (y * h - e * z)) / whole,
        (a * (y * i - f * z) - x * second + c * (d * z - y * g)) / whole,
        (a * (e * z - y * h) - b * (d * z - y * g) + x * third) / whole,
    )
