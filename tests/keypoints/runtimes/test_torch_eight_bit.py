from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_facemap.keypoints.models import load_model
from napari_facemap.keypoints.runtimes import choice, torch_eight_bit
from napari_facemap.keypoints.runtimes.plan import Layer, Plan
from napari_facemap.keypoints.runtimes.rounding import RoundedPlan, fit_rounding
from napari_facemap.keypoints.runtimes.torch_eight_bit import TorchEightBit, integers_are_exact

CPU = torch.device("cpu")

needs_integers = pytest.mark.skipif(
    not integers_are_exact(),
    reason="this processor's integer convolutions are not there or saturate",
)


def _assert_equal(plan, rounding, pictures):
    with torch.inference_mode():
        found = TorchEightBit(plan, rounding)(pictures)
        expected = RoundedPlan(plan, rounding)(pictures)
    assert len(found) == len(expected) == len(plan.outputs)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == torch.float32
        assert torch.equal(one, other)
        assert other.std() > 0


@needs_integers
@pytest.mark.parametrize("n", [1, 3, 8])
def test_integers_find_what_the_definition_says(make, make_pictures, layout, n):
    made = make(layout)
    assert (made.rounding.zero > 0).sum() > 2  # signed values are among them
    _assert_equal(made.plan, made.rounding, make_pictures(n, 7))


@needs_integers
@given(st.integers(0, 10_000), st.sampled_from(["ours", "facemap"]), st.floats(0.1, 30))
@settings(max_examples=8)
def test_that_holds_for_any_weights_and_pictures(make, make_pictures, seed, layout, gain):
    made = make(layout, seed)
    _assert_equal(made.plan, made.rounding, gain * make_pictures(2, seed + 1))


@needs_integers
def test_it_holds_for_as_many_channels_as_the_built_in_model_has():
    network = load_model().network
    if network.rounding is None:
        pytest.skip("the built-in model is not rounded")
    pictures = torch.rand(2, 1, 256, 256, generator=torch.Generator().manual_seed(0))
    _assert_equal(network.plan(), network.rounding, pictures)


def _plan_of_everything(relu: bool) -> Plan:
    """Every kind of layer, sums into values that are needed again and that are not."""
    torch.manual_seed(3)
    plan = Plan()

    def conv(x, n_in, n_out, size=3, **how):
        groups = how.get("groups", 1)
        weight = torch.randn(n_out, n_in // groups, size, size, dtype=torch.float64)
        bias = torch.randn(n_out, dtype=torch.float64)
        return plan.conv(x, weight / (size * (n_in // groups) ** 0.5), bias, **how)

    first = conv(0, 1, 8, 5, stride=2, relu=relu)
    by_group = conv(first, 8, 8, groups=8)
    pooled = plan.add(Layer("pool", (by_group,)))
    doubled = plan.add(Layer("double", (pooled,)))
    kept = conv(first, 8, 8, 1, plus=doubled, relu=relu)  # `doubled` is joined below
    last = conv(kept, 8, 8, plus=first, relu=relu)
    joined = plan.add(Layer("join", (last, doubled)))
    pairs = conv(joined, 16, 8, groups=2, stride=2)
    linear = torch.randn(3, 8, dtype=torch.float64), torch.randn(3, dtype=torch.float64)
    mean = plan.add(Layer("mean", (pairs,), *linear))
    plan.outputs = (conv(kept, 8, 2, relu=relu), mean, conv(pairs, 8, 2, 1))
    return plan


@needs_integers
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("n", [1, 3, 8])
def test_it_holds_for_every_kind_of_layer(make_pictures, relu, n):
    plan = _plan_of_everything(relu)
    rounding = fit_rounding(plan, make_pictures(2))
    assert (rounding.zero > 0).any()
    _assert_equal(plan, rounding, make_pictures(n, 1))


@needs_integers
def test_several_threads_and_a_second_call_find_the_same(make, make_pictures, layout):
    made = make(layout)
    run = TorchEightBit(made.plan, made.rounding)
    pictures = [make_pictures(2, seed) for seed in range(8)]
    before = [picture.clone() for picture in pictures]
    alone = [run(picture) for picture in pictures]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(run, pictures))
    for one, other in zip(alone, together, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(pictures, before, strict=True))


@needs_integers
def test_an_odd_zero_level_would_round_halves_the_other_way(make, make_pictures):
    """So that the test above can fail, and zero levels are even for a reason."""
    different = 0
    for seed in range(5):
        made = make("facemap", seed)
        zero = made.rounding.zero + (made.rounding.scale > 0).int()
        odd = dataclasses.replace(made.rounding, zero=zero)
        pictures = make_pictures(4, seed)
        with torch.inference_mode():
            (found,), (expected,) = (
                kind(made.plan, odd)(pictures) for kind in (TorchEightBit, RoundedPlan)
            )
        different += not torch.equal(found, expected)
    assert different


def test_without_exact_integers_floats_carry_out_the_same(
    monkeypatch, make, make_pictures, layout
):
    made = make(layout)
    pictures = make_pictures(3, 2)
    rounding = None
    if layout == "ours":
        made.network.round_to(made.rounding)
    else:
        rounding = made.rounding
    try:
        usual = choice.open_runtime(made.network, CPU, rounding=rounding)
        monkeypatch.setattr(choice, "integers_are_exact", lambda: False)
        monkeypatch.setattr(choice, "TorchEightBit", None)  # not to be touched
        other = choice.open_runtime(made.network, CPU, rounding=rounding)
    finally:
        if layout == "ours":
            made.network.rounding = made.network._rounded = None
    assert (other.name, other.precision) == (usual.name, usual.precision) == ("torch", "8-bit")
    with torch.inference_mode():
        results = usual.run(pictures), other.run(pictures)
    assert len(results[0]) == (2 if layout == "ours" else 3)
    for one, two in zip(*results, strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize("error", [AttributeError, RuntimeError])
def test_where_the_operations_are_missing_integers_are_not_exact(monkeypatch, error):
    def missing(*_):
        raise error("no such operation")

    monkeypatch.setattr(torch_eight_bit, "TorchEightBit", missing)
    assert integers_are_exact.__wrapped__() is False


def test_a_processor_that_saturates_is_found_out(monkeypatch):
    def saturates(plan, rounding):
        exact = RoundedPlan(plan, rounding)
        # Pairs of products stop at 2**15, which is little more than half of what they should be.
        return lambda pictures: tuple(values.clamp(max=42_000) for values in exact(pictures))

    monkeypatch.setattr(torch_eight_bit, "TorchEightBit", saturates)
    assert integers_are_exact.__wrapped__() is False
    monkeypatch.setattr(torch_eight_bit, "TorchEightBit", RoundedPlan)
    assert integers_are_exact.__wrapped__() is True
