from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from napari_facemap.keypoints.network import KeypointNetwork
from napari_facemap.keypoints.posterior import LEAST_SPREAD
from napari_facemap.keypoints.reading import read_network


def test_points_are_in_pixels_of_the_input(pointing_to):
    network = pointing_to(np.zeros((2, 2)))
    network.answer = torch.full((2, 64, 64), -50.0)
    network.answer[0, 10, 20] = network.answer[1, 0, 63] = 0.0
    network.odds = torch.tensor([0.0, -50.0])
    reading = read_network(network, torch.zeros(3, 1, 256, 256))
    # The middle of pixel n of the map is between pixels 4n + 1 and 4n + 2 of the input.
    torch.testing.assert_close(reading.xy[2], torch.tensor([[81.5, 253.5], [41.5, 1.5]]))
    torch.testing.assert_close(reading.seen[2], torch.tensor([0.5, 1.0]))
    assert (reading.spread < 1e-3).all()


def test_the_spread_is_in_pixels_of_the_input(pointing_to):
    images = torch.zeros(1, 1, 256, 256)
    sure, unsure = (
        read_network(pointing_to(np.full((2, 1), 128.0), sigma), images).spread.item()
        for sigma in (1.0, 3.0)
    )
    assert sure == pytest.approx(LEAST_SPREAD, rel=0.04)
    assert unsure == pytest.approx(3 * LEAST_SPREAD, rel=0.04)


def test_facemaps_layout_has_no_spread():
    torch.manual_seed(0)
    network: nn.Module = KeypointNetwork(3, (2, 2, 4, 4, 4)).eval()
    with torch.inference_mode():
        reading = read_network(network, torch.rand(2, 1, 256, 256))
    assert reading.xy.shape == (2, 2, 3)
    assert torch.isnan(reading.spread).all()
    assert ((reading.seen >= 0) & (reading.seen <= 1)).all()
