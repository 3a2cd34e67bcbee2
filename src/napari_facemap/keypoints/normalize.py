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


def _limits(quantiles: np.ndarray) -> Tensor:
    """Shape (n, 2) to (n, 2, 1, 1), with limits that are equal set apart by one grey level."""
    low, high = quantiles[..., 0], quantiles[..., 1]
    high = np.where(high > low, high, low + 1)
    return torch.from_numpy(np.stack([low, high], axis=-1).astype(np.float32))[..., None, None]


def prepare(frames: np.ndarray, box: Box, device: torch.device | str = "cpu") -> Tensor:
    """Normalise each frame by itself and bring its box to the network's size.

    Parameters
    ----------
    frames : ndarray of uint8, shape (n, rows, columns)
        Full frames.
    box : Box
        The part to look at.
    device : torch.device or str
        Where the result is to be.

    Returns
    -------
    Tensor, shape (n, 1, 256, 256), float32
        About 0 to 1: the 1st and 99th percentile of grey in the box become 0 and 1. A box that
        is not square is padded with 0. Shrinking is antialiased.
    """
    crop = np.ascontiguousarray(frames[:, box.y0 : box.y1, box.x0 : box.x1])
    limits = _limits(grey_quantiles(_histograms(crop))).to(device)
    images = torch.from_numpy(crop).to(device, torch.float32)[:, None]
    images = (images - limits[:, :1]) / (limits[:, 1:] - limits[:, :1])
    return _resize(_pad_square(images, box), antialias=True)


def prepare_as_facemap(frames: np.ndarray, box: Box, device: torch.device | str = "cpu") -> Tensor:
    """Prepare frames the way that Facemap 1.0 does.

    Its percentiles are those of the whole frames of the whole batch, so that results depend on
    the batch, and it shrinks without antialiasing. Only for results that must equal Facemap's.

    Parameters
    ----------
    frames : ndarray of uint8, shape (n, rows, columns)
        Full frames.
    box : Box
        The part to look at.
    device : torch.device or str
        Where the result is to be.

    Returns
    -------
    Tensor, shape (n, 1, 256, 256), float32
    """
    counts = _histograms(frames).sum(axis=0, keepdims=True)
    limits = _limits(grey_quantiles(counts)).to(device)
    crop = np.ascontiguousarray(frames[:, box.y0 : box.y1, box.x0 : box.x1])
    images = torch.from_numpy(crop).to(device, torch.float32)[:, None]
    images = (images - limits[:, :1]) / (limits[:, 1:] - limits[:, :1])
    return _resize(_pad_square(images, box), antialias=False)


def _pad_square(images: Tensor, box: Box) -> Tensor:
    left, top = box.padding
    right, bottom = box.side - box.width - left, box.side - box.height - top
    return F.pad(images, (left, right, top, bottom))


def _resize(images: Tensor, antialias: bool) -> Tensor:
    if images.shape[-1] == INPUT_SIZE:
        return images
    size = (INPUT_SIZE, INPUT_SIZE)
    return F.interpolate(
        images, size=size, mode="bilinear", align_corners=False, antialias=antialias
    )
