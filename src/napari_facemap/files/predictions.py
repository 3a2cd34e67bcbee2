"""Predicted activity as netCDF, which xarray and most languages open."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import xarray as xr

from napari_facemap.files.atomic import atomic_path

_DIMS = {
    "measured": ("neuron", "time"),
    "predicted": ("neuron", "time"),
    "variance_explained": ("neuron",),
    "test": ("time",),
}


def write_predictions(prediction: xr.Dataset, path: str | Path) -> Path:
    """Write a prediction with what was measured, its scores, test mask, times and provenance.

    Parameters
    ----------
    prediction : xarray.Dataset
        As from `predict_recording`.
    path : str or Path
        Where the netCDF file is to be, best ending in .nc. It appears whole or not at all.

    Returns
    -------
    Path
        Where it is.

    Raises
    ------
    ValueError
        When a variable is missing or over other dimensions.
    """
    path = Path(path)
    _check(prediction, path)
    # netCDF has no booleans of its own; every reader knows bytes of 0 and 1.
    whole = prediction.assign(test=prediction["test"].astype(np.int8))
    # Not compressed: activity is noise in its last digits, and a large file would take minutes.
    with atomic_path(path) as temporary:
        whole.to_netcdf(temporary, engine="h5netcdf")
    return path


def read_predictions(path: str | Path) -> xr.Dataset:
    """Read what `write_predictions` wrote.

    Parameters
    ----------
    path : str or Path
        A .nc file.

    Returns
    -------
    xarray.Dataset
        In memory; the file is closed.

    Raises
    ------
    ValueError
        When the file is missing, damaged or holds no prediction.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file of predictions.")
    if not h5py.is_hdf5(path):
        raise ValueError(
            f"{path}: expected predictions as netCDF, found another or a damaged file; save them "
            "again."
        )
    try:
        with xr.open_dataset(path, engine="h5netcdf") as file:
            prediction = file.load()
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise ValueError(
            f"{path}: expected predictions as netCDF, found damage ({reason}); save them again."
        ) from error
    _check(prediction, path)
    return prediction.assign(test=prediction["test"].astype(bool))


def _check(prediction: xr.Dataset, path: Path) -> None:
    for name, dims in _DIMS.items():
        if name not in prediction:
            raise ValueError(
                f"{path}: expected predictions with {', '.join(_DIMS)}; {name} is missing."
            )
        if prediction[name].dims != dims:
            raise ValueError(
                f"{path}: expected {name} over {dims}, found {prediction[name].dims}."
            )
