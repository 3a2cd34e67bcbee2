"""The pupil's rim: grey levels along rays through it, and the ellipse that most of it agrees on."""

from __future__ import annotations

from itertools import combinations
from typing import NamedTuple

import numpy as np

_LEAST_CONTRAST = 6.0  # grey levels between the pupil and what is around it
_UNEVEN = (0.3, 0.1)  # most that contrast, and distance from the centre, vary along the rim
_RAYS = 64
_TURN = 2 * np.pi * (np.arange(_RAYS) + 0.5) / _RAYS
_DIRECTIONS = np.stack([np.cos(_TURN), np.sin(_TURN)], axis=1)
_ROUNDS = 4  # of leaving out points and fitting again
_SPREAD = (0.15, 0.4)  # pixels, least and most, by which good points differ
_OFFSETS = np.linspace(-1.0, 1.0, 15)  # places of a profile across the rim
_HALF_PROFILE = 3.0  # pixels across the rim, on each side: further out lies the lid, in small eyes
_HALF_OF_LARGE = 0.1  # of the radius, which is more in large pictures


class _Profiles(NamedTuple):
    """Grey levels across the rim, along rays.

    Attributes
    ----------
    at : ndarray, shape (n, ray, k)
        Places on the rays, in lengths of `along_rays`, evenly from inside to outside.
    value : ndarray, shape (n, ray, k)
        Grey levels.
    known : ndarray of bool, shape (n, ray)
        Whether all pixels there count.
    """

    at: np.ndarray
    value: np.ndarray
    known: np.ndarray

    @property
    def low(self) -> np.ndarray:
        """Inside of the rim, shape (n, ray)."""
        return self.value[..., :3].mean(axis=2)

    @property
    def high(self) -> np.ndarray:
        """Outside of it, shape (n, ray)."""
        return self.value[..., -3:].mean(axis=2)


def profiles_of(
    grey: np.ndarray,
    counted: np.ndarray,
    centre: np.ndarray,
    shape: np.ndarray,
    near: np.ndarray,
) -> _Profiles:
    """Grey levels about places of shape (n, ray) on rays."""
    along = along_rays(shape)
    half = _HALF_PROFILE / np.hypot(along[..., 0], along[..., 1])
    half = np.minimum(np.maximum(half, _HALF_OF_LARGE), 0.8 * near)
    at = near[..., None] + half[..., None] * _OFFSETS
    x, y = (centre[:, None, None, k] + along[..., k, None] * at for k in (0, 1))
    return _Profiles(at, *_sample(grey, counted, x, y))


def rim_of(profiles: _Profiles, level: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where grey levels rise from the pupil's, `level` of shape (n,), to those around it.

    Returns
    -------
    edge : ndarray, shape (n, ray)
        In lengths of `along`, to a part of a pixel.
    seen : ndarray of bool, shape (n, ray)
        Whether there is such an edge.
    rise : ndarray, shape (n, ray)
        By how many grey levels.
    """
    at, high, level = profiles.at, profiles.high, level[:, np.newaxis]
    rise = high - level
    clear = profiles.known & (rise > _LEAST_CONTRAST)
    usual = median(rise, clear)[:, np.newaxis]
    # Reflections are far brighter than the iris, and a rim under a lid is no darker than the lid.
    seen = clear & (profiles.low - level < rise / 4) & (rise > 0.6 * usual) & (rise < 1.5 * usual)
    # What hides a part of the rim blurs into the parts beside it.
    seen &= np.roll(seen, 1, axis=1) & np.roll(seen, -1, axis=1)
    share = (high[..., np.newaxis] - profiles.value) / np.where(seen, rise, 1.0)[..., np.newaxis]
    # The place of a sharp edge that encloses the same darkness, so that blur does not matter.
    weight = np.clip(share, -0.5, 1.5) * at
    total = weight.sum(axis=2) - (weight[..., 0] + weight[..., -1]) / 2
    total *= at[..., 1] - at[..., 0]
    return np.sqrt(np.maximum(at[..., 0] ** 2 + 2 * total, 0.0)), seen, rise


def _sample(
    grey: np.ndarray, counted: np.ndarray, x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Grey levels between pixels, and which rays meet pixels that count throughout.

    Points of shape (n, ray, k) give shapes (n, ray, k) and (n, ray).
    """
    n, rows, columns = grey.shape
    x, y = np.clip(x, 0, columns - 1.001), np.clip(y, 0, rows - 1.001)
    left, top = x.astype(np.intp), y.astype(np.intp)
    place = top * columns + left
    corners = (0, 1, columns, columns + 1)
    # Where one of the four pixels around does not count, the point does not.
    square = np.zeros_like(counted)
    square[:-1, :-1] = counted[:-1, :-1] & counted[1:, :-1] & counted[:-1, 1:] & counted[1:, 1:]
    known = square.ravel()[place].all(axis=2)
    place += (np.arange(n) * rows * columns)[:, None, None]
    flat = grey.ravel()
    a, b, c, d = (flat[place + corner].astype(np.float32) for corner in corners)
    x, y = (x - left).astype(np.float32), (y - top).astype(np.float32)
    upper, lower = a + x * (b - a), c + x * (d - c)
    return upper + y * (lower - upper), known


def median(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Lower medians over the last axis of those chosen; 0 where none is."""
    ordered = np.sort(np.where(chosen, values, np.inf), axis=-1)
    middle = np.maximum(chosen.sum(axis=-1, keepdims=True) - 1, 0) // 2
    found = np.take_along_axis(ordered, middle, -1)[..., 0]
    return np.where(np.isfinite(found), found, 0.0)


def _trials() -> np.ndarray:
    """Sets of rays that may be right when others are not, shape (set, ray)."""
    turn = (np.arange(_RAYS) - np.arange(0, _RAYS, 4)[:, np.newaxis]) % _RAYS
    arcs = [turn < _RAYS // 2, turn[::2] < 5 * _RAYS // 8, turn[::2] < 3 * _RAYS // 4]
    gaps = turn[::2] < 3 * _RAYS // 16
    two = [~(a | b) for a, b in combinations(gaps, 2)]
    return np.concatenate([np.ones((1, _RAYS)), *arcs, two])


_TRIALS = _trials()


def first_ellipse(
    edge: np.ndarray, seen: np.ndarray, centre: np.ndarray, shape: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The ellipse that most points of the rim agree with, of those through parts of them."""
    terms = _terms(edge)
    middle, form = _conic(_products(terms), seen[:, np.newaxis] * _TRIALS)
    small, large = _axes(form)
    sound = (small > 0.4) & (large < 2.5)
    tolerance = 0.015 + 0.15 / np.sqrt(np.linalg.det(shape))
    # To compare them, single precision is enough.
    away = _away(*(values.astype(np.float32) for values in (terms, middle, form)))
    away /= tolerance[:, None, None]
    loss = np.minimum(away**2, 1.0) @ seen[..., None].astype(np.float32)
    best = np.where(sound, loss[..., 0], np.inf).argmin(axis=1)
    pick = np.arange(len(edge)), best
    return _place(middle[pick], form[pick], centre, shape)


def agreed_ellipse(
    edge: np.ndarray, seen: np.ndarray, centre: np.ndarray, shape: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The ellipse through points of the rim, less those that are off (Tukey's biweight).

    Returns
    -------
    centre, shape : ndarray, shapes (n, 2) and (n, 2, 2)
    weights : ndarray, shape (n, ray)
        Of the points, 0 to 1.
    """
    terms = _terms(edge)
    products = _products(terms)
    along = along_rays(shape)
    pixels = np.hypot(along[..., 0], along[..., 1])
    away = (edge - 1) * pixels
    for _ in range(_ROUNDS):
        spread = np.clip(1.4826 * median(np.abs(away), seen), *_SPREAD)
        weights = np.maximum(1 - (away / (4.685 * spread[:, None])) ** 2, 0.0) ** 2 * seen
        middle, form = _conic(products, weights[:, np.newaxis])
        away = _away(terms, middle, form)[:, 0] * pixels
    return *_place(middle[:, 0], form[:, 0], centre, shape), weights


def _terms(edge: np.ndarray) -> np.ndarray:
    """1, x, y, x^2 - y^2, 2 x y and x^2 + y^2 of points on rays, shape (n, ray, 6)."""
    x, y = edge * _DIRECTIONS[:, 0], edge * _DIRECTIONS[:, 1]
    return np.stack([np.ones_like(x), x, y, x * x - y * y, 2 * x * y, x * x + y * y], axis=-1)


def _products(terms: np.ndarray) -> np.ndarray:
    """Of all pairs of terms, shape (n, ray, 36)."""
    return (terms[..., np.newaxis] * terms[..., np.newaxis, :]).reshape(*terms.shape[:2], 36)


def _conic(products: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ellipses by weighted least squares through points near the unit circle.

    There ``x^2 + y^2 - a - b x - c y - d (x^2 - y^2) - 2 e x y`` is twice the distance.

    Parameters
    ----------
    products : ndarray, shape (n, ray, 36)
        Of the points' `_terms`.
    weights : ndarray, shape (n, set, ray)

    Returns
    -------
    middle : ndarray, shape (n, set, 2)
    form : ndarray, shape (n, set, 2, 2)
        Points of the ellipse are ``middle + root(form) @ (unit circle)``; 0 where there is none.
    """
    sums = (weights @ products).reshape(*weights.shape[:2], 6, 6)
    found = np.linalg.solve(sums[..., :5, :5] + 1e-6 * np.eye(5), sums[..., :5, 5:])[..., 0]
    a, b, c, d, e = np.moveaxis(found, -1, 0)
    det = 1 - d * d - e * e
    sound = det > 0.05
    det = np.where(sound, det, 1.0)
    inverse = (
        np.stack([1 + d, e, e, 1 - d], axis=-1).reshape(*d.shape, 2, 2) / det[..., None, None]
    )
    half = np.stack([b, c], axis=-1) / 2
    middle = (inverse @ half[..., np.newaxis])[..., 0]
    size = a + (half * middle).sum(axis=-1)
    sound &= size > 0
    return middle, np.where(sound[..., None, None], size[..., None, None] * inverse, 0.0)


def _axes(form: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lengths of the smaller and the larger semi-axis."""
    mean = (form[..., 0, 0] + form[..., 1, 1]) / 2
    differ = np.hypot((form[..., 0, 0] - form[..., 1, 1]) / 2, form[..., 0, 1])
    return np.sqrt(np.maximum(mean - differ, 0.0)), np.sqrt(mean + differ)


def _away(terms: np.ndarray, middle: np.ndarray, form: np.ndarray) -> np.ndarray:
    """How far points lie outside of ellipses, seen from their centres: shape (n, set, ray)."""
    xx, xy, yy = form[..., 0, 0], form[..., 0, 1], form[..., 1, 1]
    det = np.maximum(xx * yy - xy * xy, 1e-12)
    one = np.ones_like(xx)
    squared = _quadratic(terms, middle, one, 0 * one, one)
    times = _quadratic(terms, middle, yy / det, -xy / det, xx / det)
    return np.sqrt(squared) * (1 - 1 / np.sqrt(times))


def _quadratic(
    terms: np.ndarray, middle: np.ndarray, xx: np.ndarray, xy: np.ndarray, yy: np.ndarray
) -> np.ndarray:
    """Squared lengths of points from `middle` in a metric, above 0; shape (n, set, ray)."""
    x, y = middle[..., 0], middle[..., 1]
    to_x, to_y = xx * x + xy * y, xy * x + yy * y
    parts = [to_x * x + to_y * y, -2 * to_x, -2 * to_y, (xx - yy) / 2, xy, (xx + yy) / 2]
    return np.maximum(np.stack(parts, axis=-1) @ terms.swapaxes(1, 2), 1e-9)


def _place(
    middle: np.ndarray, form: np.ndarray, centre: np.ndarray, shape: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """From where the old ellipse was the unit circle to pixels."""
    return centre + (shape @ middle[..., np.newaxis])[..., 0], root(shape @ form @ shape)


def overlap(
    reach: np.ndarray,
    seen: np.ndarray,
    start: tuple[np.ndarray, np.ndarray],
    ellipse: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    """Intersection over union of what lies within `reach` of the start and an ellipse.

    0 where the start's centre is not in the ellipse; rays that are not seen do not count.
    """
    inverse = np.linalg.inv(ellipse[1])
    from_x, from_y = (inverse @ (start[0] - ellipse[0])[..., None]).swapaxes(0, 1)
    step_x, step_y = np.moveaxis(along_rays(start[1]) @ inverse, -1, 0)
    # Where a ray leaves the ellipse: |from + rim * step| = 1.
    square, both = step_x**2 + step_y**2, from_x * step_x + from_y * step_y
    inside = 1 - from_x**2 - from_y**2
    rim = (np.sqrt(np.maximum(both**2 + square * inside, 0.0)) - both) / square
    rim = np.where(inside > 0, rim, 0.0)
    shared, either = np.minimum(reach, rim) ** 2, np.maximum(reach, rim) ** 2
    return (shared * seen).sum(axis=1) / np.maximum((either * seen).sum(axis=1), 1e-9)


def unevenness(edge: np.ndarray, rise: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """How little a rim is like a pupil's, 1 at most: steady in contrast and close to an ellipse.

    Dark patches of fur are neither.
    """
    share = weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-9)
    mean = (share * rise).sum(axis=1)
    contrast = (share * (rise - mean[:, np.newaxis]) ** 2).sum(axis=1)
    contrast /= np.maximum(mean, _LEAST_CONTRAST) ** 2
    form = (share * (edge - 1) ** 2).sum(axis=1)
    return contrast / _UNEVEN[0] ** 2 + form / _UNEVEN[1] ** 2


def root(matrix: np.ndarray) -> np.ndarray:
    """Square roots of symmetric positive 2 x 2 matrices, shape (n, 2, 2)."""
    det = np.sqrt(np.maximum(np.linalg.det(matrix), 1e-12))
    trace = matrix[:, 0, 0] + matrix[:, 1, 1]
    return (matrix + det[:, None, None] * np.eye(2)) / np.sqrt(trace + 2 * det)[:, None, None]


def along_rays(shape: np.ndarray) -> np.ndarray:
    """From the centre to the rim in pixels, for each ray: shape (n, ray, 2)."""
    return _DIRECTIONS @ shape  # which is symmetric
