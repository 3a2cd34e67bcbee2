"""A box of the frame brought to the network's size, in numbers that are the same on every device.

Resizing weighs neighbouring pixels by a triangle as wide as the step between pixels of the result
(what Pillow calls antialiased bilinear). Weights here are whole numbers of 256ths. Every sum of
products is then a whole number below 2**24, which float32 holds exactly, in whatever order a
processor or a GPU adds.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from napari_facemap.keypoints.box import Box
from napari_facemap.keypoints.network import INPUT_SIZE

ONE = 256
"""What the weights of one pixel of the result add up to."""

_BAND = 16  # lines of the result that a CPU makes at once, from no more lines than they need


class Lines(NamedTuple):
    """Weights of input lines in some neighbouring lines of the result."""

    start: int
    stop: int
    weights: Tensor


class Resize:
    """Shrink or stretch the part of a box that lies in the frame, its square becoming 256 x 256.

    Parameters
    ----------
    box : Box
        What the network looks at.
    height, width : int
        The frame's size.
    facing : {"left", "right"}
        Results for a face that looks right are mirrored.
    device : torch.device
        Where to compute.

    Attributes
    ----------
    inside : Box
        The part of the box that lies in the frame.
    inside_share : Tensor, shape (256, 256)
        Weight of pixels of `inside` in each pixel of the result, of ``ONE * ONE``.
    """

    def __init__(self, box: Box, height: int, width: int, facing: str, device: torch.device):
        self.inside = box.inside(height, width)
        left, top = box.padding
        every = triangle_weights(box.side)
        rows = every[:, top + self.inside.y0 - box.y0 :][:, : self.inside.height]
        columns = every[:, left + self.inside.x0 - box.x0 :][:, : self.inside.width]
        if facing == "right":
            columns = columns[::-1]
        self.inside_share = torch.from_numpy(np.outer(rows.sum(1), columns.sum(1))).to(device)
        band = _BAND if device.type == "cpu" else INPUT_SIZE
        self._rows = _bands(rows, band, device)
        self._columns = _bands(columns, band, device)

    def __call__(self, crop: Tensor) -> Tensor:
        """Resize pictures.

        Parameters
        ----------
        crop : Tensor of uint8, shape (n, rows, columns)
            What lies in `inside`, on the device.

        Returns
        -------
        Tensor of float32, shape (n, 256, 256)
            ``ONE * ONE`` times the grey level. What lies outside of the frame counts as 0.
        """
        grey = crop.float()
        n, _, width = crop.shape
        rows = grey.new_empty(n, INPUT_SIZE, width)
        at = 0
        for start, stop, weights in self._rows:
            rows[:, at : at + len(weights)] = torch.matmul(weights, grey[:, start:stop])
            at += len(weights)
        flat = rows.view(n * INPUT_SIZE, width)
        result = grey.new_empty(n * INPUT_SIZE, INPUT_SIZE)
        at = 0
        for start, stop, weights in self._columns:
            result[:, at : at + len(weights)] = flat[:, start:stop] @ weights.T
            at += len(weights)
        return result.view(n, INPUT_SIZE, INPUT_SIZE)


def triangle_weights(side: int) -> np.ndarray:
    """Weights of ``side`` pixels in each of the 256 that they become.

    Parameters
    ----------
    side : int
        Pixels.

    Returns
    -------
    ndarray of float32, shape (256, side)
        Whole numbers; each row adds up to `ONE`.
    """
    scale = side / INPUT_SIZE
    centres = (np.arange(INPUT_SIZE) + 0.5) * scale
    distance = np.abs(np.arange(side) + 0.5 - centres[:, None]) / max(scale, 1)
    weights = np.clip(1 - distance, 0, None)
    weights *= ONE / weights.sum(axis=1, keepdims=True)
    whole = np.floor(weights)
    # What rounding down left over goes to the pixels that lost most.
    order = np.argsort(whole - weights, axis=1, kind="stable")
    missing = np.round(ONE - whole.sum(axis=1, keepdims=True))
    extra = (np.arange(side) < missing).astype(whole.dtype)
    np.put_along_axis(whole, order, np.take_along_axis(whole, order, 1) + extra, 1)
    half = whole[: INPUT_SIZE // 2].astype(np.float32)
    # A mirrored picture is to become the mirrored result, to the last digit.
    return np.concatenate([half, half[::-1, ::-1]])


def _bands(weights: np.ndarray, band: int, device: torch.device) -> list[Lines]:
    bands = []
    for first in range(0, len(weights), band):
        part = weights[first : first + band]
        used = np.flatnonzero(part.any(axis=0))
        start, stop = (int(used[0]), int(used[-1]) + 1) if used.size else (0, 1)
        bands.append(Lines(start, stop, torch.from_numpy(part[:, start:stop].copy()).to(device)))
    return bands
