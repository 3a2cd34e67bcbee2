"""A network as a plain list of fused layers, which every runtime can carry out.

Batch norms are folded into the convolutions beside them, so that what is left are convolutions
(some with the ReLU or the sum that follows them), pooling, doubling, joining and one mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Value = int
"""Number of a tensor in a plan: 0 is the pictures, k + 1 what layer k gives."""


@dataclass(frozen=True)
class Layer:
    """One step of a plan.

    Attributes
    ----------
    kind : {"conv", "pool", "double", "join", "mean"}
        Convolution padded to keep the size; maximum over 3x3 with stride 2; every pixel four
        times; channels of all inputs after one another; mean over all places and a linear map.
    inputs : tuple of int
        Values that go in. A convolution with two adds the second to its result.
    weight : Tensor or None
        Of a convolution, shape (out, in / groups, k, k), or of the mean's linear map, (out, in).
    bias : Tensor or None
        Shape (out,).
    stride, groups : int
        Of a convolution.
    relu : bool
        Whether negative results become 0, at the very end.
    """

    kind: str
    inputs: tuple[Value, ...]
    weight: Tensor | None = None
    bias: Tensor | None = None
    stride: int = 1
    groups: int = 1
    relu: bool = False


@dataclass
class Plan:
    """Layers in the order in which they are carried out.

    Attributes
    ----------
    layers : list of Layer
        Each takes pictures or what earlier layers gave.
    outputs : tuple of int
        Values that the network gives.
    """

    layers: list[Layer] = field(default_factory=list)
    outputs: tuple[Value, ...] = ()

    def add(self, layer: Layer) -> Value:
        """Append a layer and say which value it gives."""
        self.layers.append(layer)
        return len(self.layers)

    def conv(
        self,
        x: Value,
        weight: Tensor,
        bias: Tensor | None,
        stride: int = 1,
        groups: int = 1,
        relu: bool = False,
        plus: Value | None = None,
    ) -> Value:
        """Append a convolution."""
        if bias is None:
            bias = torch.zeros(len(weight), dtype=weight.dtype)
        inputs = (x,) if plus is None else (x, plus)
        return self.add(Layer("conv", inputs, weight, bias, stride, groups, relu))

    def last_use(self) -> list[int]:
        """For each value the layer after which it is needed no more."""
        last = [0] * (len(self.layers) + 1)
        for k, layer in enumerate(self.layers):
            for value in layer.inputs:
                last[value] = k
        for value in self.outputs:
            last[value] = len(self.layers)
        return last


def folded(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Weight and bias, float64, of a convolution and the batch norm that follows it."""
    scale, shift = affine(norm)
    weight = conv.weight.detach().cpu().double() * scale[:, None, None, None]
    return weight, shift


def affine(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """What a batch norm in evaluation multiplies by and adds, float64 on the CPU."""
    mean, var, weight, bias = (
        tensor.detach().cpu().double()  # type: ignore[union-attr]
        for tensor in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )
    scale = weight / torch.sqrt(var + norm.eps)
    return scale, bias - mean * scale


def carried_out(
    plan: Plan,
    pictures: Tensor,
    compute: Callable[[int, Layer, list[Tensor]], Tensor],
) -> tuple[Tensor, ...]:
    """Carry out a plan, letting go of each value after its last use.

    Parameters
    ----------
    plan : Plan
        What to do.
    pictures : Tensor
        Value 0.
    compute : callable
        Is given a layer's number, the layer and its inputs, and returns what the layer gives.

    Returns
    -------
    tuple of Tensor
        The plan's outputs.
    """
    values: dict[Value, Tensor] = {0: pictures}
    last = plan.last_use()
    for k, layer in enumerate(plan.layers):
        values[k + 1] = compute(k, layer, [values[i] for i in layer.inputs])
        for value in set(layer.inputs):
            if last[value] == k:
                del values[value]
    return tuple(values[i] for i in plan.outputs)


def without_weights(layer: Layer, inputs: list[Tensor]) -> Tensor:
    """Carry out a layer that only moves values about, of any type."""
    if layer.kind == "pool":
        return F.max_pool2d(inputs[0], 3, stride=2, padding=1)
    if layer.kind == "double":
        return F.interpolate(inputs[0], scale_factor=2.0, mode="nearest")
    return torch.cat(inputs, dim=1)


class FloatPlan(nn.Module):
    """A plan carried out in floating point.

    Parameters
    ----------
    plan : Plan
        Its weights are copied, in float32.
    """

    def __init__(self, plan: Plan):
        super().__init__()
        self.plan = plan
        for k, layer in enumerate(plan.layers):
            if layer.weight is not None and layer.bias is not None:
                self.register_buffer(f"weight{k}", layer.weight.float(), persistent=False)
                self.register_buffer(f"bias{k}", layer.bias.float(), persistent=False)

    def linear(self, k: int, layer: Layer, inputs: list[Tensor]) -> Tensor:
        """What a layer with weights gives before its ReLU."""
        weight, bias = getattr(self, f"weight{k}"), getattr(self, f"bias{k}")
        if layer.kind == "mean":
            return F.linear(inputs[0].mean(dim=(2, 3)), weight, bias)
        padding = weight.shape[-1] // 2
        x = F.conv2d(inputs[0], weight, bias, layer.stride, padding, groups=layer.groups)
        return x.add_(inputs[1]) if len(inputs) > 1 else x

    def compute(self, k: int, layer: Layer, inputs: list[Tensor]) -> Tensor:
        """Carry out one layer."""
        if layer.weight is None:
            return without_weights(layer, inputs)
        x = self.linear(k, layer, inputs)
        return x.relu_() if layer.relu else x

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """Carry out the plan."""
        return carried_out(self.plan, pictures, self.compute)


def weighted(plan: Plan) -> Iterator[tuple[int, Layer, Tensor, Tensor]]:
    """Layers that have weights, with their numbers, weights and biases."""
    for k, layer in enumerate(plan.layers):
        if layer.weight is not None and layer.bias is not None:
            yield k, layer, layer.weight, layer.bias
