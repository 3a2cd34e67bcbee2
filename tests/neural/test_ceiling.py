from __future__ import annotations

import numpy as np
import pytest

from napari_facemap.neural import ceiling
from napari_facemap.neural.ceiling import _Weights, peer_ceiling
from napari_facemap.neural.recording import Recording
from napari_facemap.neural.scores import variance_explained
from napari_facemap.neural.splits import split_times
from napari_facemap.simulate.face import simulate_face
from napari_facemap.simulate.population import simulate_population


def split_of(recording):
    return split_times(recording.times, np.ones(len(recording.times), bool), 1.0, 0.5)


@pytest.fixture(scope="module")
def poses():
    return simulate_face(50 * 400, fps=50.0, seed=1).poses


def distance(poses, n_neurons):
    """How far the ceiling lies above the score of the true signal at the same samples."""
    population = simulate_population(poses, n_neurons, seed=2, undriven=0.1)
    recording = population.recording
    split = split_of(recording)
    found = peer_ceiling(recording, split, population.positions, cell=200)
    assert found.halves == "checkerboard"
    test = split.test
    truth = variance_explained(recording.activity[:, test], population.signal[:, test])
    return found.per_neuron - truth, found, population


def test_more_neurons_come_nearer_to_the_truth_and_not_above_it(poses):
    few, many = distance(poses, 60), distance(poses, 1500)
    assert few[0].mean() < many[0].mean() - 0.05
    assert -0.02 < many[0].mean() < 0
    assert many[0].max() < 0.02
    population, found = many[2], many[1]
    assert np.corrcoef(found.per_neuron, population.explainable)[0, 1] > 0.98
    assert np.abs(found.per_neuron[population.explainable == 0]).max() < 0.05
    assert 5 <= min(found.ranks) <= max(found.ranks) <= 20  # ten channels drive them


def made(rng, n_neurons=40, n_times=900, noise=0.5):
    shared = rng.standard_normal((3, n_times))
    activity = rng.standard_normal((n_neurons, 3)) @ shared
    activity = 5 + 2 * (activity + noise * rng.standard_normal(activity.shape))
    return Recording(activity, np.arange(n_times) / 10)


def test_what_is_private_has_no_ceiling():
    rng = np.random.default_rng(0)
    recording = Recording(rng.standard_normal((40, 900)), np.arange(900) / 10)
    found = peer_ceiling(recording, split_of(recording))
    assert found.halves == "chance"
    assert found.first_half.sum() == 20
    assert found.per_neuron.max() < 0.05
    assert abs(found.pooled) < 0.05


def test_the_three_ways_to_components_agree(monkeypatch):
    recording = made(np.random.default_rng(1), 60)
    split = split_of(recording)
    by_neurons = peer_ceiling(recording, split, components=12)
    monkeypatch.setattr(ceiling, "_VALUES_AT_ONCE", 5 * 900)
    in_pieces = peer_ceiling(recording, split, components=12)
    monkeypatch.setattr(ceiling, "_DENSE", 10)
    by_iteration = peer_ceiling(recording, split, components=12)
    assert np.allclose(by_neurons.per_neuron, in_pieces.per_neuron, atol=1e-4)
    assert np.allclose(by_neurons.per_neuron, by_iteration.per_neuron, atol=5e-3)
    short = Recording(recording.activity[:, :100], recording.times[:100])
    split = split_of(short)
    monkeypatch.setattr(ceiling, "_DENSE", 29)
    by_times = peer_ceiling(short, split, components=12)
    monkeypatch.setattr(ceiling, "_DENSE", 3000)
    assert np.allclose(by_times.per_neuron, peer_ceiling(short, split, components=12).per_neuron,
                       atol=0.02)  # fmt: skip


def test_fault_27_units_are_the_neurons_own_and_nothing_of_the_test_is_used(monkeypatch):
    recording = made(np.random.default_rng(2))
    split = split_of(recording)
    found = peer_ceiling(recording, split)
    assert np.median(found.per_neuron) > 0.7
    scaled = recording.activity * np.linspace(0.1, 50, 40)[:, None]
    other = peer_ceiling(Recording(scaled, recording.times), split)
    assert np.allclose(found.per_neuron, other.per_neuron, atol=1e-4)
    assert other.pooled != pytest.approx(found.pooled, abs=1e-6)
    spoilt = recording.activity.copy()
    spoilt[:, split.test] = 1e3 * np.random.default_rng(3).standard_normal((40, split.test.sum()))
    weights, score = [], _Weights.score

    def kept(self, x, half, test):
        weights.append((self.inner, self.outer, self.x, self.y, half.mean, half.scale))
        return score(self, x, half, test)

    monkeypatch.setattr(_Weights, "score", kept)
    peer_ceiling(recording, split)
    again = peer_ceiling(Recording(spoilt, recording.times), split)
    for one, other in zip(weights[:2], weights[2:], strict=True):
        for part, same in zip(one, other, strict=True):
            np.testing.assert_allclose(part, same, rtol=1e-4, atol=1e-5)
    assert (again.ranks, again.penalties) == (found.ranks, found.penalties)


def test_checkerboard_and_planes():
    recording = made(np.random.default_rng(4))
    x = np.tile([10.0, 30.0, 50.0, 70.0, 90.0], 8)
    y = np.repeat([10.0, 30.0, 50.0, 70.0], 10)
    positions = np.stack([x, y, np.arange(40) % 3], axis=1)
    recording.positions = positions
    split = split_of(recording)
    found = peer_ceiling(recording, split, cell=20)
    expected = ((x - 10) // 20 + (y - 10) // 20) % 2 == 0
    assert np.array_equal(found.first_half, expected)
    assert found.cell == 20
    assert peer_ceiling(recording, split).cell == 16  # a fifth of 80
    assert peer_ceiling(recording, split, cell=1e4).halves == "chance"  # all in one square
    positions[3, 0] = np.nan
    assert peer_ceiling(recording, split, positions).halves == "chance"


def test_still_neurons_are_nan_and_change_nothing():
    recording = made(np.random.default_rng(5))
    split = split_of(recording)
    found = peer_ceiling(recording, split)
    still = recording.activity.copy()
    still[0] = 0.1
    other = peer_ceiling(Recording(still, recording.times), split)
    assert np.isnan(other.per_neuron).tolist() == [True] + [False] * 39
    assert np.abs(other.per_neuron - found.per_neuron)[1:].max() < 0.05
    assert np.isfinite(other.pooled)


def test_seeds_and_faults():
    recording = made(np.random.default_rng(6))
    split = split_of(recording)
    first, again, other = (peer_ceiling(recording, split, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first.per_neuron, again.per_neuron)
    assert not np.array_equal(first.first_half, other.first_half)
    one = Recording(recording.activity[:1], recording.times)
    with pytest.raises(ValueError, match="2 neurons"):
        peer_ceiling(one, split)
    with pytest.raises(ValueError, match="split of 100 samples"):
        peer_ceiling(Recording(recording.activity[:, :100], recording.times[:100]), split)
    with pytest.raises(ValueError, match="positions of shape"):
        peer_ceiling(recording, split, np.zeros((3, 2)))
    with pytest.raises(ValueError, match="cell > 0"):
        peer_ceiling(recording, split, cell=-1)
