"""Keypoint layers that labels are made on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image

from napari_facemap.keypoints.corrections import nothing_tracked
from napari_facemap.viewer.keypoint_layer import KeypointLayer, layer_data
from napari_facemap.viewer.layers import frame_size, name_of, times_of

if TYPE_CHECKING:
    from napari_facemap.viewer.session import Session

_SIZE, _SMALLEST = 0.016, 4.0  # of points: of a frame's height, and pixels


def keypoints_of(session: Session, video: Image) -> KeypointLayer | None:
    """Find the keypoint layer of a video.

    Parameters
    ----------
    session : Session
        Of the viewer.
    video : Image
        The video's layer.

    Returns
    -------
    KeypointLayer or None
        The selected one, else the topmost. Layers of keypoints of another video that is open
        do not count, also where both have one name.
    """
    found = [k for k in session.keypoint_layers if k.clock.may_be_of(video)]
    active = session.active()
    return active if active in found else (found[-1] if found else None)


def new_keypoints(session: Session, video: Image, names: Sequence[str]) -> KeypointLayer:
    """Add a layer of keypoints of which nothing is known yet, on a video."""
    store = nothing_tracked(names, times_of(video), {"video": name_of(video)})
    data, attributes, kind = layer_data(store, f"{video.name} labels")
    attributes |= {"scale": video.scale[-2:], "translate": video.translate[-2:]}
    keypoints = session.add_keypoints((data, attributes, kind))
    keypoints.clock.follow(video)
    keypoints.resize(float(np.maximum(_SIZE * frame_size(video)[0], _SMALLEST)))
    return keypoints
