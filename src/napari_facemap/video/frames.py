"""What everything that holds frames can do: be indexed, and become a lazy array."""

from __future__ import annotations

import operator
from typing import Any

import dask.array as da
import numpy as np

_CHUNK_BYTES = 16 * 2**20


class FrameAccess:
    """Indexing for classes with `shape`, `times` and `read(start, stop)`."""

    shape: tuple[int, int, int]
    times: np.ndarray
    dtype = np.dtype(np.uint8)
    ndim = 3

    def read(self, start: int, stop: int) -> np.ndarray:
        """Frames `start` to `stop`."""
        raise NotImplementedError  # pragma: no cover - every subclass reads

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def fps(self) -> float:
        """Frames per second, from the median time between frames; NaN for a single frame."""
        return 1 / float(np.median(np.diff(self.times))) if len(self.times) > 1 else float("nan")

    def __getitem__(self, key: Any) -> np.ndarray:
        if isinstance(key, tuple):
            if not key or key[0] is Ellipsis:
                return self.read(0, len(self))[key]
            return self._frames(key[0])[(*_rest(key[0]), *key[1:])]
        return self._frames(key)

    def _frames(self, key: Any) -> np.ndarray:
        if isinstance(key, slice):
            numbers = range(*key.indices(len(self)))
            if numbers.step == 1:
                return self.read(numbers.start, max(numbers.start, numbers.stop))
            return self._stack(list(numbers))
        if key is Ellipsis:
            return self.read(0, len(self))
        if np.ndim(key):
            array = np.asarray(key)
            if array.dtype == bool and array.shape != (len(self),):
                raise IndexError(f"A mask of {array.shape} for a video with {len(self)} frames.")
            return self._stack((np.flatnonzero(array) if array.dtype == bool else array).tolist())
        number = operator.index(key)
        if not -len(self) <= number < len(self):
            raise IndexError(f"Frame {number} of a video with {len(self)} frames.")
        number %= len(self)
        return self.read(number, number + 1)[0]

    def _stack(self, numbers: list[int]) -> np.ndarray:
        frames = [self[number] for number in numbers]
        return np.stack(frames) if frames else np.empty((0, *self.shape[1:]), np.uint8)

    def _check_range(self, start: int, stop: int) -> None:
        if not 0 <= start <= stop <= len(self):
            raise IndexError(f"Frames {start} to {stop} of a video with {len(self)} frames.")


def _rest(key: Any) -> tuple[slice, ...]:
    """Index of the time axis that is left after frames were picked by `key`."""
    return (slice(None),) if isinstance(key, slice) or np.ndim(key) else ()


def lazy_array(frames: FrameAccess, name: str) -> da.Array:
    """Wrap frames in a dask array without copying.

    Chunks of 16 to 64 frames make stepping back cheap and jumps no dearer than they must be.

    Parameters
    ----------
    frames : FrameAccess
        What is to be read lazily.
    name : str
        Unique to the content: caches go by it.
    """
    _n_frames, height, width = frames.shape
    length = int(np.clip(_CHUNK_BYTES // max(1, height * width), 16, 64))
    return da.from_array(
        frames,
        chunks=(length, height, width),
        name=f"video-{name}-{length}",
        asarray=False,
        meta=np.empty((0, 0, 0), np.uint8),
    )
