"""What this plugin finds on napari layers: videos, their times, boxes, keypoints and the rest.

Everything rides in ``layer.metadata`` under these keys, so it survives renaming and is found
again by any dock of any viewer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Layer, Points

if TYPE_CHECKING:
    from napari_facemap.keypoints.store import KeypointStore
    from napari_facemap.neural.recording import Recording

STORE = "facemap"
VIDEO = "facemap_video"
TIMES = "facemap_times"
RECORDING = "facemap_recording"
BOX_OF = "facemap_box_of"  # weak reference to the video layer of a face box
REGIONS_OF = "facemap_regions_of"  # weak reference to the video layer of a layer of regions
OVERLAY = "facemap_overlay"  # of layers that only show something
MOTION = "facemap_motion"  # what was measured in a video
FACE = "facemap_face"  # that was found, of a face box that was not drawn


def bare(thing: Any) -> Any:
    """Take off the proxy in which napari hands viewers and layers to docks.

    Two proxies of one layer are not one object, so what is kept or compared must be bare.
    """
    return getattr(thing, "__wrapped__", thing)


def store_of(layer: Layer | None) -> KeypointStore | None:
    """Keypoints that a Points layer shows, or None for any other layer."""
    return layer.metadata.get(STORE) if isinstance(layer, Points) else None


def is_video(layer: Layer) -> bool:
    """Whether a layer can be tracked: an image over time, one plane a frame."""
    return isinstance(layer, Image) and layer.ndim == 3 and not layer.multiscale


def time_axis(layer: Layer) -> int:
    """Axis of a layer that is time: the third from the end, as napari aligns axes."""
    return layer.ndim - 3


def frame_size(video: Layer) -> tuple[int, int]:
    """Rows and columns of a video layer's frames."""
    axis = time_axis(video)
    height, width = video.data.shape[axis + 1 : axis + 3]
    return int(height), int(width)


def n_frames_of(layer: Layer) -> int:
    """Frames of a video layer."""
    return int(layer.data.shape[time_axis(layer)])


def times_of(layer: Layer) -> np.ndarray:
    """Seconds of each frame of a video layer, from its first.

    The container's own times where the layer has them; else what its scale says.
    """
    times = layer.metadata.get(TIMES)
    if times is not None and len(times) == n_frames_of(layer):
        return np.asarray(times, np.float64)
    return np.arange(n_frames_of(layer)) * float(layer.scale[time_axis(layer)])


def video_of(layer: Layer) -> Any:
    """Video behind a video layer, to be read in sequence beside the viewing.

    Parameters
    ----------
    layer : Image
        Opened by this plugin, or any other image of shape (time, rows, columns), RGB or not.

    Returns
    -------
    Video or ArrayVideo
    """
    from napari_facemap.video.arrays import ArrayVideo

    video = layer.metadata.get(VIDEO)
    if video is not None:
        return video
    data = layer.data[..., :3] if layer.rgb else layer.data  # without alpha
    return ArrayVideo(data, times=times_of(layer), name=layer.name)


def name_of(layer: Layer) -> str:
    """Name of a layer's video, as keypoints that were tracked on it have it in their attributes."""
    video = layer.metadata.get(VIDEO)
    return str(video.name) if video is not None else layer.name


def recordings_of(layers: Any) -> list[Recording]:
    """Neural recordings that came with layers (a sample's simulated activity), each once."""
    found: list[Recording] = []
    for layer in layers:
        recording = layer.metadata.get(RECORDING)
        if recording is not None and not any(recording is other for other in found):
            found.append(recording)
    return found
