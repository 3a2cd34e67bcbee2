"""Our own keypoint network: for each keypoint, how likely it lies in each place, or nowhere.

A residual encoder down to 1/32 of the picture and a light decoder up to 1/4, in the manner of
feature pyramids (Lin et al., CVPR 2017), about a third of the multiply-adds of Facemap's layout.
Its output for a keypoint is one distribution over all places of the map and one more outcome: the
keypoint is hidden or outside the picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_facemap.keypoints.runtimes.plan import Layer, Plan, folded
from napari_facemap.keypoints.runtimes.rounding import (
    RoundedPlan,
    Rounding,
    rounding_from_state,
)

WIDTHS = (16, 32, 64, 128, 192)
"""Channels at 1/2, 1/4, 1/8, 1/16 and 1/32 of the picture's size."""

DEPTHS = (1, 2, 2, 2)
"""Residual blocks at 1/4, 1/8, 1/16 and 1/32."""

_PREFIX = "encoder."


def _unit(n_in: int, n_out: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(n_out),
        nn.ReLU(),
    )


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut (He et al., CVPR 2016)."""

    def __init__(self, n: int):
        super().__init__()
        self.first = _unit(n, n, 3)
        self.second = nn.Sequential(nn.Conv2d(n, n, 3, padding=1, bias=False), nn.BatchNorm2d(n))

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block."""
        return torch.relu(x + self.second(self.first(x)))


class PointNetwork(nn.Module):
    """Where each keypoint is, as a distribution over places and "not seen".

    Parameters
    ----------
    n_keypoints : int
        Keypoints.
    widths : sequence of 5 int, default ``WIDTHS``
        Channels from 1/2 to 1/32 of the picture's size.
    depths : sequence of 4 int, default ``DEPTHS``
        Residual blocks from 1/4 to 1/32.

    Attributes
    ----------
    rounding : Rounding or None
        Where there is one (see `round_to`), the network in evaluation mode is the one rounded to
        eight bits.
    """

    def __init__(
        self,
        n_keypoints: int,
        widths: Sequence[int] = WIDTHS,
        depths: Sequence[int] = DEPTHS,
    ):
        super().__init__()
        w = self.widths = tuple(int(n) for n in widths)
        self.depths = tuple(int(n) for n in depths)
        if len(w) != 5 or len(self.depths) != 4:
            raise ValueError(f"Expected 5 widths and 4 depths; found {w} and {self.depths}.")
        self.n_keypoints = n_keypoints
        self.stem = _unit(1, w[0], 5, stride=2)
        self.encoder = nn.ModuleList(
            nn.Sequential(_unit(n_in, n_out, 3, stride=2), *map(ResidualBlock, [n_out] * depth))
            for n_in, n_out, depth in zip(w, w[1:], self.depths, strict=False)
        )
        self.lateral = nn.ModuleList(nn.Conv2d(w[k + 1], w[k], 1, bias=False) for k in (3, 2, 1))
        self.decoder = nn.ModuleList(ResidualBlock(w[k]) for k in (3, 2, 1))
        self.place = nn.Conv2d(w[1], n_keypoints, 1)
        self.unseen = nn.Linear(w[4], n_keypoints)
        nn.init.constant_(self.unseen.bias, 6.0)
        self.rounding: Rounding | None = None
        self._rounded: RoundedPlan | None = None

    def round_to(self, rounding: Rounding) -> PointNetwork:
        """Make the network in evaluation mode one of eight bits, and return it.

        Raises
        ------
        ValueError
            When the rounding does not fit.
        """
        plan = self.plan()
        rounding.check(plan)
        self.rounding, self._rounded = rounding, RoundedPlan(plan, rounding)
        return self

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Make the log odds of every outcome for a batch of pictures.

        Parameters
        ----------
        images : Tensor, shape (batch, 1, rows, columns)
            Normalised grey pictures; rows and columns are multiples of 32.

        Returns
        -------
        place : Tensor, shape (batch, keypoint, rows / 4, columns / 4)
            Of the keypoint lying in each pixel of the map.
        unseen : Tensor, shape (batch, keypoint)
            Of the keypoint being hidden or outside the picture. A softmax over both together
            makes them probabilities.
        """
        if self._rounded is not None and not self.training:
            place, unseen = self._rounded(images)
            return place, unseen
        x = self.stem(images)
        levels = []
        for stage in self.encoder:
            x = stage(x)
            levels.append(x)
        unseen = self.unseen(x.mean(dim=(2, 3)))
        for level, lateral, block in zip(levels[2::-1], self.lateral, self.decoder, strict=True):
            x = block(level + F.interpolate(lateral(x), scale_factor=2.0, mode="nearest"))
        return self.place(x), unseen

    def plan(self) -> Plan:
        """The network in evaluation mode as a list of fused layers; `forward` in another form."""
        plan = Plan()

        def unit(x: int, unit: nn.Sequential) -> int:
            conv, norm = unit[0], unit[1]
            return plan.conv(x, *folded(conv, norm), stride=conv.stride[0], relu=True)

        def block(x: int, block: ResidualBlock) -> int:
            inner = unit(x, block.first)
            return plan.conv(inner, *folded(*block.second), relu=True, plus=x)

        x = unit(0, self.stem)
        levels = []
        for stage in self.encoder:
            x = unit(x, stage[0])
            for residual in stage[1:]:
                x = block(x, residual)
            levels.append(x)
        linear = (_exact(self.unseen.weight), _exact(self.unseen.bias))
        unseen = plan.add(Layer("mean", (x,), *linear))
        for level, lateral, residual in zip(
            levels[2::-1], self.lateral, self.decoder, strict=True
        ):
            # A 1x1 convolution may as well come after doubling, and then takes the sum with it.
            doubled = plan.add(Layer("double", (x,)))
            x = block(plan.conv(doubled, _exact(lateral.weight), None, plus=level), residual)
        place = plan.conv(x, _exact(self.place.weight), _exact(self.place.bias))
        plan.outputs = (place, unseen)
        return plan


def _exact(parameter: Tensor) -> Tensor:
    return parameter.detach().cpu().double()


def is_point_network(state: Mapping[str, Tensor]) -> bool:
    """Whether weights are of this layout (and not of Facemap's)."""
    return any(name.startswith(_PREFIX) for name in state)


def point_network_from_state(state: Mapping[str, Tensor]) -> PointNetwork:
    """Build the network that fits some weights, and put them in.

    Parameters
    ----------
    state : mapping of str to Tensor
        A state dict of `PointNetwork`; its shapes say the widths, depths and keypoints. With
        what `Rounding.state` gives, the network is one of eight bits.

    Returns
    -------
    PointNetwork
        In evaluation mode.

    Raises
    ------
    ValueError
        When names or shapes are not those of the layout, or a value is not finite.
    """
    try:
        widths = [state["stem.0.weight"].shape[0]]
        widths += [state[f"{_PREFIX}{k}.0.0.weight"].shape[0] for k in range(4)]
        n_keypoints = state["place.weight"].shape[0]
    except (KeyError, IndexError) as missing:
        raise ValueError(f"expected the tensors of a point network, found no {missing}") from None
    depths = [
        len({name.split(".")[2] for name in state if name.startswith(f"{_PREFIX}{k}.")}) - 1
        for k in range(4)
    ]
    network = PointNetwork(n_keypoints, widths, depths)
    weights, rounding = rounding_from_state(state)
    check_state(network, weights)
    network.load_state_dict(weights)
    if rounding is not None:
        network.round_to(rounding)
    return network.eval()


def check_state(network: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Refuse weights that are not a network's.

    Raises
    ------
    ValueError
        When names or shapes differ, or a value is not finite.
    """
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in state.items()}
    odd = sorted(n for n in expected.keys() | found.keys() if expected.get(n) != found.get(n))
    if odd:
        raise ValueError(
            "expected the tensors of a keypoint network, but "
            f"{odd[0]} is {found.get(odd[0], 'missing')} instead of "
            f"{expected.get(odd[0], 'absent')} ({len(odd)} such tensors)"
        )
    for name, value in state.items():
        if not torch.isfinite(value).all():
            raise ValueError(f"expected finite weights, found NaN or infinity in {name}")
