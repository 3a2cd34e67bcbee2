from __future__ import annotations

import os
import pathlib
import pickle
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest

from napari_facemap.files.recordings import read_recording
from napari_facemap.files.suite2p import find_planes, read_suite2p

N, T, FS = 6, 40, 7.5
CELL = np.array([1, 0, 1, 1, 0, 1])


def traces(seed=0, n=N, t=T):
    random = np.random.default_rng(seed)
    neuropil = random.uniform(50, 60, (n, t)).astype(np.float32)
    return {
        "F": neuropil + random.uniform(50, 90, (n, t)).astype(np.float32),
        "Fneu": neuropil,
        "spks": random.exponential(1, (n, t)).astype(np.float32),
    }


def stat_of(n=N):
    return np.array(
        [
            {
                "ypix": np.array([10 + i, 11 + i, 12 + i]),
                "xpix": np.array([20 + i, 20 + i, 21 + i]),
                "lam": np.array([0.5, 1, 0.25], np.float32),
                "med": [11 + i, 20 + i],
                "npix": 3,
                "radius": np.float64(2.5),
                "overlap": np.array([False, True, False]),
            }
            for i in range(n)
        ]
    )


def old_ops():
    """As before 1.0, with the things of other classes that it holds."""
    return {
        "fs": FS,
        "neucoeff": 0.5,
        "meanImg": np.arange(12.0).reshape(3, 4),
        "save_path": pathlib.PurePosixPath("/data/mouse"),
        "data_path": [pathlib.PureWindowsPath("C:\\data\\mouse")],
        "date_proc": datetime(2024, 5, 1, 12, 30, tzinfo=timezone(timedelta(hours=1), "CET")),
        "xrange": [0, 4],
    }


def write_plane(folder, seed=0, n=N, t=T, ops=True, iscell=CELL):
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in traces(seed, n, t).items():
        np.save(folder / f"{name}.npy", array)
    np.save(folder / "stat.npy", stat_of(n))
    if iscell is not None:
        np.save(folder / "iscell.npy", np.column_stack([iscell, iscell * 0.9]))
    if ops:
        np.save(folder / "ops.npy", old_ops())
    return folder


@pytest.fixture
def plane(tmp_path):
    return write_plane(tmp_path / "mouse7" / "suite2p" / "plane0")


def refused(folder, *arguments, **options):
    with pytest.raises(ValueError) as caught:
        read_recording(folder, *arguments, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(folder))
    return message


def test_cells_with_names_places_and_mean(plane):
    recording = read_recording(plane, rate=5)
    cells = np.flatnonzero(CELL)
    assert np.array_equal(recording.activity, traces()["spks"][cells])
    assert recording.activity.dtype == np.float32
    assert recording.names == [str(cell) for cell in cells]
    assert np.array_equal(recording.positions, [[20 + i, 11 + i] for i in cells])
    y, x, weights = recording.footprints[1]
    assert y.tolist() == [12, 13, 14]
    assert x.tolist() == [22, 22, 23]
    assert weights.tolist() == [0.5, 1, 0.25]
    assert np.array_equal(recording.mean_image, np.arange(12).reshape(3, 4))
    assert np.allclose(recording.times, np.arange(T) / 5)
    assert recording.name == "mouse7"
    assert recording.warnings == []


@pytest.mark.parametrize("above", ["", "..", "../..", "stat.npy", "ops.npy", "iscell.npy"])
def test_any_folder_of_suite2p_leads_to_it(plane, above):
    recording = read_recording((plane / above).resolve(), rate=5)
    assert recording.n_neurons == 4
    assert recording.name == "mouse7"


def test_all_regions_on_request_stay_a_memory_map(tmp_path):
    folder = write_plane(tmp_path / "big", n=40, t=8000, iscell=np.ones(40))
    for options in ({}, {"cells_only": False}):
        recording = read_recording(folder, rate=5, **options)
        assert isinstance(recording.activity, np.memmap)
        assert recording.n_neurons == 40
    np.save(folder / "iscell.npy", np.zeros((40, 2)))
    assert read_recording(folder, rate=5, cells_only=False).n_neurons == 40
    assert "none of 40 ROIs is a cell" in refused(folder, rate=5)


def test_without_iscell_all_are_kept_and_said(plane):
    (plane / "iscell.npy").unlink()
    recording = read_recording(plane, rate=5)
    assert recording.n_neurons == N
    assert "all 6 ROIs are kept" in recording.warnings[0]


def test_signals(plane):
    all_of = traces()
    expected = {
        "spks": all_of["spks"],
        "F": all_of["F"],
        "F-Fneu": all_of["F"] - 0.5 * all_of["Fneu"],
    }
    baseline = np.median(expected["F-Fneu"], axis=1, keepdims=True)
    expected["dF/F"] = (expected["F-Fneu"] - baseline) / baseline
    for signal, activity in expected.items():
        found = read_recording(plane, rate=5, signal=signal, cells_only=False).activity
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, activity, rtol=1e-4, atol=1e-5)
    assert "expected signal spks, F, F-Fneu, dF/F; found C" in refused(plane, rate=5, signal="C")


def test_neuropil_of_new_settings_and_when_nothing_says(plane):
    (plane / "ops.npy").unlink()
    settings = {"fs": 12.5, "extraction": {"neuropil_coefficient": 0.25}, "torch_device": "cuda"}
    np.save(plane / "settings.npy", settings)
    np.save(plane / "db.npy", {"save_path": "/data", "Ly": 3})
    np.save(plane / "reg_outputs.npy", {"meanImg": np.ones((3, 4), np.float32)})
    recording = read_recording(plane, signal="F-Fneu")
    kept = CELL > 0
    expected = (traces()["F"] - 0.25 * traces()["Fneu"])[kept]
    np.testing.assert_allclose(recording.activity, expected, rtol=1e-5)
    assert recording.rate == pytest.approx(12.5)
    assert "12.5 Hz of" in recording.warnings[0]
    assert "settings.npy" in recording.warnings[0]
    assert recording.mean_image.sum() == 12
    (plane / "settings.npy").unlink()
    recording = read_recording(plane, rate=5, signal="F-Fneu")
    np.testing.assert_allclose(
        recording.activity, (traces()["F"] - 0.7 * traces()["Fneu"])[kept], rtol=1e-5
    )
    assert "0.7 was used" in recording.warnings[0]


def test_rate_of_the_settings_is_used_and_said(plane, caplog):
    recording = read_recording(plane)
    assert recording.rate == pytest.approx(FS)
    assert recording.times[0] == 0
    assert "7.5 Hz of" in recording.warnings[0]
    assert "7.5 Hz of" in caplog.text
    times = 3 + np.arange(T) / 9
    assert np.array_equal(read_recording(plane, times).times, times)
    assert read_recording(plane, times).warnings == []


def test_neither_times_nor_rate(plane):
    np.save(plane / "ops.npy", {"fs": "fast"})
    assert "rate in Hz" in refused(plane)
    (plane / "ops.npy").unlink()
    assert "rate in Hz" in refused(plane)


def test_planes_one_after_another(tmp_path):
    root = tmp_path / "mouse8"
    for number, frames in ((0, T), (2, T), (10, T - 1)):
        write_plane(root / "suite2p" / f"plane{number}", seed=number, t=frames)
    (root / "suite2p" / "plane3").mkdir()  # nothing was found in it
    write_plane(root / "suite2p" / "combined", n=3 * N, iscell=np.ones(3 * N))
    recording = read_recording(root)
    cells = np.flatnonzero(CELL)
    assert recording.activity.shape == (12, T - 1)
    assert recording.names[3:6] == ["plane0/5", "plane2/0", "plane2/2"]
    np.testing.assert_array_equal(recording.activity[8:], traces(10, t=T - 1)["spks"][cells])
    np.testing.assert_array_equal(recording.activity[4:8], traces(2)["spks"][cells][:, : T - 1])
    assert recording.positions[:, 2].tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert len(recording.footprints) == 12
    assert recording.mean_image.shape == (3, 3, 4)
    assert "planes have 39 or 40 frames" in recording.warnings[0]
    assert recording.name == "mouse8"
    assert [plane.name for plane in find_planes(root)] == ["plane0", "plane2", "plane10"]
    assert len(read_recording(root / "suite2p" / "combined").names) == 3 * N


def test_planes_of_other_recordings_are_refused(tmp_path):
    write_plane(tmp_path / "plane0")
    write_plane(tmp_path / "plane1", t=T - 5)
    assert "found [40, 35] frames" in refused(tmp_path)


@pytest.mark.parametrize("cells_only", [True, False])
def test_neurons_that_are_not_finite_are_left_out_and_named(plane, cells_only):
    F = traces()["F"]
    F[3] = np.nan
    F[5, 7] = np.inf
    np.save(plane / "F.npy", F)
    recording = read_recording(plane, signal="F", rate=5, cells_only=cells_only)
    names = ["0", "2"] if cells_only else ["0", "1", "2", "4"]
    assert recording.names == names
    assert np.array_equal(recording.activity, F[[int(name) for name in names]])
    assert len(recording.footprints) == len(recording.positions) == len(names)
    assert recording.positions[1, 0] == 20 + int(names[1])
    assert "left out" in recording.warnings[0]
    assert recording.warnings[0].endswith("3, 5.")


def test_neurons_of_a_map_that_are_not_finite_are_left_out(tmp_path):
    folder = write_plane(tmp_path / "big", n=40, t=8000, iscell=np.ones(40))
    spks = traces(0, 40, 8000)["spks"]
    spks[1] = np.nan
    np.save(folder / "spks.npy", spks)
    recording = read_recording(folder, rate=5)
    assert np.array_equal(recording.activity, np.delete(spks, 1, axis=0))
    np.save(folder / "spks.npy", spks * np.nan)
    assert "in every one of 40 neurons" in refused(folder, rate=5)


def test_neurons_without_a_baseline_have_no_change_over_it(plane):
    F = traces()["F"]
    F[2] -= 1000
    np.save(plane / "F.npy", F)
    recording = read_recording(plane, signal="dF/F", rate=5)
    assert recording.names == ["0", "3", "5"]
    assert "dF/F is not finite throughout: 2." in recording.warnings[0]


def test_only_what_is_asked_for_has_to_be_there(plane):
    (plane / "spks.npy").unlink()
    for name in ("stat.npy", "ops.npy"):
        (plane / name).unlink()
    recording = read_recording(plane, signal="F", rate=5)
    assert recording.positions is None
    assert recording.footprints is None
    assert recording.mean_image is None
    with pytest.raises(ValueError, match=r"spks\.npy: no such file"):
        read_recording(plane, rate=5)


def test_files_of_another_run_are_refused(plane):
    np.save(plane / "iscell.npy", np.ones((N - 1, 2)))
    with pytest.raises(ValueError, match=r"iscell\.npy: expected a label for each of the 6 ROIs"):
        read_recording(plane, rate=5)
    write_plane(plane)
    np.save(plane / "stat.npy", stat_of(N + 1))
    with pytest.raises(ValueError, match=r"stat\.npy: expected an entry for each of the 6 ROIs"):
        read_recording(plane, rate=5)
    write_plane(plane)
    np.save(plane / "Fneu.npy", traces()["Fneu"][:, :-1])
    with pytest.raises(ValueError, match="of one shape"):
        read_recording(plane, rate=5, signal="F-Fneu")
    np.save(plane / "spks.npy", np.zeros(T))
    with pytest.raises(ValueError, match=r"spks\.npy: expected suite2p's array"):
        read_recording(plane, rate=5)


def test_times_of_another_length(plane):
    message = refused(plane, np.arange(T - 1) / 5)
    assert "(6, 40)" in message
    assert "39 times" in message


@pytest.mark.parametrize(
    "stat", [np.zeros(N), np.array([{"ypix": 1}] * N), np.array([None] * N), {"a": 1}]
)
def test_stat_that_is_none(plane, stat):
    np.save(plane / "stat.npy", stat)
    with pytest.raises(ValueError, match=r"stat\.npy: expected") as caught:
        read_recording(plane, rate=5)
    assert "\n" not in str(caught.value)


class Touching:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("name", ["stat.npy", "ops.npy", "settings.npy"])
def test_pickles_that_would_run_something(plane, tmp_path, name):
    array = np.empty((), object)
    array[()] = {"fs": 5, "bad": Touching(tmp_path / "was_here")}
    np.save(plane / name, array)
    with pytest.raises(ValueError, match=r"could run code\. Nothing in it was run"):
        read_recording(plane, signal="F-Fneu")
    assert not (tmp_path / "was_here").exists()


def test_damaged_and_other_files(plane, tmp_path):
    (plane / "ops.npy").write_bytes(pickle.dumps({"fs": 3}))
    with pytest.raises(ValueError, match=r"ops\.npy: expected a \.npy file"):
        read_recording(plane)
    write_plane(plane)
    np.save(plane / "ops.npy", np.zeros(3))
    with pytest.raises(ValueError, match=r"ops\.npy: expected suite2p's dict"):
        read_recording(plane)
    write_plane(plane)
    (plane / "spks.npy").write_bytes(b"torn")
    with pytest.raises(ValueError, match=r"spks\.npy: expected plain numeric arrays"):
        read_recording(plane, rate=5)
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "notes.txt").write_text("")
    assert "found notes.txt" in refused(empty)
    with pytest.raises(ValueError, match="choose the folder that suite2p wrote"):
        read_suite2p(empty)


def test_options_of_other_formats_are_refused(plane):
    assert "bin_seconds is of no use" in refused(plane, bin_seconds=0.1)
