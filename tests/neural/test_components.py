from __future__ import annotations

import numpy as np
import pytest

from napari_facemap.neural.components import component_prediction
from napari_facemap.neural.encoder import predict_recording
from napari_facemap.neural.fitting import fit_encoder


def predicted(pair, **options):
    encoder = fit_encoder(pair.features, pair.recording, "linear", **options)
    return encoder, predict_recording(encoder, pair.features, pair.recording)


def test_components_are_those_that_the_encoder_predicts(make_pair):
    pair = make_pair(n_neurons=150)
    encoder, prediction = predicted(pair, n_components=20)
    components = component_prediction(prediction, encoder)
    assert components["component"].values.tolist() == list(range(1, 21))
    space = encoder.space
    scored = (pair.recording.activity - space.mean[:, None]) / space.scale[:, None]
    np.testing.assert_allclose(
        components["measured"], space.components.T @ scored / space.gain, atol=1e-4
    )
    spread = components["measured"].values.std(axis=1)
    assert (np.diff(spread) < 0.05 * spread[0]).all()
    test = prediction["test"].values
    y, fit = (components[name].values[0, test] for name in ("measured", "predicted"))
    expected = 1 - np.mean((y - fit) ** 2) / y.var()
    assert components["variance_explained"][0] == pytest.approx(expected, rel=1e-5)
    assert expected > 0.8


def test_neurons_that_are_predicted_directly_have_components_too(make_pair):
    pair = make_pair(n_neurons=140)
    encoder, prediction = predicted(pair, n_components=None)
    assert encoder.space.components is None
    found = component_prediction(prediction, encoder, n_components=30)
    alone = component_prediction(prediction, n_components=30)
    assert found.sizes["component"] == 30  # not one a neuron: recordings may have thousands
    np.testing.assert_array_equal(found["predicted"], alone["predicted"])
    assert found["variance_explained"][:6].mean() > 0.8


def test_few_neurons_have_as_many_components(make_pair):
    pair = make_pair(n_neurons=5)
    encoder, prediction = predicted(pair)
    components = component_prediction(prediction, encoder)
    assert components.sizes["component"] == 5
    rest = ~prediction["test"].values
    measured = components["measured"].values[:, rest].astype(float)
    unrelated = np.corrcoef(measured) - np.eye(5)
    assert np.abs(unrelated).max() < 1e-3


def test_components_are_found_at_times_that_are_not_tested(make_pair):
    _, prediction = predicted(make_pair(n_neurons=8))
    test = prediction["test"].values
    spoilt = prediction.copy(deep=True)
    spoilt["measured"].values[:4, test] *= 50
    one, other = component_prediction(prediction), component_prediction(spoilt)
    np.testing.assert_allclose(
        one["measured"].values[:, ~test], other["measured"].values[:, ~test], atol=1e-5
    )


def test_times_without_behaviour_stay_unknown(make_pair):
    _, prediction = predicted(make_pair(n_neurons=8))
    prediction["predicted"].values[:, 40:50] = np.nan
    components = component_prediction(prediction)
    unknown = np.isnan(components["predicted"].values)
    assert unknown[:, 40:50].all()
    assert unknown.sum() == unknown[:, 40:50].size
