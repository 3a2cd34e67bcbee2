"""A video layer seen through a filter, computed for the frames that are shown."""

from __future__ import annotations

from typing import Any

import dask.array as da
import napari.layers
import napari.types
import numpy as np
from dask_image import ndfilters
from magicgui import magic_factory

from napari_facemap.viewer.layers import VIDEO

FILTERS = ("smooth", "remove specks", "movement")


@magic_factory(
    call_button="Filter",
    kind={"choices": FILTERS, "label": "Filter"},
    radius={"min": 0.5, "max": 20.0, "step": 0.5, "label": "Radius (pixels)"},
)
def filter_video(
    video: napari.layers.Image,
    kind: str = "smooth",
    radius: float = 1.5,
) -> napari.types.LayerDataTuple:
    """Add a filtered copy of a video layer.

    Parameters
    ----------
    video : Image
        Grey layer over (time, y, x).
    kind : {"smooth", "remove specks", "movement"}
        A Gaussian; a median; or the change from the frame before, with the first frame black.
    radius : float
        Of the Gaussian (its standard deviation) or the median, in pixels. Movement has none.

    Returns
    -------
    layer data
        Lazy uint8 image on the same clock. It is tracked like any video.
    """
    if video is None or video.ndim != 3 or video.rgb:
        raise ValueError("Expected a grey video layer over (time, y, x).")
    metadata = {key: value for key, value in video.metadata.items() if key != VIDEO}
    attributes = {
        "name": f"{video.name} ({kind})",
        "scale": video.scale,
        "translate": video.translate,
        "units": video.units,
        "axis_labels": video.axis_labels,
        "contrast_limits": (0, 64) if kind == "movement" else (0, 255),
        "metadata": metadata,
    }
    return filtered(video.data, kind, radius), attributes, "image"


def filtered(frames: Any, kind: str, radius: float) -> da.Array:
    """Filter frames lazily.

    Parameters
    ----------
    frames : dask array or ndarray of uint8, shape (time, rows, columns)
    kind : str
        One of `FILTERS`.
    radius : float
        Pixels.

    Returns
    -------
    dask array of uint8, same shape
    """
    lazy = frames if isinstance(frames, da.Array) else da.from_array(frames, chunks=(32, -1, -1))
    if kind == "smooth":
        return ndfilters.gaussian_filter(lazy, sigma=(0, radius, radius), mode="nearest")
    if kind == "remove specks":
        side = 2 * int(np.ceil(radius)) + 1
        return ndfilters.median_filter(lazy, size=(1, side, side), mode="nearest")
    return da.map_overlap(_movement, lazy, depth={0: 1}, boundary="nearest", dtype=np.uint8)


def _movement(frames: np.ndarray) -> np.ndarray:
    """Change of each frame from the one before; the first, which has none, is cut off later."""
    change = np.abs(np.diff(frames.astype(np.int16), axis=0, prepend=frames[:1].astype(np.int16)))
    return change.astype(np.uint8)
