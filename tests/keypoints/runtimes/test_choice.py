from __future__ import annotations

import copy

import pytest
import torch

from napari_facemap.keypoints.runtimes import choice
from napari_facemap.keypoints.runtimes.choice import RUNTIMES, open_runtime, openvino_is_here

CPU = torch.device("cpu")

needs_openvino = pytest.mark.skipif(not openvino_is_here(), reason="OpenVINO is not installed")


@pytest.fixture
def rounded(make):
    """A network of our layout that is one of eight bits."""
    made = make("ours")
    return copy.deepcopy(made.network).round_to(made.rounding)


@pytest.mark.parametrize(
    "name", ["eager", "torch", pytest.param("openvino", marks=needs_openvino)]
)
def test_every_runtime_gives_what_forward_gives(make_network, make_pictures, layout, name):
    network, pictures = make_network(layout), make_pictures(3)
    runtime = open_runtime(network, CPU, name)
    assert (runtime.name, runtime.precision, runtime.device) == (name, "float32", CPU)
    with torch.inference_mode():
        found, expected = runtime.run(pictures), network(pictures)
    assert len(found) == len(expected) == (2 if layout == "ours" else 3)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=0)
    if layout == "facemap":
        assert found[0].min() == 0


def test_the_runtimes_are_known_by_name():
    assert RUNTIMES == ("eager", "torch", "openvino")


def test_openvino_is_taken_for_floats_where_it_is_installed(monkeypatch, make_network, layout):
    monkeypatch.setattr(choice, "openvino_is_here", lambda: True)
    monkeypatch.setattr(choice, "OpenVinoPlan", lambda plan, calls: lambda x: (x, calls))
    runtime = open_runtime(make_network("ours"), CPU, calls=3)
    assert (runtime.name, runtime.precision) == ("openvino", "float32")
    assert runtime.run(torch.zeros(1)) == (torch.zeros(1), 3)
    monkeypatch.setattr(choice, "openvino_is_here", lambda: False)
    runtime = open_runtime(make_network(layout), CPU)
    assert (runtime.name, runtime.precision) == ("torch", "float32")


@pytest.mark.parametrize("name", [None, "torch", "eager"])
def test_a_network_of_eight_bits_has_them_everywhere(rounded, make_pictures, name):
    runtime = open_runtime(rounded, CPU, name)
    assert (runtime.name, runtime.precision) == (name or "torch", "8-bit")
    pictures = make_pictures(2)
    with torch.inference_mode():
        for one, other in zip(runtime.run(pictures), rounded(pictures), strict=True):
            assert torch.equal(one, other)


def test_its_own_rounding_goes_before_another(rounded, make, make_pictures):
    runtime = open_runtime(rounded, CPU, rounding=make("ours", 1).rounding)
    pictures = make_pictures(1)
    with torch.inference_mode():
        assert torch.equal(runtime.run(pictures)[0], rounded(pictures)[0])


@pytest.mark.parametrize("name", [None, "torch"])
def test_a_float_network_is_rounded_when_told(make, layout, name):
    made = make(layout)
    runtime = open_runtime(made.network, CPU, name, rounding=made.rounding)
    assert (runtime.name, runtime.precision) == ("torch", "8-bit")
    with torch.inference_mode():
        found, exact = runtime.run(made.pictures), made.network(made.pictures)
    for one, other in zip(found, exact, strict=True):
        assert not torch.equal(one, other)
        both = torch.stack([one.flatten(), other.flatten()])
        assert torch.corrcoef(both)[0, 1] > 0.98


def test_a_name_that_is_not_known_is_answered_with_those_that_are(make_network):
    with pytest.raises(ValueError, match=r"eager, torch, openvino; found 'onnx'"):
        open_runtime(make_network("ours"), CPU, "onnx")


@needs_openvino
def test_openvino_is_for_floats_only(rounded, make):
    made = make("facemap")
    for network, rounding in ((rounded, None), (made.network, made.rounding)):
        with pytest.raises(ValueError, match=r'float32 for OpenVINO\. Use the runtime "torch"'):
            open_runtime(network, CPU, "openvino", rounding=rounding)


def test_eager_does_not_round_what_is_float(make, layout):
    made = make(layout)
    with pytest.raises(ValueError, match='runtime "torch" for 8 bits'):
        open_runtime(made.network, CPU, "eager", rounding=made.rounding)


def test_openvino_is_for_processors_only(make_network):
    with pytest.raises(ValueError, match="device cpu for OpenVINO; found cuda"):
        open_runtime(make_network("ours"), torch.device("cuda"), "openvino")


def test_how_to_install_openvino_is_said(monkeypatch, make_network, layout):
    monkeypatch.setattr(choice, "openvino_is_here", lambda: False)
    with pytest.raises(ValueError, match=r"pip install 'napari-facemap\[cpu\]'") as caught:
        open_runtime(make_network(layout), CPU, "openvino")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["eager", "torch", None])
def test_the_network_is_left_alone(make_network, make_pictures, layout, name):
    network = make_network(layout)
    before = copy.deepcopy(network.state_dict())
    strides = {n: p.stride() for n, p in network.named_parameters()}
    with torch.inference_mode():
        open_runtime(network, CPU, name).run(make_pictures(1))
    assert network.state_dict().keys() == before.keys()
    assert all(torch.equal(network.state_dict()[n], value) for n, value in before.items())
    assert {n: p.stride() for n, p in network.named_parameters()} == strides
    assert all(p.requires_grad for p in network.parameters())
    assert getattr(network, "rounding", None) is None
