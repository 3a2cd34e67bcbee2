"""The part of the frame that the network looks at, and the way there and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from napari_facemap.keypoints.network import INPUT_SIZE

MIN_SIDE = 16


class Box(NamedTuple):
    """A rectangle of whole pixels: columns x0 to x1 and rows y0 to y1, ends not included."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def width(self) -> int:
        """Columns."""
        return self.x1 - self.x0

    @property
    def height(self) -> int:
        """Rows."""
        return self.y1 - self.y0

    @property
    def side(self) -> int:
        """Side of the square that the box is padded to; an odd difference rounds up."""
        difference = abs(self.width - self.height)
        return max(self.width, self.height) + difference % 2

    @property
    def padding(self) -> tuple[int, int]:
        """Pixels added on the left and at the top; the rest goes to the far ends."""
        return (self.side - self.width) // 2, (self.side - self.height) // 2

    def inside(self, height: int, width: int) -> Box:
        """The part that lies in a frame of that size; its width may be 0 or negative."""
        return Box(max(self.x0, 0), max(self.y0, 0), min(self.x1, width), min(self.y1, height))


def check_box(box: Sequence[float] | None, height: int, width: int) -> Box:
    """Make a box of whole pixels that shows some of the frame.

    Parameters
    ----------
    box : (x0, y0, x1, y1) or None
        Pixels of the full frame, x1 and y1 not included. None is the whole frame. Parts may
        stick out of the frame; nothing is seen there.
    height, width : int
        The frame's size.

    Returns
    -------
    Box

    Raises
    ------
    ValueError
        When the box is not four finite numbers, less than 16 x 16 pixels of it lie in the frame,
        or it is more than four times as large as the frame.
    """
    if box is None:
        return Box(0, 0, width, height)
    corners = np.asarray(box, float)
    if corners.shape != (4,) or not np.isfinite(corners).all():
        raise ValueError(f"Expected a box of four numbers x0, y0, x1, y1; found {box}.")
    x0, y0, x1, y1 = (int(corner) for corner in np.round(corners))
    whole = Box(x0, y0, x1, y1)
    inside = whole.inside(height, width)
    if min(inside.width, inside.height) < MIN_SIDE or whole.side > 4 * max(height, width):
        raise ValueError(
            f"Expected a box with at least {MIN_SIDE} x {MIN_SIDE} pixels inside the frame of "
            f"{width} x {height} and at most four times its size, with x0 < x1 and y0 < y1; "
            f"found {tuple(map(float, corners))}."
        )
    return whole


def input_to_frame(
    xy: np.ndarray, box: Box, facing: str = "left", facemap: bool = False
) -> np.ndarray:
    """Carry points from the network's input to the full frame.

    Parameters
    ----------
    xy : ndarray, shape (..., 2, keypoint)
        Column and row in pixels of the network's input.
    box : Box
        What the network looked at.
    facing : {"left", "right"}
        Where the face in the box looks; the network saw one that looks right mirrored.
    facemap : bool, default False
        Facemap scales about pixel corners' coordinates as though they were centres, up to half
        a pixel off; True does the same.

    Returns
    -------
    ndarray
        Same shape, pixels of the frame with pixel centres at integers.
    """
    scale = box.side / INPUT_SIZE
    shift = 0.0 if facemap else 0.5
    return (_mirrored(xy, facing) + shift) * scale - shift + _origin(box)


def frame_to_input(xy: np.ndarray, box: Box, facing: str = "left") -> np.ndarray:
    """Carry points from the full frame to the network's input; undoes `input_to_frame`."""
    scale = INPUT_SIZE / box.side
    return _mirrored((xy - _origin(box) + 0.5) * scale - 0.5, facing)


def _origin(box: Box) -> np.ndarray:
    left, top = box.padding
    return np.array([[box.x0 - left], [box.y0 - top]], float)


def _mirrored(xy: np.ndarray, facing: str) -> np.ndarray:
    if facing == "left":
        return xy
    return np.array([[INPUT_SIZE - 1.0], [0.0]]) + np.array([[-1.0], [1.0]]) * xy
