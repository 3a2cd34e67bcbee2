"""A mouse made of code, to try everything on without a recording."""

from __future__ import annotations

import numpy as np

from napari_facemap.viewer.layers import RECORDING
from napari_facemap.viewer.readers import LayerData, video_layer_data
from napari_facemap.viewer.session import follow_current_viewer

_FPS = 50.0
_SECONDS = 300
_EXPLAINABLE = (0.3, 0.9)  # of each neuron's variance, by a perfect model
_CHUNK = 8


def make_synthetic_face() -> list[LayerData]:
    """Five minutes of a simulated face, its true keypoints, and neurons that follow it.

    Returns
    -------
    list of layer data
        A lazy video and a keypoint layer. The simulated activity rides with the video and is
        offered by the neural encoder's dock.
    """
    return synthetic_face_layers(int(_FPS * _SECONDS))


def synthetic_face_layers(n_frames: int, n_neurons: int = 60, seed: int = 0) -> list[LayerData]:
    """Layers of a simulated face of any length; see `make_synthetic_face`."""
    import dask.array as da

    from napari_facemap.keypoints.store import KeypointStore
    from napari_facemap.simulate.face import simulate_face
    from napari_facemap.simulate.population import simulate_population
    from napari_facemap.viewer.keypoint_layer import layer_data

    follow_current_viewer()
    face = simulate_face(n_frames, fps=_FPS, seed=seed)
    population = simulate_population(
        face, n_neurons, rate=10.0, seed=seed, explainable=_EXPLAINABLE
    )
    _, attributes, kind = video_layer_data(face.video())
    # Frames are drawn, not decoded: in small chunks, so that a jump does not draw many in vain.
    data = da.from_array(
        face.frames,
        chunks=(_CHUNK, *face.size),
        name=f"synthetic-face-{n_frames}-{seed}",
        asarray=False,
        meta=np.empty((0, 0, 0), np.uint8),
    )
    attributes["name"] = "synthetic face"
    attributes["metadata"][RECORDING] = population.recording
    truth = layer_data(KeypointStore(face.poses), "true keypoints")
    return [(data, attributes, kind), truth]
