from __future__ import annotations

import h5py
import numpy as np
import pytest
from scipy.io import savemat
from scipy.sparse import csc_matrix

from napari_facemap.files.matlab import MatArrays
from napari_facemap.files.recordings import read_recording, read_times

N, T = 4, 30
ACTIVITY = np.random.default_rng(0).normal(size=(N, T))
TIMES = 2.5 + np.arange(T) / 10
CLASSES = {"f8": "double", "f4": "single", "i2": "int16", "u1": "uint8", "b1": "logical"}


def save_v5(path, **arrays):
    savemat(path, arrays)
    return path


def save_v73(path, chunks=None, **arrays):
    """As MATLAB does: 512 bytes before, columns as rows, the class beside."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            if isinstance(array, dict):
                group = file.create_group(name)
                group.attrs["MATLAB_class"] = np.bytes_("struct")
                continue
            array = np.atleast_2d(array)
            kind = "char" if array.dtype.kind == "U" else CLASSES[array.dtype.str[1:]]
            array = np.array([[ord(c) for c in array[0, 0]]], "u2") if kind == "char" else array
            stored = np.ascontiguousarray(array.T)
            found = file.create_dataset(name, data=stored, chunks=chunks)
            found.attrs["MATLAB_class"] = np.bytes_(kind)
        file.create_group("#refs#")
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
    return path


versions = pytest.mark.parametrize("save", [save_v5, save_v73])


def refused(*arguments, **options):
    with pytest.raises(ValueError) as caught:
        read_recording(*arguments, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(arguments[0]))
    return message


@versions
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("dtype", ["f8", "f4", "i2"])
def test_the_times_tell_which_axis_is_time(tmp_path, save, turned, dtype):
    activity = (10 * ACTIVITY).astype(dtype)
    path = save(tmp_path / "a.mat", thing=activity.T if turned else activity)
    recording = read_recording(path, TIMES)
    assert np.array_equal(recording.activity, activity.astype(np.float32))
    assert recording.activity.dtype == np.float32
    assert np.array_equal(recording.times, TIMES)
    assert bool(recording.warnings) == turned


@versions
@pytest.mark.parametrize("upright", [False, True])
def test_times_inside(tmp_path, save, upright):
    times = TIMES[:, None] if upright else TIMES[None]
    path = save(tmp_path / "a.mat", thing=ACTIVITY, tneural=times)
    recording = read_recording(path)
    assert np.array_equal(recording.times, TIMES)
    assert np.array_equal(read_times(path), TIMES)
    assert np.array_equal(read_recording(path, TIMES + 1).times, TIMES + 1)
    assert "leave the rate out" in refused(path, rate=10)


@versions
def test_a_rate_does_not_tell_which_axis_is_time(tmp_path, save):
    path = save(tmp_path / "a.mat", thing=ACTIVITY)
    assert "without times, so which axis is time cannot be told" in refused(path, rate=10)
    assert read_recording(path, rate=10, time_axis=1).activity.shape == (N, T)
    assert read_recording(path, rate=10, time_axis=0).activity.shape == (T, N)
    assert "expected time_axis 0 or 1" in refused(path, rate=10, time_axis=2)


@versions
def test_a_square_matrix_is_ambiguous(tmp_path, save):
    square = np.random.default_rng(1).normal(size=(T, T))
    path = save(tmp_path / "a.mat", thing=square)
    message = refused(path, TIMES)
    assert "(30, 30) and 30 times fit both" in message
    assert "time_axis=1" in message
    square = square.astype(np.float32)
    assert np.array_equal(read_recording(path, TIMES, time_axis=1).activity, square)
    assert np.array_equal(read_recording(path, TIMES, time_axis=0).activity, square.T)


@versions
def test_a_matrix_that_fits_neither_way(tmp_path, save):
    path = save(tmp_path / "a.mat", thing=ACTIVITY)
    assert "(4, 30) does not fit the 29 times" in refused(path, TIMES[:-1])
    assert "(4, 30) does not fit the 30 times" in refused(path, TIMES, time_axis=0)


@versions
def test_several_matrices(tmp_path, save):
    path = save(tmp_path / "a.mat", one=ACTIVITY, two=ACTIVITY.T, name="mouse", info={"a": 1})
    message = refused(path, TIMES)
    assert "found one, two, " in message
    assert "(4, 30), (30, 4)" in message
    assert "struct" in message
    assert read_recording(path, TIMES, signal="two").warnings
    assert "named three; found" in refused(path, TIMES, signal="three")
    assert "named name; found" in refused(path, TIMES, signal="name")
    path = save(tmp_path / "b.mat", one=ACTIVITY, spks=ACTIVITY * 2, rate=10.0)
    expected = (2 * ACTIVITY).astype(np.float32)
    assert np.array_equal(read_recording(path, TIMES).activity, expected)


@versions
@pytest.mark.parametrize("cells_only", [True, False])
def test_cells_of_suite2p(tmp_path, save, cells_only):
    cells = np.array([[1, 0.9], [0, 0.1], [1, 0.8], [0, 0.2]])
    # As many ROIs as frames are no question here.
    F = np.random.default_rng(2).normal(size=(N, N)).astype(np.float32)
    path = save(tmp_path / "Fall.mat", F=F, Fneu=F, spks=F + 1, iscell=cells, stat={"a": 1})
    recording = read_recording(path, rate=5, cells_only=cells_only)
    kept = [0, 2] if cells_only else [0, 1, 2, 3]
    assert np.array_equal(recording.activity, F[kept] + 1)
    assert recording.names == [str(roi) for roi in kept]
    assert np.array_equal(read_recording(path, rate=5, signal="F").activity, F[[0, 2]])
    path = save(tmp_path / "none.mat", F=F, iscell=cells * 0)
    assert "none of 4 ROIs is a cell" in refused(path, rate=5)


@pytest.mark.parametrize("chunks", [None, (7, 2), (T, 1), (1, N)])
@pytest.mark.parametrize("turned", [False, True])
def test_large_matrices_come_in_slabs(tmp_path, monkeypatch, chunks, turned):
    monkeypatch.setattr("napari_facemap.files.hdf5.SLAB", 17)
    chunks = chunks[::-1] if chunks and turned else chunks
    path = save_v73(tmp_path / "a.mat", chunks, thing=ACTIVITY.T if turned else ACTIVITY)
    found = MatArrays(path).read("thing", neurons=1 if turned else 0)
    assert np.array_equal(found, ACTIVITY.astype(np.float32))
    keep = np.array([True, False, False, True])
    found = MatArrays(path).read("thing", neurons=1 if turned else 0, keep=keep)
    assert np.array_equal(found, ACTIVITY.astype(np.float32)[keep])


def test_what_is_no_matrix_of_numbers(tmp_path):
    sparse = csc_matrix(np.eye(5))
    path = save_v5(
        tmp_path / "a.mat", sparse=sparse, text="abc", cells=np.array([[1], [2]], object)
    )
    message = refused(path, TIMES)
    assert "sparse" in message
    assert "cell" in message
    assert "complex" in refused(save_v5(tmp_path / "b.mat", z=ACTIVITY * 1j), TIMES)
    path = save_v5(tmp_path / "c.mat", spks=np.zeros((0, 5)))
    assert "empty" in refused(path, rate=10, time_axis=1)
    with h5py.File(tmp_path / "d.mat", "w") as file:
        empty = file.create_dataset("spks", data=np.array([0, 5], "u8"))
        empty.attrs["MATLAB_class"] = np.bytes_("double")
        empty.attrs["MATLAB_empty"] = 1
        complex_ = file.create_dataset("z", (3, 3), dtype=[("real", "f8"), ("imag", "f8")])
        complex_.attrs["MATLAB_class"] = np.bytes_("double")
        file.create_group("s").attrs["MATLAB_sparse"] = 5
    message = refused(tmp_path / "d.mat", TIMES)
    for kind in ("empty", "complex", "sparse"):
        assert kind in message


@pytest.mark.parametrize("dtype", ["f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "b1"])
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("shape", [(4, 30), (1, 1), (1, 3), (2, 1), (300, 7)])
def test_version_5_as_scipy_writes_it(tmp_path, monkeypatch, dtype, packed, shape):
    monkeypatch.setattr("napari_facemap.files.matrices.AT_ONCE", 50)
    array = np.random.default_rng(3).integers(0, 2, shape).astype(dtype)
    other = {"s": {"a": array}, "c": np.array([[array, "text"]], object), "e": np.zeros((0, 3))}
    content = other | {"before": ACTIVITY, "a_name_of_some_length": array, "after": 5.0}
    savemat(tmp_path / "a.mat", content, do_compression=packed)
    arrays = MatArrays(tmp_path / "a.mat")
    assert arrays.shapes["a_name_of_some_length"] == shape
    assert arrays.others == {"s": "struct", "c": "cell"}
    found = arrays.read("a_name_of_some_length")
    assert np.array_equal(found, array)
    assert np.array_equal(arrays.read("before"), ACTIVITY)
    for neurons in (0, 1):
        turned = array if neurons == 0 else array.T
        assert np.array_equal(arrays.read("a_name_of_some_length", neurons=neurons), turned)
        keep = np.arange(len(turned)) % 3 != 1
        found = arrays.read("a_name_of_some_length", neurons=neurons, keep=keep)
        assert np.array_equal(found, turned[keep])
        assert found.dtype == np.float32


@pytest.mark.parametrize("packed", [True, False])
def test_version_5_that_was_cut_off_is_one_line(tmp_path, packed):
    path = tmp_path / "a.mat"
    savemat(path, {"thing": ACTIVITY, "times": TIMES}, do_compression=packed)
    whole = path.read_bytes()
    for length in (100, 130, 150, len(whole) // 2, len(whole) - 40):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"a\.mat") as caught:
            read_recording(path)
        assert "\n" not in str(caught.value)


def test_activity_that_is_not_finite_says_where(tmp_path):
    activity = ACTIVITY.copy()
    activity[2, 7] = np.nan
    message = refused(save_v5(tmp_path / "a.mat", a=activity), TIMES)
    assert "nan for neuron 2 at sample 7" in message


def test_missing_and_damaged_files(tmp_path):
    assert "no such file" in refused(tmp_path / "a.mat", rate=10)
    whole = {
        "a.mat": save_v5(tmp_path / "a.mat", thing=ACTIVITY).read_bytes(),
        "b.mat": save_v73(tmp_path / "b.mat", thing=ACTIVITY).read_bytes(),
    }
    for name, content in whole.items():
        for torn in (b"", b"words", content[:100], content[:600], content[: len(content) // 2]):
            (tmp_path / name).write_bytes(torn)
            assert "expected a .mat file" in refused(tmp_path / name, TIMES)


def test_a_matlab_file_is_not_executed(tmp_path):
    path = save_v5(tmp_path / "a.mat", thing=ACTIVITY, run=np.array([["!touch x"]], object))
    assert read_recording(path, TIMES).n_neurons == N
