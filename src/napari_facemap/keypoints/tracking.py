"""Keypoints of a whole video."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
import xarray as xr

from napari_facemap.keypoints.box import Box, check_box
from napari_facemap.keypoints.device import choose_device
from napari_facemap.keypoints.eight_bit import round_on_video
from napari_facemap.keypoints.finder import SearchStopped, find_face, find_facing
from napari_facemap.keypoints.models import Model, load_model
from napari_facemap.keypoints.point_network import PointNetwork
from napari_facemap.keypoints.pointing import Pointer, TrackedPoints
from napari_facemap.keypoints.poses import make_poses
from napari_facemap.keypoints.runtimes.rounding import Rounding
from napari_facemap.keypoints.runtimes.torch_eight_bit import integers_are_exact
from napari_facemap.keypoints.view import FACINGS
from napari_facemap.pipeline import in_order
from napari_facemap.processors import n_processors
from napari_facemap.provenance import software
from napari_facemap.video.arrays import as_video
from napari_facemap.video.video import Video

if TYPE_CHECKING:
    from napari_facemap.video.arrays import ArrayVideo

Progress = Callable[[int, int], bool | None]

PRECISIONS = ("float32", "8-bit")
"""What `track` knows as precision."""

SAME_POINTS = 0.1
"""Pixels of the frame, 95th percentile: what a choice made for speed may move points by."""

_FACING_FRAMES = 6  # frames that say where the face in a given box looks
_WORTH_ROUNDING = 2000  # frames; finding out takes as long as a hundred
_CUDA_CALLS = 2  # one batch is computed while another is copied


def track(
    video: str | Path | Video | ArrayVideo | np.ndarray,
    model: str | Path | Model | None = None,
    box: Sequence[float] | str | None = None,
    device: str = "auto",
    progress: Progress | None = None,
    batch_size: int | None = None,
    compat: str | None = None,
    facing: str | None = None,
    runtime: str | None = None,
    precision: str | None = None,
    frames: tuple[int, int] | None = None,
) -> xr.Dataset:
    """Track the keypoints of a mouse's face through a video.

    Parameters
    ----------
    video : path, Video or array of shape (time, rows, columns)
        An array may be lazy (dask); its times are frame numbers unless it is wrapped in an
        `ArrayVideo` that says otherwise.
    model : str, Path or Model, optional
        A name of `list_models` or a file. By default the built-in model.
    box : (x0, y0, x1, y1) or "whole", optional
        Where the face is, in pixels of the frame, x1 and y1 not included; it may stick out of
        the frame. "whole" is the whole frame. By default the face is found, see `find_face`.
    device : {"auto", "cpu", "cuda", "mps"}
        What to compute on.
    progress : callable, optional
        Called with the numbers of frames done and in all, after each batch and many times while
        the face is looked for. When it returns False tracking stops within a second: frames that
        were not reached are NaN, ``attrs["complete"]`` is 0 and ``attrs["frames_tracked"]`` says
        how many are done.
    batch_size : int, optional
        Frames sent to the network at once, by default as many as are fastest. It changes the
        speed and not the points.
    compat : {None, "facemap"}
        "facemap" prepares and reads the network's pictures exactly as Facemap 1.0 does,
        its dependence on the batch included; its batch size is 1 and its box the whole frame
        unless given.
    facing : {"left", "right"}, optional
        Where the face looks, the nose pointing to that side. By default it is found out.
    runtime : {"eager", "torch", "openvino"}, optional
        What carries the network out, see `open_runtime`; by default the fastest. Points are those
        of "eager" to within 0.1 pixels (95th percentile).
    precision : {"float32", "8-bit"}, optional
        "8-bit" rounds a float model to eight bits on some of the video's frames, which is about
        four times as fast on a CPU and moves its points: by how much ``attrs["deviation_p95"]``
        says, in pixels (95th percentile). By default that is done on CPUs where points move by
        0.1 pixels at most. The built-in model has eight bits always, and nothing moves.
    frames : (start, stop), optional
        Track these frames only, stop not included; no more is decoded than they need. The others
        are NaN with confidence 0, and ``attrs["frames"]`` says which were meant.

    Returns
    -------
    xarray.Dataset
        Poses, see `make_poses`. Frames that could not be decoded are NaN with confidence 0, and
        so has a keypoint that falls outside the frame confidence 0, put on the frame's edge.
        With a calibrated model, as the built-in one is, confidence is the probability that the
        point lies within 3 % of the distance from eye to nose tip of its true place, and
        ``expected_error`` its mean distance from it in pixels. With other models confidence is
        the share of the heat map around its peak (with ``compat="facemap"`` Facemap's
        likelihood, which is never below 0.5), and there is no ``expected_error``.

    Raises
    ------
    ValueError
        When video, model, box, device, batch size, compat, facing, runtime, precision or frames
        are not usable.
    NoFaceError
        When no box is given and no face is found.
    """
    _check(compat, facing, batch_size, precision)
    loaded = model if isinstance(model, Model) else load_model(model)
    if compat and isinstance(loaded.network, PointNetwork):
        raise ValueError(
            f'{loaded.name}: expected a model of Facemap\'s layout for compat="facemap", found '
            "one of ours. Choose Facemap's .pt file."
        )
    chosen = choose_device(device)
    source = as_video(video)
    try:
        stretch = _stretch(frames, len(source))
        run = _Run(source, loaded, chosen, compat, progress, stretch)
        try:
            run.set_up(box, facing, batch_size, runtime, precision)
            run.read()
        except SearchStopped:
            pass
        return run.poses()
    finally:
        if source is not video:
            source.close()


def _check(
    compat: str | None, facing: str | None, batch_size: int | None, precision: str | None
) -> None:
    if compat not in (None, "facemap"):
        raise ValueError(f'Expected compat None or "facemap"; found {compat!r}.')
    if facing not in (None, *FACINGS):
        raise ValueError(f"Expected a face that looks left or right; found {facing!r}.")
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"Expected a batch size of at least 1; found {batch_size}.")
    if precision not in (None, *PRECISIONS):
        raise ValueError(f"Expected precision {' or '.join(PRECISIONS)}; found {precision!r}.")
    if compat and precision == "8-bit":
        raise ValueError('Expected precision "float32" with compat="facemap".')


def _stretch(frames: tuple[int, int] | None, n_frames: int) -> range:
    """Numbers of the frames to track."""
    if frames is None:
        return range(n_frames)
    start, stop = frames
    if not 0 <= start < stop <= n_frames:
        raise ValueError(
            f"Expected frames from 0 to {n_frames}, the first before the last; found {start} to "
            f"{stop}."
        )
    return range(start, stop)


class _Place(NamedTuple):
    """A box, where the face in it looks, and in which share of frames it was found."""

    box: Box
    facing: str
    found: float | None


class _Run:
    """One video on its way through the network."""

    def __init__(
        self,
        source: Video | ArrayVideo,
        model: Model,
        device: torch.device,
        compat: str | None,
        progress: Progress | None,
        frames: range,
    ):
        self.frames = frames
        self.source, self.model, self.device = source, model, device
        self.compat, self.progress = compat, progress
        self.n_frames, self.height, self.width = source.shape
        shape = (self.n_frames, len(model.keypoints))
        self.position = np.full((self.n_frames, 2, len(model.keypoints)), np.nan, np.float32)
        self.confidence = np.zeros(shape, np.float32)
        self.error = np.full(shape, np.nan, np.float32)
        self.done = 0
        self.place = _Place(check_box(None, self.height, self.width), "left", None)
        self.attrs: dict[str, Any] = {"device": device.type}

    def set_up(
        self,
        box: Sequence[float] | str | None,
        facing: str | None,
        batch_size: int | None,
        runtime: str | None,
        precision: str | None,
    ) -> None:
        """Find the face, and get the network ready for it."""
        workers = {"cpu": n_processors(), "cuda": _CUDA_CALLS}
        self.workers = workers.get(self.device.type, 1)
        facemap = self.compat is not None
        opened = partial(Pointer, self.model, self.device, facemap, runtime, self.workers)
        pointer = opened()
        self.place = self._find_place(pointer, box, facing)
        rounding = self._rounding(runtime, precision)
        if rounding is not None:
            pointer = opened(rounding)
        if self.compat:
            batch_size = batch_size or 1
        shape = (self.height, self.width)
        self.batch_size = pointer.settle(*shape, self.place.box, self.place.facing, batch_size)
        self.pointer = pointer

    def _rounding(self, runtime: str | None, precision: str | None) -> Rounding | None:
        """A float model's rounding, where it is asked for, or pays and changes next to nothing."""
        if getattr(self.model.network, "rounding", None) is not None:
            if precision == "float32":
                raise ValueError(
                    f"{self.model.name}: a model of 8 bits only, found {precision!r}."
                )
            return None
        pays = (
            self.device.type == "cpu"
            and len(self.frames) >= _WORTH_ROUNDING
            and integers_are_exact()
            and runtime in (None, "torch")
            and not self.compat
        )
        if precision == "float32" or (precision is None and not pays):
            return None
        if runtime not in (None, "torch"):
            raise ValueError(f'Expected the runtime "torch" for 8 bits; found {runtime!r}.')
        found = round_on_video(
            self.source, self.model, self.place.box, self.place.facing, self._pause
        )
        if precision is None and not found.deviation <= SAME_POINTS:
            return None
        if np.isfinite(found.deviation):
            self.attrs["deviation_p95"] = found.deviation
        return found.rounding

    def read(self) -> None:
        """Find the points in the frames, or in those until somebody says stop."""
        place, pointer = self.place, self.pointer

        def work(frames: np.ndarray) -> TrackedPoints:
            return pointer(frames, place.box, place.facing)

        with (
            closing(self._batches()) as batches,
            closing(in_order(batches, work, self.workers)) as results,
        ):
            for start, stop, points in results:
                self.position[start:stop] = points.position
                self.confidence[start:stop] = points.confidence
                self.error[start:stop] = points.expected_error
                self.done = stop - self.frames.start
                if self._stopped():
                    break
        self.attrs |= {
            "runtime": pointer.runtime.name,
            "precision": pointer.runtime.precision,
            "batch_size": min(self.batch_size, pointer.most_frames),
        }

    def _batches(self) -> Generator[tuple[int, Any]]:
        """The frames, decoded where that is fastest."""
        self.attrs["decoder"] = "cpu"
        whole = len(self.frames) == self.n_frames
        on_gpu = self.device.type == "cuda" and whole and not self.compat
        if on_gpu and isinstance(self.source, Video):
            from napari_facemap.video.nvdec import gpu_decodes_faster, gpu_then_cpu

            if gpu_decodes_faster(self.source, self.batch_size):
                self.attrs["decoder"] = "gpu"
                return gpu_then_cpu(self.source, self.batch_size)
        return self.source.batches(self.batch_size, self.frames.start, self.frames.stop)

    def poses(self) -> xr.Dataset:
        """What was found."""
        bad = self.source.bad_frames
        self.position[bad], self.confidence[bad], self.error[bad] = np.nan, 0, np.nan
        if self.compat is None:
            _keep_in_frame(self.position, self.confidence, self.height, self.width)
        has_error = self.model.calibration is not None and self.compat is None
        return make_poses(
            self.position,
            self.confidence,
            self.model.keypoints,
            self.source.times,
            attrs=self._provenance(),
            expected_error=self.error if has_error else None,
        )

    def _stopped(self) -> bool:
        """Say how far it is; whether somebody says stop."""
        return self.progress is not None and self.progress(self.done, len(self.frames)) is False

    def _pause(self, *_: int) -> None:
        if self._stopped():
            raise SearchStopped

    def _find_place(
        self, pointer: Pointer, box: Sequence[float] | str | None, facing: str | None
    ) -> _Place:
        """Where to look, and which way the face looks there."""
        if isinstance(box, str) and box != "whole":
            raise ValueError(f'Expected a box of four numbers, "whole" or None; found {box!r}.')
        if box is None and not self.compat:
            device = self.device.type
            face = find_face(self.source, self.model, device=device, progress=self._pause)
            return _Place(face.box, facing or face.facing, face.share)
        region = check_box(None if isinstance(box, str) else box, self.height, self.width)
        if facing is None and pointer.mirrors:
            numbers = np.linspace(0, self.n_frames - 1, _FACING_FRAMES).round().astype(int)
            numbers = np.setdiff1d(numbers, self.source.bad_frames)
            frames = [self.source[int(number)] for number in numbers]
            facing = find_facing(pointer, np.stack(frames), region) if frames else None
        return _Place(region, facing or "left", None)

    def _provenance(self) -> dict[str, Any]:
        source, model, place = self.source, self.model, self.place
        path = getattr(source, "path", None)
        attrs = {
            "software": software(),
            "model": model.name,
            "model_sha256": model.sha256,
            "box": np.array(place.box, np.int64),
            "facing": place.facing,
            "box_found": int(place.found is not None),
            "video": path.name if path else source.name,
            "video_bytes": path.stat().st_size if path else 0,
            "video_frames": self.n_frames,
            "frame_height": self.height,
            "frame_width": self.width,
            "complete": int(self.done == len(self.frames)),
            "frames_tracked": self.done,
            **self.attrs,
        }
        if len(self.frames) < self.n_frames:
            attrs["frames"] = np.array([self.frames.start, self.frames.stop], np.int64)
        if place.found is not None:
            attrs["face_found_in_share_of_frames"] = place.found
        if not getattr(source, "times_known", True):
            attrs["times_known"] = 0
        if self.compat:
            attrs["compat"] = self.compat
        return attrs


def _keep_in_frame(position: np.ndarray, confidence: np.ndarray, height: int, width: int) -> None:
    """Put points that lie outside the frame on its edge, in place, and trust them not at all."""
    edge = np.array([[width - 0.5], [height - 0.5]])
    outside = ((position < -0.5) | (position > edge)).any(axis=1)
    confidence[outside] = 0
    np.clip(position, 0, edge - 0.5, out=position)
