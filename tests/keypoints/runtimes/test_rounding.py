from __future__ import annotations

import dataclasses
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_facemap.keypoints.models import ModelError, halved, load_model, save_model
from napari_facemap.keypoints.runtimes.plan import FloatPlan, carried_out, weighted
from napari_facemap.keypoints.runtimes.rounding import (
    LEVELS,
    RoundedPlan,
    Rounding,
    fit_rounding,
    levels_of,
    rounded_conv,
    rounding_from_state,
)

CARD = {"keypoints": ["a", "b", "c", "d", "e"]}


def _values(rounded: RoundedPlan, levels: torch.Tensor) -> list[torch.Tensor]:
    """What every layer gives."""
    values = []

    def compute(k, layer, inputs):
        values.append(rounded.compute(k, layer, inputs).clone())
        return values[-1]

    with torch.inference_mode():
        carried_out(rounded.plan, levels, compute)
    return values


def _convs(made):
    return [
        (k, layer, rounded_conv(k, layer, made.rounding, bias))
        for (k, layer, *_), bias in zip(weighted(made.plan), made.rounding.bias, strict=True)
        if layer.kind == "conv"
    ]


@given(st.integers(0, 10_000), st.sampled_from(["ours", "facemap"]), st.floats(0.1, 30))
@settings(max_examples=8)
def test_levels_are_the_same_in_float32_and_float64(make, make_pictures, seed, layout, gain):
    made = make(layout, seed)
    levels = levels_of(gain * make_pictures(2, seed + 1), made.rounding)
    single = _values(RoundedPlan(made.plan, made.rounding), levels)
    double = _values(RoundedPlan(made.plan, made.rounding).double(), levels.double())
    for k, (one, other) in enumerate(zip(single, double, strict=True)):
        if made.rounding.scale[k + 1]:
            assert torch.equal(one.double(), other)
            zero = made.rounding.zero[k + 1]
            assert torch.equal(one, one.round())
            assert -zero <= one.min() <= one.max() <= LEVELS - zero
        else:
            torch.testing.assert_close(one.double(), other, atol=1e-4, rtol=1e-5)


@given(st.integers(0, 10_000))
@settings(max_examples=3)
def test_values_do_not_depend_on_the_order_of_adding(make, seed):
    """Channels in another order are summed in another order."""
    made = make("ours", seed)
    layers = [layer for layer in made.plan.layers if layer.kind == "conv"]
    rounded = RoundedPlan(made.plan, made.rounding)
    values = _values(rounded, levels_of(made.pictures, made.rounding))
    checked = 0
    for k, layer in enumerate(made.plan.layers):
        if layer.kind != "conv" or not made.rounding.scale[k + 1] or 0 in layer.inputs:
            continue
        inputs = [values[value - 1] for value in layer.inputs]
        order = torch.randperm(inputs[0].shape[1])
        shuffled = RoundedPlan(made.plan, made.rounding)
        getattr(shuffled, f"weight{k}").copy_(getattr(rounded, f"weight{k}")[:, order])
        with torch.inference_mode():
            found = shuffled.compute(k, layer, [inputs[0][:, order], *inputs[1:]])
        assert torch.equal(found, values[k])
        checked += 1
    assert checked >= len(layers) - 2


def test_levels_of_pictures_are_the_nearest(make, layout):
    rounding = make(layout).rounding
    scale, zero = rounding.scale[0].item(), int(rounding.zero[0])
    levels = torch.arange(-zero, LEVELS + 1 - zero).float()
    off = torch.linspace(-0.49, 0.49, len(levels))
    pictures = (scale * (levels + off)).reshape(1, 1, 16, 16)
    assert torch.equal(levels_of(pictures, rounding).flatten(), levels)
    far = levels_of(torch.tensor([-1e6, 1e6]), rounding)
    assert far.tolist() == [-zero, LEVELS - zero]


def test_factors_have_four_bits_and_weights_eight(make, layout):
    made = make(layout)
    for k, layer, conv in _convs(made):
        rounded = bool(made.rounding.scale[k + 1])
        for factor in [*conv.factor.tolist(), *([conv.plus_factor] if conv.plus_factor else [])]:
            m = Fraction(factor).numerator
            while m % 2 == 0:
                m //= 2
            assert 0 < m <= 15
            assert not rounded or (factor * 2**14).is_integer()
        assert torch.equal(conv.weight, conv.weight.round())
        largest = conv.weight.abs().flatten(1).amax(dim=1)
        assert largest.max() <= 127
        if not rounded:
            assert largest.min() >= 127 * 8 // 9 - 1  # four bits waste a ninth at most
        else:
            assert torch.equal(conv.bias * 2**14, (conv.bias * 2**14).round())
        # Together they stand for the weights.
        to, unit = made.rounding.unit(k + 1), made.rounding.unit(layer.inputs[0])
        step = conv.factor.double()[:, None, None, None] * to / unit
        assert ((conv.weight * step - layer.weight).abs() <= step * 0.5001).all()


def test_what_is_added_is_scaled_by_four_bits_exactly(make, layout):
    made = make(layout)
    sums = [(k, layer, conv) for k, layer, conv in _convs(made) if len(layer.inputs) > 1]
    assert bool(sums) == (layout == "ours")
    for k, layer, conv in sums:
        ratio = made.rounding.scale[layer.inputs[1]] / made.rounding.scale[k + 1]
        assert conv.plus_factor == pytest.approx(ratio.item(), rel=1e-12)


def test_zero_levels_are_even_and_those_of_signed_values_are_not_the_lowest(make, layout):
    made = make(layout)
    rounding, plan = made.rounding, made.plan
    assert (rounding.zero % 2 == 0).all()
    assert rounding.zero[0] > 0
    for k, layer in enumerate(plan.layers):
        value = k + 1
        if value in plan.outputs:
            assert rounding.scale[value] == 0
        elif layer.weight is None:
            for source in layer.inputs:
                assert rounding.scale[value] == rounding.scale[source] > 0
                assert rounding.zero[value] == rounding.zero[source]
        else:
            assert rounding.scale[value] > 0
    signed = [k + 1 for k, la in enumerate(plan.layers) if la.kind == "conv" and not la.relu]
    assert all(rounding.zero[v] > 0 for v in signed if v not in plan.outputs)
    rounding.check(plan)


@pytest.mark.parametrize("seed", range(3))
def test_rounding_changes_little_on_the_pictures_that_it_is_fitted_to(make, layout, seed):
    made = make(layout, seed)
    with torch.inference_mode():
        exact = FloatPlan(made.plan)(made.pictures)
        rounded = RoundedPlan(made.plan, made.rounding)(made.pictures)
    for one, other in zip(exact, rounded, strict=True):
        both = torch.stack([one.flatten(), other.flatten()]).double()
        assert torch.corrcoef(both)[0, 1] > 0.99
        assert not torch.equal(one, other)


def test_biases_are_corrected_for_the_mean_error(make, layout):
    ratios = []
    for made in (make(layout, seed) for seed in range(5)):
        plain = tuple(
            (bias / made.rounding.unit(k + 1)).float() for k, _, _, bias in weighted(made.plan)
        )
        uncorrected = dataclasses.replace(made.rounding, bias=plain)
        ratios.append(_mean_error(made, made.rounding) / _mean_error(made, uncorrected))
    assert np.median(ratios) < 0.5


def _mean_error(made, rounding: Rounding) -> float:
    """How far the channels' means are off in the places' log odds."""
    with torch.inference_mode():
        found = RoundedPlan(made.plan, rounding)(made.pictures)[0]
        off = found - FloatPlan(made.plan)(made.pictures)[0]
    return off.mean(dim=(0, 2, 3)).abs().mean().item()


def test_fitting_is_deterministic_and_leaves_what_it_is_given_alone(make, layout):
    made = make(layout)
    pictures = made.pictures.clone()
    weights = [weight.clone() for _, _, weight, _ in weighted(made.plan)]
    torch.manual_seed(5)
    before = torch.get_rng_state()
    again = fit_rounding(made.plan, pictures)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(pictures, made.pictures)
    assert all(
        torch.equal(w, v) for w, (_, _, v, _) in zip(weights, weighted(made.plan), strict=True)
    )
    _same(again, made.rounding)


def _same(one: Rounding, other: Rounding) -> None:
    for name, value in one.state().items():
        assert value.dtype == other.state()[name].dtype
        assert torch.equal(value, other.state()[name]), name


class _Enough(Exception):
    pass


@pytest.mark.parametrize("last", [1, 20, 60, -1])
def test_what_is_called_between_layers_can_end_the_fit(make, layout, last):
    made = make(layout)
    n_calls = 0

    def count():
        nonlocal n_calls
        n_calls += 1

    def pause():
        count()
        if n_calls == last:
            raise _Enough

    if last < 0:
        fit_rounding(made.plan, made.pictures, count)
        last, n_calls = n_calls, 0
        assert last > 2 * len(made.plan.layers)
    with pytest.raises(_Enough):
        fit_rounding(made.plan, made.pictures, pause)
    assert n_calls == last


def test_values_that_are_all_zero_can_be_rounded(make_network, make_pictures, layout):
    network = make_network(layout)
    first = network.stem[1] if layout == "ours" else network.Conv["conv0"].conv[1][0]
    torch.nn.init.zeros_(first.weight)
    torch.nn.init.constant_(first.bias, -1.0)
    plan, pictures = network.plan(), make_pictures(1)
    rounding = fit_rounding(plan, pictures)
    rounding.check(plan)
    with torch.inference_mode():
        for one, other in zip(
            RoundedPlan(plan, rounding)(pictures), FloatPlan(plan)(pictures), strict=True
        ):
            assert torch.isfinite(one).all()
            assert (one - other).abs().mean() < 0.2 * max(other.std(), 0.1)


def test_saving_and_loading_keep_every_bit(tmp_path, make_network, make_pictures):
    network = halved(make_network("ours", 3))
    rounding = fit_rounding(network.plan(), make_pictures(2, 3))
    network.round_to(rounding)
    save_model(network, tmp_path / "m.safetensors", CARD)
    again = load_model(tmp_path / "m.safetensors").network
    _same(again.rounding, rounding)
    assert again.rounding.scale.dtype == torch.float64
    assert not torch.equal(rounding.scale, rounding.scale.float().double())
    pictures = make_pictures(1, 4)
    with torch.inference_mode():
        for one, other in zip(network(pictures), again(pictures), strict=True):
            assert torch.equal(one, other)


def test_a_state_is_parted_into_weights_and_rounding(make, layout):
    rounding = make(layout).rounding
    weights = {"stem.0.weight": torch.ones(2)}
    parted, found = rounding_from_state(weights | rounding.state())
    assert parted == weights
    _same(found, rounding)
    assert rounding_from_state(weights) == (weights, None)


BAD = {
    "a scale too few": lambda r: {"scale": r.scale[:-1]},
    "a zero too many": lambda r: {"zero": torch.cat([r.zero, r.zero[:1]])},
    "a layer too few": lambda r: {"bias": r.bias[:-1]},
    "a layer too many": lambda r: {"bias": (*r.bias, r.bias[0].clone())},
    "a bias too few": lambda r: {"bias": (r.bias[0][1:], *r.bias[1:])},
    "a scale of NaN": lambda r: {"scale": r.scale * torch.nan},
    "an endless scale": lambda r: {"scale": torch.where(r.scale > 0, torch.inf, r.scale)},
    "a negative scale": lambda r: {"scale": -r.scale},
    "a bias of NaN": lambda r: {"bias": (*r.bias[:-1], r.bias[-1] * torch.nan)},
    "a zero below 0": lambda r: {"zero": r.zero - 300},
    "a zero above 255": lambda r: {"zero": r.zero + 256},
    "a rounded output": lambda r: {"scale": r.scale + 0.1},
    "biases of two dimensions": lambda r: {"bias": (r.bias[0][:, None], *r.bias[1:])},
    "scales of two dimensions": lambda r: {"scale": r.scale[:, None], "zero": r.zero[:, None]},
    "a value inside without a scale": lambda r: {
        "scale": r.scale.index_fill(0, torch.tensor([2]), 0.0)
    },
    "a zero that is odd": lambda r: {"zero": r.zero + (r.scale > 0).int()},
    "an output with a zero": lambda r: {"zero": torch.where(r.scale > 0, r.zero, 2)},
}


@pytest.mark.parametrize("change", BAD.values(), ids=BAD)
def test_a_rounding_that_does_not_fit_is_refused_in_one_line(tmp_path, make, change):
    made = make("ours")
    bad = dataclasses.replace(made.rounding, **change(made.rounding))
    with pytest.raises(ValueError, match="expected a rounding of") as caught:
        bad.check(made.plan)
    assert "\n" not in str(caught.value)
    network = halved(made.network)
    with pytest.raises(ValueError, match="expected a rounding of"):
        network.round_to(bad)
    assert network.rounding is None
    network.rounding = bad
    save_model(network, tmp_path / "bad.safetensors", CARD)
    with pytest.raises(ModelError, match=r"bad\.safetensors: expected a rounding of") as caught:
        load_model(tmp_path / "bad.safetensors")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["rounding.scale", "rounding.zero", "rounding.bias.3"])
def test_a_rounding_that_is_not_whole_is_refused(make, name):
    state = make("ours").rounding.state()
    state.pop(name)
    with pytest.raises(ValueError, match="rounding, found no"):
        rounding_from_state(state)


def test_a_rounding_of_other_names_is_refused(make):
    state = make("ours").rounding.state() | {"rounding.more": torch.zeros(1)}
    with pytest.raises(ValueError, match=r"found no 'bias\.\d+'"):
        rounding_from_state(state)
