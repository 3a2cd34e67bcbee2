from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from napari_facemap.neural.encoder import predict_recording
from napari_facemap.neural.features import Features
from napari_facemap.neural.fitting import fit_encoder
from napari_facemap.neural.recording import Recording
from napari_facemap.neural.ridge import RidgeModel


def _late(n=6000, delay=0.6, noise=0.5, seed=0):
    """Activity that follows behaviour 0.6 s later, half of it noise."""
    rng = np.random.default_rng(seed)
    times = np.arange(n) / 50
    slow = gaussian_filter1d(rng.standard_normal((n, 3)), 0.2 * 50, axis=0)
    slow /= slow.std(axis=0)
    at = np.arange(delay, n / 50 - delay, 0.1)
    weights = rng.standard_normal((3, 20))
    signal = np.stack([np.interp(at - delay, times, s) for s in slow.T], axis=1) @ weights
    activity = signal + noise * signal.std(axis=0) * rng.standard_normal(signal.shape)
    names = ("a", "b", "c")
    return Features(slow, times, names), Recording(activity.T.astype(np.float32), at)


def test_what_comes_later_is_predicted():
    features, recording = _late()
    ceiling = 1 / (1 + 0.5**2)
    explained = {}
    for model in ("ridge", "linear"):
        encoder = fit_encoder(features, recording, model)
        prediction = predict_recording(encoder, features, recording)
        explained[model] = float(prediction["variance_explained"].mean())
    assert explained["ridge"] > 0.9 * ceiling
    assert explained["ridge"] > explained["linear"] + 0.2


def test_the_penalty_is_chosen_by_validation_and_noise_is_not_fitted():
    features, recording = _late(noise=0.5)
    noise = Recording(
        np.random.default_rng(1).standard_normal(recording.activity.shape), recording.times
    )
    clear = fit_encoder(features, recording, "ridge").model
    nothing = fit_encoder(features, noise, "ridge")
    assert nothing.model.penalty > clear.penalty
    found = predict_recording(nothing, features, noise)
    assert abs(float(found["variance_explained"].mean())) < 0.03


def test_weights_are_those_of_the_normal_equations():
    features, recording = _late(n=2000)
    model = fit_encoder(features, recording, "ridge", lags=[-0.5, 0.0], penalty=0.1).model
    assert model.shape == (3, 20)
    assert model.half_width == 0.5
    again = RidgeModel.from_state(*model.state())
    np.testing.assert_array_equal(again.weights, model.weights)
    assert again.lags == (-0.5, 0.0)


@pytest.mark.parametrize("options", [{"lags": []}, {"lags": [np.nan]}, {"penalty": -1.0}])
def test_what_means_nothing_is_refused(options):
    with pytest.raises(ValueError, match="ridge encoder"):
        RidgeModel(**options)


def test_damaged_state_is_refused():
    arrays = {"weights": np.ones((5, 2)), "mean_x": np.ones(5), "mean_y": np.ones(2)}
    with pytest.raises(ValueError, match="do not fit"):
        RidgeModel.from_state(arrays, {"lags": [0.0, 1.0], "penalty": 1.0, "sigma": 0.1})
