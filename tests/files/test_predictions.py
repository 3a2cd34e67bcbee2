from __future__ import annotations

import h5py
import numpy as np
import pytest
import xarray as xr

from napari_facemap.files.predictions import read_predictions, write_predictions


@pytest.fixture
def prediction():
    rng = np.random.default_rng(0)
    predicted = rng.normal(size=(3, 20)).astype(np.float32)
    predicted[:, 4] = np.nan
    return xr.Dataset(
        {
            "measured": (("neuron", "time"), rng.normal(size=(3, 20)).astype(np.float32)),
            "predicted": (("neuron", "time"), predicted),
            "variance_explained": ("neuron", np.array([0.5, np.nan, -1])),
            "test": ("time", np.arange(20) % 4 == 0),
        },
        coords={"neuron": ["a", "b", "c"], "time": np.arange(20) / 10},
        attrs={"software": "napari-facemap", "seed": 3, "recording_shape": [3, 20]},
    )


def test_what_is_read_is_what_was_written(prediction, tmp_path):
    path = write_predictions(prediction, tmp_path / "predictions.nc")
    again = read_predictions(path)
    xr.testing.assert_equal(again, prediction)
    assert again["test"].dtype == bool
    assert again["measured"].dtype == np.float32
    assert again.attrs["seed"] == 3
    assert list(again.attrs["recording_shape"]) == [3, 20]
    assert [path] == list(tmp_path.iterdir())


def test_any_hdf5_reader_opens_it(prediction, tmp_path):
    path = write_predictions(prediction, tmp_path / "predictions.nc")
    with h5py.File(path) as file:
        assert file["predicted"].shape == (3, 20)


def test_what_is_no_prediction_is_not_written(prediction, tmp_path):
    with pytest.raises(ValueError, match="test is missing"):
        write_predictions(prediction.drop_vars("test"), tmp_path / "predictions.nc")
    with pytest.raises(ValueError, match="measured over"):
        write_predictions(prediction.transpose(), tmp_path / "predictions.nc")
    assert not list(tmp_path.iterdir())


def test_missing_damaged_and_other_files(prediction, tmp_path):
    path = tmp_path / "predictions.nc"
    with pytest.raises(ValueError, match="no such file"):
        read_predictions(path)
    whole = write_predictions(prediction, path).read_bytes()
    for content in (b"", b"words", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"predictions\.nc") as caught:
            read_predictions(path)
        assert "\n" not in str(caught.value)
    with h5py.File(path, "w") as file:
        file["other"] = 1
    with pytest.raises(ValueError, match="is missing"):
        read_predictions(path)
