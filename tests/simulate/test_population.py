"""The simulated population: its truth is what its numbers say."""

from __future__ import annotations

import numpy as np
import pytest

from napari_facemap.simulate.face import simulate_face
from napari_facemap.simulate.population import simulate_population
from napari_facemap.simulate.responses import LINEAR, response_channels


@pytest.fixture(scope="module")
def face():
    return simulate_face(30_000, fps=50.0, seed=0)


@pytest.fixture(scope="module")
def population(face):
    return simulate_population(face, 80, rate=10.0, seed=0)


def explained(features, activity):
    """Variance explained on every fourth 20 s, by ridge regression on the rest."""
    times = np.arange(activity.shape[1])
    test = (times // 200) % 4 == 3
    x = (features - features.mean(axis=1, keepdims=True)).T
    x = np.c_[x / np.maximum(x.std(axis=0), 1e-9), np.ones(len(x))]
    y = activity.T
    gram = x[~test].T @ x[~test] + 10 * np.eye(x.shape[1])
    residual = y - x @ np.linalg.solve(gram, x[~test].T @ y[~test])
    return 1 - (residual[test] ** 2).mean(axis=0) / y[test].var(axis=0)


def test_explainable_fraction_is_the_signals_share(population):
    activity, signal = population.recording.activity, population.signal
    np.testing.assert_allclose(
        signal.var(axis=1) / activity.var(axis=1), population.explainable, atol=0.06
    )
    np.testing.assert_allclose(
        (activity - signal).var(axis=1), population.noise_variance, rtol=0.08, atol=0.01
    )
    assert population.explainable.min() == pytest.approx(0.1, abs=1e-6)
    assert population.explainable.max() == pytest.approx(0.8, abs=1e-6)
    np.testing.assert_allclose(population.weights @ population.channels, signal, atol=1e-4)


def test_true_channels_reach_it_and_still_positions_do_not(face, population):
    activity, truth = population.recording.activity, population.explainable.mean()
    assert explained(population.channels, activity).mean() > 0.93 * truth
    position = face.poses["position"].values.astype(float).reshape(len(face.times), -1)
    index = np.arange(len(position))
    now = np.stack(
        [
            np.interp(
                population.recording.times, face.times, np.interp(index, index[seen], x[seen])
            )
            for x in position.T
            if (seen := np.isfinite(x)).any()
        ]
    )
    assert explained(now, activity).mean() < 0.6 * truth


def test_the_recording_says_where_neurons_lie_in_pixels(population):
    places = population.recording.positions
    np.testing.assert_allclose(places * 2, population.positions, rtol=1e-6)  # of 2 um
    assert places.dtype == np.float32
    assert 400 < np.ptp(places[:, 0]) <= 500


def test_clock_is_its_own(face, population):
    times = population.recording.times
    np.testing.assert_allclose(np.diff(times), 0.1)
    assert 0.05 <= times[0] <= 0.5 and times[-1] <= face.times[-1]
    assert len(times) == population.signal.shape[1] >= 10 * face.times[-1] - 6
    slow = simulate_population(face, 2, rate=3.3, seed=1).recording.times
    np.testing.assert_allclose(np.diff(slow), 1 / 3.3)
    assert slow[0] != times[0]


def test_same_seed_same_neurons(face, population):
    again = simulate_population(face.poses, 80, rate=10.0, seed=0)
    np.testing.assert_array_equal(again.recording.activity, population.recording.activity)
    other = simulate_population(face, 80, seed=1).recording.activity
    assert other.shape != population.recording.activity.shape or not np.allclose(
        other, population.recording.activity
    )


def test_delay_shifts_the_responses(face):
    _, early = response_channels(face.poses, 0.0)
    _, late = response_channels(face.poses, 0.5)
    np.testing.assert_allclose(early[:, 200:-200], late[:, 225:-175], atol=0.05)


def test_mirrored_mouse_drives_its_neurons_alike():
    left, right = (
        simulate_population(simulate_face(3000, seed=4, facing=way), 5, seed=0).signal
        for way in ("left", "right")
    )
    np.testing.assert_allclose(left, right, atol=1e-3)


def test_undriven_and_noiseless_neurons(face):
    some = simulate_population(face, 40, undriven=0.25)
    np.testing.assert_array_equal((some.explainable == 0).sum(), 10)
    assert (some.signal[some.explainable == 0] == 0).all()
    pure = simulate_population(face, 5, noise=0.0)
    np.testing.assert_array_equal(pure.recording.activity, pure.signal)
    np.testing.assert_allclose(pure.explainable, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_neurons": 0}, "n_neurons"),
        ({"rate": 0.0}, "rate"),
        ({"noise": -1.0}, "noise"),
        ({"undriven": 1.5}, "undriven"),
        ({"explainable": (0.5, 0.1)}, "explainable"),
        ({"delay": 3.0}, "delay"),
    ],
)
def test_bad_parameters_are_named(face, change, message):
    with pytest.raises(ValueError, match=message):
        simulate_population(face, **{"n_neurons": 3, **change})


def test_short_slow_or_pointless_poses_are_refused(face):
    with pytest.raises(ValueError, match=r"2\.0 s"):
        simulate_population(simulate_face(50), 3)
    with pytest.raises(ValueError, match=r"8\.0 frames/s"):
        simulate_population(simulate_face(50, fps=5.0), 3)
    with pytest.raises(ValueError, match="mouth"):
        simulate_population(face.poses.drop_sel(keypoint="mouth"), 3)


@pytest.mark.parametrize("drive", ["linear", "non-linear"])
def test_channels_of_one_kind_drive_when_asked(face, drive):
    population = simulate_population(face, 20, drive=drive)
    assert set(population.channel_names).isdisjoint(LINEAR) == (drive == "non-linear")
    np.testing.assert_allclose(
        population.weights @ population.channels, population.signal, atol=1e-4
    )
    with pytest.raises(ValueError, match="drive"):
        simulate_population(face, 2, drive="cubic")
