"""Frames made ready for the network: grey levels stretched, cut to the box, 256 x 256."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_facemap.keypoints.box import Box
from napari_facemap.keypoints.network import INPUT_SIZE

LOW, HIGH = 0.01, 0.99
"""Quantiles of grey that become 0 and 1."""


def grey_quantiles(counts: np.ndarray, quantiles: tuple[float, ...] = (LOW, HIGH)) -> np.ndarray:
    """Quantiles of 8-bit pixels from their histograms, equal to sorting all pixels.

    Parameters
    ----------
    counts : ndarray of int, shape (..., 256)
        Pixels at each grey level.
    quantiles : tuple of float
        Between 0 and 1.

    Returns
    -------
    ndarray of float64, shape (..., len(quantiles))
        Interpolated linearly between neighbouring pixels in sorted order.
    """
    cumulative = np.cumsum(counts, axis=-1)
    n_pixels = cumulative[..., -1:]
    results = []
    for quantile in quantiles:
        place = quantile * (n_pixels - 1)
        below = np.floor(place)
        # The level of the k-th pixel in order is the first whose cumulative count passes k.
        low = (cumulative <= below).sum(axis=-1, keepdims=True)
        high = (cumulative <= np.minimum(below + 1, n_pixels - 1)).sum(axis=-1, keepdims=True)
        results.append(low + (place - below) * (high - low))
    return np.concatenate(results, axis=-1)


def _histograms(frames: np.ndarray) -> np.ndarray:
    return np.stack([np.bincount(frame.ravel(), minlength=256) for frame in frames])


def prepare(
    frames: np.ndarray, box: Box, device: torch.device | str = "cpu", facing: str = "left"
) -> Tensor:
    """Normalise each frame by itself and bring its box to the network's size.

    Parameters
    ----------
    frames : ndarray of uint8, shape (n, rows, columns)
        Full frames.
    box : Box
        The part to look at.
    device : torch.device or str
        Where the result is to be.
    facing : {"left", "right"}
        Where the face looks; one that looks right is mirrored.

    Returns
    -------
    Tensor, shape (n, 1, 256, 256), float32
        About 0 to 1: the 1st and 99th percentile of grey in the box become 0 and 1. A box that
        is not square is padded with 0, and so are its parts outside of the frame. Shrinking is
        antialiased.
    """
    crop, margins = _crop(frames, box)
    quantiles = grey_quantiles(_histograms(crop))
    images = _stretched(crop, quantiles, margins, device, antialias=True)
    return images.flip(3) if facing == "right" else images


def prepare_as_facemap(frames: np.ndarray, box: Box, device: torch.device | str = "cpu") -> Tensor:
    """Prepare frames the way that Facemap 1.0 does.

    Its percentiles are those of the whole frames of the whole batch, so that results depend on
    the batch, and it shrinks without antialiasing. Only for results that must equal Facemap's.

    Parameters and result are those of `prepare`.
    """
    counts = _histograms(frames).sum(axis=0, keepdims=True)
    crop, margins = _crop(frames, box)
    return _stretched(crop, grey_quantiles(counts), margins, device, antialias=False)


def _crop(frames: np.ndarray, box: Box) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """Cut out what of the box lies in the frames, and say what is missing of its square.

    The margins are left, right, top and bottom, in pixels.
    """
    inside = box.inside(*frames.shape[1:])
    left, top = box.padding
    left, top = left + inside.x0 - box.x0, top + inside.y0 - box.y0
    margins = (left, box.side - inside.width - left, top, box.side - inside.height - top)
    cut = frames[:, inside.y0 : inside.y1, inside.x0 : inside.x1]
    return np.array(cut, order="C"), margins  # a copy, since torch refuses what is read-only


def _stretched(
    crop: np.ndarray,
    quantiles: np.ndarray,
    margins: tuple[int, int, int, int],
    device: torch.device | str,
    antialias: bool,
) -> Tensor:
    """Map the two quantiles to 0 and 1, pad to a square, resize."""
    low, high = quantiles[..., 0], quantiles[..., 1]
    # An even picture has equal limits, which are set apart by one grey level.
    high = np.where(high > low, high, low + 1)
    limits = torch.from_numpy(np.stack([low, high - low]).astype(np.float32)).to(device)
    offset, scale = limits[:, :, None, None, None]
    images = torch.from_numpy(crop).to(device, torch.float32)[:, None]
    images = F.pad((images - offset) / scale, margins)
    if images.shape[-1] == INPUT_SIZE:
        return images
    size = (INPUT_SIZE, INPUT_SIZE)
    return F.interpolate(
        images, size=size, mode="bilinear", align_corners=False, antialias=antialias
    )
