from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_facemap.files.recordings import read_recording
from napari_facemap.files.spikes import count_spikes
from napari_facemap.files.times import Clock

# Seconds and clusters, out of order as a table may have them.
SPIKES = [(0.05, 7), (0.25, 2), (0.06, 7), (0.95, 7), (0.31, 2), (0.5, 40), (0.32, 2)]
SECONDS, CLUSTERS = (np.array(column) for column in zip(*SPIKES, strict=True))
RATE = 30_000


def write_sorting(folder, groups="cluster_id\tgroup\n2\tgood\n7\tgood\n40\tmua\n", params=None):
    folder.mkdir(exist_ok=True)
    np.save(folder / "spike_times.npy", np.round(SECONDS * RATE).astype(np.uint64)[:, None])
    np.save(folder / "spike_clusters.npy", CLUSTERS.astype(np.int32))
    params = (
        f"dat_path = 'a.bin'\nsample_rate = {RATE}.\nhp_filtered=False"
        if params is None
        else params
    )
    (folder / "params.py").write_text(params)
    if groups:
        (folder / "cluster_group.tsv").write_text(groups)
    return folder


@pytest.fixture
def folder(tmp_path):
    return write_sorting(tmp_path / "sorted")


def refused(path, *arguments, **options):
    with pytest.raises(ValueError) as caught:
        read_recording(path, *arguments, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message


def test_good_clusters_in_bins_of_a_tenth_of_a_second(folder):
    recording = read_recording(folder)
    assert recording.names == ["2", "7"]
    assert recording.activity.dtype == np.float32
    assert recording.activity.tolist() == [
        [0, 0, 1, 2, 0, 0, 0, 0, 0, 0],
        [2, 0, 0, 0, 0, 0, 0, 0, 0, 1],
    ]
    assert np.allclose(recording.times, 0.05 + np.arange(10) / 10)
    assert recording.warnings == []
    assert recording.name == "sorted"


@pytest.mark.parametrize("file", ["params.py", "spike_times.npy", "spike_clusters.npy"])
def test_a_file_of_the_folder_leads_to_it(folder, file):
    assert read_recording(folder / file).n_neurons == 2


def test_every_cluster_on_request(folder):
    recording = read_recording(folder, cells_only=False)
    assert recording.names == ["2", "7", "40"]
    assert recording.activity.sum() == len(SPIKES)


def test_bins_do_not_depend_on_which_clusters_are_good(folder):
    (folder / "cluster_group.tsv").write_text("cluster_id\tgroup\n2\tgood\n")
    assert len(read_recording(folder).times) == 10


def test_bins_by_length_rate_or_times(folder):
    by_length = read_recording(folder, bin_seconds=0.25)
    assert by_length.activity.tolist() == [[0, 3, 0, 0], [2, 0, 0, 1]]
    by_rate = read_recording(folder, rate=4)
    assert np.array_equal(by_rate.activity, by_length.activity)
    assert np.allclose(by_rate.times, [0.125, 0.375, 0.625, 0.875])
    by_times = read_recording(folder, [0.0, 0.2, 0.4, 0.6])
    assert by_times.activity.tolist() == [[0, 1, 2, 0], [2, 0, 0, 0]]
    assert by_times.times.tolist() == [0.0, 0.2, 0.4, 0.6]
    for clock in ({"rate": 4}, {"times": [0.0, 1.0]}):
        assert "leave one out" in refused(folder, bin_seconds=0.1, **clock)


@pytest.mark.parametrize("width", [0, -1, np.nan, np.inf])
def test_no_bins(folder, width):
    assert "more than 0 s" in refused(folder, bin_seconds=width)


def test_too_few_and_too_many_bins(folder):
    assert "give shorter bins" in refused(folder, bin_seconds=5)
    assert "would not fit into memory" in refused(folder, bin_seconds=1e-10)
    assert "no spike lies within" in refused(folder, [100.0, 101.0, 102.0])


@pytest.mark.parametrize(
    ("params", "rate"),
    [
        ("sample_rate = 30000.", 30000),
        ("a = 1\n  sample_rate=3e4  # Hz\nb = 2", 30000),
        ("sample_rate = 25_000", 25000),
    ],
)
def test_sample_rate_of_params(tmp_path, params, rate):
    folder = write_sorting(tmp_path / "a", params=params)
    assert read_recording(folder).times[-1] == pytest.approx(0.95 * 30000 / rate, abs=0.1)


@pytest.mark.parametrize(
    "params",
    [
        "",
        "sample_rate = 0",
        "sample_rate = 1e999",
        "sample_rate = 3..4",
        "sample_rate = __import__('os').mkdir('was_here')",
        "my_sample_rate = 30000",
    ],
)
def test_params_are_not_run(tmp_path, monkeypatch, params):
    monkeypatch.chdir(tmp_path)
    folder = write_sorting(tmp_path / "a", params=params)
    with pytest.raises(ValueError, match=r"params\.py: expected a line sample_rate") as caught:
        read_recording(folder)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "was_here").exists()


def test_labels_of_kilosort_are_used_and_said(tmp_path):
    folder = write_sorting(tmp_path / "a", groups="")
    recording = read_recording(folder)
    assert recording.n_neurons == 3
    assert "all clusters are kept" in recording.warnings[0]
    (folder / "cluster_KSLabel.tsv").write_text("cluster_id\tKSLabel\n2\tmua\n7\tgood\n40\tmua\n")
    (folder / "cluster_group.tsv").write_text("cluster_id\tgroup\n")
    recording = read_recording(folder)
    assert recording.names == ["7"]
    assert "Kilosort's own labels" in recording.warnings[0]


def test_no_good_clusters(tmp_path):
    folder = write_sorting(tmp_path / "a", groups="cluster_id\tgroup\n2\tnoise\n7\tmua\n")
    message = refused(folder)
    assert "1 noise, 1 mua, 1 no label" in message
    assert "cells_only=False" in message


def test_templates_where_nothing_was_clustered(folder):
    (folder / "spike_clusters.npy").rename(folder / "spike_templates.npy")
    assert read_recording(folder).n_neurons == 2
    (folder / "spike_templates.npy").unlink()
    assert "expected spike_clusters.npy beside" in refused(folder)


def test_without_params_seconds_can_be_told_from_samples(folder):
    (folder / "params.py").unlink()
    assert "sample_rate = 30000" in refused(folder)
    np.save(folder / "spike_times.npy", SECONDS)
    assert len(read_recording(folder).times) == 10


def test_files_that_do_not_fit(folder):
    np.save(folder / "spike_clusters.npy", CLUSTERS[:-1])
    assert "7 spike times and 6 clusters" in refused(folder)
    np.save(folder / "spike_clusters.npy", CLUSTERS + 0.5)
    assert "whole numbers" in refused(folder)
    np.save(folder / "spike_clusters.npy", np.zeros((2, 3)))
    with pytest.raises(
        ValueError, match=r"expected one row of numbers, found float64 of shape \(2, 3\)"
    ):
        read_recording(folder)
    np.save(folder / "spike_clusters.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(ValueError, match="pickled objects"):
        read_recording(folder)


def test_npz_in_seconds_or_samples(tmp_path):
    path = tmp_path / "spikes.npz"
    np.savez(path, spike_times=SECONDS, spike_clusters=CLUSTERS)
    recording = read_recording(path)
    assert recording.names == ["2", "7", "40"]
    assert recording.activity.sum(axis=1).tolist() == [3, 3, 1]
    samples = np.round(SECONDS * 1000).astype(int)
    np.savez(path, spike_times=samples, spike_clusters=CLUSTERS, sample_rate=1000)
    assert np.array_equal(read_recording(path).activity, recording.activity)
    np.savez(path, spike_times=samples, spike_clusters=CLUSTERS)
    assert "samples or seconds cannot be told" in refused(path)
    np.savez(path, spike_times=samples, spike_clusters=CLUSTERS, sample_rate=0)
    assert "sample_rate as a number in Hz" in refused(path)
    np.savez(path, spike_times=SECONDS * np.nan, spike_clusters=CLUSTERS)
    assert "finite spike times" in refused(path)


@pytest.mark.parametrize(
    ("suffix", "header", "between"),
    [
        ("csv", "spike_times,spike_clusters", ","),
        ("tsv", "cluster_id\tdepth\ttime", "\t"),
        ("txt", '"Spike_Times","Unit"', ","),
    ],
)
def test_tables(tmp_path, suffix, header, between):
    path = tmp_path / f"spikes.{suffix}"
    rows = [
        between.join(
            [str(unit), "100", str(time)] if "depth" in header else [str(time), str(unit)]
        )
        for time, unit in SPIKES
    ]
    path.write_text("\n".join([header, *rows]) + "\n")
    recording = read_recording(path)
    assert recording.names == ["2", "7", "40"]
    assert recording.activity.sum() == len(SPIKES)


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "spike_times,unit\n1,x\n", "1,2\n3,4\n"])
def test_tables_of_something_else(tmp_path, text):
    path = tmp_path / "spikes.csv"
    path.write_text(text)
    assert "expected columns spike_times (seconds) and spike_clusters" in refused(path)


def test_missing_and_empty_files(tmp_path):
    assert "no such file" in refused(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text("spike_times,unit\n1,2\n")
    assert "two bins" in refused(tmp_path / "a.csv")
    np.savez(tmp_path / "a.npz", spike_times=np.zeros(0), spike_clusters=np.zeros(0, int))
    assert "0 spike times" in refused(tmp_path / "a.npz")


times = st.floats(0, 1000, allow_nan=False)


@given(
    st.lists(st.lists(times, min_size=1, max_size=30), min_size=1, max_size=4),
    st.floats(0.01, 100),
)
def test_every_spike_is_in_the_one_bin_that_holds_it(tmp_path_factory, trains, width):
    spikes = [np.array(train) for train in trains]
    everything = np.concatenate(spikes)
    span = everything.min(), everything.max()
    try:
        path = tmp_path_factory.getbasetemp()
        counts, centres = count_spikes(path, spikes, span, Clock(), width)
    except ValueError as error:
        assert "two bins" in str(error)
        return
    assert counts.sum(axis=1).tolist() == [len(train) for train in spikes]
    for row, train in zip(counts, spikes, strict=True):
        nearest = np.abs(centres[:, None] - train).min(axis=0)
        assert (nearest <= width / 2 * (1 + 1e-9) + 1e-9).all()
        assert ((row > 0).sum()) <= len(train)
