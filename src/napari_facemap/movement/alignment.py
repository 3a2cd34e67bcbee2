"""Regions of one video found again in another, whose camera stood a little differently."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage

from napari_facemap.movement.regions import Region, Regions
from napari_facemap.movement.running import RunningMeasure
from napari_facemap.video.arrays import as_video

TRUSTED = 0.5
"""Quality from which on an alignment is taken to be right."""

_LOOKED_AT = 25  # frames of each video, of which the median is the still picture
_DETAIL = 6.0  # pixels: what is larger is light, not texture
_LEVELS = (4, 2, 1)  # sides of the squares of pixels that are averaged, in turn
_STEPS = 25
_SMALLEST = 24  # pixels of a side that a picture needs


class Alignment(NamedTuple):
    """How a picture lies on another.

    Attributes
    ----------
    matrix : ndarray, shape (2, 3)
        Takes x, y, 1 of the first picture to x, y of the second: a shift, a turn and one scale.
    quality : float
        Correlation of the details of both where they overlap, -1 to 1; see `TRUSTED`.
    """

    matrix: np.ndarray
    quality: float


def align_regions(regions: Regions, old: Any, new: Any) -> tuple[Regions, list[float]]:
    """Move regions from the videos that they were drawn on to others of the same scene.

    Parameters
    ----------
    regions : Regions
        Drawn on `old`.
    old, new : path, Video, array of shape (time, rows, columns), or list of them
        A video for each view.

    Returns
    -------
    Regions
        For the frames of `new`: shifted, turned and scaled with the picture.
    list of float
        Quality of each view's alignment. Below `TRUSTED` the regions of this view are only
        stretched to the frame.

    Raises
    ------
    ValueError
        When there are fewer videos than views with regions, or a video is no video.
    """
    before, after = _stills(old), _stills(new)
    needed = max((region.view + 1 for region in regions), default=0)
    if min(len(before), len(after)) < needed:
        raise ValueError(
            f"Expected {needed} old and new videos, one for each view of the regions; found "
            f"{len(before)} and {len(after)}."
        )
    sizes = [picture.shape for picture in after]
    stretched = regions.fitted_to([picture.shape for picture in before])
    found: list[Region] = []
    qualities: list[float] = []
    for view in range(needed):
        alignment = align(before[view], after[view])
        qualities.append(alignment.quality)
        own = [region for region in stretched if region.view == view]
        if alignment.quality < TRUSTED:
            one = Regions(tuple(replace(r, view=0) for r in own), (before[view].shape,))
            found += [replace(r, view=view) for r in one.fitted_to([sizes[view]])]
        else:
            matrix = alignment.matrix
            found += [
                replace(r, vertices=r.vertices @ matrix[:, :2].T + matrix[:, 2]) for r in own
            ]
    return Regions(tuple(found), tuple((int(h), int(w)) for h, w in sizes)), qualities


def align(first: np.ndarray, second: np.ndarray) -> Alignment:
    """Find where the first of two pictures lies on the second.

    The shift is found by phase correlation, then shift, turn and scale together by least
    squares on the details of both, from coarse to fine (Lucas and Kanade 1981).

    Parameters
    ----------
    first, second : ndarray, shape (rows, columns)
        Grey levels; sizes may differ.

    Returns
    -------
    Alignment

    Raises
    ------
    ValueError
        When a picture is too small to align.
    """
    if min(*first.shape, *second.shape) < _SMALLEST:
        raise ValueError(
            f"Expected pictures of {_SMALLEST} pixels or more a side to align; found "
            f"{first.shape} and {second.shape}."
        )
    scale = second.shape[1] / first.shape[1], second.shape[0] / first.shape[0]
    stretch = np.array([[scale[0], 0, scale[0] / 2 - 0.5], [0, scale[1], scale[1] / 2 - 0.5]])
    inverse = _inverted(stretch)
    stretched = _warped(np.asarray(first, float), inverse, second.shape, "nearest")
    best = Alignment(stretch, _agreement(stretched, np.asarray(second, float), _whole(second)))
    whole = Region.rectangle("all", "running", 0, 0, second.shape[1] - 1, second.shape[0] - 1)
    bytes_ = [np.clip(picture, 0, 255).astype(np.uint8) for picture in (stretched, second)]
    x, y, _ = RunningMeasure(whole, *second.shape).work(bytes_[0], bytes_[1][np.newaxis])[0]
    starts = [(0.0, 0.0)] + ([(x, y)] if np.isfinite(x) else [])
    for shift in starts:
        moved = _refined(stretched, np.asarray(second, float), shift)
        quality = _quality(stretched, np.asarray(second, float), moved)
        if quality > best.quality:
            best = Alignment(_joined(moved, stretch), quality)
    return best


def _stills(videos: Any) -> list[np.ndarray]:
    given: Sequence[Any] = list(videos) if isinstance(videos, list | tuple) else [videos]
    return [still(one) for one in given]


def still(video: Any) -> np.ndarray:
    """Median of some frames of a video, evenly spaced, float32 of shape (rows, columns)."""
    opened = as_video(video)
    try:
        n = opened.shape[0]
        wanted = np.unique(np.linspace(0, n - 1, min(n, _LOOKED_AT)).astype(int))
        good = np.setdiff1d(wanted, opened.bad_frames)
        frames = np.stack([opened[int(k)] for k in (good if len(good) else wanted)])
    finally:
        if opened is not video:
            opened.close()
    return np.median(frames, axis=0).astype(np.float32)


def _refined(first: np.ndarray, second: np.ndarray, shift: tuple[float, float]) -> np.ndarray:
    """Matrix from the first picture to the second, of the same size."""
    matrix = np.array([[1.0, 0, shift[0]], [0, 1.0, shift[1]]])
    middle = np.array([first.shape[1], first.shape[0]]) / 2
    for side in _LEVELS:
        if min(first.shape) // side < _SMALLEST:
            continue
        a, b = (ndimage.gaussian_filter(picture, side / 2) for picture in (first, second))
        b_detail = _detail(b)
        gy, gx = np.gradient(b_detail)
        for _ in range(_STEPS):
            # The first picture's details, seen from the second's pixels.
            seen = _warped(a, _inverted(matrix), second.shape)
            inside = np.isfinite(seen)[::side, ::side]
            if inside.mean() < 0.2:
                break
            error = (b_detail - _detail(np.nan_to_num(seen)))[::side, ::side]
            y, x = np.mgrid[: second.shape[0] : side, : second.shape[1] : side]
            x, y = x - middle[0], y - middle[1]
            gxs, gys = gx[::side, ::side], gy[::side, ::side]
            columns = np.stack([gxs, gys, gxs * x + gys * y, gys * x - gxs * y], axis=-1)
            weights = inside / (1 + (error / (2 * np.abs(error).mean() + 1e-9)) ** 2)
            design, aim = columns[inside], error[inside]
            weighted = design * weights[inside][:, None]
            bend = weighted.T @ design
            step = np.linalg.lstsq(bend, weighted.T @ aim, rcond=None)[0]
            change = _similarity(-step, middle)
            matrix = _joined(change, matrix)
            if np.abs(step[:2]).max() < 1e-3 and np.abs(step[2:]).max() * middle.max() < 1e-3:
                break
    return matrix


def _similarity(step: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """Matrix of a shift, growth and turn about the picture's middle."""
    shift, grow, turn = step[:2], step[2], step[3]
    linear = np.array([[1 + grow, -turn], [turn, 1 + grow]])
    return np.column_stack([linear, shift + middle - linear @ middle])


def _quality(first: np.ndarray, second: np.ndarray, matrix: np.ndarray) -> float:
    seen = _warped(first, _inverted(matrix), second.shape)
    return _agreement(np.nan_to_num(seen), second, np.isfinite(seen))


def _agreement(first: np.ndarray, second: np.ndarray, inside: np.ndarray) -> float:
    """Correlation of details where both are seen; -1 where too little is."""
    inside = ndimage.binary_erosion(inside, iterations=3)
    if inside.mean() < 0.2:
        return -1.0
    a, b = (_detail(ndimage.gaussian_filter(p, 1.0))[inside] for p in (first, second))
    spread = a.std() * b.std()
    return float(np.mean((a - a.mean()) * (b - b.mean())) / spread) if spread > 0 else -1.0


def _detail(picture: np.ndarray) -> np.ndarray:
    """A picture without its light: local mean 0, local contrast 1."""
    fine = picture - ndimage.gaussian_filter(picture, _DETAIL)
    contrast = np.sqrt(ndimage.gaussian_filter(fine**2, 2 * _DETAIL))
    return fine / (contrast + 1.0)


def _whole(picture: np.ndarray) -> np.ndarray:
    return np.ones(picture.shape, bool)


def _warped(
    picture: np.ndarray, matrix: np.ndarray, shape: tuple[int, ...], beyond: str = "constant"
) -> np.ndarray:
    """A picture looked up at `matrix` times (x, y, 1) of each pixel; NaN outside of it."""
    linear, shift = matrix[::-1, 1::-1], matrix[::-1, 2]
    return ndimage.affine_transform(
        picture, linear, offset=shift, output_shape=shape, order=1, mode=beyond, cval=np.nan
    )


def _inverted(matrix: np.ndarray) -> np.ndarray:
    linear = np.linalg.inv(matrix[:, :2])
    return np.column_stack([linear, -linear @ matrix[:, 2]])


def _joined(after: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Matrix of `before` followed by `after`."""
    linear = after[:, :2] @ before[:, :2]
    return np.column_stack([linear, after[:, :2] @ before[:, 2] + after[:, 2]])
