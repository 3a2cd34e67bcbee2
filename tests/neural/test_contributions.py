from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from napari_facemap.neural.banded import banded_ridge
from napari_facemap.neural.contributions import feature_groups, unique_contributions
from napari_facemap.neural.features import Features
from napari_facemap.neural.model import Cancelled
from napari_facemap.neural.recording import Recording

GROUPS = {
    "whisker": ("whisker(I) x", "whisker(I) y", "whisker(II) x"),
    "paw": ("paw x", "paw y"),
    "nose": ("nose(tip) x", "nose(tip) y"),
}


@pytest.fixture(scope="module")
def driven():
    """Eight neurons driven by the whiskers alone, eight by the paw, four by nothing."""
    rng = np.random.default_rng(1)
    times = np.arange(0, 1200, 1 / 25)
    knots = np.arange(-2, 1203, 0.6)
    names = [name for members in GROUPS.values() for name in members]
    values = np.stack(
        [np.interp(times, knots, rng.standard_normal(len(knots))) for _ in names], axis=1
    )
    neural = np.arange(0.5, 1199, 0.1)
    at = np.stack([np.interp(neural, times, column) for column in values.T])
    weights = np.zeros((20, len(names)))
    weights[:8, :3] = rng.standard_normal((8, 3))
    weights[8:16, 3:5] = rng.standard_normal((8, 2))
    signal = weights @ at
    activity = signal + 0.5 * rng.standard_normal(signal.shape)
    return SimpleNamespace(
        features=Features(values, times, names), recording=Recording(activity, neural)
    )


@pytest.fixture(scope="module")
def found(driven):
    seen = []
    data = unique_contributions(
        driven.features, driven.recording, "linear", progress=lambda *at: seen.append(at)
    )
    return data, seen


def test_each_group_is_credited_with_the_neurons_that_it_drives(found):
    data, _ = found
    whisker, paw, nose = (data.sel(group=group) for group in GROUPS)
    full = data["full"].values
    for name, missed in (("alone", 0.04), ("lost", 0.02), ("share", 0.03)):
        assert np.abs(whisker[name].values[:8] - full[:8]).max() < 0.05
        assert np.abs(paw[name].values[8:16] - full[8:16]).max() < 0.05
        assert np.abs(whisker[name].values[8:16]).max() < missed
        assert np.abs(paw[name].values[:8]).max() < missed
        assert np.abs(nose[name].values).max() < missed
        assert np.abs(data[name].values[:, 16:]).max() < missed
    assert np.median(full[:16]) > 0.6
    assert data["pooled_share"].sel(group=["whisker", "paw"]).values.min() > 0.15
    assert abs(float(data["pooled_lost"].sel(group="nose"))) < 0.01


def test_shares_and_offset_add_up(found):
    data, _ = found
    assert np.allclose(data["share"].sum("group") + data["offset"], data["banded"])
    assert (data["offset"] <= 0).all()
    together = float(data["pooled_share"].sum()) + data.attrs["pooled_offset"]
    assert together == pytest.approx(data.attrs["pooled_banded"])
    assert data.attrs["pooled_banded"] == pytest.approx(data.attrs["pooled_full"], abs=0.02)


def test_progress_rises_to_its_end(found):
    _, seen = found
    done = [at for at, _ in seen]
    assert done == sorted(done)
    assert seen[-1] == (800, 800)


def test_banded_ridge_explains_what_the_definition_says(driven):
    """The sum of the shares is the variance explained of the prediction they belong to."""
    data = banded_ridge(driven.features, driven.recording, GROUPS, n_draws=5)
    assert np.isfinite(data["variance_explained"]).all()
    alone = banded_ridge(
        driven.features, driven.recording, {"all": sum(GROUPS.values(), ())}, n_draws=0
    )
    assert np.allclose(alone["share"][0] + alone["offset"], alone["variance_explained"])
    assert np.abs(alone["variance_explained"] - data["variance_explained"]).max() < 0.05
    # The other group's columns are held down for each neuron: that is what bands are for.
    penalty = data["penalty"].sel(group=["whisker", "paw"]).values
    assert np.mean(penalty[:8, 0] < penalty[:8, 1]) > 0.8
    assert np.mean(penalty[8:16, 1] < penalty[8:16, 0]) > 0.8


def test_fault_27_banded_ridge_takes_nothing_from_test_times(driven, monkeypatch):
    from napari_facemap.neural import banded
    from napari_facemap.neural.splits import split_times

    recording = driven.recording
    split = split_times(recording.times, np.ones(len(recording.times), bool), 1.0, 0.1)
    spoilt = recording.activity.copy()
    spoilt[:, split.test] = spoilt[::-1, split.test] * -100
    predicted, whole = [], banded._share_out

    def share_out(activity, test, space, parts, mean_y):
        predicted.append([*parts, mean_y, space.mean, space.scale])
        return whole(activity, test, space, parts, mean_y)

    monkeypatch.setattr(banded, "_share_out", share_out)
    penalties = [
        banded_ridge(driven.features, one, GROUPS, split=split, n_draws=3)["penalty"].values
        for one in (recording, Recording(spoilt, recording.times))
    ]
    np.testing.assert_array_equal(*penalties)
    for one, other in zip(*predicted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_many_neurons_go_through_components(driven):
    recording = Recording(np.tile(driven.recording.activity, (2, 1)), driven.recording.times)
    data = banded_ridge(driven.features, recording, GROUPS, n_components=12, n_draws=3)
    assert data["penalty"].shape == (12, 3)
    assert data["share"].sel(group="whisker")[:8].values.min() > 0.25
    assert np.abs(data["share"].sel(group="paw")[:8]).max() < 0.05


def test_two_groups_need_one_fit_less_each(driven):
    features = driven.features.select([*GROUPS["whisker"], *GROUPS["paw"]])
    data = unique_contributions(features, driven.recording, "linear", banded=False)
    whole = data["full"].values
    assert np.allclose(data["lost"][0], whole - data["alone"][1])
    assert "share" not in data


def test_groups_by_name(driven):
    assert feature_groups(driven.features) == GROUPS
    with pytest.raises(ValueError, match="two groups"):
        unique_contributions(driven.features.select(["paw x"]), driven.recording, "linear")
    with pytest.raises(ValueError, match="groups of features"):
        banded_ridge(driven.features, driven.recording, {})


def test_stopping(driven):
    with pytest.raises(Cancelled):
        unique_contributions(
            driven.features, driven.recording, "linear", progress=lambda done, _: done < 450
        )
