"""From the log odds of a `PointNetwork` to each keypoint's place and how sure it is."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

TARGET_SIGMA = 1.0
"""Width of a keypoint's training target, in pixels of the map."""

LEAST_SPREAD = 5.0
"""Mean distance under the training target itself, in pixels of the input."""

_REACH = 3  # pixels of the map around the peak that decide the place


class Posterior(NamedTuple):
    """What the network thinks of each keypoint.

    Attributes
    ----------
    xy : Tensor, shape (batch, 2, keypoint)
        Column and row in pixels of the map.
    spread : Tensor, shape (batch, keypoint)
        Mean distance from `xy` under the distribution over places, pixels of the map.
    unseen : Tensor, shape (batch, keypoint)
        Probability of being hidden or outside the picture.
    """

    xy: Tensor
    spread: Tensor
    unseen: Tensor


def read_posterior(place: Tensor, unseen: Tensor) -> Posterior:
    """Find each keypoint at the mean of its distribution around the distribution's peak.

    Parameters
    ----------
    place : Tensor, shape (batch, keypoint, rows, columns)
        Log odds, see `PointNetwork`.
    unseen : Tensor, shape (batch, keypoint)
        Likewise.

    Returns
    -------
    Posterior
    """
    n_rows, n_columns = place.shape[2:]
    # In float32: half precision would lose the tails that the spread is made of.
    odds = place.float().contiguous().flatten(2)
    flat = torch.softmax(odds, dim=2)
    share = flat.view(place.shape)
    rows = torch.arange(n_rows, device=place.device, dtype=share.dtype)
    columns = torch.arange(n_columns, device=place.device, dtype=share.dtype)
    # The place with most of the distribution around it is steadier than its highest pixel.
    around = _near(n_rows, share) @ (share @ _near(n_columns, share))
    # The best row, then the best place in it: far faster than searching all places at once.
    peak_row = around.amax(dim=3).max(dim=2).indices
    best_row = around.gather(2, peak_row[..., None, None].expand(-1, -1, 1, n_columns))
    peak_column = best_row.squeeze(2).max(dim=2).indices
    near_row = ((rows - peak_row[..., None]).abs() <= _REACH).to(share.dtype)
    near_column = ((columns - peak_column[..., None]).abs() <= _REACH).to(share.dtype)
    by_row = torch.einsum("bkyx,bkx->bky", share, near_column) * near_row
    by_column = torch.einsum("bkyx,bky->bkx", share, near_row) * near_column
    total = by_row.sum(dim=2).clamp_min(1e-12)
    x = (by_column * columns).sum(dim=2) / total
    y = (by_row * rows).sum(dim=2) / total
    below, beside = (rows - y[..., None]) ** 2, (columns - x[..., None]) ** 2
    distance = (below[..., :, None] + beside[..., None, :]).sqrt_()
    spread = distance.mul_(share).sum(dim=(2, 3))
    seen = odds.amax(dim=2) - torch.log(flat.amax(dim=2))  # log of the sum of all odds
    return Posterior(torch.stack([x, y], dim=1), spread, torch.sigmoid(unseen.float() - seen))


def _near(n: int, like: Tensor) -> Tensor:
    """Matrix (n, n) that adds up direct neighbours: faster on a CPU than pooling."""
    at = torch.arange(n, device=like.device)
    return ((at[:, None] - at).abs() <= 1).to(like.dtype)


def posterior_loss(place: Tensor, unseen: Tensor, xy: Tensor, seen: Tensor) -> Tensor:
    """Cross entropy between the network's distributions and the labels.

    Parameters
    ----------
    place, unseen : Tensor
        Log odds, see `PointNetwork`.
    xy : Tensor, shape (batch, 2, keypoint)
        Labels in pixels of the map; not read where nothing is to be seen.
    seen : Tensor, shape (batch, keypoint)
        1 where the keypoint is at `xy`, 0 where it is known to be hidden or outside, NaN where
        nobody labelled it, which counts nothing.

    Returns
    -------
    Tensor
        Mean over the labels.
    """
    n_rows, n_columns = place.shape[2:]
    at = torch.nan_to_num(xy)
    rows = torch.arange(n_rows, device=place.device, dtype=place.dtype)
    columns = torch.arange(n_columns, device=place.device, dtype=place.dtype)
    by_column = torch.exp(-((columns - at[:, 0, :, None]) ** 2) / (2 * TARGET_SIGMA**2))
    by_row = torch.exp(-((rows - at[:, 1, :, None]) ** 2) / (2 * TARGET_SIGMA**2))
    by_column = by_column / by_column.sum(dim=2, keepdim=True).clamp_min(1e-6)
    by_row = by_row / by_row.sum(dim=2, keepdim=True).clamp_min(1e-6)
    every = torch.logsumexp(torch.cat([place.flatten(2), unseen[..., None]], dim=2), dim=2)
    # The target is a product of rows and columns, and so is the mean log odds under it.
    at_label = torch.einsum("bkyx,bky,bkx->bk", place, by_row, by_column)
    loss = every - torch.where(torch.nan_to_num(seen) > 0.5, at_label, unseen)
    known = torch.isfinite(seen)
    return (loss * known).sum() / known.sum().clamp_min(1)
