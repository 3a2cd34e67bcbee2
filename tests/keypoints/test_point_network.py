from __future__ import annotations

import pytest
import torch

from napari_facemap.keypoints.network import KeypointNetwork, network_from_state
from napari_facemap.keypoints.point_network import (
    PointNetwork,
    is_point_network,
    point_network_from_state,
)
from napari_facemap.keypoints.runtimes.rounding import RoundedPlan, fit_rounding

WIDTHS, DEPTHS = (2, 3, 4, 5, 6), (1, 0, 2, 1)


def _network():
    torch.manual_seed(0)
    return PointNetwork(7, WIDTHS, DEPTHS).eval()


def test_maps_have_a_quarter_of_the_resolution():
    with torch.inference_mode():
        place, unseen = _network()(torch.rand(2, 1, 256, 256))
        small, _ = _network()(torch.rand(1, 1, 64, 96))
    assert place.shape == (2, 7, 64, 64)
    assert unseen.shape == (2, 7)
    assert small.shape == (1, 7, 16, 24)


def test_state_dict_rebuilds_the_network():
    network = _network()
    again = point_network_from_state(network.state_dict())
    assert (again.widths, again.depths, again.n_keypoints) == (WIDTHS, DEPTHS, 7)
    assert not again.training
    images = torch.rand(1, 1, 256, 256)
    with torch.inference_mode():
        for ours, theirs in zip(network(images), again(images), strict=True):
            assert torch.equal(ours, theirs)


def test_the_two_layouts_are_told_apart():
    ours, facemaps = _network().state_dict(), KeypointNetwork(3, WIDTHS).state_dict()
    assert is_point_network(ours)
    assert not is_point_network(facemaps)
    with pytest.raises(ValueError, match="point network"):
        point_network_from_state(facemaps)
    with pytest.raises(ValueError, match="90 tensors"):
        network_from_state(ours)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.pop("stem.0.weight"), "stem.0.weight"),
        (lambda s: s.pop("place.bias"), "place.bias is missing"),
        (lambda s: s.update({"unseen.bias": torch.zeros(9)}), r"unseen.bias is \(9,\)"),
        (lambda s: s.update(extra=torch.zeros(1)), "extra"),
        (lambda s: s["place.bias"].fill_(torch.inf), "finite"),
    ],
)
def test_other_tensors_are_refused_by_name(change, words):
    state = _network().state_dict()
    change(state)
    with pytest.raises(ValueError, match=words):
        point_network_from_state(state)


@pytest.mark.parametrize("sizes", [((4, 4, 4, 4), DEPTHS), (WIDTHS, (1, 1, 1))])
def test_another_number_of_levels_is_refused(sizes):
    with pytest.raises(ValueError, match="5 widths and 4 depths"):
        PointNetwork(3, *sizes)


@pytest.fixture
def rounding():
    pictures = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    return fit_rounding(_network().plan(), pictures)


def test_a_rounded_network_is_so_in_evaluation_and_trains_in_floats(rounding):
    network, images = _network(), torch.rand(2, 1, 64, 64)
    exact = [value.detach() for value in network(images)]
    assert network.rounding is None
    assert network.round_to(rounding) is network
    assert network.rounding is rounding
    rounded = network(images)
    expected = RoundedPlan(_network().plan(), rounding)(images)
    for one, two, other in zip(rounded, expected, exact, strict=True):
        assert torch.equal(one, two)
        assert not torch.equal(one, other)
        assert one.shape == other.shape
    plain = _network().train()
    for one, two in zip(network.train()(images), plain(images), strict=True):
        assert torch.equal(one, two)
        assert one.requires_grad
    assert network.state_dict().keys() == plain.state_dict().keys()


def test_a_rounding_of_another_network_is_refused(rounding):
    torch.manual_seed(0)
    for other in (PointNetwork(7, WIDTHS), PointNetwork(6, WIDTHS, DEPTHS)):
        with pytest.raises(ValueError, match="does not fit the network"):
            other.eval().round_to(rounding)
        assert other.rounding is None
        other(torch.rand(1, 1, 64, 64))


def test_a_state_with_a_rounding_rebuilds_the_rounded_network(rounding):
    network = _network().round_to(rounding)
    again = point_network_from_state(network.state_dict() | rounding.state())
    images = torch.rand(1, 1, 256, 256)
    with torch.inference_mode():
        for ours, theirs in zip(network(images), again(images), strict=True):
            assert torch.equal(ours, theirs)
