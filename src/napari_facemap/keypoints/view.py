"""What view of a face the network is shown: size, place and facing follow from eye and nose."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_facemap.keypoints.box import Box
from napari_facemap.keypoints.skeleton import GROUPS

FACINGS = ("left", "right")
"""Where the nose points in the picture. Networks see faces that look left."""

BOX_SIDE = 2.2
"""Side of a face's box, in distances from eye to nose tip."""

_BELOW = 0.2  # the box's middle lies this far below the line from eye to nose, same unit


def eye_and_nose(xy: np.ndarray, keypoints: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Middle of the eye and tip of the nose.

    Parameters
    ----------
    xy : ndarray, shape (..., 2, keypoint)
        Column and row; NaN is unknown.
    keypoints : sequence of str
        Their names.

    Returns
    -------
    eye, nose : ndarray, each (..., 2)
        NaN where unknown. The eye is the mean of those of its four points that are known, or
        without any of those of the pupil's.
    """
    names = list(keypoints)
    eye = np.full(xy.shape[:-1], np.nan)
    for group in ("pupil", "eye"):
        columns = xy[..., [names.index(name) for name in GROUPS[group] if name in names]]
        known = np.isfinite(columns).all(axis=-2)
        total = np.where(known[..., None, :], columns, 0).sum(axis=-1)
        count = known.sum(axis=-1)[..., None]
        eye = np.where(count > 0, total / np.maximum(count, 1), eye)
    if "nose(tip)" not in names:
        return eye, np.full(eye.shape, np.nan)
    return eye, xy[..., names.index("nose(tip)")]


def face_size(xy: np.ndarray, keypoints: Sequence[str]) -> np.ndarray:
    """Distance from the middle of the eye to the nose tip: the unit of errors.

    Parameters
    ----------
    xy : ndarray, shape (..., 2, keypoint)
        Column and row.
    keypoints : sequence of str
        Their names.

    Returns
    -------
    ndarray, shape (...)
        NaN where eye or nose is unknown.
    """
    eye, nose = eye_and_nose(xy, keypoints)
    return np.asarray(np.hypot(*np.moveaxis(nose - eye, -1, 0)))


def facing_of(eye: np.ndarray, nose: np.ndarray) -> str:
    """Where a face looks: "left" when the nose is left of the eye, else "right"."""
    return "left" if nose[0] < eye[0] else "right"


def view_of(eye: np.ndarray, nose: np.ndarray) -> tuple[np.ndarray, float]:
    """Middle and side of the square that shows a face from behind the eye to below the mouth.

    Parameters
    ----------
    eye, nose : ndarray, shape (2,)
        Column and row.

    Returns
    -------
    middle : ndarray, shape (2,)
        Column and row.
    side : float
        Pixels.
    """
    forward = nose - eye
    # A quarter turn towards the mouth, which depends on where the face looks.
    down = np.array([forward[1], -forward[0]]) * (1 if facing_of(eye, nose) == "left" else -1)
    return eye + 0.5 * forward + _BELOW * down, float(BOX_SIDE * np.hypot(*forward))


def face_box(eye: np.ndarray, nose: np.ndarray) -> Box:
    """Make the box of whole pixels that shows a face; it may stick out of the frame."""
    return square_box(*view_of(eye, nose))


def square_box(middle: np.ndarray, side: float) -> Box:
    """Make the box of whole pixels nearest to a square; it may stick out of the frame."""
    length = max(round(side), 16)
    x0, y0 = (round(float(c) + 0.5 - length / 2) for c in middle)
    return Box(x0, y0, x0 + length, y0 + length)
