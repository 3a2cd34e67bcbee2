"""A model set up on a device: frames and a box in, points of the full frame out."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch

from napari_facemap.keypoints.box import Box, input_to_frame
from napari_facemap.keypoints.calibration import log_excess
from napari_facemap.keypoints.decode import decode_maps
from napari_facemap.keypoints.device import choose_device, out_of_memory
from napari_facemap.keypoints.models import Model
from napari_facemap.keypoints.network import INPUT_SIZE
from napari_facemap.keypoints.normalize import Preparation, prepare_as_facemap
from napari_facemap.keypoints.point_network import PointNetwork
from napari_facemap.keypoints.reading import Reading, read_outputs
from napari_facemap.keypoints.runtimes.batch_size import best_on_cpu
from napari_facemap.keypoints.runtimes.choice import open_runtime
from napari_facemap.keypoints.runtimes.cuda import CudaReaders
from napari_facemap.keypoints.runtimes.rounding import Rounding
from napari_facemap.keypoints.view import BOX_SIDE, face_size

_USUAL_FACE = INPUT_SIZE / BOX_SIDE

_BATCH_BYTES = 1 << 24  # of a batch's frames, at most
_MPS_BATCH = 16


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
    """Points at keypoints; may be called by several threads at once.

    Parameters
    ----------
    model : Model
        Stays where it is; a copy is moved.
    device : str or torch.device
        What to compute on.
    facemap : bool
        Prepare and read pictures as Facemap does.
    runtime : str, optional
        See `open_runtime`.
    calls : int
        Threads that will call at once.
    rounding : Rounding, optional
        See `open_runtime`.

    Attributes
    ----------
    runtime : Runtime
        What carries out the network.
    most_frames : int
        Frames that the network is given at once; halved when memory runs out.
    """

    def __init__(
        self,
        model: Model,
        device: str | torch.device = "auto",
        facemap: bool = False,
        runtime: str | None = None,
        calls: int = 1,
        rounding: Rounding | None = None,
    ):
        self.keypoints, self.calibration = model.keypoints, model.calibration
        self.facemap = facemap
        self.device = choose_device(device) if isinstance(device, str) else device
        if facemap:
            runtime = runtime or "eager"
        self.runtime = open_runtime(model.network, self.device, runtime, calls, rounding)
        self.mirrors = isinstance(model.network, PointNetwork)
        self.most_frames = 1 << 30
        self._preparation = lru_cache(maxsize=8)(self._prepared_for)
        self._readers: dict[tuple[Box, str], CudaReaders] = {}

    def __call__(
        self, frames: np.ndarray | torch.Tensor, box: Box, facing: str = "left"
    ) -> TrackedPoints:
        """Find the keypoints of frames.

        Parameters
        ----------
        frames : ndarray or Tensor of uint8, shape (n, rows, columns)
            Full frames; a tensor is on the device.
        box : Box
            Where to look.
        facing : {"left", "right"}
            Where the face looks. Facemap's networks see it as it is, ours always looking left.

        Returns
        -------
        TrackedPoints

        Raises
        ------
        RuntimeError
            When there is not enough memory for a single frame.
        """
        while True:
            n = min(self.most_frames, len(frames))
            try:
                parts = [
                    self._points(frames[at : at + n], box, facing)
                    for at in range(0, len(frames), n)
                ]
                return TrackedPoints(*(np.concatenate(part) for part in zip(*parts, strict=True)))
            except (RuntimeError, MemoryError) as error:
                if n <= 1 or not out_of_memory(error):
                    raise
                self.most_frames = min(self.most_frames, (n + 1) // 2)

    def settle(
        self, height: int, width: int, box: Box, facing: str, batch_size: int | None
    ) -> int:
        """Get ready for many frames of one size seen in one box.

        Parameters
        ----------
        height, width : int
            The frames' size.
        box : Box
            Where to look.
        facing : {"left", "right"}
            Where the face looks.
        batch_size : int or None
            Frames of each call, or None to find out how many are best.

        Returns
        -------
        int
            How many frames the calls are to have.
        """
        if self.device.type != "cuda" or self.facemap:
            if batch_size is not None:
                return batch_size
            most = max(1, _BATCH_BYTES // (height * width))
            if self.device.type == "mps":
                return min(_MPS_BATCH, most)
            ramp = np.resize(np.arange(256, dtype=np.uint8), (most, height, width))
            return best_on_cpu(lambda n: self(ramp[:n], box, facing), most)
        preparation = self.preparation(height, width, box, facing)
        rows, columns = preparation.crop(np.empty((0, height, width), np.uint8)).shape[1:]

        def look(crop: torch.Tensor) -> Reading:
            return read_outputs(self.runtime.run(preparation.pictures(crop)))

        try:
            readers = CudaReaders(look, rows, columns, self.device, batch_size)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            return batch_size or 1  # without a graph the frames are read one by one
        self._readers[box, facing] = readers
        return readers.batch_size

    def preparation(self, height: int, width: int, box: Box, facing: str = "left") -> Preparation:
        """How frames of a size become the network's pictures of a box."""
        return self._preparation(height, width, box, facing if self.mirrors else "left")

    def points(self, reading: Reading, box: Box, facing: str = "left") -> TrackedPoints:
        """Carry what was read to the full frame, and say how sure it is."""
        facing = facing if self.mirrors else "left"
        seen, spread, xy = map(_numpy, (reading.seen, reading.spread, reading.xy))
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

    @torch.inference_mode()
    def _points(self, frames: np.ndarray | torch.Tensor, box: Box, facing: str) -> TrackedPoints:
        if self.facemap:
            return self._as_facemap(np.asarray(frames), box)
        height, width = frames.shape[1:]
        preparation = self.preparation(height, width, box, facing)
        readers = self._readers.get((box, facing))
        if readers is not None and len(frames) <= readers.batch_size:
            reading = readers(preparation.crop(frames))
        else:
            reading = read_outputs(self.runtime.run(preparation(frames)))
        return self.points(reading, box, facing)

    def _as_facemap(self, frames: np.ndarray, box: Box) -> TrackedPoints:
        images = prepare_as_facemap(frames, box, self.device)
        xy, peak = decode_maps(*self.runtime.run(images))
        position = input_to_frame(_numpy(xy), box, facemap=True)
        confidence = _numpy(torch.sigmoid(peak))
        return _points(position, confidence, np.full_like(confidence, np.nan), confidence)

    def _prepared_for(self, height: int, width: int, box: Box, facing: str) -> Preparation:
        return Preparation(box, height, width, facing, self.device)


def _numpy(values: torch.Tensor) -> np.ndarray:
    return np.asarray(values.cpu().numpy(), np.float64)


def _points(*parts: np.ndarray) -> TrackedPoints:
    return TrackedPoints(*(part.astype(np.float32) for part in parts))
