from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from napari_facemap.neural.clocks import Grid
from napari_facemap.neural.network import EncoderNetwork, gabor_filters, padded, windows_at
from napari_facemap.neural.network_model import NetworkModel

CPU = torch.device("cpu")


@pytest.fixture
def network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return EncoderNetwork(6, 11).eval()


@pytest.fixture
def behavior():
    return np.random.default_rng(0).standard_normal((700, 6)).astype(np.float32)


def as_published(network, behavior):
    """Mixing, then a padded convolution shared by all features, then the dense layers."""
    held = padded(behavior, CPU).T
    mixed = network.mixing(held)
    filtered = functional.conv1d(mixed.T[:, None], network.filters[:, None])
    features = functional.relu(filtered).permute(2, 0, 1).flatten(1)
    hidden = functional.relu(network.hidden(features))
    return network.readout(functional.relu(network.latent(hidden)))


def test_it_is_the_published_function_at_the_wanted_times(network, behavior):
    steps = torch.tensor([0, 3, 100, 350, 650, 699])
    with torch.inference_mode():
        ours = network(windows_at(padded(behavior, CPU), steps))
        theirs = as_published(network, behavior)[steps]
    assert torch.allclose(ours, theirs, atol=1e-5)


def test_layers_have_the_published_sizes():
    network = EncoderNetwork(30, 128)
    shapes = {name: tuple(value.shape) for name, value in network.named_parameters()}
    assert shapes["mixing.weight"] == (30, 30)
    assert shapes["filters"] == (10, 201)
    assert shapes["hidden.weight"] == (50, 300)
    assert shapes["latent.weight"] == (256, 50)
    assert shapes["readout.weight"] == (128, 256)


def test_filters_begin_as_quadrature_pairs_from_a_quarter_to_two_and_a_half_hertz():
    filters = gabor_filters().numpy()
    assert np.allclose(np.linalg.norm(filters, axis=1), 1)
    power = np.abs(np.fft.rfft(filters, 5000)) ** 2
    peaks = np.fft.rfftfreq(5000, 1 / 50)[power.argmax(axis=1)]
    assert peaks[-2:] == pytest.approx(2.5, abs=0.1)
    assert np.allclose(filters[::2] @ filters[1::2].T * np.eye(5), 0, atol=1e-6)


def test_roughness_is_the_sum_of_squared_steps(network):
    filters = network.filters.detach().numpy()
    assert network.roughness().item() == pytest.approx((np.diff(filters) ** 2).sum(), rel=1e-5)


def fitted(network):
    model = NetworkModel()
    model.network = network
    return model


@pytest.mark.parametrize("block", [3, 64, 699])
def test_fault_29_block_size_does_not_change_the_prediction(network, behavior, block, monkeypatch):
    model, grid, positions = fitted(network), Grid(behavior, 0, 50), np.arange(700)
    whole = model.predict(grid, positions, "cpu")
    monkeypatch.setattr("napari_facemap.neural.network_model.BLOCK", block)
    assert np.allclose(model.predict(grid, positions, "cpu"), whole, atol=1e-5)


def test_fault_29_the_ends_hold_the_edge_value(network):
    still = np.tile(np.random.default_rng(1).standard_normal(6).astype(np.float32), (700, 1))
    predicted = fitted(network).predict(Grid(still, 0, 50), np.arange(700), "cpu")
    assert np.abs(predicted - predicted[350]).max() < 1e-5


def test_fault_30_all_is_float32_on_the_cpu(network, behavior):
    with torch.inference_mode():
        predicted = network(windows_at(padded(behavior.astype(float), CPU), torch.arange(5)))
    assert predicted.dtype == torch.float32
    assert predicted.device == CPU
