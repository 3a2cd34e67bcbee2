"""A model set up on a device: frames and a box in, points of the full frame out."""

from __future__ import annotations

import copy
from typing import NamedTuple

import numpy as np
import torch

from napari_facemap.keypoints.box import Box, input_to_frame
from napari_facemap.keypoints.calibration import log_excess
from napari_facemap.keypoints.decode import decode_maps
from napari_facemap.keypoints.device import choose_device
from napari_facemap.keypoints.models import Model
from napari_facemap.keypoints.network import INPUT_SIZE
from napari_facemap.keypoints.normalize import prepare, prepare_as_facemap
from napari_facemap.keypoints.point_network import PointNetwork
from napari_facemap.keypoints.reading import read_network
from napari_facemap.keypoints.view import BOX_SIDE, face_size

_USUAL_FACE = INPUT_SIZE / BOX_SIDE


class TrackedPoints(NamedTuple):
    """Keypoints of some frames.

    Attributes
    ----------
    position : ndarray of float32, shape (frame, 2, keypoint)
        x and y in pixels of the full frame.
    confidence : ndarray of float32, shape (frame, keypoint)
        With a calibrated model the probability of lying within 3 % of the distance from eye to
        nose tip; else the share of the heat map around its peak.
    expected_error : ndarray of float32, shape (frame, keypoint)
        Pixels of the full frame; NaN without a calibration.
    seen : ndarray of float32, shape (frame, keypoint)
        See `read_network`.
    """

    position: np.ndarray
    confidence: np.ndarray
    expected_error: np.ndarray
    seen: np.ndarray


class Pointer:
    """Points at keypoints.

    Parameters
    ----------
    model : Model
        Stays where it is; a copy is moved.
    device : str or torch.device
        What to compute on.
    facemap : bool
        Prepare and read pictures as Facemap does.
    """

    def __init__(self, model: Model, device: str | torch.device = "auto", facemap: bool = False):
        self.keypoints, self.calibration = model.keypoints, model.calibration
        self.facemap = facemap
        self.device = choose_device(device) if isinstance(device, str) else device
        # Channels-last is nearly twice as fast on a CPU and equal to within rounding.
        network = copy.deepcopy(model.network)
        self.network = network.to(self.device, memory_format=torch.channels_last)
        self.mirrors = isinstance(network, PointNetwork)

    @torch.inference_mode()
    def __call__(self, frames: np.ndarray, box: Box, facing: str = "left") -> TrackedPoints:
        """Find the keypoints of frames.

        Parameters
        ----------
        frames : ndarray of uint8, shape (n, rows, columns)
            Full frames.
        box : Box
            Where to look.
        facing : {"left", "right"}
            Where the face looks. Facemap's networks see it as it is, ours always looking left.

        Returns
        -------
        TrackedPoints
        """
        if not self.mirrors:
            facing = "left"
        # Apple's GPUs lack the antialiased resize.
        first = "cpu" if self.device.type == "mps" else self.device
        if self.facemap:
            images = prepare_as_facemap(frames, box, first)
        else:
            images = prepare(frames, box, first, facing)
        images = images.to(self.device, memory_format=torch.channels_last)
        if self.facemap:
            xy, peak = decode_maps(*self.network(images))
            position = input_to_frame(_numpy(xy), box, facemap=True)
            confidence = _numpy(torch.sigmoid(peak))
            return _points(position, confidence, np.full_like(confidence, np.nan), confidence)
        reading = read_network(self.network, images)
        seen, spread, xy = _numpy(reading.seen), _numpy(reading.spread), _numpy(reading.xy)
        position = input_to_frame(xy, box, facing)
        if self.calibration is None:
            return _points(position, seen, np.full_like(seen, np.nan), seen)
        size = face_size(xy, self.keypoints)
        # Where eye and nose lie in one another, they were not seen; the box tells the size.
        size = np.where(size > _USUAL_FACE / 10, size, _USUAL_FACE)
        x = log_excess(spread, size)
        confidence = self.calibration.confidence(x, seen, self.keypoints)
        error = self.calibration.expected_error(x, self.keypoints) * size[:, None]
        return _points(position, confidence, error * (box.side / INPUT_SIZE), seen)


def _numpy(values: torch.Tensor) -> np.ndarray:
    return np.asarray(values.cpu().numpy(), np.float64)


def _points(*parts: np.ndarray) -> TrackedPoints:
    return TrackedPoints(*(part.astype(np.float32) for part in parts))
