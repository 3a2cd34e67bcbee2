"""A movie of another clock, shown frame by frame beside the video: the calcium imaging."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
from napari.layers import Image, Layer

from napari_facemap.viewer.layers import (
    OVERLAY,
    TIMES,
    bare,
    frame_size,
    is_video,
    n_frames_of,
    time_axis,
    times_of,
)

if TYPE_CHECKING:
    from napari_facemap.neural.recording import Recording

_BESIDE = 20  # pixels between the two
_TOGETHER = 16  # frames of the video whose movie frames are looked up at once


class OnAnotherClock:
    """A movie's frames as they were when each frame of a video was taken; an array of them.

    Parameters
    ----------
    movie : array, shape (time, rows, columns)
        Lazy or not.
    index : ndarray of int, shape (video frame,)
        Which of its frames; -1 where there is none, which is black.
    """

    def __init__(self, movie: Any, index: np.ndarray) -> None:
        self.movie, self.index = movie, index
        self.shape = (len(index), *movie.shape[1:])
        self.dtype, self.ndim = movie.dtype, movie.ndim

    def __getitem__(self, key: Any) -> np.ndarray:
        frames, *place = key if isinstance(key, tuple) else (key,)
        wanted, back = np.unique(self.index[frames], return_inverse=True)
        looked_up = np.stack(
            [
                np.asarray(self.movie[int(k)]) if k >= 0 else np.zeros(self.shape[1:], self.dtype)
                for k in wanted
            ]
        )
        return looked_up[back.reshape(np.shape(self.index[frames]))][(..., *place)]


def frame_at(times: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Frame that was being taken at some times: the last that began by then.

    Parameters
    ----------
    times : ndarray, shape (time,)
        Seconds at which the frames began, increasing.
    wanted : ndarray
        Seconds.

    Returns
    -------
    ndarray of int
        -1 before the first frame, and where none began for more than one and a half of the usual
        steps: pauses, and after the last.
    """
    found = np.searchsorted(times, wanted, side="right") - 1
    step = float(np.median(np.diff(times))) if len(times) > 1 else np.inf
    since = wanted - times[np.maximum(found, 0)]
    return np.where((found >= 0) & (since <= 1.5 * step), found, -1)


def is_movie(layer: Layer) -> bool:
    """Whether a layer can be put on the video's clock."""
    return is_video(layer) and not layer.rgb and not layer.metadata.get(OVERLAY)


def add_on_clock(viewer: Any, movie: Image, video: Image, recording: Recording | None) -> Image:
    """Add a movie again, on the clock of a video and beside it.

    Parameters
    ----------
    viewer : napari viewer
        Where to add it. The movie's own layer is hidden, and its frames are laid out in seconds.
    movie : Image
        With as many frames as the recording has samples, or with times of its own.
    video : Image
        Whose frames the time slider then steps through.
    recording : Recording, optional
        Says when the movie's frames were taken.

    Returns
    -------
    Image
        Read when it is looked at.

    Raises
    ------
    ValueError
        When it is not known when the movie's frames were taken.
    """
    n_frames = n_frames_of(movie)
    if recording is not None and len(recording.times) == n_frames:
        times = recording.times
    elif TIMES in movie.metadata:
        times = times_of(movie)
    else:
        said = f"the recording {len(recording.times):,} samples" if recording else "no recording"
        raise ValueError(
            f"{movie.name}: expected as many frames as the recording has samples, which say when "
            f"they were taken; the movie has {n_frames:,} frames, {said}."
        )
    index = frame_at(times, times_of(video))
    lazy = da.from_array(
        OnAnotherClock(movie.data, index), chunks=(_TOGETHER, -1, -1), asarray=False
    )
    width = frame_size(video)[1] * float(video.scale[-1])
    axis = time_axis(video)
    layer = bare(viewer).add_image(
        lazy,
        name=f"{movie.name} on the video's clock",
        scale=(video.scale[axis], *movie.scale[-2:]),
        translate=(
            video.translate[axis], video.translate[-2], video.translate[-1] + width + _BESIDE
        ),
        units=video.units,
        axis_labels=video.axis_labels,
        contrast_limits=tuple(movie.contrast_limits),
        colormap=movie.colormap,
        metadata={OVERLAY: True},
    )  # fmt: skip
    movie.visible = False
    _put_in_seconds(movie, times, video)
    return layer


def _put_in_seconds(movie: Image, times: np.ndarray, video: Image) -> None:
    """Lay a movie out evenly over its seconds, so that the slider does not count its frames too."""
    step = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
    movie.units = video.units
    movie.axis_labels = video.axis_labels
    movie.scale = (step, *movie.scale[-2:])
    # napari shows the frame whose middle is nearest.
    start = float(times[0]) + float(video.translate[time_axis(video)]) + step / 2
    movie.translate = (start, *movie.translate[-2:])
