from __future__ import annotations

import weakref

import pytest
import torch
from torch import nn

from napari_facemap.keypoints.runtimes.plan import (
    FloatPlan,
    Layer,
    Plan,
    affine,
    carried_out,
    folded,
    weighted,
    without_weights,
)


def _same(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=0)


@pytest.mark.parametrize("seed", range(3))
def test_our_layouts_plan_is_its_forward(make_network, make_pictures, seed):
    network, pictures = make_network("ours", seed), make_pictures(3, seed)
    with torch.inference_mode():
        found, expected = FloatPlan(network.plan())(pictures), network(pictures)
    assert expected[0].std() > 0.1
    assert expected[1].std(dim=0).min() > 1e-3
    _same(found, expected)


@pytest.mark.parametrize("seed", range(3))
def test_facemaps_layouts_plan_gives_heat_rows_and_columns_in_this_order(
    make_network, make_pictures, seed
):
    network, pictures = make_network("facemap", seed), make_pictures(3, seed)
    with torch.inference_mode():
        (maps,), expected = FloatPlan(network.plan())(pictures), network(pictures)
    n = network.n_keypoints
    assert maps.shape == (3, 3 * n, 16, 16)
    assert (maps[:, :n] < 0).any()  # the heat is not cut off at 0 yet
    assert min(part.std() for part in expected) > 0.01
    _same((maps[:, :n].relu(), maps[:, n : 2 * n], maps[:, 2 * n :]), expected)


def test_pictures_may_have_other_sizes(make_network, make_pictures, layout):
    network, pictures = make_network(layout), make_pictures(1, side=128)[..., :96]
    with torch.inference_mode():
        found, expected = FloatPlan(network.plan())(pictures), network(pictures)
    _same(
        found[:1], expected[:1] if layout == "ours" else [torch.cat(_maps(network, pictures), 1)]
    )


def _maps(network, pictures):
    """Facemap's three maps without the ReLU."""
    kept = []
    hooks = [
        head.register_forward_hook(lambda *args: kept.append(args[2]))
        for head in network.Conv2_1x1.values()
    ]
    network(pictures)
    for hook in hooks:
        hook.remove()
    return kept


def test_a_batch_norm_is_folded_into_the_convolution_before_it():
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4).eval()
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.1, 3)
    with torch.no_grad():
        norm.weight.normal_()
        norm.bias.normal_()
    x = torch.randn(2, 3, 8, 8)
    weight, bias = folded(conv, norm)
    assert weight.dtype == bias.dtype == torch.float64
    found = nn.functional.conv2d(x.double(), weight, bias, padding=1)
    torch.testing.assert_close(found.float(), norm(conv(x)), atol=1e-5, rtol=0)
    scale, shift = (value[:, None, None] for value in affine(norm))
    y = torch.randn(2, 4, 8, 8)
    torch.testing.assert_close((y * scale + shift).float(), norm(y), atol=1e-5, rtol=0)


def test_the_network_is_left_alone(make_network, make_pictures, layout):
    network = make_network(layout)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    FloatPlan(network.plan())(make_pictures(1))
    network.plan().layers[0].weight.zero_()
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])


def test_values_are_let_go_of_after_their_last_use(make_network, make_pictures, layout):
    plan = make_network(layout).plan()
    exact, last = FloatPlan(plan), plan.last_use()
    alive: dict[int, weakref.ref] = {}
    most = 0

    def compute(k, layer, inputs):
        nonlocal most
        kept = {value for value, ref in alive.items() if ref() is not None}
        assert kept == {value for value in alive if last[value] >= k}
        most = max(most, len(kept))
        result = exact.compute(k, layer, inputs)
        alive[k + 1] = weakref.ref(result)
        return result

    with torch.inference_mode():
        outputs = carried_out(plan, make_pictures(1), compute)
    assert len(outputs) == len(plan.outputs)
    assert most <= 6 < len(plan.layers)


def test_last_use_counts_every_input_and_outputs_stay():
    plan = Plan()
    a = plan.add(Layer("pool", (0,)))
    b = plan.add(Layer("double", (a,)))
    c = plan.add(Layer("join", (b, 0)))
    plan.add(Layer("join", (c, b)))
    plan.outputs = (a, 4)
    assert plan.last_use() == [2, 4, 3, 3, 4]


def test_layers_without_weights_move_values_of_any_type():
    x = torch.arange(16, dtype=torch.uint8).reshape(1, 1, 4, 4)
    double = without_weights(Layer("double", (0,)), [x])
    assert torch.equal(double, x.repeat_interleave(2, 2).repeat_interleave(2, 3))
    join = without_weights(Layer("join", (0, 1)), [x, x + 1])
    assert torch.equal(join, torch.cat([x, x + 1], 1))
    pool = without_weights(Layer("pool", (0,)), [-1 - x.float()])
    assert pool.flatten().tolist() == [-1, -2, -5, -6]  # beyond the edge there is nothing


def test_layers_with_weights_are_those_with_a_number(make_network, layout):
    plan = make_network(layout).plan()
    found = [k for k, *_ in weighted(plan)]
    assert found == [k for k, layer in enumerate(plan.layers) if layer.kind in ("conv", "mean")]
    kinds = {layer.kind for layer in plan.layers}
    assert kinds == (
        {"conv", "double", "mean"} if layout == "ours" else {"conv", "double", "pool", "join"}
    )
