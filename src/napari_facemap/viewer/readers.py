"""Opening face videos and keypoint files in napari."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import napari
import numpy as np
from napari.utils.notifications import show_info, show_warning

from napari_facemap.viewer.layers import TIMES, VIDEO, bare, is_video, n_frames_of
from napari_facemap.viewer.session import follow_current_viewer

VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".mj2", ".wmv", ".mpg", ".m4v")
_ENDINGS = ("_FacemapPose", "_proc", "_motion")  # of names, after that of the video

LayerData = tuple[Any, dict[str, Any], str]
Reader = Callable[[Any], list[LayerData]]


def get_video_reader(path: str | Sequence[str]) -> Reader | None:
    """Offer to read videos.

    Parameters
    ----------
    path : str or list of str
        What napari was asked to open.

    Returns
    -------
    callable or None
        Reads them into layers; None when any of them does not look like a video.
    """
    paths = as_paths(path)
    if paths and all(p.suffix.lower() in VIDEO_SUFFIXES for p in paths):
        return read_videos
    return None


def read_videos(path: str | Sequence[str]) -> list[LayerData]:
    """Open videos as one lazy image layer each.

    Parameters
    ----------
    path : str or list of str
        Video files.

    Returns
    -------
    list of layer data
        Frames are decoded when they are looked at. The time axis is in seconds.

    Raises
    ------
    VideoError
        Naming the file that cannot be read, and why.
    """
    from napari_facemap.video.video import open_video

    follow_current_viewer()
    return [video_layer_data(open_video(p)) for p in as_paths(path)]


def video_layer_data(video: Any) -> LayerData:
    """Layer of a video.

    Parameters
    ----------
    video : Video or ArrayVideo
        Kept in the layer's metadata, so that tracking reads it in sequence on its own.

    Returns
    -------
    tuple
        Lazy data (time, y, x), attributes, ``"image"``. napari's axes are regular: the scale is
        the median time between frames, and the exact times are in the metadata.
    """
    for warning in getattr(video, "warnings", ()):
        show_warning(warning)
    times = np.asarray(video.times, np.float64)
    step = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
    path = getattr(video, "path", None)
    attributes = {
        "name": path.name if path else video.name,
        "scale": (step, 1.0, 1.0),
        "units": ("s", "pixel", "pixel"),
        "axis_labels": ("time", "y", "x"),
        "contrast_limits": (0, 255),  # given, so that napari reads no frame to find them
        "metadata": {VIDEO: video, TIMES: times},
    }
    return video.to_dask(), attributes, "image"


def get_keypoint_reader(path: str | Sequence[str]) -> Reader | None:
    """Offer to read keypoint files.

    Parameters
    ----------
    path : str or list of str
        What napari was asked to open.

    Returns
    -------
    callable or None
        None when any of them is an HDF5 file of something else.
    """
    paths = as_paths(path)
    if paths and all(p.suffix.lower() == ".h5" and not _is_other_hdf5(p) for p in paths):
        return read_keypoints
    return None


def read_keypoints(path: str | Sequence[str]) -> list[LayerData]:
    """Open keypoint files as one keypoint layer each, on their videos.

    Parameters
    ----------
    path : str or list of str
        Files of ours or of Facemap.

    Returns
    -------
    list of layer data
        The keypoints, and before them their video, when none of as many frames is open and it
        lies in the same folder.

    Raises
    ------
    PosesFileError
        Naming the file that cannot be read, and why.
    """
    from napari_facemap.files.poses import read_poses
    from napari_facemap.keypoints.store import KeypointStore
    from napari_facemap.viewer.keypoint_layer import layer_data

    follow_current_viewer()
    layers: list[LayerData] = []
    for file in as_paths(path):
        store = KeypointStore(read_poses(file))
        layers += video_layers_beside(file, str(store.attrs.get("video", "")), store.n_frames)
        layers.append(layer_data(store, file.stem))
    return layers


def video_layers_beside(file: Path, name: str, n_frames: int) -> list[LayerData]:
    """Video of what a file holds, where it lies in the same folder.

    Parameters
    ----------
    file : Path
        Holds keypoints or traces.
    name : str
        Of the video, as the file says; "" where it does not.
    n_frames : int
        That the video has.

    Returns
    -------
    list of layer data
        Its layer; none when a video of as many frames is open, or none is found, which a message
        then says.
    """
    if _is_open(n_frames):
        return []
    stem = file.stem
    for ending in _ENDINGS:
        stem = stem.removesuffix(ending)
    named = file.with_name(Path(name).name or file.name)
    beside = [named, *(file.with_name(stem + suffix) for suffix in VIDEO_SUFFIXES)]
    for candidate in beside:
        if candidate.suffix.lower() in VIDEO_SUFFIXES and candidate.is_file():
            layers = read_videos(str(candidate))
            if layers[0][0].shape[0] == n_frames:
                return layers
    wanted = f"the video {name!r}" if name else "its video"
    show_info(f"{file.name}: open {wanted} ({n_frames} frames) as well, to step through it.")
    return []


def _is_open(n_frames: int) -> bool:
    viewer = napari.current_viewer()
    layers = bare(viewer).layers if viewer is not None else ()
    return any(is_video(layer) and n_frames_of(layer) == n_frames for layer in layers)


def _is_other_hdf5(path: Path) -> bool:
    """Whether it opens and holds no keypoints; a damaged file is left for the reader to name."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return "Facemap" not in file and "df_with_missing" not in file
    except OSError:
        return False


def as_paths(path: str | Sequence[str]) -> list[Path]:
    """What napari was asked to open, as paths."""
    return [Path(p) for p in ([path] if isinstance(path, str | Path) else path)]
