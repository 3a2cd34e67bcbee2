"""From the network's maps to a keypoint's place and confidence."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_facemap.keypoints.network import MAP_STRIDE

TARGET_SIGMA = 3.0
"""Width of a keypoint's training target, in pixels of the maps."""


def decode_maps(heat: Tensor, row_offset: Tensor, column_offset: Tensor) -> tuple[Tensor, Tensor]:
    """Find each keypoint at the highest pixel of its heat map, corrected by the offsets there.

    Parameters
    ----------
    heat, row_offset, column_offset : Tensor, each (batch, keypoint, rows, columns)
        The network's output.

    Returns
    -------
    xy : Tensor, shape (batch, 2, keypoint)
        Column and row in pixels of the network's input.
    peak : Tensor, shape (batch, keypoint)
        The heat map's highest value.
    """
    peak, index = heat.flatten(2).max(dim=2)
    n_columns = heat.shape[3]
    at_peak = index.unsqueeze(2)

    def offset(maps: Tensor) -> Tensor:
        return maps.flatten(2).gather(2, at_peak).squeeze(2).float() * (2 * TARGET_SIGMA)

    row = torch.div(index, n_columns, rounding_mode="floor") - offset(row_offset)
    column = index % n_columns - offset(column_offset)
    return torch.stack([column, row], dim=1) * MAP_STRIDE, peak.float()


def peak_share(heat: Tensor, radius: float = 2.5 * TARGET_SIGMA) -> Tensor:
    """Share of each heat map that lies around its peak: how sure the network is of one place.

    Parameters
    ----------
    heat : Tensor, shape (batch, keypoint, rows, columns)
        Not negative, any scale.
    radius : float
        Half the side of the square around the peak, in pixels of the maps.

    Returns
    -------
    Tensor, shape (batch, keypoint)
        From 0 (no heat at all, or spread everywhere) to 1 (all around one peak).
    """
    n_rows, n_columns = heat.shape[2:]
    index = heat.flatten(2).argmax(dim=2)
    row = torch.div(index, n_columns, rounding_mode="floor")
    column = index % n_columns
    rows = torch.arange(n_rows, device=heat.device)
    columns = torch.arange(n_columns, device=heat.device)
    near_row = ((rows - row[..., None]).abs() <= radius).to(heat.dtype)
    near_column = ((columns - column[..., None]).abs() <= radius).to(heat.dtype)
    near = torch.einsum("bkyx,bky,bkx->bk", heat, near_row, near_column)
    return (near / heat.sum(dim=(2, 3)).clamp_min(1e-6)).clamp(0, 1).float()
