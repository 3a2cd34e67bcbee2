"""A float model rounded to eight bits on some of a video's own frames."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from napari_facemap.keypoints.box import Box
from napari_facemap.keypoints.models import Model
from napari_facemap.keypoints.pointing import Pointer
from napari_facemap.keypoints.reading import read_outputs
from napari_facemap.keypoints.runtimes.rounding import Rounding, fit_rounding

if TYPE_CHECKING:
    from napari_facemap.video.arrays import ArrayVideo
    from napari_facemap.video.video import Video

_FRAMES = 32  # every other one to fit to, the others to measure on


class RoundedModel(NamedTuple):
    """What rounding a model takes, and what it does to its points.

    Attributes
    ----------
    rounding : Rounding
        For `open_runtime`.
    deviation : float
        95th percentile of the distance between points in eight bits and in float32, in pixels of
        the frame, on frames that the rounding was not fitted to; NaN where there are none.
    """

    rounding: Rounding
    deviation: float


def round_on_video(
    source: Video | ArrayVideo,
    model: Model,
    box: Box,
    facing: str,
    pause: Callable[[], None] = lambda: None,
) -> RoundedModel:
    """Round a model so that it changes least on the pictures of one video.

    Parameters
    ----------
    source : Video or ArrayVideo
        Frames.
    model : Model
        In float32.
    box : Box
        Where the face is.
    facing : {"left", "right"}
        Where it looks.
    pause : callable
        Called several times a second; what it raises ends the work.

    Returns
    -------
    RoundedModel
    """
    frames = []
    for number in _numbers(source):
        pause()
        frames.append(source[number])
    exact = Pointer(model, "cpu", runtime="torch")
    _, height, width = source.shape
    preparation = exact.preparation(height, width, box, facing)
    pictures = torch.cat([preparation(frame[None]) for frame in frames])
    rounding = fit_rounding(model.network.plan(), pictures[::2], pause)
    rounded = Pointer(model, "cpu", rounding=rounding)
    distances = []
    with torch.inference_mode():
        for k in range(1, len(pictures), 2):
            pause()
            picture = pictures[k : k + 1]
            points = [
                pointer.points(read_outputs(pointer.runtime.run(picture)), box, facing).position
                for pointer in (exact, rounded)
            ]
            distances.append(np.hypot(*np.moveaxis(points[1] - points[0], 1, 0)))
    deviation = float(np.percentile(distances, 95)) if distances else float("nan")
    return RoundedModel(rounding, deviation)


def _numbers(source: Video | ArrayVideo) -> list[int]:
    """Frames spread over a video, keyframes where there are enough since they are read fast."""
    numbers = np.setdiff1d(np.arange(len(source)), source.bad_frames)
    keys = np.intersect1d(getattr(source, "keyframes", ()), numbers)
    numbers = keys if len(keys) >= _FRAMES else numbers
    if not len(numbers):
        raise ValueError("Expected a video with frames that can be read; found none.")
    at = np.linspace(0, len(numbers) - 1, min(_FRAMES, len(numbers))).round().astype(int)
    return [int(number) for number in numbers[at]]
