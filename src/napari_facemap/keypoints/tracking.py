"""Keypoints of a whole video."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
import xarray as xr

from napari_facemap.keypoints.box import Box, check_box
from napari_facemap.keypoints.device import choose_device
from napari_facemap.keypoints.finder import find_face, find_facing
from napari_facemap.keypoints.models import Model, load_model
from napari_facemap.keypoints.pointing import Pointer
from napari_facemap.keypoints.poses import make_poses
from napari_facemap.keypoints.view import FACINGS
from napari_facemap.provenance import software
from napari_facemap.video.arrays import as_video

if TYPE_CHECKING:
    from napari_facemap.video.arrays import ArrayVideo
    from napari_facemap.video.video import Video

Progress = Callable[[int, int], bool | None]

_FACING_FRAMES = 6  # frames that say where the face in a given box looks

# A CPU gets slower with larger batches (the maps leave its caches), a GPU idles with smaller.
_BATCH_SIZE = {"cpu": 4, "mps": 16, "cuda": 64}


def track(
    video: str | Path | Video | ArrayVideo | np.ndarray,
    model: str | Path | Model | None = None,
    box: Sequence[float] | str | None = None,
    device: str = "auto",
    progress: Progress | None = None,
    batch_size: int | None = None,
    compat: str | None = None,
    facing: str | None = None,
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
        Called with the numbers of frames done and in all, after each batch. When it returns
        False tracking stops: frames that were not reached are NaN and ``attrs["complete"]`` is 0.
    batch_size : int, optional
        Frames sent to the network at once. It changes the speed and not the points.
    compat : {None, "facemap"}
        "facemap" prepares and reads the network's pictures exactly as Facemap 1.0 does,
        its dependence on the batch included; its batch size is 1 and its box the whole frame
        unless given.
    facing : {"left", "right"}, optional
        Where the face looks, the nose pointing to that side. By default it is found out.

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
        When video, model, box, device, batch size, compat or facing are not usable.
    NoFaceError
        When no box is given and no face is found.
    """
    if compat not in (None, "facemap"):
        raise ValueError(f'Expected compat None or "facemap"; found {compat!r}.')
    if facing not in (None, *FACINGS):
        raise ValueError(f"Expected a face that looks left or right; found {facing!r}.")
    chosen = choose_device(device)
    loaded = model if isinstance(model, Model) else load_model(model)
    if batch_size is None:
        batch_size = 1 if compat else _BATCH_SIZE[chosen.type]
    if batch_size < 1:
        raise ValueError(f"Expected a batch size of at least 1; found {batch_size}.")
    source = as_video(video)
    try:
        n_frames, height, width = source.shape
        pointer = Pointer(loaded, chosen, compat == "facemap")
        place = _place(source, pointer, loaded, box, facing)
        attrs = _provenance(source, loaded, place, chosen, compat, batch_size)
        position = np.full((n_frames, 2, len(loaded.keypoints)), np.nan, np.float32)
        confidence = np.zeros((n_frames, len(loaded.keypoints)), np.float32)
        error = np.full(confidence.shape, np.nan, np.float32)
        done = 0
        with closing(source.batches(batch_size)) as batches:
            for start, frames in batches:
                done = start + len(frames)
                points = pointer(frames, place.box, place.facing)
                position[start:done] = points.position
                confidence[start:done] = points.confidence
                error[start:done] = points.expected_error
                if progress is not None and progress(done, n_frames) is False:
                    break
        bad = source.bad_frames
    finally:
        if source is not video:
            source.close()
    position[bad], confidence[bad], error[bad] = np.nan, 0, np.nan
    if compat is None:
        _keep_in_frame(position, confidence, height, width)
    attrs |= {"complete": int(done == n_frames), "frames_tracked": done}
    return make_poses(
        position,
        confidence,
        loaded.keypoints,
        source.times,
        attrs=attrs,
        expected_error=error if loaded.calibration and compat is None else None,
    )


def _place(
    source: Any,
    pointer: Pointer,
    model: Model,
    box: Sequence[float] | str | None,
    facing: str | None,
) -> _Place:
    """Where to look, and which way the face looks there."""
    n_frames, height, width = source.shape
    if isinstance(box, str) and box != "whole":
        raise ValueError(f'Expected a box of four numbers, "whole" or None; found {box!r}.')
    if box is None and not pointer.facemap:
        face = find_face(source, model, device=pointer.device.type)
        return _Place(face.box, facing or face.facing, face.share)
    region = check_box(None if isinstance(box, str) else box, height, width)
    if facing is None and pointer.mirrors:
        bad = set(source.bad_frames.tolist())
        numbers = np.unique(np.linspace(0, n_frames - 1, _FACING_FRAMES).round().astype(int))
        frames = [source[int(number)] for number in numbers if int(number) not in bad]
        facing = find_facing(pointer, np.stack(frames), region) if frames else None
    return _Place(region, facing or "left", None)


class _Place(NamedTuple):
    """A box, where the face in it looks, and in which share of frames it was found."""

    box: Box
    facing: str
    found: float | None


def _keep_in_frame(position: np.ndarray, confidence: np.ndarray, height: int, width: int) -> None:
    """Put points that lie outside the frame on its edge, in place, and trust them not at all."""
    edge = np.array([[width - 0.5], [height - 0.5]])
    outside = ((position < -0.5) | (position > edge)).any(axis=1)
    confidence[outside] = 0
    np.clip(position, 0, edge - 0.5, out=position)


def _provenance(
    source: Any,
    model: Model,
    place: _Place,
    device: torch.device,
    compat: str | None,
    batch_size: int,
) -> dict[str, Any]:
    path = getattr(source, "path", None)
    attrs = {
        "software": software(),
        "model": model.name,
        "model_sha256": model.sha256,
        "box": np.array(place.box, np.int64),
        "facing": place.facing,
        "box_found": int(place.found is not None),
        "device": device.type,
        "video": path.name if path else source.name,
        "video_bytes": path.stat().st_size if path else 0,
        "video_frames": source.shape[0],
        "frame_height": source.shape[1],
        "frame_width": source.shape[2],
    }
    if place.found is not None:
        attrs["face_found_in_share_of_frames"] = place.found
    if not getattr(source, "times_known", True):
        attrs["times_known"] = 0
    if compat:
        attrs |= {"compat": compat, "batch_size": batch_size}
    return attrs
