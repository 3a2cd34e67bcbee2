"""Opening and saving regions and what was measured in them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
from napari.utils.notifications import show_info

from napari_facemap.files.regions import FORMAT as REGIONS
from napari_facemap.files.regions import read_regions, write_regions
from napari_facemap.viewer.layers import REGIONS_OF, bare, frame_size, is_video
from napari_facemap.viewer.motion_layers import result_layers
from napari_facemap.viewer.readers import LayerData, Reader, as_paths, video_layers_beside
from napari_facemap.viewer.region_layer import region_layer_data, regions_in
from napari_facemap.viewer.session import follow_current_viewer

if TYPE_CHECKING:
    from napari_facemap.movement.regions import Regions
    from napari_facemap.movement.results import MotionResult

_LOOKED_AT = 200  # bytes in which our JSON says what it is


def get_region_reader(path: str | Sequence[str]) -> Reader | None:
    """Offer to read files of regions; None when one of them is other JSON."""
    paths = as_paths(path)
    if paths and all(_holds_regions(p) for p in paths):
        return read_region_layers
    return None


def read_region_layers(path: str | Sequence[str]) -> list[LayerData]:
    """Open files of regions as a Shapes layer for each view, over the videos that are open.

    Parameters
    ----------
    path : str or list of str
        Files that regions were saved in.

    Returns
    -------
    list of layer data
        Stretched where the first video's frames have another size.

    Raises
    ------
    RegionsFileError
        Naming the file that cannot be read, and why.
    """
    follow_current_viewer()
    layers: list[LayerData] = []
    for file in as_paths(path):
        regions = _over_open_video(read_regions(file))
        for view in range(len(regions.sizes)):
            own = [region for region in regions if region.view == view]
            suffix = f" of view {view}" if view else ""
            if own:
                layers.append(region_layer_data(own, f"{file.stem}{suffix}"))
    return layers


def get_motion_reader(path: str | Sequence[str]) -> Reader | None:
    """Offer to read what was measured; None when a file holds something else."""
    paths = as_paths(path)
    if paths and all(_holds_motion(p) for p in paths):
        return read_motion_layers
    return None


def read_motion_layers(path: str | Sequence[str]) -> list[LayerData]:
    """Open results of ours (.nc) or Facemap's (_proc.npy) on their video.

    Parameters
    ----------
    path : str or list of str
        Files of results.

    Returns
    -------
    list of layer data
        The video, when none of as many frames is open and it lies in the same folder; regions,
        which carry the results. The dock "Motion and pupil" shows these.

    Raises
    ------
    ValueError
        Naming the file that cannot be read, and why.
    """
    follow_current_viewer()
    layers: list[LayerData] = []
    for file in as_paths(path):
        result = _read(file)
        n = result.traces.sizes.get("time", 0)
        if n:
            layers += video_layers_beside(file, _video_name(result), n)
        layers += result_layers(result, file.stem)
    return layers


def write_region_layer(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Save a layer of regions as JSON.

    Parameters
    ----------
    path : str
        Where the file is to be; ``.json`` is added when it has no such ending.
    data : list of ndarray
        Corners of the shapes. They are taken from the layer itself, with names and kinds.
    attributes : dict
        Of the layer, its metadata included.

    Returns
    -------
    list of str
        The file that was written.

    Raises
    ------
    ValueError
        When the layer holds no regions of a video, which alone says how large the frames are.
    """
    owner = attributes.get("metadata", {}).get(REGIONS_OF)
    video = owner() if owner is not None else None
    if video is None:
        raise ValueError(
            f"{path}: layer {attributes.get('name')!r} holds shapes, not regions of a video. "
            "Draw regions in “Motion and pupil”, or save it with napari's own writer (.csv)."
        )
    file = Path(path)
    if file.suffix.lower() != ".json":
        file = file.with_name(file.name + ".json")
    layer = napari.layers.Shapes(
        data, shape_type=attributes["shape_type"], features=attributes["features"], ndim=2
    )
    return [str(write_regions(regions_in([layer], [frame_size(video)]), file))]


def _holds_regions(path: Path) -> bool:
    if path.suffix.lower() != ".json":
        return False
    try:
        with open(path, "rb") as file:
            return REGIONS.encode() in file.read(_LOOKED_AT)
    except OSError:
        return False


def _holds_motion(path: Path) -> bool:
    """Whether it says so; a damaged file is left for the reader to name."""
    import h5py

    from napari_facemap.files.motion import FORMAT

    if path.suffix.lower() != ".nc":
        return path.name.lower().endswith("_proc.npy")
    try:
        with h5py.File(path, "r") as file:
            found = file.attrs.get("format", "")
    except OSError:
        return True
    return (found.decode() if isinstance(found, bytes) else str(found)) == FORMAT


def _read(file: Path) -> MotionResult:
    from napari_facemap.files.facemap_proc import read_facemap_proc
    from napari_facemap.files.motion import read_motion

    return read_motion(file) if file.suffix.lower() == ".nc" else read_facemap_proc(file)


def _video_name(result: MotionResult) -> str:
    """Name of the first video that was measured, "" where it is not known."""
    attrs = result.traces.attrs
    named = attrs.get("video", "")
    if not named and "facemap_filenames" in attrs:
        named = json.loads(attrs["facemap_filenames"])
    while isinstance(named, list):
        named = named[0] if named else ""
    # Facemap's may come from Windows.
    return Path(str(named).replace("\\", "/")).name


def _over_open_video(regions: Regions) -> Regions:
    viewer = napari.current_viewer()
    videos = [x for x in bare(viewer).layers if is_video(x)] if viewer is not None else []
    if not videos or frame_size(videos[0]) == regions.sizes[0]:
        return regions
    (rows, columns), old = frame_size(videos[0]), regions.sizes[0]
    show_info(
        f"The regions were drawn on frames of {old[1]} x {old[0]} pixels and are stretched to "
        f"{columns} x {rows}: look whether they lie right."
    )
    return regions.fitted_to([(rows, columns), *regions.sizes[1:]])
