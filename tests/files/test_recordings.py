from __future__ import annotations

import tracemalloc

import h5py
import numpy as np
import pytest

from napari_facemap.files.recordings import read_recording, read_times

ACTIVITY = np.random.default_rng(0).normal(size=(4, 30)).astype(np.float32)
TIMES = 2.5 + np.arange(30) / 10


@pytest.fixture
def saved(tmp_path):
    np.save(tmp_path / "spks.npy", ACTIVITY)
    np.save(tmp_path / "times.npy", TIMES)
    return tmp_path


def refused(*arguments, **options):
    with pytest.raises(ValueError) as caught:
        read_recording(*arguments, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_npy_with_times(saved):
    recording = read_recording(saved / "spks.npy", saved / "times.npy")
    assert np.array_equal(recording.activity, ACTIVITY)
    assert np.array_equal(recording.times, TIMES)
    assert recording.name == "spks"
    assert recording.warnings == []


def test_large_files_are_mapped_and_not_read_at_once(tmp_path):
    np.save(tmp_path / "spks.npy", np.zeros((300, 2000), np.float32))
    assert isinstance(read_recording(tmp_path / "spks.npy", rate=10).activity, np.memmap)


def test_rate_instead_of_times(saved):
    recording = read_recording(saved / "spks.npy", rate=20)
    assert np.allclose(recording.times, np.arange(30) / 20)


@pytest.mark.parametrize("name", ["spks", "activity", "F"])
@pytest.mark.parametrize("times_name", ["times", "tneural", "t"])
def test_npz_with_its_times(tmp_path, name, times_name):
    arrays = {name: ACTIVITY, times_name: TIMES, "xy": np.zeros((4, 2))}
    np.savez(tmp_path / "mouse.npz", **arrays)
    recording = read_recording(tmp_path / "mouse.npz")
    assert np.array_equal(recording.activity, ACTIVITY)
    assert np.array_equal(recording.times, TIMES)


def test_npz_with_one_array_of_another_name(tmp_path):
    np.savez(tmp_path / "mouse.npz", thing=ACTIVITY)
    assert read_recording(tmp_path / "mouse.npz", rate=10).n_neurons == 4


def test_npz_with_several_arrays_of_other_names_is_refused(tmp_path):
    np.savez(tmp_path / "mouse.npz", one=ACTIVITY, two=ACTIVITY)
    assert "found one, two" in refused(tmp_path / "mouse.npz", rate=10)


def test_npz_of_which_one_array_is_named(tmp_path):
    np.savez(tmp_path / "mouse.npz", one=ACTIVITY, two=ACTIVITY * 2, times=TIMES)
    recording = read_recording(tmp_path / "mouse.npz", signal="two")
    assert np.array_equal(recording.activity, ACTIVITY * 2)
    message = refused(tmp_path / "mouse.npz", signal="three")
    assert "named three; found one, two, times of shapes (4, 30), (4, 30), (30,)" in message
    np.save(tmp_path / "mouse.npy", ACTIVITY)
    assert "leave signal out" in refused(tmp_path / "mouse.npy", rate=1, signal="one")


def test_npz_reads_only_what_it_needs(tmp_path):
    np.savez(tmp_path / "mouse.npz", spks=ACTIVITY, times=TIMES, notes=np.array({"a": 1}))
    assert read_recording(tmp_path / "mouse.npz").n_neurons == 4


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["f4", ">f8", "i2", "u1"])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_comes_in_pieces(tmp_path, monkeypatch, order, dtype, save):
    monkeypatch.setattr("napari_facemap.files.matrices.AT_ONCE", 7)
    activity = np.asarray(np.abs(ACTIVITY) * 50, dtype, order=order)
    save(tmp_path / "mouse.npz", spks=activity)
    found = read_recording(tmp_path / "mouse.npz", rate=1).activity
    assert np.array_equal(found, activity.astype(np.float32))


def test_times_as_an_array(saved):
    assert np.array_equal(read_recording(saved / "spks.npy", TIMES).times, TIMES)
    assert np.array_equal(read_recording(saved / "spks.npy", list(TIMES)).times, TIMES)
    assert "not fit the 29 times of times for" in refused(saved / "spks.npy", TIMES[:-1])


def test_the_user_may_say_which_axis_is_time(saved):
    np.save(saved / "turned.npy", ACTIVITY.T)
    recording = read_recording(saved / "turned.npy", rate=10, time_axis=0)
    assert np.array_equal(recording.activity, ACTIVITY)
    assert recording.warnings == []
    assert "does not fit the 30 times" in refused(saved / "turned.npy", TIMES, time_axis=1)
    assert "time_axis 0 or 1" in refused(saved / "turned.npy", rate=10, time_axis=-1)


@pytest.mark.parametrize("option", [{"bin_seconds": 0.1}])
def test_options_of_other_formats_are_refused(saved, option):
    assert "is of no use for this kind of file" in refused(saved / "spks.npy", rate=1, **option)


def test_cells_only_is_no_matter_where_nothing_else_is_known(saved):
    assert read_recording(saved / "spks.npy", rate=1, cells_only=False).n_neurons == 4


N, T = 2000, 20_000
WHOLE = N * T * 8  # bytes in float64


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Files of 160 MB that take no room on the disk, since nothing but zeros is in them."""
    folder = tmp_path_factory.mktemp("large")
    for name in ("spks", "F", "Fneu"):
        np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.float32, (N, T))
    np.lib.format.open_memmap(folder / "wide.npy", "w+", np.float64, (N, T))
    np.save(folder / "iscell.npy", np.ones((N, 2)))
    with h5py.File(folder / "large.mat", "w") as file:
        file.create_dataset("spks", (T, N), "f8", chunks=(1000, 100))
    return folder


def peak_of_reading(*arguments, **options):
    tracemalloc.start()
    try:
        recording = read_recording(*arguments, rate=10, **options)
        assert recording.activity.shape[1] == T
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_map_takes_no_memory(large):
    assert peak_of_reading(large / "spks.npy") < WHOLE / 8
    assert peak_of_reading(large) < WHOLE / 8


def test_what_is_no_map_is_held_once_as_float32(large):
    some = np.ones((N, 2))
    some[5] = 0
    held = WHOLE / 2
    assert peak_of_reading(large / "wide.npy") < held * 1.5
    assert peak_of_reading(large / "large.mat", time_axis=1) < held * 1.9
    np.save(large / "iscell.npy", some)
    assert peak_of_reading(large) < held * 1.5
    np.save(large / "iscell.npy", np.ones((N, 2)))


def test_time_by_neuron_is_transposed_and_said(saved, caplog):
    np.save(saved / "wrong.npy", ACTIVITY.T)
    recording = read_recording(saved / "wrong.npy", saved / "times.npy")
    assert np.array_equal(recording.activity, ACTIVITY)
    assert "transposed" in recording.warnings[0]
    assert "transposed" in caplog.text


@pytest.mark.parametrize("clock", [{"times": TIMES}, {"rate": 10.0}])
def test_a_square_array_is_refused_until_the_user_says(tmp_path, clock):
    square = np.random.default_rng(1).normal(size=(30, 30)).astype(np.float32)
    np.save(tmp_path / "square.npy", square)
    message = refused(tmp_path / "square.npy", **clock)
    assert "(30, 30)" in message
    assert "time_axis=1" in message
    recording = read_recording(tmp_path / "square.npy", **clock, time_axis=1)
    assert np.array_equal(recording.activity, square)
    turned = read_recording(tmp_path / "square.npy", **clock, time_axis=0)
    assert np.array_equal(turned.activity, square.T)


def test_more_neurons_than_times_at_a_rate_are_said(saved):
    np.save(saved / "turned.npy", ACTIVITY.T)
    recording = read_recording(saved / "turned.npy", rate=10)
    assert recording.n_neurons == len(TIMES)
    assert "30 neurons x 4 times" in recording.warnings[0]
    assert "time_axis=0" in recording.warnings[0]
    assert read_recording(saved / "turned.npy", rate=10, time_axis=1).warnings == []


def test_neither_times_nor_rate(saved):
    message = refused(saved / "spks.npy")
    assert str(saved / "spks.npy") in message
    assert "rate in Hz" in message


def test_both_times_and_rate(saved):
    assert "leave one out" in refused(saved / "spks.npy", saved / "times.npy", 10)


@pytest.mark.parametrize("rate", [0, -1, np.nan, np.inf])
def test_no_rate(saved, rate):
    assert "more than 0 Hz" in refused(saved / "spks.npy", rate=rate)


def test_times_of_another_length(saved):
    np.save(saved / "times.npy", TIMES[:-1])
    message = refused(saved / "spks.npy", saved / "times.npy")
    assert "(4, 30)" in message
    assert "29 times" in message
    assert "spks.npy" in message


@pytest.mark.parametrize(
    ("place", "value", "says"),
    [
        (3, np.nan, "nan at sample 3"),
        (3, TIMES[2], "2.7 s followed by 2.7 s at sample 3"),
        (3, 0.0, "followed by 0 s at sample 3"),
    ],
)
def test_bad_times_say_where(saved, place, value, says):
    times = TIMES.copy()
    times[place] = value
    np.save(saved / "times.npy", times)
    message = refused(saved / "spks.npy", saved / "times.npy")
    assert says in message
    assert str(saved / "times.npy") in message


def test_activity_that_is_not_finite_says_where(saved):
    activity = ACTIVITY.copy()
    activity[2, 7] = np.nan
    np.save(saved / "spks.npy", activity)
    message = refused(saved / "spks.npy", rate=10)
    assert "nan for neuron 2 at sample 7" in message
    assert str(saved / "spks.npy") in message


def test_pickled_objects_are_not_loaded(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"a": 1}, None]), allow_pickle=True)
    np.savez(tmp_path / "b.npz", spks=np.array([[{"a": 1}]]))
    assert "pickled" in refused(tmp_path / "a.npy", rate=10)
    assert "pickled" in refused(tmp_path / "b.npz", rate=10)


def test_activity_too_large_for_float32_is_not_finite(tmp_path):
    activity = ACTIVITY.astype(np.float64)
    activity[1, 2] = 1e300
    np.save(tmp_path / "a.npy", activity)
    np.savez(tmp_path / "b.npz", spks=activity)
    with h5py.File(tmp_path / "c.mat", "w") as file:
        file["spks"] = activity.T
    for name in ("a.npy", "b.npz", "c.mat"):
        assert "inf for neuron 1 at sample 2" in refused(tmp_path / name, TIMES)


def test_a_header_that_is_none(tmp_path):
    np.save(tmp_path / "a.npy", ACTIVITY)
    whole = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(whole.replace(b"{'descr'", b"('descr'"))
    assert "damaged" in refused(tmp_path / "a.npy", rate=1)


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
@pytest.mark.parametrize("content", [b"", b"\x93NUMPY\x01\x00", b"PK\x03\x04 torn", b"words"])
def test_damaged_files(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert str(tmp_path / name) in refused(tmp_path / name, rate=10)


def test_a_torn_npz_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", spks=ACTIVITY)
    whole = bytearray((tmp_path / "a.npz").read_bytes())
    whole[200:260] = bytes(60)
    (tmp_path / "a.npz").write_bytes(whole)
    refused(tmp_path / "a.npz", rate=10)


def test_missing_other_and_empty_files(tmp_path):
    assert "no such file" in refused(tmp_path / "a.npy", rate=10)
    for name in ("a.docx", "a"):
        (tmp_path / name).write_bytes(b"words")
        assert "expected a .npy or .npz file, .mat" in refused(tmp_path / name, rate=10)
    assert "no such file" in refused(tmp_path / "a.nwb", rate=10)
    np.save(tmp_path / "empty.npy", np.zeros((0, 5)))
    assert "empty" in refused(tmp_path / "empty.npy", rate=10)
    np.save(tmp_path / "line.npy", np.zeros(5))
    assert "2-D" in refused(tmp_path / "line.npy", rate=10)


@pytest.mark.parametrize("suffix", ["npy", "npz", "csv", "txt"])
def test_times_from_any_file(tmp_path, suffix):
    path = tmp_path / f"times.{suffix}"
    if suffix == "npy":
        np.save(path, TIMES.astype(np.float32)[:, None])
    elif suffix == "npz":
        np.savez(path, tneural=TIMES, other=TIMES + 1)
    else:
        header = "seconds\n" if suffix == "csv" else ""
        path.write_text(header + "\n".join(map(str, TIMES)) + "\n")
    assert np.allclose(read_times(path), TIMES)
    assert read_times(path).dtype == np.float64


@pytest.mark.parametrize("text", ["", "seconds\n", "1\nx\n2", "1,2\n3,4\n", "2\n1\n"])
def test_bad_text_times(tmp_path, text):
    path = tmp_path / "times.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"times\.txt") as caught:
        read_times(path)
    assert "\n" not in str(caught.value)
