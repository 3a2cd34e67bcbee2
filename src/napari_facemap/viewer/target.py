"""Which keypoints, of which video, panels work on."""

from __future__ import annotations

from napari.layers import Layer

from napari_facemap.viewer.keypoint_layer import KeypointLayer
from napari_facemap.viewer.session import Session


def keypoints_to_refine(session: Session) -> KeypointLayer | None:
    """Keypoint layer that is labelled, else the one in use, else None."""
    return session.labelling.keypoints or session.active()


def video_to_refine(session: Session) -> Layer | None:
    """Video layer of `keypoints_to_refine`; without keypoints the one that is labelled."""
    labelling, keypoints = session.labelling, keypoints_to_refine(session)
    if keypoints is None or keypoints is labelling.keypoints:
        return labelling.video
    return keypoints.clock.video_layer()
