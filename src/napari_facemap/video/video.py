"""A video file as an array of grey frames that are decoded when they are asked for."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Generator
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import Any, Self

import av
import dask.array as da
import numpy as np

from napari_facemap.video.decoder import Decoder
from napari_facemap.video.frames import FrameAccess, lazy_array
from napari_facemap.video.grey import grey, shape_of
from napari_facemap.video.index import VideoError, build_index
from napari_facemap.video.segments import read_in_segments

__all__ = ["Video", "VideoError", "open_video"]

_CACHE_BYTES = 128 * 2**20


def open_video(path: str | Path) -> Video:
    """Open a video.

    Parameters
    ----------
    path : str or Path
        Anything that FFmpeg decodes: .mp4, .avi, .mov, .mkv, .mj2, .wmv, .mpg, .m4v, ...

    Returns
    -------
    Video

    Raises
    ------
    VideoError
        When the file is missing, empty, not a video, or not one frame of it can be decoded.
    """
    return Video(path)


class Video(FrameAccess):
    """A video file, indexed by demuxing it once; frames are grey uint8.

    Frame i is the same picture however it is reached: by number, in a slice, in batches, forward
    or backward. A frame that does not decode is black and listed in `bad_frames`, and so are those
    that may refer to it, up to the next keyframe; the frames after them keep their numbers. What
    FFmpeg patches up by itself counts as decoded. A rotation by quarter turns that the file asks
    for is applied, as OpenCV does.

    Attributes
    ----------
    path : Path
        The file.
    shape : (int, int, int)
        Frames, rows, columns.
    times : ndarray of float64, shape (time,)
        Seconds since the first frame, from the container's own time stamps.
    start : float
        The container's time of the first frame, seconds.
    fps : float
        Frames per second, from the median time between frames.
    codec : str
        As FFmpeg names it.
    warnings : list of str
        What is wrong with the file though it could be opened.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.name = self.path.name
        self._index = build_index(self.path)
        self.times = self._index.times
        self.start = float(self._index.pts[0] * self._index.time_base)
        self._lock = RLock()
        self._bad: set[int] = set(self._index.lost.tolist())
        self._cache: OrderedDict[int, np.ndarray] = OrderedDict()
        self._decoder: Decoder | None = Decoder(self.path, self._index)
        self.codec = self._decoder.codec
        self.warnings = list(self._index.warnings)
        self.shape = (len(self.times), *self._frame_size())

    def _frame_size(self) -> tuple[int, int]:
        """Size of the first frame that decodes: headers are wrong about rotated videos."""
        assert self._decoder is not None
        sizes: list[tuple[int, int]] = []
        for key in self._index.keyframes.tolist():
            self._decoder.read(key, key + 1, lambda _number, frame: sizes.append(shape_of(frame)))
            if sizes:
                return sizes[0]
        raise VideoError(f"{self.path}: not one of its {len(self.times)} frames can be decoded.")

    @property
    def keyframes(self) -> np.ndarray:
        """Numbers, sorted int64, of the frames that are read fastest."""
        return self._index.keyframes

    @property
    def bad_frames(self) -> np.ndarray:
        """Numbers of the frames known not to decode so far, sorted int64."""
        return np.array(sorted(self._bad), np.int64)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Frames `start` to `stop`, the latter not included.

        Parameters
        ----------
        start, stop : int
            ``0 <= start <= stop <= len(video)``.

        Returns
        -------
        ndarray of uint8, shape (stop - start, rows, columns)
        """
        self._check_range(start, stop)
        frames = np.zeros((stop - start, *self.shape[1:]), np.uint8)
        with self._lock:
            missing = [
                i for i in range(start, stop) if not self._copy_cached(i, frames[i - start])
            ]
            if missing:
                self._decode_missing(missing[0], missing[-1] + 1, start, frames)
        return frames

    def _copy_cached(self, number: int, frame: np.ndarray) -> bool:
        if number in self._bad:
            return True
        if number not in self._cache:
            return False
        self._cache.move_to_end(number)
        frame[:] = self._cache[number]
        return True

    def _decode_missing(self, first: int, stop: int, start: int, frames: np.ndarray) -> None:
        if self._decoder is None:
            raise VideoError(f"{self.path}: the video was closed.")
        missing = set(range(first, stop)) - self._bad
        room = max(1, _CACHE_BYTES // (self.shape[1] * self.shape[2]))

        def take(number: int, frame: av.VideoFrame) -> None:
            if shape_of(frame) != self.shape[1:]:
                return
            picture = grey(frame)
            if number >= first:
                frames[number - start] = picture
                missing.discard(number)
            if number >= stop - room:
                self._cache[number] = picture.copy()
                self._cache.move_to_end(number)
            while len(self._cache) > room:
                self._cache.popitem(last=False)

        # Who steps back will step back again: keep what is decoded on the way there.
        going_back = first < self._decoder.position
        self._decoder.read(first, stop, take, keep_passed=going_back)
        self._bad |= missing

    def batches(
        self, n: int, start: int = 0, stop: int | None = None
    ) -> Generator[tuple[int, np.ndarray]]:
        """Read through the video in its own decoders, without touching what is being viewed.

        Parameters
        ----------
        n : int
            Frames at once, at least 1; the last batch may hold fewer.
        start, stop : int
            Frame numbers; by default the whole video.

        Yields
        ------
        start : int
            Number of the batch's first frame.
        frames : ndarray of uint8, shape (up to n, rows, columns)
        """
        stop = len(self) if stop is None else stop
        self._check_range(start, stop)
        if n < 1:
            raise ValueError(f"Expected batches of at least 1 frame; found {n}.")
        yield from read_in_segments(
            self.path, self._index, self.shape[1:], self._bad, n, start, stop
        )

    def to_dask(self) -> da.Array:
        """The video as a lazy dask array of uint8, shape (time, rows, columns)."""
        stat = self.path.stat()
        return lazy_array(self, f"{self.path.resolve()}-{stat.st_mtime_ns}-{stat.st_size}")

    def close(self) -> None:
        """Close the file; frames can no longer be read."""
        with self._lock:
            if self._decoder is not None:
                self._decoder.close()
            self._decoder = None
            self._cache.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Video({str(self.path)!r}, shape={self.shape}, fps={self.fps:.6g})"

    def __array__(self, *arguments: Any, **options: Any) -> np.ndarray:
        raise TypeError(
            f"{self.name}: a video is not turned into an array by itself, since it may be larger "
            "than memory; use video[start:stop] or video.to_dask()."
        )
