from __future__ import annotations

import numpy as np
import pytest

from napari_facemap.neural import targets
from napari_facemap.neural.targets import NeuralSpace


def low_rank(n_neurons, n_times, rank=5, seed=0):
    rng = np.random.default_rng(seed)
    scale = rng.uniform(0.1, 300, (n_neurons, 1))
    mean = rng.normal(0, 50, (n_neurons, 1))
    mixed = rng.standard_normal((n_neurons, rank)) @ rng.standard_normal((rank, n_times))
    return (mean + scale * mixed).astype(np.float32)


@pytest.mark.parametrize("n_times", [80, 900])
def test_fault_26_perfect_components_give_each_neuron_back(n_times):
    activity = low_rank(300, n_times)
    space = NeuralSpace.fit(activity, 20)
    back = space.to_neurons(space.to_targets(activity))
    error = np.abs(back - activity).max(axis=1) / activity.std(axis=1)
    assert error.max() < 1e-3


def test_fault_26_what_components_leave_out_is_the_least_possible():
    rng = np.random.default_rng(1)
    activity = low_rank(60, 500) + rng.normal(0, 40, (60, 500)).astype(np.float32)
    space = NeuralSpace.fit(activity, 8)
    scored = (activity - activity.mean(1, keepdims=True)) / activity.std(1, keepdims=True)
    back = space.to_neurons(space.to_targets(activity))
    left = ((back - activity) / activity.std(1, keepdims=True)) ** 2
    assert left.sum() == pytest.approx((np.linalg.svd(scored)[1][8:] ** 2).sum(), rel=1e-3)


def test_an_error_of_targets_is_the_same_error_of_neurons():
    activity = low_rank(200, 700, rank=50)
    space = NeuralSpace.fit(activity, 50)
    wanted = space.to_targets(activity)
    assert np.mean(wanted**2) == pytest.approx(1, rel=1e-4)
    wrong = wanted + np.random.default_rng(0).normal(0, 0.1, wanted.shape).astype(np.float32)
    difference = (space.to_neurons(wrong) - space.to_neurons(wanted)) / space.scale[:, None]
    of_targets = ((wrong - wanted) ** 2).sum() * space.gain**2
    assert (difference**2).sum() == pytest.approx(of_targets, rel=1e-3)


def test_few_neurons_are_their_own_targets_and_a_constant_one_stays_its_mean():
    activity = low_rank(10, 300)
    activity[4] = 7.5
    space = NeuralSpace.fit(activity)
    assert space.components is None
    assert space.n_targets == 10
    assert np.allclose(
        space.to_neurons(space.to_targets(activity)), activity, rtol=1e-3, atol=0.01
    )
    assert np.allclose(space.to_neurons(np.ones((3, 10), np.float32))[4], 7.5)


def test_large_recordings_get_the_same_components(monkeypatch):
    activity = low_rank(150, 260, rank=40)
    dense = NeuralSpace.fit(activity, 10)
    monkeypatch.setattr(targets, "_DENSE", 20)
    iterative = NeuralSpace.fit(activity, 10)
    assert np.allclose(dense.components, iterative.components, atol=1e-2)
    assert np.allclose(dense.gain, iterative.gain, rtol=1e-3)


def test_neurons_that_never_change_are_refused():
    with pytest.raises(ValueError, match="no neuron changes"):
        NeuralSpace.fit(np.ones((200, 50), np.float32))
