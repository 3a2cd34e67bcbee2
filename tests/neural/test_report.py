from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from napari_facemap.files.predictions import read_predictions
from napari_facemap.neural.contributions import unique_contributions
from napari_facemap.neural.features import Features
from napari_facemap.neural.fitting import fit_encoder
from napari_facemap.neural.model import Cancelled
from napari_facemap.neural.recording import Recording
from napari_facemap.neural.report import report
from napari_facemap.neural.report_figures import busiest_window

NAMES = ["whisker(I) x", "whisker(I) y", "paw x", "paw y", "nose(tip) x", "nose(tip) y"]


@pytest.fixture
def world(make_pair):
    """An encoder of twenty driven neurons, five undriven and one that is still."""
    pair = make_pair(np.arange(0, 300, 1 / 30), np.arange(0.4, 299, 0.1), n_neurons=20, noise=1.0)
    features = Features(pair.features.values, pair.features.times, NAMES)
    rng = np.random.default_rng(0)
    private = rng.standard_normal((6, len(pair.recording.times)))
    private[5] = 3
    recording = Recording(
        np.concatenate([pair.recording.activity, private]), pair.recording.times, name="made"
    )
    recording.positions = rng.uniform(0, 500, (26, 2)).astype(np.float32)
    return fit_encoder(features, recording, "linear"), features, recording


def test_everything_in_one(world, tmp_path):
    encoder, features, recording = world
    groups = unique_contributions(features, recording, "linear")
    seen = []
    made = report(
        encoder, features, recording, contributions=groups, progress=lambda *at: seen.append(at)
    )
    assert seen[-1] == (400, 400)
    assert made.notes == ()
    assert made.ceiling.halves == "checkerboard"
    driven, explained = np.arange(26) < 20, made.variance_explained
    assert (made.null.p[driven] == 1 / 101).all()
    assert np.allclose(made.normalised[driven], explained[:20] / made.ceiling.per_neuron[:20])
    assert np.isnan(made.normalised[~driven]).all()
    assert made.pooled_normalised == pytest.approx(made.pooled / made.ceiling.pooled)
    inside = (made.interval.low <= explained) & (explained <= made.interval.high)
    assert inside[driven].mean() > 0.9
    assert np.isnan([made.interval.low[25], made.null.p[25], made.ceiling.per_neuron[25]]).all()
    assert made.components.each[0] > 0.7  # fewer neurons than components: they are found
    assert np.argmax(made.components.variance) == 0
    assert made.by_segment.shape == (26, 10)

    said = str(made).splitlines()
    assert 10 <= len(said) <= 16
    assert all(len(line) < 100 for line in said)
    for word in ("linear", "made", f"{made.pooled:.3f}", f"{made.ceiling.pooled:.3f}", "whisker"):
        assert word in str(made)

    figures = made.figures()
    assert list(figures) == [
        "scores", "components", "raster", "traces", "map", "contributions",
    ]  # fmt: skip
    assert all(isinstance(figure, Figure) for figure in figures.values())
    folder = made.save(tmp_path / "new" / "report", figures=("png",))
    assert {path.name for path in folder.iterdir()} == {
        "report.txt", "report.json", "scores.csv", "predictions.nc", "contributions.nc",
        *(f"{name}.png" for name in figures),
    }  # fmt: skip
    with (folder / "scores.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == list(recording.names)
    assert float(rows[3]["variance_explained"]) == pytest.approx(explained[3], rel=1e-5)
    assert float(rows[3]["x"]) == pytest.approx(recording.positions[3, 0], rel=1e-5)
    assert rows[25]["variance_explained"] == rows[25]["p"] == ""
    numbers = json.loads((folder / "report.json").read_text())
    assert numbers["variance_explained"] == made.pooled
    assert numbers["null"]["n_shifts"] == 100
    assert numbers["contributions"]["paw"]["lost"] > 0.05
    assert (folder / "report.txt").read_text() == f"{made}\n"
    kept = read_predictions(folder / "predictions.nc")
    assert np.array_equal(kept["predicted"], made.prediction["predicted"])
    assert kept["test"].dtype == bool
    with xr.open_dataset(folder / "contributions.nc", engine="h5netcdf") as file:
        assert np.allclose(file["share"], groups["share"], equal_nan=True)


def test_a_bare_report(world, tmp_path):
    encoder, features, recording = world
    recording.positions = None
    made = report(encoder, features, recording, ceiling=False, null=0)
    assert made.ceiling is made.null is made.contributions is None
    assert np.isnan(made.normalised).all()
    assert "map" not in made.figures()
    folder = made.save(tmp_path, figures=())
    assert json.loads((folder / "report.json").read_text())["n_neurons"] == 26
    assert not list(folder.glob("*.png"))


def test_another_recording_has_no_ceiling_and_says_so(world):
    encoder, features, recording = world
    other = Recording(recording.activity[:, :1500], recording.times[:1500], name="other")
    made = report(encoder, features, other)
    assert made.ceiling is None
    assert "not fitted on" in made.notes[0]
    assert made.interval.n_segments == 10
    assert "not fitted on" in str(made)
    assert made.figures()


def test_a_short_recording_notes_what_it_cannot_give(make_pair):
    pair = make_pair(np.arange(0, 14, 1 / 30), np.arange(0.4, 13, 0.3), n_neurons=3)
    encoder = fit_encoder(pair.features, pair.recording, "linear")
    made = report(encoder, pair.features, pair.recording)
    assert made.null is None
    assert "at least 19 shifts" in made.notes[0]
    assert "at least 19 shifts" in str(made)
    one = Recording(pair.recording.activity[:1], pair.recording.times)
    alone = report(fit_encoder(pair.features, one, "linear"), pair.features, one)
    assert "2 neurons" in alone.notes[0]
    assert alone.figures()


def test_stopping_and_faults(world):
    encoder, features, recording = world
    with pytest.raises(Cancelled):
        report(encoder, features, recording, progress=lambda done, _: done < 200)
    late = replace(features, times=features.times + 1e4)
    with pytest.raises(ValueError, match="no test sample"):
        report(encoder, late, recording)


def test_the_window_shown_holds_most_of_the_test():
    times = np.arange(100.0)
    test = (times > 40) & (times < 60)
    shown = busiest_window(times, test, 30)
    assert test[shown].sum() == 19
    assert busiest_window(times, test, 1000) == slice(0, 100)
