"""Keypoints of a whole video."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from napari_facemap.keypoints.box import Box, check_box, input_to_frame
from napari_facemap.keypoints.decode import TARGET_SIGMA, decode_maps
from napari_facemap.keypoints.device import choose_device
from napari_facemap.keypoints.models import Model, load_model
from napari_facemap.keypoints.normalize import prepare, prepare_as_facemap
from napari_facemap.keypoints.poses import make_poses
from napari_facemap.provenance import software
from napari_facemap.video.arrays import as_video

if TYPE_CHECKING:
    from napari_facemap.video.arrays import ArrayVideo
    from napari_facemap.video.video import Video

Progress = Callable[[int, int], bool | None]

# A CPU gets slower with larger batches (the maps leave its caches), a GPU idles with smaller.
_BATCH_SIZE = {"cpu": 4, "mps": 16, "cuda": 64}


def track(
    video: str | Path | Video | ArrayVideo | np.ndarray,
    model: str | Path | Model | None = None,
    box: Sequence[float] | None = None,
    device: str = "auto",
    progress: Progress | None = None,
    batch_size: int | None = None,
    compat: str | None = None,
) -> xr.Dataset:
    """Track the keypoints of a mouse's face through a video.

    Parameters
    ----------
    video : path, Video or array of shape (time, rows, columns)
        An array may be lazy (dask); its times are frame numbers unless it is wrapped in an
        `ArrayVideo` that says otherwise.
    model : str, Path or Model, optional
        A name of `list_models` or a file. By default the built-in model.
    box : (x0, y0, x1, y1), optional
        Where the face is, in pixels of the frame, x1 and y1 not included. By default the whole
        frame; a box around the face gives better points.
    device : {"auto", "cpu", "cuda", "mps"}
        What to compute on.
    progress : callable, optional
        Called with the numbers of frames done and in all, after each batch. When it returns
        False tracking stops: frames that were not reached are NaN and ``attrs["complete"]`` is 0.
    batch_size : int, optional
        Frames sent to the network at once. It changes the speed and not the points.
    compat : {None, "facemap"}
        "facemap" prepares and reads the network's pictures exactly as Facemap 1.0 does,
        its dependence on the batch included; its batch size is 1 unless given.

    Returns
    -------
    xarray.Dataset
        Poses, see `make_poses`. Frames that could not be decoded are NaN with confidence 0, and
        so has a keypoint that falls outside the frame confidence 0, put on the frame's edge.
        Confidence is the share of the heat map that lies around its peak (with
        ``compat="facemap"``: Facemap's likelihood, which is never below 0.5).

    Raises
    ------
    ValueError
        When video, model, box, device, batch size or compat are not usable.
    """
    if compat not in (None, "facemap"):
        raise ValueError(f'Expected compat None or "facemap"; found {compat!r}.')
    chosen = choose_device(device)
    loaded = model if isinstance(model, Model) else load_model(model)
    if batch_size is None:
        batch_size = 1 if compat else _BATCH_SIZE[chosen.type]
    if batch_size < 1:
        raise ValueError(f"Expected a batch size of at least 1; found {batch_size}.")
    source = as_video(video)
    try:
        n_frames, height, width = source.shape
        region = check_box(box, height, width)
        attrs = _provenance(source, loaded, region, chosen, compat, batch_size)
        network = _FrameNetwork(loaded, region, chosen, compat == "facemap")
        position = np.full((n_frames, 2, len(loaded.keypoints)), np.nan, np.float32)
        confidence = np.zeros((n_frames, len(loaded.keypoints)), np.float32)
        done = 0
        with closing(source.batches(batch_size)) as batches:
            for start, frames in batches:
                done = start + len(frames)
                position[start:done], confidence[start:done] = network(frames)
                if progress is not None and progress(done, n_frames) is False:
                    break
        bad = source.bad_frames
    finally:
        if source is not video:
            source.close()
    position[bad], confidence[bad] = np.nan, 0
    if compat is None:
        _keep_in_frame(position, confidence, height, width)
    attrs |= {"complete": int(done == n_frames), "frames_tracked": done}
    return make_poses(position, confidence, loaded.keypoints, source.times, attrs=attrs)


class _FrameNetwork:
    """A model set up for one box and device: frames in, points of the full frame out."""

    def __init__(self, model: Model, box: Box, device: torch.device, facemap: bool):
        self.box, self.device, self.facemap = box, device, facemap
        network = copy.deepcopy(model.network)  # the model itself stays where it is
        # Channels-last is nearly twice as fast on a CPU and equal to within rounding.
        self.network = network.to(device, memory_format=torch.channels_last)

    @torch.inference_mode()
    def __call__(self, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        prepared = prepare_as_facemap if self.facemap else prepare
        # Apple's GPUs lack the antialiased resize.
        images = prepared(frames, self.box, "cpu" if self.device.type == "mps" else self.device)
        images = images.to(self.device, memory_format=torch.channels_last)
        heat, row, column = self.network(images)
        xy, peak = decode_maps(heat, row, column)
        confidence = torch.sigmoid(peak) if self.facemap else peak_share(heat)
        points = input_to_frame(xy.cpu().numpy().astype(np.float64), self.box, self.facemap)
        return points.astype(np.float32), confidence.cpu().numpy()


def peak_share(heat: Tensor, radius: float = 2.5 * TARGET_SIGMA) -> Tensor:
    """Share of each heat map that lies around its peak: how sure the network is of one place.

    Parameters
    ----------
    heat : Tensor, shape (batch, keypoint, rows, columns)
        Not negative, any scale.
    radius : float
        Half the side of the square around the peak, in pixels of the maps.

    Returns
    -------
    Tensor, shape (batch, keypoint)
        From 0 (no heat at all, or spread everywhere) to 1 (all around one peak).
    """
    n_rows, n_columns = heat.shape[2:]
    index = heat.flatten(2).argmax(dim=2)
    row = torch.div(index, n_columns, rounding_mode="floor")
    column = index % n_columns
    rows = torch.arange(n_rows, device=heat.device)
    columns = torch.arange(n_columns, device=heat.device)
    near_row = ((rows - row[..., None]).abs() <= radius).to(heat.dtype)
    near_column = ((columns - column[..., None]).abs() <= radius).to(heat.dtype)
    near = torch.einsum("bkyx,bky,bkx->bk", heat, near_row, near_column)
    return (near / heat.sum(dim=(2, 3)).clamp_min(1e-6)).clamp(0, 1).float()


def _keep_in_frame(position: np.ndarray, confidence: np.ndarray, height: int, width: int) -> None:
    """Put points that lie outside the frame on its edge, in place, and trust them not at all."""
    edge = np.array([[width - 0.5], [height - 0.5]])
    outside = ((position < -0.5) | (position > edge)).any(axis=1)
    confidence[outside] = 0
    np.clip(position, 0, edge - 0.5, out=position)


def _provenance(
    source: Any,
    model: Model,
    box: Box,
    device: torch.device,
    compat: str | None,
    batch_size: int,
) -> dict[str, Any]:
    path = getattr(source, "path", None)
    attrs = {
        "software": software(),
        "model": model.name,
        "model_sha256": model.sha256,
        "box": np.array(box, np.int64),
        "device": device.type,
        "video": path.name if path else source.name,
        "video_bytes": path.stat().st_size if path else 0,
        "video_frames": source.shape[0],
        "frame_height": source.shape[1],
        "frame_width": source.shape[2],
    }
    if not getattr(source, "times_known", True):
        attrs["times_known"] = 0
    if compat:
        attrs |= {"compat": compat, "batch_size": batch_size}
    return attrs
