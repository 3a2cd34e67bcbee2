"""Eight-bit plans on processors, by the integer convolutions that PyTorch holds (oneDNN)."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_facemap.keypoints.runtimes.plan import (
    Layer,
    Plan,
    carried_out,
    weighted,
    without_weights,
)
from napari_facemap.keypoints.runtimes.rounding import (
    LEVELS,
    RoundedPlan,
    Rounding,
    levels_of,
    rounded_conv,
)


class TorchEightBit:
    """A rounded plan in integer arithmetic; equal to `RoundedPlan`.

    Parameters
    ----------
    plan : Plan
        What to do.
    rounding : Rounding
        What levels stand for.
    """

    def __init__(self, plan: Plan, rounding: Rounding):
        self.plan, self.rounding = plan, rounding
        self._rounded = [bool(scale) for scale in rounding.scale.tolist()]
        self._zero = rounding.zero.tolist()
        self._last = plan.last_use()
        self._packed: dict[int, Any] = {}
        for (k, layer, weight, _), bias in zip(weighted(plan), rounding.bias, strict=True):
            if layer.kind == "mean":
                self._packed[k] = weight.float(), bias.float()
                continue
            conv = rounded_conv(k, layer, rounding, bias)
            levels = conv.weight.to(torch.int8)
            zero = self._zero[layer.inputs[0]]
            packed = torch.ops.onednn.qconv_prepack(
                levels, conv.factor, 1.0, zero, *_geometry(layer), None
            )
            self._packed[k] = packed, conv

    def __call__(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """Carry out the plan on pictures of shape (n, 1, rows, columns), float32."""
        levels = levels_of(pictures, self.rounding).add_(self._zero[0]).to(torch.uint8)
        levels = levels.contiguous(memory_format=torch.channels_last)
        return carried_out(self.plan, levels, self._compute)

    def _compute(self, k: int, layer: Layer, inputs: list[Tensor]) -> Tensor:
        if layer.kind == "pool":
            return torch.ops.quantized.max_pool2d(inputs[0], [3, 3], [2, 2], [1, 1], [1, 1], False)
        if layer.weight is None:
            return without_weights(layer, inputs)
        if layer.kind == "mean":
            source = layer.inputs[0]
            mean = inputs[0].float().mean(dim=(2, 3)) - self._zero[source]
            return F.linear(mean * self.rounding.unit(source), *self._packed[k])
        return self._convolved(k, layer, inputs)

    def _convolved(self, k: int, layer: Layer, inputs: list[Tensor]) -> Tensor:
        packed, conv = self._packed[k]
        rounded, n = self._rounded[k + 1], len(conv.factor)
        given = (inputs[0], 1.0, self._zero[layer.inputs[0]], packed, conv.factor, _zeros(n))
        how = _geometry(layer)
        into = (1.0, self._zero[k + 1], torch.uint8 if rounded else torch.float32)
        relu = "relu" if layer.relu else "none"
        if len(inputs) == 1:
            return torch.ops.onednn.qconv2d_pointwise(*given, conv.bias, *how, *into, relu, [], "")
        other = layer.inputs[1]
        # The sum is made in place.
        total = inputs[1] if self._last[other] == k else inputs[1].clone()
        return torch.ops.onednn.qconv2d_pointwise.binary(
            *given, total, conv.bias, *how, *into,
            conv.plus_factor, self._zero[other], "sum", 1.0, relu, [], "",
        )  # fmt: skip


def _geometry(layer: Layer) -> tuple[list[int], list[int], list[int], int]:
    assert layer.weight is not None
    padding = layer.weight.shape[-1] // 2
    return [layer.stride] * 2, [padding] * 2, [1, 1], layer.groups


@cache
def integers_are_exact() -> bool:
    """Whether this processor's integer convolutions are there and do not saturate.

    Without the VNNI instructions (Intel since 2019, AMD since 2022) pairs of products are added
    in 16 bits, which overflow.
    """
    plan = Plan()
    plan.outputs = (plan.conv(0, torch.ones(16, 32, 3, 3, dtype=torch.float64), None),)
    one = torch.ones(2, dtype=torch.float64)
    rounding = Rounding(one * torch.tensor([1.0, 0.0]), torch.zeros(2).int(), (torch.zeros(16),))
    pictures = torch.full((1, 32, 8, 8), float(LEVELS))
    try:
        (found,) = TorchEightBit(plan, rounding)(pictures)
    except (AttributeError, RuntimeError):
        return False
    return torch.equal(found, RoundedPlan(plan, rounding)(pictures)[0])


@cache
def _zeros(n: int) -> Tensor:
    return torch.zeros(n, dtype=torch.int32)
