"""Predicted activity as Facemap saves it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from napari_facemap.files.atomic import atomic_path
from napari_facemap.neural.scores import number_segments


def write_facemap_predictions(prediction: xr.Dataset, path: str | Path) -> Path:
    """Write a prediction as the .npy that Facemap's GUI saves.

    Parameters
    ----------
    prediction : xarray.Dataset
        As from `predict_recording`.
    path : str or Path
        Where the file is to be, ending in .npy. It appears whole or not at all.

    Returns
    -------
    Path
        Where it is: a pickled dict of ``predictions (neuron, time)``, ``test_indices`` (a list of
        sample numbers for each test segment), ``variance_explained`` (of all neurons together) and
        ``plot_extent``. Read it with ``np.load(path, allow_pickle=True).item()``.
    """
    path = Path(path)
    segments = number_segments(prediction["test"].values)
    content = {
        "predictions": prediction["predicted"].values,
        "test_indices": [
            np.flatnonzero(segments == number).tolist() for number in range(segments.max() + 1)
        ],
        "variance_explained": float(prediction.attrs["pooled_variance_explained"]),
        "plot_extent": [0, 0, float(prediction["time"].values[-1]), prediction.sizes["neuron"]],
    }
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.save(file, np.array(content, dtype=object), allow_pickle=True)
    return path
