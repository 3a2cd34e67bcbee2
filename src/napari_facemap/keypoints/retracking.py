"""Tracking a stretch of a video anew, in keypoints that are there already."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from napari_facemap.keypoints.models import Model
from napari_facemap.keypoints.store import KeypointStore
from napari_facemap.keypoints.tracking import Progress, track
from napari_facemap.video.arrays import as_video
from napari_facemap.video.video import Video

if TYPE_CHECKING:
    from napari_facemap.video.arrays import ArrayVideo


def retrack(
    video: str | Path | Video | ArrayVideo | np.ndarray,
    poses: xr.Dataset,
    model: str | Path | Model | None = None,
    frames: tuple[int, int] | None = None,
    box: Sequence[float] | str | None = None,
    device: str = "auto",
    progress: Progress | None = None,
    facing: str | None = None,
    **how: Any,
) -> xr.Dataset:
    """Track a stretch of a video anew.

    Points are those that tracking the whole video would find in these frames with the same box;
    no more of the video is decoded than they need. What a person edited stays.

    Parameters
    ----------
    video : path, Video or array of shape (time, rows, columns)
        The video that `poses` are of.
    poses : xarray.Dataset
        Of all its frames.
    model : str, Path or Model, optional
        As for `track`; its keypoints may be others.
    frames : (start, stop), optional
        The stretch, stop not included; by default all frames.
    box, facing : optional
        As for `track`; by default what `poses` were tracked with, where their attributes say so.
    device : {"auto", "cpu", "cuda", "mps"}
        What to compute on.
    progress : callable, optional
        Called with the numbers of frames done and of the stretch. When it returns False tracking
        stops within a second: predictions are new in the frames that were reached, and
        ``attrs["complete"]`` is 0.
    **how
        ``batch_size``, ``runtime``, ``precision`` of `track`. By default a float model is rounded
        to 8 bits only for stretches of 2000 frames or more.

    Returns
    -------
    xarray.Dataset
        Poses of the whole video with the keypoints of both, those of `poses` first. Predictions
        are new in the stretch; a keypoint that the model does not know stays there as it was,
        and one that only the model knows is NaN elsewhere. The attributes are those of `poses`,
        and ``attrs["retracked"]`` lists, as JSON, each stretch that was tracked anew with start,
        stop, model and box; the last counts where they overlap.

    Raises
    ------
    ValueError
        When video and poses do not have as many frames, or as `track` does.
    NoFaceError
        When neither `poses` nor the caller gives a box, and no face is found.
    """
    source = as_video(video)
    try:
        if len(source) != poses.sizes["time"]:
            raise ValueError(
                f"{source.name}: the video has {len(source)} frames, the keypoints "
                f"{poses.sizes['time']}: expected keypoints of this video."
            )
        store = KeypointStore(poses)
        if box is None and "box" in poses.attrs:
            box = [float(edge) for edge in np.asarray(poses.attrs["box"])]
            facing = facing or poses.attrs.get("facing")
        fresh = track(
            source, model, box, device, progress, facing=facing, frames=frames, **how
        )  # fmt: skip
    finally:
        if source is not video:
            source.close()
    start = 0 if frames is None else frames[0]
    reached = range(start, start + fresh.attrs["frames_tracked"])
    if reached:
        store = store.with_predictions(fresh, frames=reached)
    merged = store.to_poses(predictions=True)
    merged.attrs["complete"] = fresh.attrs["complete"]
    return merged
