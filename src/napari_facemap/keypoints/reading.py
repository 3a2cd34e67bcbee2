"""One way to read either network: prepared pictures in, points and how sure they are out."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from napari_facemap.keypoints.decode import decode_maps, peak_share
from napari_facemap.keypoints.network import MAP_STRIDE
from napari_facemap.keypoints.posterior import read_posterior


class Reading(NamedTuple):
    """What a network says of a batch of pictures.

    Attributes
    ----------
    xy : Tensor, shape (batch, 2, keypoint)
        Column and row in pixels of the network's input, pixel centres at integers.
    spread : Tensor, shape (batch, keypoint)
        Mean distance from `xy` that the network itself reckons with, in the same pixels; NaN
        for Facemap's layout.
    seen : Tensor, shape (batch, keypoint)
        For a `PointNetwork` the probability that the keypoint is to be seen; for Facemap's
        layout the share of the heat map around its peak.
    """

    xy: Tensor
    spread: Tensor
    seen: Tensor


def read_network(network: nn.Module, images: Tensor) -> Reading:
    """Run a network and find its points.

    Parameters
    ----------
    network : PointNetwork or KeypointNetwork
        In evaluation mode.
    images : Tensor, shape (batch, 1, 256, 256)
        Prepared, on the network's device.

    Returns
    -------
    Reading
    """
    return read_outputs(network(images))


def read_outputs(outputs: tuple[Tensor, ...]) -> Reading:
    """Find the points in what a network gave: two tensors from ours, three from Facemap's."""
    if len(outputs) == 2:
        posterior = read_posterior(*outputs)
        xy = (posterior.xy + 0.5) * MAP_STRIDE - 0.5
        return Reading(xy, posterior.spread * MAP_STRIDE, 1 - posterior.unseen)
    xy, _ = decode_maps(*outputs)
    share = peak_share(outputs[0].float())
    return Reading(xy.float(), torch.full_like(share, torch.nan), share)
