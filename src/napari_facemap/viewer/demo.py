"""The demo's files opened in napari."""

from __future__ import annotations

from pathlib import Path

import napari

from napari_facemap.files.predictions import read_predictions
from napari_facemap.files.recordings import read_recording
from napari_facemap.viewer.encoder_dock import EncoderDock

_PLUGIN = "napari-facemap"


def open_demo(viewer: napari.Viewer, folder: Path) -> EncoderDock:
    """Open the demo's video, keypoints, activity and prediction.

    Parameters
    ----------
    viewer : napari.Viewer
        With a window.
    folder : Path
        Where the demo wrote its files.

    Returns
    -------
    EncoderDock
        Showing the prediction.
    """
    viewer.open(str(folder / "mouse.mp4"), plugin=_PLUGIN)
    viewer.open(str(folder / "mouse_FacemapPose.h5"), plugin=_PLUGIN)
    viewer.window.add_plugin_dock_widget(_PLUGIN, "Track keypoints")
    _, encoder = viewer.window.add_plugin_dock_widget(_PLUGIN, "Neural encoder", tabify=True)
    assert isinstance(encoder, EncoderDock)
    encoder.add_recording(read_recording(folder / "neural.npz"))
    encoder.show_prediction(read_predictions(folder / "predictions.nc"))
    return encoder


def show_demo(folder: Path) -> None:
    """Open the demo's files in napari and stay until the window is closed."""
    open_demo(napari.Viewer(title="napari-facemap demo"), folder)
    napari.run()
