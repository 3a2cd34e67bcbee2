"""Facemap's keypoint network.

A small U-Net after Syeda, Stringer et al. (Nature Neuroscience 2024): from one grey picture it
makes, for each keypoint and at a quarter of the resolution, a heat map and two maps of where the
keypoint lies relative to each pixel. Layer names follow Facemap's files, so that its weights load
into this network as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from napari_facemap.keypoints.point_network import check_state
from napari_facemap.keypoints.runtimes.plan import Layer, Plan, affine, folded

CHANNELS = (16, 32, 64, 128, 200)
"""Channels of the five encoder blocks in our own models."""

INPUT_SIZE = 256
"""Pixels along each side of the network's input."""

MAP_STRIDE = 4
"""Input pixels between neighbouring pixels of the output maps."""


class ConvUnit(nn.Sequential):
    """Batch norm, ReLU, 3x3 convolution; the network's first unit has no ReLU."""

    def __init__(self, n_in: int, n_out: int, relu: bool = True):
        layers: list[nn.Module] = [nn.BatchNorm2d(n_in)]
        if relu:
            layers.append(nn.ReLU())
        layers.append(nn.Conv2d(n_in, n_out, 3, padding=1, bias=False))
        super().__init__(*layers)


class ConvBlock(nn.Module):
    """Two units, the first of which changes the number of channels."""

    def __init__(self, n_in: int, n_out: int, first: bool = False):
        super().__init__()
        self.conv = nn.Sequential()
        self.conv.add_module("conv_0", ConvUnit(n_in, n_out, relu=not first))
        self.conv.add_module("conv_1", ConvUnit(n_out, n_out))

    def forward(self, x: Tensor) -> Tensor:
        """Apply both units."""
        return self.conv(x)


class KeypointNetwork(nn.Module):
    """Facemap's U-Net: five blocks down to 1/16, two up to 1/4, three 1x1 heads.

    Parameters
    ----------
    n_keypoints : int
        Keypoints, each with a heat map and two offset maps.
    channels : sequence of 5 int, default ``CHANNELS``
        Channels of the encoder's blocks.
    """

    def __init__(self, n_keypoints: int, channels: Sequence[int] = CHANNELS):
        super().__init__()
        c = self.channels = tuple(int(n) for n in channels)
        if len(c) != 5:
            raise ValueError(f"The network has five blocks; found channels {c}.")
        self.n_keypoints = n_keypoints
        self.Conv = nn.ModuleDict(
            {
                f"conv{k}": ConvBlock(n_in, n_out, first=k == 0)
                for k, (n_in, n_out) in enumerate(zip((1, *c), c, strict=False))
            }
        )
        self.Up_conv = nn.ModuleDict(
            {
                "upconv0": ConvBlock(c[4] + c[3], c[3]),
                "upconv1": ConvBlock(c[3] + c[2], c[2]),
            }
        )
        self.Conv2_1x1 = nn.ModuleDict(
            {f"conv{k}": nn.Conv2d(c[2], n_keypoints, 1) for k in range(3)}
        )
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.upsample = nn.Upsample(scale_factor=2, mode="nearest")

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Make the maps of a batch of pictures.

        Parameters
        ----------
        images : Tensor, shape (batch, 1, 256, 256)
            Normalised grey pictures.

        Returns
        -------
        heat, row_offset, column_offset : Tensor, each (batch, keypoint, 64, 64)
            `heat` is not negative. An offset is (pixel - keypoint) in units of twice the
            width of the training target, see `decode`.
        """
        skips = []
        x = images
        for k in range(5):
            if k:
                x = self.pool(x)
            x = self.Conv[f"conv{k}"](x)
            skips.append(x)
        for k, skip in enumerate((skips[3], skips[2])):
            x = torch.cat([self.upsample(x), skip], dim=1)
            x = self.Up_conv[f"upconv{k}"](x)
        heat, row, column = (self.Conv2_1x1[f"conv{k}"](x) for k in range(3))
        return torch.relu(heat), row, column

    def plan(self) -> Plan:
        """The network in evaluation mode as a list of fused layers.

        Its one output holds the three maps' channels after one another, the heat before its ReLU.
        """
        plan = Plan()

        def changed(x: int, scale: Tensor, shift: Tensor, relu: bool) -> int:
            return plan.conv(x, scale[:, None, None, None], shift, groups=len(scale), relu=relu)

        def convolved(x: int, block: ConvBlock) -> int:
            """Both convolutions of a block, whose first batch norm was applied before."""
            first, second = block.conv
            x = plan.conv(x, *folded(first[-1], second[0]), relu=True)
            return plan.conv(x, second[-1].weight.detach().cpu().double(), None)

        x, skips = 0, []
        for k in range(5):
            block = self.Conv[f"conv{k}"]
            if k:
                x = plan.add(Layer("pool", (x,)))
            x = changed(x, *affine(block.conv[0][0]), relu=k > 0)
            x = convolved(x, block)
            skips.append(x)
        for k, skip in enumerate((skips[3], skips[2])):
            block = self.Up_conv[f"upconv{k}"]
            scale, shift = affine(block.conv[0][0])
            n = len(scale) - self.channels[3 - k]
            # What a batch norm does to each part by itself may be done before they are joined.
            below = changed(x, scale[:n], shift[:n], relu=True)
            beside = changed(skip, scale[n:], shift[n:], relu=True)
            doubled = plan.add(Layer("double", (below,)))
            x = convolved(plan.add(Layer("join", (doubled, beside))), block)
        heads = [self.Conv2_1x1[f"conv{k}"] for k in range(3)]
        weight = torch.cat([head.weight.detach().cpu().double() for head in heads])
        bias = torch.cat([head.bias.detach().cpu().double() for head in heads])
        plan.outputs = (plan.conv(x, weight, bias),)
        return plan


def network_from_state(state: Mapping[str, Tensor]) -> KeypointNetwork:
    """Build the network that fits some weights, and put them in.

    Parameters
    ----------
    state : mapping of str to Tensor
        A state dict of Facemap's layout; its shapes say how many channels and keypoints.

    Returns
    -------
    KeypointNetwork
        In evaluation mode.

    Raises
    ------
    ValueError
        When names or shapes are not those of Facemap's layout, or a value is not finite.
    """
    try:
        channels = [state[f"Conv.conv{k}.conv.conv_1.2.weight"].shape[0] for k in range(5)]
        n_keypoints = state["Conv2_1x1.conv0.weight"].shape[0]
    except (KeyError, IndexError) as missing:
        raise ValueError(
            f"expected the 90 tensors of a Facemap keypoint network, found no {missing}"
        ) from None
    network = KeypointNetwork(n_keypoints, channels)
    check_state(network, state)
    network.load_state_dict(dict(state))
    return network.eval()
