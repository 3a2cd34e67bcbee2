from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_facemap.neural.encoder import predict_recording
from napari_facemap.neural.features import Features
from napari_facemap.neural.fitting import fit_encoder, fit_encoders
from napari_facemap.neural.model import Cancelled

SHORT = {"max_steps": 300, "check_every": 25, "device": "cpu"}


def explained(encoder, session):
    prediction = predict_recording(encoder, *session, device="cpu")
    return float(prediction["variance_explained"].mean())


def test_a_fit_can_be_watched(make_pair):
    pair, seen = make_pair(), []
    fit_encoder(pair.features, pair.recording, watch=lambda *point: seen.append(point), **SHORT)
    steps, training, validation = np.array(seen).T
    assert (np.diff(steps) == 25).all()
    assert validation[-1] > validation[0]
    assert 0.3 < validation[-1] <= 1
    assert training[-1] > training[0]


def test_the_overlap_and_no_warning_stand_in_the_encoder(make_pair):
    pair = make_pair()
    encoder = fit_encoder(pair.features, pair.recording, "linear")
    start, stop = encoder.attrs["overlap"]
    assert start == pytest.approx(pair.recording.times[0])
    assert stop == pytest.approx(pair.recording.times[-1])
    assert "clock_warning" not in encoder.attrs


def test_a_shifted_clock_is_told(make_pair):
    pair = make_pair()
    moved = replace(pair.recording, times=pair.recording.times + 10)
    encoder = fit_encoder(pair.features, moved, "linear")
    assert "10.0 s later" in encoder.attrs["clock_warning"]


@pytest.mark.parametrize("model", ["linear", "ridge"])
def test_neurons_directly_are_as_good_as_components(make_pair, model):
    pair = make_pair(n_neurons=30, noise=1.0)
    session = (pair.features, pair.recording)
    direct = fit_encoder(*session, model, n_components=None)
    few = fit_encoder(*session, model, n_components=10)
    assert direct.space.components is None
    assert direct.model.shape[1] == 30
    assert few.model.shape[1] == 10
    assert explained(direct, session) == pytest.approx(explained(few, session), abs=0.05)


def test_a_short_recording_gains_from_a_long_one(make_pair):
    """Both mice's neurons follow the same features, other neurons in each."""
    long = make_pair(np.arange(0, 600, 1 / 30), np.arange(0.4, 599, 0.1), noise=1.0)
    short = make_pair(np.arange(0, 60, 1 / 30), np.arange(0.4, 59, 0.1), noise=1.0, seed=3)
    sessions = [(one.features, one.recording) for one in (long, short)]
    options = {"max_steps": 1500, "device": "cpu"}
    together = fit_encoders(sessions, **options)
    alone = fit_encoder(*sessions[1], **options)
    assert explained(together[1], sessions[1]) > explained(alone, sessions[1])
    cores = [encoder.model.state()[0]["mixing.weight"] for encoder in together]
    np.testing.assert_array_equal(*cores)
    readouts = [encoder.model.state()[0]["readout.weight"] for encoder in together]
    assert not np.array_equal(*readouts)
    assert together[0].attrs["fitted_with"] == "made, made"


def test_linear_models_of_several_recordings_are_those_of_each(make_pair):
    sessions = [(p.features, p.recording) for p in (make_pair(seed=1), make_pair(seed=2))]
    seen = []
    together = fit_encoders(sessions, "linear", lambda *step: seen.append(step))
    for encoder, session in zip(together, sessions, strict=True):
        alone = fit_encoder(*session, "linear")
        np.testing.assert_array_equal(encoder.model.weights, alone.model.weights)
    assert seen[-1][0] == seen[-1][1]
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_features_that_not_all_have_are_dropped_and_told(make_pair):
    one, two = make_pair(seed=1), make_pair(seed=2)
    renamed = Features(
        two.features.values, two.features.times, [*two.features.names[:-1], "another x"]
    )
    sessions = [(one.features, one.recording), (renamed, two.recording)]
    encoders = fit_encoders(sessions, "linear")
    assert encoders[0].features == encoders[1].features == tuple(one.features.names[:-1])
    assert "another x" in encoders[1].attrs["features_dropped"]
    strange = Features(two.features.values, two.features.times, [f"odd {k}" for k in range(6)])
    with pytest.raises(ValueError, match="features that all sessions have"):
        fit_encoders([sessions[0], (strange, two.recording)], "linear")
    with pytest.raises(ValueError, match="found none"):
        fit_encoders([])


def test_several_recordings_can_be_cancelled(make_pair):
    sessions = [(p.features, p.recording) for p in (make_pair(seed=1), make_pair(seed=2))]
    with pytest.raises(Cancelled):
        fit_encoders(sessions, "network", lambda done, total: done < 5, **SHORT)


@pytest.mark.parametrize("wrong", [0, -3])
def test_a_wrong_number_of_components_is_refused(make_pair, wrong):
    pair = make_pair()
    with pytest.raises(ValueError, match="n_components"):
        fit_encoder(pair.features, pair.recording, "linear", n_components=wrong)
