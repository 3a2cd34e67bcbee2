"""Eight-bit plans on processors, by the integer convolutions that PyTorch holds (oneDNN)."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_facemap.keypoints.runtimes.plan import Layer, Plan, carried_out, weighted, without_weights
from napari_facemap.keypoints.runtimes.rounding import LEVELS, Rounding, rounded_weight


class TorchEightBit:
    """A rounded plan in integer arithmetic.

    Equal to `RoundedPlan` but for values that lie on the edge between two levels.

    Parameters
    ----------
    plan : Plan
        What to do.
    rounding : Rounding
        What levels stand for.
    """

    def __init__(self, plan: Plan, rounding: Rounding):
        self.plan = plan
        self._scale = rounding.scale.double().tolist()
        self._zero = rounding.zero.tolist()
        self._last = plan.last_use()
        self._packed: dict[int, Any] = {}
        for (k, layer, weight, _), bias in zip(weighted(plan), rounding.bias, strict=True):
            if layer.kind == "mean":
                self._packed[k] = weight.float(), bias.float()
                continue
            levels, scale = rounded_weight(weight)
            packed = torch.ops.onednn.qconv_prepack(
                levels.to(torch.int8),
                scale.float(),
                self._scale[layer.inputs[0]],
                self._zero[layer.inputs[0]],
                *_geometry(layer),
                None,
            )
            self._packed[k] = packed, scale.float(), bias.float()

    def __call__(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """Carry out the plan on pictures of shape (n, 1, rows, columns), float32."""
        levels = torch.round(pictures / self._scale[0]).add_(self._zero[0]).clamp_(0, LEVELS)
        levels = levels.to(torch.uint8).contiguous(memory_format=torch.channels_last)
        return carried_out(self.plan, levels, self._compute)

    def _compute(self, k: int, layer: Layer, inputs: list[Tensor]) -> Tensor:
        if layer.weight is None:
            return without_weights(layer, inputs)
        if layer.kind == "mean":
            source = layer.inputs[0]
            mean = inputs[0].float().mean(dim=(2, 3)) - self._zero[source]
            return F.linear(mean * self._scale[source], *self._packed[k])
        return self._convolved(k, layer, inputs)

    def _convolved(self, k: int, layer: Layer, inputs: list[Tensor]) -> Tensor:
        packed, scale, bias = self._packed[k]
        source, to = layer.inputs[0], self._scale[k + 1]
        given = (inputs[0], self._scale[source], self._zero[source], packed, scale, _zeros(scale))
        how = _geometry(layer)
        into = (to or 1.0, self._zero[k + 1] if to else 0, torch.uint8 if to else torch.float32)
        relu = "relu" if layer.relu else "none"
        if len(inputs) == 1:
            return torch.ops.onednn.qconv2d_pointwise(*given, bias, *how, *into, relu, [], "")
        other = layer.inputs[1]
        # The sum is made in place.
        total = inputs[1] if self._last[other] == k else inputs[1].clone()
        return torch.ops.onednn.qconv2d_pointwise.binary(
            *given, total, bias, *how, *into,
            self._scale[other], self._zero[other], "sum", 1.0, relu, [], "",
        )  # fmt: skip


def _geometry(layer: Layer) -> tuple[list[int], list[int], list[int], int]:
    assert layer.weight is not None
    padding = layer.weight.shape[-1] // 2
    return [layer.stride] * 2, [padding] * 2, [1, 1], layer.groups


def _zeros(scale: Tensor) -> Tensor:
    return torch.zeros(len(scale), dtype=torch.int32)
