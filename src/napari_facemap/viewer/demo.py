"""The demo's files opened in napari."""

from __future__ import annotations

from pathlib import Path

import napari

from napari_facemap.files.predictions import read_predictions
from napari_facemap.files.recordings import read_recording
from napari_facemap.viewer.encoder_dock import EncoderDock

_PLUGIN = "napari-facemap"


def open_demo(folder: Path, show: bool = True) -> napari.Viewer:
    """Open a viewer with the demo's video, keypoints, activity and prediction.

    Parameters
    ----------
    folder : Path
        Where the demo wrote its files.
    show : bool
        Show the window.

    Returns
    -------
    napari.Viewer
    """
    viewer = napari.Viewer(title="napari-facemap demo", show=show)
    viewer.open(str(folder / "mouse.mp4"), plugin=_PLUGIN)
    viewer.open(str(folder / "mouse_FacemapPose.h5"), plugin=_PLUGIN)
    viewer.window.add_plugin_dock_widget(_PLUGIN, "Track keypoints")
    _, encoder = viewer.window.add_plugin_dock_widget(_PLUGIN, "Neural encoder", tabify=True)
    assert isinstance(encoder, EncoderDock)
    encoder.add_recording(read_recording(folder / "neural.npz"))
    encoder.show_prediction(read_predictions(folder / "predictions.nc"))
    return viewer


def show_demo(folder: Path) -> None:
    """Open the demo's files and stay until the window is closed."""
    open_demo(folder)
    napari.run()
