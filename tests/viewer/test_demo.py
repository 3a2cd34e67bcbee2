from __future__ import annotations

import os
import sys

import numpy as np
import pytest
import xarray as xr

from napari_facemap.files.poses import write_poses
from napari_facemap.files.predictions import write_predictions
from napari_facemap.video.write import write_video
from napari_facemap.viewer.session import session_of

if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
    pytest.skip("needs a screen: run under xvfb-run", allow_module_level=True)


def test_the_demos_files_open_together(make_napari_viewer, make_store, tmp_path):
    from napari_facemap.viewer.demo import open_demo

    n, times = 50, np.arange(10) / 10
    write_video(tmp_path / "mouse.mp4", np.full((n, 64, 80), 99, np.uint8), 50.0)
    write_poses(make_store(n).to_poses(), tmp_path / "mouse_FacemapPose.h5")
    activity = np.random.default_rng(0).normal(size=(4, 10)).astype(np.float32)
    np.savez(tmp_path / "neural.npz", activity=activity, times=times)
    prediction = xr.Dataset(
        {
            "measured": (("neuron", "time"), activity),
            "predicted": (("neuron", "time"), activity / 2),
            "variance_explained": ("neuron", np.array([0.1, 0.5, np.nan, 0.2])),
            "test": ("time", times > 0.7),
        },
        coords={"neuron": list("abcd"), "time": times},
    )
    write_predictions(prediction, tmp_path / "predictions.nc")

    viewer = make_napari_viewer(show=True)
    dock = open_demo(viewer, tmp_path)
    assert viewer.layers[0].data.shape == (n, 64, 80)
    assert len(session_of(viewer).keypoint_layers) == 1
    assert dock.recording.n_neurons == 4
    assert dock.prediction is not None
