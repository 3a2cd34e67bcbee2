from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_facemap.keypoints.poses import make_poses
from napari_facemap.neural.encoder import predict_recording
from napari_facemap.neural.features import Features
from napari_facemap.neural.fitting import fit_encoder
from napari_facemap.neural.model import Cancelled
from napari_facemap.neural.recording import Recording

SHORT = {"max_steps": 20, "check_every": 10}
BOTH = [("linear", {}), ("network", SHORT)]


def explained(pair, **options):
    encoder = fit_encoder(pair.features, pair.recording, "linear", **options)
    prediction = predict_recording(encoder, pair.features, pair.recording)
    return prediction, float(prediction["variance_explained"].mean())


def test_a_linear_world_is_predicted_up_to_its_noise(make_pair):
    pair = make_pair()
    prediction, score = explained(pair)
    test = prediction["test"].values
    noise = 0.3**2 / pair.recording.activity[:, test].var(axis=1)
    assert score > (1 - noise).mean() - 0.03
    assert prediction["predicted"].dtype == np.float32
    assert prediction.attrs["model"] == "linear"


CLOCKS = {
    "neural faster than camera": (np.arange(0, 90, 1 / 30), np.arange(0.1, 89, 1 / 60)),
    "camera faster than neural": (np.arange(0, 200, 1 / 120), np.arange(0.1, 199, 0.2)),
    "odd rates": (np.arange(0, 120, 1 / 29.97), 0.333 + np.arange(0, 118, 1 / 7.3)),
    "slow camera": (np.arange(0, 400, 1 / 4), np.arange(1, 399, 0.1)),
}


@pytest.mark.parametrize("clocks", CLOCKS.values(), ids=CLOCKS.keys())
@pytest.mark.parametrize(("model", "options"), BOTH)
def test_fault_25_any_two_rates(make_pair, clocks, model, options):
    pair = make_pair(*clocks)
    encoder = fit_encoder(pair.features, pair.recording, model, device="cpu", **options)
    prediction = predict_recording(encoder, pair.features, pair.recording, device="cpu")
    assert np.isfinite(prediction["predicted"].values).all()
    assert prediction["predicted"].shape == pair.recording.activity.shape
    if model == "linear":
        assert prediction["variance_explained"].mean() > 0.8


def test_fault_25_a_pause_of_the_camera_is_left_out_and_nothing_else(make_pair):
    camera = np.arange(0, 200, 1 / 30)
    pair = make_pair(camera[(camera < 80) | (camera >= 100)], np.arange(0.4, 199, 0.1))
    prediction, score = explained(pair)
    times = pair.recording.times
    missing = np.isnan(prediction["predicted"].values).all(axis=0)
    assert missing[(times > 80.3) & (times < 99.7)].all()
    assert not missing[(times < 80) | (times > 100)].any()
    assert not prediction["test"].values[missing].any()
    assert score > 0.85


def test_fault_25_frames_dropped_at_random_do_no_harm(make_pair):
    camera = np.arange(0, 150, 1 / 30)
    kept = np.random.default_rng(3).random(len(camera)) > 0.05
    prediction, score = explained(make_pair(camera[kept]))
    assert np.isfinite(prediction["predicted"].values).all()
    assert score > 0.85


def test_fault_25_jittered_clocks(make_pair):
    rng = np.random.default_rng(4)
    camera = np.cumsum(rng.uniform(0.5, 1.5, 4000) / 30)
    neural = 0.5 + np.cumsum(rng.uniform(0.5, 1.5, 1200) / 10)
    assert explained(make_pair(camera, neural))[1] > 0.85


@pytest.mark.parametrize(("model", "options"), BOTH)
def test_fault_27_nothing_is_measured_on_test_times(make_pair, model, options):
    pair = make_pair()
    encoder = fit_encoder(pair.features, pair.recording, model, device="cpu", **options)
    # Whatever stood at test times, behaviour and activity, the same encoder must come out.
    spoilt_activity = pair.recording.activity.copy()
    spoilt_activity[:, encoder.split.test] *= -100
    test_times = pair.recording.times[encoder.split.test]
    near = np.abs(pair.features.times[:, None] - test_times[None]).min(axis=1) < 0.05
    spoilt_values = pair.features.values.copy()
    spoilt_values[near] += 50
    monkey = Recording(spoilt_activity, pair.recording.times)
    features = Features(spoilt_values, pair.features.times, pair.features.names)
    import napari_facemap.neural.fitting as module

    split = encoder.split
    original, module.split_times = module.split_times, lambda *arguments: split
    try:
        again = fit_encoder(features, monkey, model, device="cpu", **options)
    finally:
        module.split_times = original
    assert np.allclose(again.scaler.mean, encoder.scaler.mean)
    assert np.allclose(again.space.mean, encoder.space.mean)
    first, second = encoder.model.state()[0], again.model.state()[0]
    assert all(np.allclose(first[name], second[name], atol=1e-5) for name in first)


def test_fault_27_scores_are_of_test_times_only(make_pair):
    pair = make_pair()
    encoder = fit_encoder(pair.features, pair.recording, "linear")
    prediction = predict_recording(encoder, pair.features, pair.recording)
    test = prediction["test"].values
    assert np.array_equal(test, encoder.split.test)
    y, fit = prediction["measured"].values[0, test], prediction["predicted"].values[0, test]
    expected = 1 - np.mean((y - fit) ** 2) / np.var(y)
    assert prediction["variance_explained"].values[0] == pytest.approx(expected, rel=1e-4)
    assert encoder.prediction is prediction


def test_fault_28_any_features_can_be_used_with_components_of_many_neurons(make_pair):
    pair = make_pair(n_features=9, n_neurons=200)
    svd = Features(pair.features.values, pair.features.times, [f"motion {k}" for k in range(9)])
    encoder = fit_encoder(svd, pair.recording, "linear", n_components=20, rank=9)
    prediction = predict_recording(encoder, svd, pair.recording)
    assert encoder.space.components.shape == (200, 20)
    assert encoder.model.rank <= 9
    assert prediction["predicted"].shape == pair.recording.activity.shape
    assert prediction["variance_explained"].mean() > 0.85


def test_fault_29_a_prediction_of_some_times_is_that_of_all(make_pair):
    pair = make_pair()
    encoder = fit_encoder(pair.features, pair.recording, "network", device="cpu", **SHORT)
    whole = encoder.predict(pair.features, pair.recording.times, "cpu")
    part = encoder.predict(pair.features, pair.recording.times[300:420][::-1], "cpu")
    assert np.allclose(part[:, ::-1], whole[:, 300:420], atol=1e-5)


def test_fault_30_the_default_device_works_wherever_this_runs(make_pair):
    pair = make_pair()
    encoder = fit_encoder(pair.features, pair.recording, **SHORT)
    assert all(not p.is_cuda for p in encoder.model.network.parameters())
    assert np.isfinite(encoder.predict(pair.features)).all()


def test_predicting_leaves_the_fitted_network_where_it_is(make_pair, monkeypatch):
    """Moved to a GPU and back, it would be back before the prediction is computed there."""
    pair = make_pair()
    encoder = fit_encoder(pair.features, pair.recording, **SHORT)
    moved = []
    monkeypatch.setattr(
        torch.nn.Module, "_apply", lambda network, *_, **__: moved.append(network) or network
    )
    assert np.isfinite(encoder.predict(pair.features)).all()
    assert moved
    assert encoder.model.fitted not in moved


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is here")
def test_a_gpu_predicts_what_the_processor_predicts(make_pair):
    pair = make_pair()
    encoder = fit_encoder(pair.features, pair.recording, device="cuda", **SHORT)
    found = [encoder.predict(pair.features, device=device) for device in ("cpu", "cuda")]
    np.testing.assert_allclose(*found, atol=1e-3)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a computer without CUDA")
def test_fault_30_a_device_that_is_not_there_is_refused(make_pair):
    pair = make_pair()
    with pytest.raises(ValueError, match="cuda"):
        fit_encoder(pair.features, pair.recording, device="cuda", **SHORT)


def test_a_seed_gives_the_same_encoder_and_leaves_chance_elsewhere_alone(make_pair):
    pair = make_pair()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fits = [
        fit_encoder(pair.features, pair.recording, device="cpu", seed=s, **SHORT)
        for s in (1, 1, 2)
    ]
    assert torch.equal(torch.rand(3), expected)
    one, same, other = (fit.predict(pair.features, device="cpu") for fit in fits)
    assert np.array_equal(one, same)
    assert not np.allclose(one, other, atol=1e-3)


@pytest.mark.parametrize(("model", "options"), BOTH)
def test_progress_and_cancelling(make_pair, model, options):
    pair = make_pair()
    calls = []
    fit_encoder(
        pair.features, pair.recording, model, lambda *call: calls.append(call), "cpu", **options
    )
    done = [call[0] for call in calls]
    assert done == sorted(done)
    assert calls[-1][0] == calls[-1][1]
    with pytest.raises(Cancelled):
        fit_encoder(pair.features, pair.recording, model, lambda done, total: done < 3, **options)


def test_activity_that_follows_late_is_found_with_the_delay(make_pair):
    pair = make_pair()
    late = Recording(pair.recording.activity, pair.recording.times + 0.8)
    scores = [
        float(predict_recording(e, pair.features, late)["variance_explained"].mean())
        for e in (fit_encoder(pair.features, late, "linear", delay=d) for d in (0.0, 0.8))
    ]
    assert scores[1] > 0.85 > scores[0] + 0.2


def test_constant_neurons_are_predicted_as_they_are_and_have_no_score(make_pair):
    pair = make_pair()
    activity = pair.recording.activity.copy()
    activity[3] = 4.2
    recording = Recording(activity, pair.recording.times)
    encoder = fit_encoder(pair.features, recording, "linear")
    prediction = predict_recording(encoder, pair.features, recording)
    assert np.allclose(prediction["predicted"].values[3], 4.2)
    assert np.isnan(prediction["variance_explained"].values).tolist() == [
        k == 3 for k in range(12)
    ]


def test_another_recording_of_the_same_neurons_is_tested_throughout(make_pair):
    first, second = make_pair(), make_pair(seed=9)
    second.recording.activity = (first.weights @ second.at(second.recording.times).T).astype("f4")
    encoder = fit_encoder(first.features, first.recording, "linear")
    prediction = predict_recording(encoder, second.features, second.recording)
    assert prediction["test"].values.all()
    assert prediction["variance_explained"].mean() > 0.9


def test_the_same_recording_on_a_shifted_clock_is_known_again(make_pair):
    pair = make_pair()
    encoder = fit_encoder(pair.features, pair.recording, "linear")
    shifted = Recording(pair.recording.activity, pair.recording.times + 0.05)
    prediction = predict_recording(encoder, pair.features, shifted)
    assert prediction["test"].values.mean() < 0.3


def test_times_without_behaviour_are_nan(make_pair):
    pair = make_pair()
    encoder = fit_encoder(pair.features, pair.recording, "linear")
    predicted = encoder.predict(pair.features, [-50.0, 10.0, 500.0])
    assert np.isnan(predicted).all(axis=0).tolist() == [True, False, True]
    assert encoder.predict(pair.features).shape == (12, len(pair.features.times))


def test_poses_in_another_order_give_the_same_prediction():
    rng = np.random.default_rng(0)
    names = ["nose(tip)", "mouth", "paw"]
    position = np.cumsum(rng.standard_normal((1500, 2, 3)), axis=0)
    poses = make_poses(position, np.ones((1500, 3)), names, np.arange(1500) / 30)
    activity = rng.standard_normal((5, 480))
    recording = Recording(activity, 0.5 + np.arange(480) / 10)
    encoder = fit_encoder(poses, recording, "linear")
    turned = poses.isel(keypoint=[2, 0, 1])
    assert np.allclose(encoder.predict(turned), encoder.predict(poses))
    with pytest.raises(ValueError, match=r"paw x, paw y are missing"):
        encoder.predict(poses.isel(keypoint=[0, 1]))


def test_bad_calls_are_refused_in_one_line(make_pair):
    pair = make_pair()
    far = Recording(pair.recording.activity, pair.recording.times + 1e6)
    wrong = [
        ({"model": "magic"}, pair.recording, "network or linear"),
        ({"model": "linear", "depth": 3}, pair.recording, "no such option"),
        ({"model": "linear"}, far, "do not overlap"),
    ]
    for options, recording, says in wrong:
        with pytest.raises(ValueError, match=says) as caught:
            fit_encoder(pair.features, recording, **options)
        assert "\n" not in str(caught.value)
    encoder = fit_encoder(pair.features, pair.recording, "linear")
    with pytest.raises(ValueError, match="12 neurons"):
        predict_recording(encoder, pair.features, make_pair(n_neurons=3).recording)
    with pytest.raises(ValueError, match="finite seconds"):
        encoder.predict(pair.features, [np.nan])


def test_every_frame_is_predicted_also_those_without_keypoints():
    times = np.arange(3000) / 50
    position = 50 + 10 * np.sin(times[:, None, None] * np.array([[[1.0, 2.0], [3.0, 0.7]]]))
    poses = make_poses(
        position, np.ones((3000, 2)), ["a", "b"], times, attrs={"model_sha256": "ab"}
    )
    poses["position"][1000:1002] = np.nan
    neural = np.arange(0, 59.9, 0.1)
    activity = np.stack([np.interp(neural, times, position[:, 0, k]) for k in range(2)])
    recording = Recording(activity, neural)
    encoder = fit_encoder(poses, recording, "linear", rank=np.int64(2))
    assert encoder.predict(poses).shape == (2, 3000)
    assert encoder.attrs["behavior_model_sha256"] == "ab"
    assert predict_recording(encoder, poses, recording).attrs["behavior_model_sha256"] == "ab"


def test_no_components_are_refused(make_pair):
    pair = make_pair()
    with pytest.raises(ValueError, match="n_components"):
        fit_encoder(pair.features, pair.recording, "linear", n_components=0)
