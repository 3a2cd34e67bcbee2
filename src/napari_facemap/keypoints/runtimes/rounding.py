"""Eight-bit arithmetic for a plan: which numbers the 256 levels of each value stand for.

Affine quantisation after Jacob et al. (CVPR 2018): a value is ``scale * (level - zero)`` with
levels from 0 to 255, weights have levels from -127 to 127 and a scale for each channel. Scales
are those with the least squared error on some pictures, and biases are corrected for the mean
error (Nagel et al., ICCV 2019).

Scales are chosen so that a sum of levels is turned into the next level by a factor of four bits,
``m / 2**e``. Every step is then exact in float32 too: whatever carries out the plan, in integers
or in floats, on a processor or a GPU, finds the same levels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_facemap.keypoints.runtimes.plan import (
    FloatPlan,
    Layer,
    Plan,
    carried_out,
    weighted,
    without_weights,
)

LEVELS = 255
"""Highest level of a value; the lowest is 0."""

_PREFIX = "rounding."
_WEIGHT_LEVELS = 127
_SCALES = (1e-20, 1e20)  # what scales lie between
_FINEST = 14  # bits below one level; with 10 above, all sums fit into the 24 of a float32
_SAMPLES = 1 << 16  # of a value, that its scale is fitted to
_TRIALS = np.linspace(0.3, 1.0, 29)  # parts of the range that are tried as the range


@dataclass(frozen=True)
class Rounding:
    """What the levels of a plan's values stand for.

    Attributes
    ----------
    scale : Tensor of float64, shape (value,)
        Difference between neighbouring levels; 0 where a value is not rounded.
    zero : Tensor of int32, shape (value,)
        Level that stands for 0.
    bias : tuple of Tensor of float32
        Of each layer that has weights, in units of its value's scale (1 where not rounded).
    """

    scale: Tensor
    zero: Tensor
    bias: tuple[Tensor, ...]

    def unit(self, value: int) -> float:
        """Scale of a value; 1 where it is not rounded."""
        return self.scale[value].item() or 1.0

    def check(self, plan: Plan) -> None:
        """Refuse a rounding that does not fit a plan.

        Raises
        ------
        ValueError
            When there are too few or many numbers, or they are out of range.
        """
        n_values = len(plan.layers) + 1
        biases = [(len(bias),) for *_, bias in weighted(plan)]
        shapes = self.scale.shape == self.zero.shape == (n_values,)
        shapes = shapes and [bias.shape for bias in self.bias] == biases
        if not (shapes and self._is_usable(plan)):
            raise ValueError(
                f"expected a rounding of {n_values} scales and of the biases of "
                f"{len(biases)} layers, found one that does not fit the network"
            )

    def _is_usable(self, plan: Plan) -> bool:
        inside = [value not in plan.outputs for value in range(len(self.scale))]
        low, high = _SCALES
        usual = (self.scale > low) & (self.scale < high) & (self.zero >= 0)
        usual &= (self.zero <= LEVELS) & (self.zero % 2 == 0)
        none = (self.scale == 0) & (self.zero == 0)
        moved = [
            (k + 1, v) for k, y in enumerate(plan.layers) if y.weight is None for v in y.inputs
        ]
        return (
            bool(torch.where(torch.tensor(inside), usual, none).all())
            and all(bool(torch.isfinite(bias).all()) for bias in self.bias)
            and all(
                self.scale[a] == self.scale[b] and self.zero[a] == self.zero[b] for a, b in moved
            )
        )

    def state(self) -> dict[str, Tensor]:
        """As named tensors, to be kept with a network's weights."""
        biases = {f"{_PREFIX}bias.{k}": bias for k, bias in enumerate(self.bias)}
        return {f"{_PREFIX}scale": self.scale, f"{_PREFIX}zero": self.zero, **biases}


def rounding_from_state(
    state: Mapping[str, Tensor],
) -> tuple[dict[str, Tensor], Rounding | None]:
    """Part what `Rounding.state` gave from a network's weights.

    Raises
    ------
    ValueError
        When it is not whole.
    """
    weights = {name: value for name, value in state.items() if not name.startswith(_PREFIX)}
    found = {name[len(_PREFIX) :]: v for name, v in state.items() if name.startswith(_PREFIX)}
    if not found:
        return weights, None
    try:
        biases = tuple(found[f"bias.{k}"].float() for k in range(len(found) - 2))
        rounding = Rounding(found["scale"].double(), found["zero"].int(), biases)
    except KeyError as missing:
        raise ValueError(f"expected a network's rounding, found no {missing}") from None
    return weights, rounding


class RoundedConv(NamedTuple):
    """A convolution between levels.

    Attributes
    ----------
    weight : Tensor of float32, shape (out, in / groups, k, k)
        Whole numbers from -127 to 127.
    factor : Tensor of float32, shape (out,)
        What a sum of products of levels is multiplied by, to be in units of the result's scale.
    bias : Tensor of float32, shape (out,)
        Added then, in the same units.
    plus_factor : float
        What the second input's levels are multiplied by before they are added.
    """

    weight: Tensor
    factor: Tensor
    bias: Tensor
    plus_factor: float


def rounded_conv(k: int, layer: Layer, rounding: Rounding, bias: Tensor) -> RoundedConv:
    """Express layer k of a plan, a convolution, between levels."""
    assert layer.weight is not None
    to, rounded = rounding.unit(k + 1), bool(rounding.scale[k + 1])
    largest = layer.weight.abs().flatten(1).amax(dim=1).clamp_min(1e-12)
    needed = largest * (rounding.unit(layer.inputs[0]) / (_WEIGHT_LEVELS * to))
    finest = _FINEST if rounded else 60
    factors, grids = zip(*(_four_bits(n, finest, math.ceil) for n in needed.tolist()), strict=True)
    factor = torch.tensor(factors, dtype=torch.float64)
    scale = factor * (to / rounding.unit(layer.inputs[0]))
    levels = torch.round(layer.weight / scale[:, None, None, None])
    if rounded:
        grid = torch.tensor(grids, dtype=torch.float64)
        bias = torch.round(bias.double() * grid) / grid
    plus = 0.0
    if len(layer.inputs) > 1:
        plus = _four_bits(rounding.unit(layer.inputs[1]) / to, _FINEST, round)[0]
    return RoundedConv(levels.float(), factor.float(), bias.float(), plus)


def levels_of(pictures: Tensor, rounding: Rounding) -> Tensor:
    """Pictures as whole numbers, ``level - zero``."""
    zero = int(rounding.zero[0])
    # A product, since some devices divide by multiplying.
    return (
        (pictures * float(np.float32(1 / rounding.unit(0)))).round_().clamp_(-zero, LEVELS - zero)
    )


def _four_bits(x: float, finest: int, towards: Callable[[float], int]) -> tuple[float, float]:
    """A number near x as ``m / grid`` with m up to 16 and grid a power of two, and the grid."""
    grid = 2.0 ** min(3 - math.floor(math.log2(x)), finest)
    return max(towards(x * grid), 1) / grid, grid


class RoundedPlan(nn.Module):
    """A plan carried out with rounded values, in float32: what eight-bit runtimes compute.

    Values between layers are whole numbers, ``level - zero``.

    Parameters
    ----------
    plan : Plan
        What to do.
    rounding : Rounding
        What levels stand for.
    """

    def __init__(self, plan: Plan, rounding: Rounding):
        super().__init__()
        self.plan, self.rounding = plan, rounding
        self._plus: dict[int, float] = {}
        for (k, layer, weight, _), bias in zip(weighted(plan), rounding.bias, strict=True):
            if layer.kind == "conv":
                conv = rounded_conv(k, layer, rounding, bias)
                weight, bias, self._plus[k] = conv.weight, conv.bias, conv.plus_factor
                self._hold(f"factor{k}", conv.factor[:, None, None])
                bias = bias[:, None, None]
            self._hold(f"weight{k}", weight)
            self._hold(f"bias{k}", bias)

    def _hold(self, name: str, values: Tensor) -> None:
        self.register_buffer(name, values.float(), persistent=False)

    def linear(self, k: int, layer: Layer, inputs: list[Tensor]) -> Tensor:
        """What a layer with weights gives before rounding, in units of its value's scale."""
        weight, bias = getattr(self, f"weight{k}"), getattr(self, f"bias{k}")
        if layer.kind == "mean":
            mean = inputs[0].mean(dim=(2, 3)) * self.rounding.unit(layer.inputs[0])
            return F.linear(mean, weight, bias)
        padding = weight.shape[-1] // 2
        x = F.conv2d(inputs[0], weight, None, layer.stride, padding, groups=layer.groups)
        x.mul_(getattr(self, f"factor{k}")).add_(bias)
        return x.add_(inputs[1], alpha=self._plus[k]) if len(inputs) > 1 else x

    def compute(self, k: int, layer: Layer, inputs: list[Tensor]) -> Tensor:
        """Carry out one layer."""
        if layer.weight is None:
            return without_weights(layer, inputs)
        x = self.linear(k, layer, inputs)
        if not self.rounding.scale[k + 1]:
            return x.relu_() if layer.relu else x
        zero = int(self.rounding.zero[k + 1])
        return x.round_().clamp_(0 if layer.relu else -zero, LEVELS - zero)

    def forward(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """Carry out the plan on prepared pictures, shape (n, 1, rows, columns)."""
        return carried_out(self.plan, levels_of(pictures, self.rounding), self.compute)


@torch.inference_mode()
def fit_rounding(
    plan: Plan, pictures: Tensor, after_layer: Callable[[], None] | None = None
) -> Rounding:
    """Find what levels should stand for, so that rounding changes the results least.

    Parameters
    ----------
    plan : Plan
        What will be carried out.
    pictures : Tensor, shape (n, 1, rows, columns)
        Prepared pictures such as the network will see.
    after_layer : callable, optional
        Called from time to time; what it raises ends the work.

    Returns
    -------
    Rounding
    """
    pause = after_layer or (lambda: None)
    exact = FloatPlan(plan).to(memory_format=torch.channels_last)
    pictures = pictures.contiguous(memory_format=torch.channels_last)
    samples: list[Tensor] = [_sample(pictures)]

    def observed(k: int, layer: Layer, inputs: list[Tensor]) -> Tensor:
        result = exact.compute(k, layer, inputs)
        samples.append(_sample(result))
        pause()
        return result

    carried_out(plan, pictures, observed)
    scale, zero = _levels(plan, samples, pause)
    units = [scale[k + 1].item() or 1.0 for k, *_ in weighted(plan)]
    biases = [bias / unit for (*_, bias), unit in zip(weighted(plan), units, strict=True)]
    rounding = Rounding(scale, zero, tuple(bias.float() for bias in biases))
    return Rounding(scale, zero, _corrected(plan, exact, rounding, pictures, pause))


def _sample(values: Tensor) -> Tensor:
    # At random, since a steady step falls in with the rows and meets the same columns always.
    at = torch.randint(values.numel(), (_SAMPLES,), generator=torch.Generator().manual_seed(0))
    return values.contiguous().flatten()[at]


def _levels(
    plan: Plan, samples: Sequence[Tensor], pause: Callable[[], None]
) -> tuple[Tensor, Tensor]:
    """Scale and zero of every value; values that are moved unchanged share theirs."""
    n_values = len(plan.layers) + 1
    group = list(range(n_values))
    for k, layer in enumerate(plan.layers):
        if layer.weight is None:
            joined = {group[value] for value in layer.inputs}
            group = [group[layer.inputs[0]] if g in joined else g for g in group]
            group[k + 1] = group[layer.inputs[0]]
    scale = torch.zeros(n_values, dtype=torch.float64)
    zero = torch.zeros(n_values, dtype=torch.int32)
    for value in range(n_values):
        members = [other for other in range(n_values) if group[other] == group[value]]
        if value != members[0] or value in plan.outputs:
            continue
        pause()
        values = torch.cat([samples[member] for member in members])
        step = _best_step(values)
        layer = plan.layers[value - 1]
        if value and len(layer.inputs) > 1 and layer.kind == "conv":
            other = scale[layer.inputs[1]].item()
            step = other / _four_bits(other / step, _FINEST, math.floor)[0]
        scale[members] = step
        zero[members] = _zero_level(values, step)
    return scale, zero


def _zero_level(values: Tensor, step: float) -> int:
    # Even, since a half is rounded to the even neighbour with the zero level added or without.
    return 2 * min(round(-min(float(values.min()), 0.0) / step / 2), LEVELS // 2)


def _best_step(values: Tensor) -> float:
    """Difference between levels that has the least squared error."""
    extent = max(float(values.max()), 1e-6) - min(float(values.min()), 0.0)

    def error(step: float) -> float:
        zero = _zero_level(values, step)
        levels = torch.round(values / step).clamp_(-zero, LEVELS - zero)
        return float((levels * step - values).square().mean())

    return min((extent * float(part) / LEVELS for part in _TRIALS), key=error)


def _corrected(
    plan: Plan,
    exact: FloatPlan,
    rounding: Rounding,
    pictures: Tensor,
    pause: Callable[[], None],
) -> tuple[Tensor, ...]:
    """Biases with which rounding leaves each channel's mean as it was, layer after layer."""
    rounded = RoundedPlan(plan, rounding)
    n = len(pictures)
    corrected = []

    def both(k: int, layer: Layer, inputs: list[Tensor]) -> Tensor:
        pause()
        # The exact values travel in the first half of the batch, the rounded ones in the second.
        true, rough = [x[:n] for x in inputs], [x[n:] for x in inputs]
        if layer.weight is not None:
            bias = getattr(rounded, f"bias{k}")
            if layer.kind == "conv":
                unit = rounding.unit(k + 1)
                error = exact.linear(k, layer, true) / unit - rounded.linear(k, layer, rough)
                bias += error.mean(dim=(0, 2, 3))[:, None, None]
            corrected.append(bias.flatten().clone())
        return torch.cat([exact.compute(k, layer, true), rounded.compute(k, layer, rough)])

    carried_out(plan, torch.cat([pictures, levels_of(pictures, rounding)]), both)
    return tuple(corrected)
