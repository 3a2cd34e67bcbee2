"""Frames made ready for the network: cut to the box, 256 x 256, grey levels stretched."""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_facemap.keypoints.box import Box
from napari_facemap.keypoints.network import INPUT_SIZE
from napari_facemap.keypoints.resize import ONE, Resize

Frames = TypeVar("Frames", np.ndarray, Tensor)

LOW, HIGH = 0.01, 0.99
"""Quantiles of grey that become 0 and 1."""

_ROWS = 128  # of a box, at least, that quantiles are found in, where it has as many


class Preparation:
    """How frames of one size become pictures of what is in one box.

    Each frame is prepared by itself, and to the same numbers on every device.

    Parameters
    ----------
    box : Box
        The part to look at.
    height, width : int
        The frames' size.
    facing : {"left", "right"}
        Where the face looks; one that looks right is mirrored.
    device : torch.device or str
        Where to compute.
    """

    def __init__(
        self,
        box: Box,
        height: int,
        width: int,
        facing: str = "left",
        device: torch.device | str = "cpu",
    ):
        self.device = torch.device(device)
        self._resize = Resize(box, height, width, facing, self.device)

    def crop(self, frames: Frames) -> Frames:
        """Cut out what is needed of frames of shape (n, rows, columns); a view."""
        inside = self._resize.inside
        return frames[:, inside.y0 : inside.y1, inside.x0 : inside.x1]

    def pictures(self, crop: Tensor) -> Tensor:
        """Make pictures of what `crop` gave.

        Parameters
        ----------
        crop : Tensor of uint8, shape (n, rows, columns)
            On the device.

        Returns
        -------
        Tensor of float32, shape (n, 1, 256, 256)
            About 0 to 1: the 1st and 99th percentile of grey in the box become 0 and 1, found in
            every second, third ... row of boxes of 256, 384 ... rows. A box that is not square is
            padded with 0, and so are its parts outside of the frame. Shrinking is antialiased.
        """
        # Of so many pixels some of the rows tell as much as all.
        rows = crop[:, :: max(1, crop.shape[1] // _ROWS)]
        low, high = grey_limits(rows.flatten(1))
        low, scale = low[:, None, None], (1 / (high - low) / ONE**2)[:, None, None]
        grey = self._resize(crop).sub_(low * self._resize.inside_share).mul_(scale)
        return grey[:, None]

    def __call__(self, frames: np.ndarray | Tensor) -> Tensor:
        """Make pictures of full frames."""
        crop = self.crop(frames)
        held = crop if isinstance(crop, Tensor) else torch.from_numpy(_own(crop))
        return self.pictures(held.to(self.device))


def prepare(
    frames: np.ndarray, box: Box, device: torch.device | str = "cpu", facing: str = "left"
) -> Tensor:
    """Prepare frames for once.

    Parameters
    ----------
    frames : ndarray of uint8, shape (n, rows, columns)
        Full frames.
    box, device, facing
        See `Preparation`.

    Returns
    -------
    Tensor, shape (n, 1, 256, 256), float32
        See `Preparation.pictures`.
    """
    height, width = frames.shape[1:]
    return Preparation(box, height, width, facing, device)(frames)


def prepare_as_facemap(frames: np.ndarray, box: Box, device: torch.device | str = "cpu") -> Tensor:
    """Prepare frames the way that Facemap 1.0 does.

    Its percentiles are those of the whole frames of the whole batch, so that results depend on
    the batch, and it shrinks without antialiasing. Only for results that must equal Facemap's.

    Parameters and result are those of `prepare`.
    """
    counts = np.stack([np.bincount(frame.ravel(), minlength=256) for frame in frames])
    low, high = grey_quantiles(counts.sum(axis=0))
    high = high if high > low else low + 1
    inside = box.inside(*frames.shape[1:])
    left, top = box.padding
    left, top = left + inside.x0 - box.x0, top + inside.y0 - box.y0
    margins = (left, box.side - inside.width - left, top, box.side - inside.height - top)
    crop = _own(frames[:, inside.y0 : inside.y1, inside.x0 : inside.x1])
    images = torch.from_numpy(crop).to(device, torch.float32)[:, None]
    images = F.pad((images - float(low)) / float(high - low), margins)
    if images.shape[-1] == INPUT_SIZE:
        return images
    return F.interpolate(images, (INPUT_SIZE, INPUT_SIZE), mode="bilinear", align_corners=False)


def grey_quantiles(counts: np.ndarray, quantiles: tuple[float, ...] = (LOW, HIGH)) -> np.ndarray:
    """Quantiles of 8-bit pixels from their histogram, equal to sorting all pixels.

    Parameters
    ----------
    counts : ndarray of int, shape (256,)
        Pixels at each grey level.
    quantiles : tuple of float
        Between 0 and 1.

    Returns
    -------
    ndarray of float64, shape (len(quantiles),)
        Interpolated linearly between neighbouring pixels in sorted order.
    """
    places = np.array(quantiles) * (counts.sum() - 1)
    below = np.floor(places)
    above = np.minimum(below + 1, counts.sum() - 1)
    # The level of the k-th pixel in order is the first whose cumulative count passes k.
    low, high = np.searchsorted(np.cumsum(counts), np.stack([below, above]), side="right")
    return low + (places - below) * (high - low)


def grey_limits(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Find the grey levels of each picture that become 0 and 1.

    Parameters
    ----------
    pixels : Tensor of uint8, shape (n, pixel)
        Pictures.

    Returns
    -------
    low, high : Tensor of float32, shape (n,)
        Quantiles as those of `grey_quantiles`. Of an even picture they would be equal and are
        set apart by one level.
    """
    last = pixels.shape[1] - 1
    places = [LOW * last, HIGH * last]
    ranks = [rank for place in places for rank in (int(place), min(int(place) + 1, last))]
    levels = (_levels_on_cpu if pixels.device.type == "cpu" else _levels_on_gpu)(pixels, ranks)
    a, b, c, d = levels.float().unbind(1)
    low = a + (b - a) * math.modf(places[0])[0]
    high = c + (d - c) * math.modf(places[1])[0]
    return low, torch.where(high > low, high, low + 1)


def _levels_on_cpu(pixels: Tensor, ranks: list[int]) -> Tensor:
    """Levels of the pixels at some places of the sorted order, shape (n, rank)."""
    counts = torch.stack([torch.bincount(picture, minlength=256) for picture in pixels])
    wanted = torch.tensor(ranks).expand(len(pixels), -1).contiguous()
    return torch.searchsorted(counts.cumsum(1), wanted, right=True)


def _levels_on_gpu(pixels: Tensor, ranks: list[int]) -> Tensor:
    """Find the same bit by bit: counting into bins makes the threads of a GPU wait in line."""
    levels = []
    for rank in ranks:
        level = torch.zeros(len(pixels), dtype=torch.int32, device=pixels.device)
        for bit in (128, 64, 32, 16, 8, 4, 2, 1):
            below = (pixels < (level + bit)[:, None]).sum(dim=1, dtype=torch.int32)
            level = torch.where(below <= rank, level + bit, level)
        levels.append(level)
    return torch.stack(levels, dim=1)


def _own(crop: np.ndarray) -> np.ndarray:
    return np.array(crop, order="C")  # a copy, since torch refuses what is read-only
