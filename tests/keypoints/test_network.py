from __future__ import annotations

import pytest
import torch

from napari_facemap.keypoints.network import KeypointNetwork, network_from_state

SMALL = (2, 3, 4, 5, 6)


def test_maps_have_a_quarter_of_the_resolution_and_heat_is_not_negative():
    network = KeypointNetwork(7, SMALL).eval()
    with torch.inference_mode():
        heat, row, column = network(torch.rand(2, 1, 256, 256))
    assert heat.shape == row.shape == column.shape == (2, 7, 64, 64)
    assert heat.min() >= 0
    assert row.min() < 0


def test_facemaps_layout_has_90_tensors_and_its_size():
    network = KeypointNetwork(15)
    assert len(network.state_dict()) == 90
    assert sum(p.numel() for p in network.parameters()) == 1_561_631


def test_state_dict_rebuilds_the_network():
    torch.manual_seed(0)
    network = KeypointNetwork(3, SMALL).eval()
    again = network_from_state(network.state_dict())
    images = torch.rand(1, 1, 256, 256)
    with torch.inference_mode():
        for ours, theirs in zip(network(images), again(images), strict=True):
            assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.pop("Conv.conv2.conv.conv_0.2.weight"), "conv_0.2.weight"),
        (lambda s: s.pop("Conv2_1x1.conv0.weight"), "90 tensors"),
        (lambda s: s.update({"Conv2_1x1.conv1.bias": torch.zeros(9)}), r"\(9,\)"),
        (lambda s: s.update(extra=torch.zeros(1)), "extra"),
        (lambda s: s["Conv2_1x1.conv1.bias"].fill_(torch.nan), "finite"),
    ],
)
def test_other_tensors_are_refused_by_name(change, words):
    state = KeypointNetwork(3, SMALL).state_dict()
    change(state)
    with pytest.raises(ValueError, match=words):
        network_from_state(state)
