from __future__ import annotations

import h5py
import numpy as np
import pytest
from scipy.sparse import csc_matrix

from napari_facemap.files.recordings import read_recording

K, T, DIMS = 5, 40, (6, 9)


def images():
    """Footprints as pictures (component, y, x)."""
    pictures = np.zeros((K, *DIMS))
    for k in range(K):
        pictures[k, 1 + k % 4, 2 + k] = 3
        pictures[k, 2 + k % 4, 2 + k] = 1
    return pictures


def write(path, *, dims=DIMS, accepted=(0, 3, 4), rate=15.0, pictures=None, **more):
    random = np.random.default_rng(0)
    pictures = images() if pictures is None else pictures
    # Columns of the image one after another, which is order F.
    columns = csc_matrix(np.stack([picture.ravel(order="F") for picture in pictures], axis=1))
    estimates = {
        "C": random.normal(size=(K, T)),
        "S": random.exponential(1, (K, T)),
        "F_dff": random.normal(size=(K, T)),
        "A/data": columns.data,
        "A/indices": columns.indices,
        "A/indptr": columns.indptr,
        "A/shape": np.array(columns.shape),
        "dims": None if dims is None else np.array(dims),
        "idx_components": np.array(accepted),
        "Cn": np.zeros(DIMS),
    } | more
    with h5py.File(path, "w") as file:
        for name, value in estimates.items():
            if value is not None:
                file[f"estimates/{name}"] = value
        if rate is not None:
            file["params/data/fr"] = rate
    return estimates


@pytest.fixture
def saved(tmp_path):
    write(tmp_path / "mouse.hdf5")
    return tmp_path / "mouse.hdf5"


def refused(path, *arguments, **options):
    with pytest.raises(ValueError) as caught:
        read_recording(path, *arguments, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message


def test_accepted_components_with_footprints_in_order_f(tmp_path):
    estimates = write(tmp_path / "mouse.hdf5")
    recording = read_recording(tmp_path / "mouse.hdf5", rate=10)
    assert np.array_equal(recording.activity, estimates["S"][[0, 3, 4]].astype(np.float32))
    assert recording.names == ["0", "3", "4"]
    for (y, x, weights), k in zip(recording.footprints, (0, 3, 4), strict=True):
        picture = np.zeros(DIMS)
        picture[y, x] = weights
        assert np.array_equal(picture, images()[k])
    assert np.allclose(recording.positions, [[2, 1.25], [5, 4.25], [6, 1.25]])
    assert recording.mean_image is None
    assert recording.warnings == []
    assert recording.name == "mouse"


@pytest.mark.parametrize(("signal", "key"), [("spks", "S"), ("F", "C"), ("dF/F", "F_dff")])
def test_signals(tmp_path, signal, key):
    estimates = write(tmp_path / "a.hdf5")
    recording = read_recording(tmp_path / "a.hdf5", rate=10, signal=signal, cells_only=False)
    assert np.array_equal(recording.activity, estimates[key].astype(np.float32))


def test_the_rate_inside_is_used_and_said(saved):
    recording = read_recording(saved)
    assert recording.rate == pytest.approx(15)
    assert "15 Hz of params/data/fr" in recording.warnings[0]
    times = 1 + np.arange(T) / 3
    assert np.array_equal(read_recording(saved, times).times, times)


def test_volumes(tmp_path):
    dims = (3, 4, 5)
    pictures = np.zeros((K, *dims))
    pictures[:, 1, 3, 2] = 1
    write(tmp_path / "a.hdf5", dims=dims, pictures=pictures)
    recording = read_recording(tmp_path / "a.hdf5")
    assert recording.positions.tolist() == [[3, 1, 2]] * 3
    assert [part.tolist() for part in recording.footprints[0]] == [[1], [3], [1]]


@pytest.mark.parametrize("index", [b"NoneType", None])
def test_without_a_choice_all_are_kept_and_said(tmp_path, index):
    write(tmp_path / "a.hdf5", idx_components=index)
    recording = read_recording(tmp_path / "a.hdf5", rate=10)
    assert recording.n_neurons == K
    assert "all 5 components are kept" in recording.warnings[0]
    assert read_recording(tmp_path / "a.hdf5", rate=10, cells_only=False).warnings == []


def test_what_was_not_computed_is_named_none_type(tmp_path):
    write(tmp_path / "a.hdf5", S=b"NoneType", F_dff=None, dims=None)
    message = refused(tmp_path / "a.hdf5", rate=10)
    assert "expected S of (component, frame)" in message
    assert 'the file has "F".' in message
    recording = read_recording(tmp_path / "a.hdf5", rate=10, signal="F")
    assert recording.footprints is None
    assert "does not say dims" in recording.warnings[0]
    assert "expected signal spks, F, dF/F; found x" in refused(tmp_path / "a.hdf5", signal="x")


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"accepted": ()}, "none of 5 components is accepted"),
        ({"accepted": (0, 5)}, "from 0 to 4, found 0 to 5"),
        ({"accepted": (-1, 2)}, "found -1 to 2"),
        ({"A/indptr": np.arange(4)}, "found 3 columns"),
        ({"A/indptr": np.array([0, 4, 2, 6, 8, 10])}, "do not fit"),
        ({"A/indptr": np.array([1, 2, 4, 6, 8, 10])}, "do not fit"),
        ({"A/indices": np.full(10, 6 * 9)}, "do not fit"),
        ({"A/data": np.ones(9)}, "do not fit"),
        ({"dims": np.array([2, 2])}, "do not fit"),
        ({"S": np.full((K, T), np.nan)}, "nan for neuron 0 at sample 0"),
    ],
)
def test_files_that_lie(tmp_path, more, says):
    write(tmp_path / "a.hdf5", **more)
    assert says in refused(tmp_path / "a.hdf5", rate=10)


def test_times_of_another_length(saved):
    assert "(5, 40) does not fit the 39 times" in refused(saved, np.arange(39.0))


def test_neither_times_nor_rate(tmp_path):
    write(tmp_path / "a.hdf5", rate=None)
    assert "rate in Hz" in refused(tmp_path / "a.hdf5")


def test_missing_damaged_and_other_files(tmp_path, saved):
    assert "no such file" in refused(tmp_path / "b.hdf5")
    whole = saved.read_bytes()
    saved.write_bytes(whole[: len(whole) // 2])
    assert "damaged" in refused(saved, rate=10)
    saved.write_bytes(b"words")
    assert "damaged" in refused(saved, rate=10)
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["data"] = np.zeros((3, 4))
    assert "found data" in refused(tmp_path / "c.h5")
