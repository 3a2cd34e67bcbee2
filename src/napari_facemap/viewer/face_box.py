"""The box around the face, drawn as a rectangle in a Shapes layer."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Layer, Shapes

from napari_facemap.viewer.layers import BOX_OF, FACE, bare, frame_size, time_axis

if TYPE_CHECKING:
    from napari_facemap.keypoints.finder import Face

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
    height, width = frame_size(video)
    return _add_rectangle(viewer, video, 0.1 * width, 0.1 * height, 0.9 * width, 0.9 * height)


def show_face(viewer: Any, video: Image, face: Face) -> Shapes:
    """Add a layer with the rectangle of a face that was found, ready to be moved and resized.

    It takes the place of what was found before. A box that a person drew or changed stays in
    its own layer, hidden.

    Parameters
    ----------
    viewer : napari viewer
        Where to add it.
    video : Image
        The layer in which the face was found.
    face : Face
        Its box may stick out of the frame; then the view is fitted to show all of it.

    Returns
    -------
    Shapes
        With one selected rectangle.
    """
    viewer = bare(viewer)
    earlier = face_box_of(viewer, video)
    if earlier is not None:
        if not len(earlier.data) or found_face(earlier, video) is not None:
            viewer.layers.remove(earlier)
        else:
            earlier.visible = False
    x0, y0, x1, y1 = face.box
    # Pixel i reaches from i - 0.5 to i + 0.5.
    layer = _add_rectangle(viewer, video, x0 - 0.5, y0 - 0.5, x1 - 0.5, y1 - 0.5)
    layer.metadata[FACE] = face
    height, width = frame_size(video)
    if min(x0, y0) < 0 or x1 > width or y1 > height:
        viewer.reset_view()
    return layer


def face_box_of(viewer: Any, video: Layer | None) -> Shapes | None:
    """Topmost layer that was made as the face box of a video, or None."""
    for layer in reversed(bare(viewer).layers):
        owner = layer.metadata.get(BOX_OF)
        if video is not None and owner is not None and owner() is bare(video):
            return layer
    return None


def found_face(shapes: Shapes, video: Image) -> Face | None:
    """Face whose box a layer still shows as it was found; None once a person changed it."""
    face = shapes.metadata.get(FACE)
    if face is None or len(shapes.data) != 1 or _pixels(shapes, video) != tuple(face.box):
        return None
    return face


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
        x0, y0, x1, y1 in pixels of the frame, x1 and y1 not included, also where they stick out
        of the frame; None without a shape.

    Raises
    ------
    ValueError
        When the shape lies outside the video.
    """
    if shapes is None or not len(shapes.data):
        return None
    height, width = frame_size(video)
    x0, y0, x1, y1 = _pixels(shapes, video)
    if min(x1, width) - max(x0, 0) < 2 or min(y1, height) - max(y0, 0) < 2:
        raise ValueError(
            f"The box of layer {shapes.name!r} lies outside the video ({width} x {height} "
            "pixels). Move it onto the face."
        )
    return x0, y0, x1, y1


def _pixels(shapes: Shapes, video: Image) -> tuple[int, int, int, int]:
    """Whole pixels of a video that the chosen shape touches, as x0, y0, x1, y1."""
    chosen = max(shapes.selected_data) if shapes.selected_data else len(shapes.data) - 1
    start = [float(t) for t in video.translate[: time_axis(video) + 1]]
    places = []
    for corner in shapes.data[chosen]:
        world = np.asarray(shapes.data_to_world(corner))[-2:]
        places.append(np.asarray(video.world_to_data([*start, *world]))[-2:])
    # Rounded, so that an edge that lies between two pixels touches one of them only.
    edges = np.round(np.array(places) + 0.5, 2)
    y0, x0 = np.floor(edges.min(axis=0)).astype(int).tolist()
    y1, x1 = np.ceil(edges.max(axis=0)).astype(int).tolist()
    return x0, y0, x1, y1


def _add_rectangle(
    viewer: Any, video: Image, x0: float, y0: float, x1: float, y1: float
) -> Shapes:
    layer = bare(viewer).add_shapes(
        [np.array([[y0, x0], [y0, x1], [y1, x1], [y1, x0]])],
        shape_type="rectangle",
        name=LAYER_NAME,
        edge_color="#ffd166",
        edge_width=max(1.0, 0.006 * max(frame_size(video))),
        face_color="transparent",
        opacity=0.9,
        scale=video.scale[-2:],
        translate=video.translate[-2:],
        axis_labels=("y", "x"),
        units=("pixel", "pixel"),
        metadata={BOX_OF: weakref.ref(bare(video))},
    )
    layer.mode = "select"
    layer.selected_data = {0}
    return layer
