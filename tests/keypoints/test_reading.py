from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from napari_facemap.keypoints.network import KeypointNetwork
from napari_facemap.keypoints.posterior import _REACH, LEAST_SPREAD
from napari_facemap.keypoints.reading import read_network, read_outputs


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


@pytest.mark.parametrize("shape", [(64, 64), (5, 9)])
def test_ours_is_read_as_its_definition_says(shape):
    generator = torch.Generator().manual_seed(3)
    place = 4 * torch.randn(2, 3, *shape, generator=generator)
    unseen = 6 + 2 * torch.randn(2, 3, generator=generator)
    reading = read_outputs((place, unseen))
    rows, columns = torch.meshgrid(*map(torch.arange, shape), indexing="ij")
    for n in range(2):
        for k in range(3):
            odds = place[n, k].double()
            share = torch.softmax(odds.flatten(), 0).view(shape)
            # The place with most of the distribution in it and its eight neighbours.
            padded = nn.functional.pad(share, (1, 1, 1, 1))
            around = sum(
                padded[i : i + shape[0], j : j + shape[1]] for i in range(3) for j in range(3)
            )
            row, column = divmod(int(around.argmax()), shape[1])
            near = ((rows - row).abs() <= _REACH) & ((columns - column).abs() <= _REACH)
            weight = share * near
            x, y = ((weight * at).sum() / weight.sum() for at in (columns, rows))
            spread = (share * torch.hypot(rows - y, columns - x)).sum()
            seen = 1 - torch.sigmoid(unseen[n, k] - torch.logsumexp(odds.flatten(), 0))
            expected = torch.stack([4 * x + 1.5, 4 * y + 1.5, 4 * spread, seen])
            found = torch.cat([reading.xy[n, :, k], reading.spread[n, k, None]])
            found = torch.cat([found, reading.seen[n, k, None]])
            torch.testing.assert_close(found.double(), expected, atol=1e-3, rtol=1e-4)


def test_how_values_lie_in_memory_and_their_precision_do_not_matter():
    place, unseen = torch.randn(3, 4, 64, 64), torch.randn(3, 4)
    place = (8 * place).half().float()
    plain = read_outputs((place, unseen))
    for other in (place.contiguous(memory_format=torch.channels_last), place.half()):
        for one, two in zip(read_outputs((other, unseen)), plain, strict=True):
            assert two.dtype == torch.float32
            torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-5)
    maps = [torch.rand(2, 3, 64, 64) for _ in range(3)]
    plain = read_outputs(tuple(maps))
    laid = read_outputs(tuple(m.contiguous(memory_format=torch.channels_last) for m in maps))
    torch.testing.assert_close(laid.xy, plain.xy)
    torch.testing.assert_close(laid.seen, plain.seen)


def test_odds_of_any_size_are_read():
    """Sums of all odds in float32 must neither overflow nor vanish."""
    for level in (-300.0, 0.0, 300.0):
        place = torch.full((1, 1, 64, 64), level - 60.0)
        place[0, 0, 20, 30] = level
        reading = read_outputs((place, torch.full((1, 1), level)))
        torch.testing.assert_close(reading.seen, torch.tensor([[0.5]]))
        torch.testing.assert_close(reading.xy.flatten(), torch.tensor([121.5, 81.5]))
