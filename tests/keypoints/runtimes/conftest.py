from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from napari_facemap.keypoints.network import KeypointNetwork
from napari_facemap.keypoints.point_network import PointNetwork
from napari_facemap.keypoints.runtimes.plan import Plan
from napari_facemap.keypoints.runtimes.rounding import Rounding, fit_rounding

Network = PointNetwork | KeypointNetwork


class Made(NamedTuple):
    """A random network, what it is made of, and pictures that it was rounded on."""

    network: Network
    plan: Plan
    rounding: Rounding
    pictures: Tensor


@pytest.fixture(scope="session")
def make_pictures() -> Callable[..., Tensor]:
    """Make pictures (n, 1, side, side) of both signs."""
    return _pictures


@pytest.fixture(scope="session")
def make_network() -> Callable[..., Network]:
    """Make a small network of a layout whose batch norms are all but the identity."""
    return _network


@pytest.fixture(scope="session")
def make() -> Callable[[str, int], Made]:
    """Make a small network and round it; the same one is made once."""
    known: dict[tuple[str, int], Made] = {}

    def made(layout: str, seed: int = 0) -> Made:
        if (layout, seed) not in known:
            network, pictures = _network(layout, seed), _pictures(2, seed)
            plan = network.plan()
            known[layout, seed] = Made(network, plan, fit_rounding(plan, pictures), pictures)
        return known[layout, seed]

    return made


@pytest.fixture(params=["ours", "facemap"])
def layout(request: pytest.FixtureRequest) -> str:
    """Name of each layout."""
    return request.param


def _pictures(n: int, seed: int = 0, side: int = 64) -> Tensor:
    generator = torch.Generator().manual_seed(1000 + seed)
    coarse = torch.randn(n, 1, side // 8, side // 8, generator=generator)
    smooth = nn.functional.interpolate(coarse, (side, side), mode="bilinear")
    return smooth + 0.2 * torch.randn(n, 1, side, side, generator=generator)


def _network(layout: str, seed: int = 0, channels: tuple[int, ...] = (4, 6, 8, 10, 12)) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network: Network
        if layout == "ours":
            network = PointNetwork(5, channels, (1, 0, 2, 1))
        else:
            network = KeypointNetwork(5, channels)
        norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
        for norm in norms:
            norm.momentum = 1.0
        with torch.no_grad():
            network.train()(_pictures(4, seed))
            # Near what they would be in training, so that values neither vanish nor explode.
            for norm in norms:
                n = norm.num_features
                norm.running_mean += 0.3 * norm.running_var.sqrt() * torch.randn(n)
                norm.running_var *= torch.empty(n).uniform_(0.5, 2)
                norm.weight.uniform_(0.5, 1.5).mul_(torch.randn(n).sign())
                norm.bias.normal_(0, 0.3)
    return network.eval()
