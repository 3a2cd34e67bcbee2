"""Arrays that take the place of a video."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np

from napari_facemap.video.frames import FrameAccess, lazy_array
from napari_facemap.video.grey import weigh
from napari_facemap.video.video import Video, open_video


class ArrayVideo(FrameAccess):
    """Frames that lie in an array, in memory or lazy, read as a `Video` is.

    Parameters
    ----------
    array : array-like, shape (time, rows, columns) or (time, rows, columns, 3)
        numpy, dask or anything with shape, dtype and indexing. uint8 is kept; other integers are
        shifted down to 8 bits by their type's range; floats are taken to lie in 0 to 1. A last
        axis of 3 is red, green, blue.
    fps : float, optional
        Frames per second; by default times count frames.
    times : ndarray, shape (time,), optional
        Seconds, instead of `fps`.
    name : str
        For messages and provenance.

    Raises
    ------
    ValueError
        When the array has another shape or type, or the times do not fit.
    """

    path: Path | None = None
    start = 0.0

    def __init__(
        self,
        array: Any,
        fps: float | None = None,
        times: np.ndarray | None = None,
        name: str = "array",
    ):
        shape = tuple(array.shape)
        if len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] != 3) or 0 in shape:
            raise ValueError(
                f"{name}: expected frames as (time, rows, columns) or (time, rows, columns, 3); "
                f"found shape {shape}."
            )
        if np.dtype(array.dtype).kind not in "uifb":
            raise ValueError(f"{name}: expected grey levels; found values of type {array.dtype}.")
        if fps is not None and not fps > 0:
            raise ValueError(f"{name}: expected a rate above 0 frames/s; found {fps}.")
        self.array, self.name = array, name
        self.times_known = fps is not None or times is not None
        self.shape = (shape[0], shape[1], shape[2])
        self.times = (
            np.arange(shape[0]) / (fps or 1.0) if times is None else np.asarray(times, float)
        )
        if self.times.shape != shape[:1]:
            raise ValueError(
                f"{name}: expected a time for each of {shape[0]} frames; found {self.times.shape}."
            )
        self.bad_frames = np.array([], np.int64)
        self.warnings: list[str] = []

    def read(self, start: int, stop: int) -> np.ndarray:
        """Frames `start` to `stop` as uint8, shape (stop - start, rows, columns)."""
        self._check_range(start, stop)
        frames = _to_8_bits(np.asarray(self.array[start:stop]))
        return weigh(frames[..., ::-1]) if frames.ndim == 4 else frames

    def batches(
        self, n: int, start: int = 0, stop: int | None = None
    ) -> Generator[tuple[int, np.ndarray]]:
        """Yield ``(start, frames)`` with `n` frames at a time, see `Video.batches`."""
        stop = len(self) if stop is None else stop
        self._check_range(start, stop)
        if n < 1:
            raise ValueError(f"Expected batches of at least 1 frame; found {n}.")
        for begin in range(start, stop, n):
            yield begin, self.read(begin, min(begin + n, stop))

    def to_dask(self) -> da.Array:
        """The frames as a lazy dask array of uint8, shape (time, rows, columns)."""
        if (
            isinstance(self.array, da.Array)
            and self.array.dtype == np.uint8
            and self.array.ndim == 3
        ):
            return self.array
        return lazy_array(self, f"{self.name}-{id(self.array)}-{self.shape}")

    def close(self) -> None:
        """Nothing to close."""


def _to_8_bits(frames: np.ndarray) -> np.ndarray:
    if frames.dtype == np.uint8:
        return frames
    if frames.dtype == bool:
        return frames.astype(np.uint8) * 255
    if frames.dtype.kind == "f":
        return np.round(np.clip(np.nan_to_num(frames), 0, 1) * 255).astype(np.uint8)
    # By the type and not by the values, so that a frame looks the same in every chunk.
    shift = 8 * frames.dtype.itemsize - 8 - (frames.dtype.kind == "i")
    return np.clip(frames >> max(shift, 0), 0, 255).astype(np.uint8)


def as_video(source: Any, fps: float | None = None) -> Video | ArrayVideo:
    """Take a path, an open video or an array as something with frames and times.

    Parameters
    ----------
    source : str, Path, Video, ArrayVideo or array
        An array is as for `ArrayVideo`.
    fps : float, optional
        Frames per second of an array.

    Returns
    -------
    Video or ArrayVideo
    """
    if isinstance(source, Video | ArrayVideo):
        return source
    if isinstance(source, str | Path):
        return open_video(source)
    return ArrayVideo(source, fps=fps)
