"""A simulated mouse whose explainable variance is known, from keypoints to scores."""

from __future__ import annotations

import time
from types import SimpleNamespace

import numpy as np
import pytest

from napari_facemap.neural.encoder import predict_recording
from napari_facemap.neural.fitting import fit_encoder
from napari_facemap.neural.recording import Recording
from napari_facemap.simulate.face import simulate_face
from napari_facemap.simulate.population import simulate_population

SECONDS, FPS, NEURONS = 1200, 50.0, 150


@pytest.fixture(scope="module")
def mouse():
    face = simulate_face(int(SECONDS * FPS), fps=FPS, seed=1)
    population = simulate_population(face, NEURONS, seed=1, undriven=0.1)
    return SimpleNamespace(poses=face.poses, population=population)


def reached(mouse, model):
    """Variance explained on test times over what could be, summed over driven neurons."""
    population = mouse.population
    encoder = fit_encoder(mouse.poses, population.recording, model, device="cpu")
    prediction = predict_recording(encoder, mouse.poses, population.recording, device="cpu")
    driven = population.explainable > 0
    explained = prediction["variance_explained"].values
    assert abs(explained[~driven].mean()) < 0.03
    return explained[driven].sum() / population.explainable[driven].sum()


def test_the_network_explains_nine_tenths_of_what_can_be_and_a_linear_model_much_less(mouse):
    start = time.process_time()
    network, linear = reached(mouse, "network"), reached(mouse, "linear")
    print(
        f"network {network:.3f}, linear {linear:.3f}, {time.process_time() - start:.0f} s of CPU"
    )
    assert network >= 0.9
    assert linear < network - 0.2


@pytest.mark.parametrize(("model", "options"), [("linear", {}), ("network", {"max_steps": 300})])
def test_activity_that_does_not_belong_to_the_behaviour_is_not_predicted(mouse, model, options):
    recording = mouse.population.recording
    rolled = np.roll(recording.activity, recording.activity.shape[1] // 2, axis=1)
    shifted = Recording(rolled, recording.times)
    encoder = fit_encoder(mouse.poses, shifted, model, device="cpu", **options)
    prediction = predict_recording(encoder, mouse.poses, shifted, device="cpu")
    assert -0.1 < prediction["variance_explained"].mean() < 0.03
