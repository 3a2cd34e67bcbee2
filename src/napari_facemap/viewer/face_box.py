"""The box around the face, drawn as a rectangle in a Shapes layer."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Image, Shapes

from napari_facemap.viewer.layers import bare, time_axis

LAYER_NAME = "face box"


def add_face_box(viewer: Any, video: Image) -> Shapes:
    """Add a layer with a rectangle in the middle of a video, ready to be moved and resized.

    Parameters
    ----------
    viewer : napari viewer
        Where to add it.
    video : Image
        The layer to be tracked.

    Returns
    -------
    Shapes
        With one selected rectangle of four fifths of the frame's sides.
    """
    viewer = bare(viewer)
    axis = time_axis(video)
    height, width = video.data.shape[axis + 1 : axis + 3]
    y0, x0, y1, x1 = 0.1 * height, 0.1 * width, 0.9 * height, 0.9 * width
    corners = np.array([[y0, x0], [y0, x1], [y1, x1], [y1, x0]])
    layer = viewer.add_shapes(
        [corners],
        shape_type="rectangle",
        name=LAYER_NAME,
        edge_color="#ffd166",
        edge_width=max(1.0, 0.006 * max(height, width)),
        face_color="transparent",
        opacity=0.9,
        scale=video.scale[-2:],
        translate=video.translate[-2:],
        axis_labels=("y", "x"),
        units=("pixel", "pixel"),
    )
    layer.mode = "select"
    layer.selected_data = {0}
    return layer


def box_of(shapes: Shapes | None, video: Image) -> tuple[int, int, int, int] | None:
    """Box that a Shapes layer marks on a video.

    Parameters
    ----------
    shapes : Shapes or None
        Its selected shape counts, else its last.
    video : Image
        The layer to be tracked. Scales and offsets of both layers are taken into account.

    Returns
    -------
    tuple of int or None
        x0, y0, x1, y1 in pixels of the frame, x1 and y1 not included; None without a shape:
        the whole frame.

    Raises
    ------
    ValueError
        When the shape lies outside the video.
    """
    if shapes is None or not len(shapes.data):
        return None
    chosen = max(shapes.selected_data) if shapes.selected_data else len(shapes.data) - 1
    axis = time_axis(video)
    places = []
    for corner in shapes.data[chosen]:
        world = np.asarray(shapes.data_to_world(corner))[-2:]
        start = [float(t) for t in video.translate[: axis + 1]]
        places.append(np.asarray(video.world_to_data([*start, *world]))[-2:])
    y, x = np.transpose(places)
    height, width = video.data.shape[axis + 1 : axis + 3]
    # Pixel i reaches from i - 0.5 to i + 0.5.
    x0, x1 = np.clip([np.floor(x.min() + 0.5), np.ceil(x.max() + 0.5)], 0, width).astype(int)
    y0, y1 = np.clip([np.floor(y.min() + 0.5), np.ceil(y.max() + 0.5)], 0, height).astype(int)
    if x1 - x0 < 2 or y1 - y0 < 2:
        raise ValueError(
            f"The box of layer {shapes.name!r} lies outside the video ({width} x {height} "
            "pixels). Move it onto the face."
        )
    return int(x0), int(y0), int(x1), int(y1)
