from __future__ import annotations

import numpy as np
import xarray as xr

from napari_facemap.files.facemap_neural import write_facemap_predictions


def test_facemaps_keys_and_shapes(tmp_path):
    times = np.arange(20) / 10
    test = np.zeros(20, bool)
    test[[3, 4, 6, 7, 10, 13, 14]] = True
    predicted = np.random.default_rng(0).normal(size=(4, 20)).astype(np.float32)
    prediction = xr.Dataset(
        {"predicted": (("neuron", "time"), predicted), "test": ("time", test)},
        coords={"time": times},
        attrs={"pooled_variance_explained": 0.25},
    )
    path = write_facemap_predictions(prediction, tmp_path / "neural_predictions.npy")
    content = np.load(path, allow_pickle=True).item()
    np.testing.assert_array_equal(content["predictions"], predicted)
    assert content["test_indices"] == [[3, 4], [6, 7], [10], [13, 14]]
    assert content["variance_explained"] == 0.25
    assert content["plot_extent"] == [0, 0, 1.9, 4]
    assert [path.name for path in tmp_path.iterdir()] == ["neural_predictions.npy"]
