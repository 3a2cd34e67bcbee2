"""Reading through a whole video with several decoders at once."""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from threading import Lock

import numpy as np

from napari_facemap.video.decoder import Decoder
from napari_facemap.video.index import FrameIndex

_SEGMENT_FRAMES = 64
_SEGMENT_BYTES = 96 * 2**20
_MAX_WORKERS = 16


def read_in_segments(
    path: Path,
    index: FrameIndex,
    frame_shape: tuple[int, int],
    bad: set[int],
    n: int,
    start: int,
    stop: int,
) -> Iterator[tuple[int, np.ndarray]]:
    """Give frames `start` to `stop` in batches of `n`, decoded ahead of need.

    The video is cut at keyframes into segments that are decoded side by side, one decoder with
    one thread each; where keyframes lie too far apart for memory, one decoder with all threads
    works through it. Memory is bounded by a few segments.

    Parameters
    ----------
    path, index : Path, FrameIndex
        The video.
    frame_shape : (int, int)
        Rows, columns.
    bad : set of int
        Numbers of frames that turn out not to decode are added.
    n, start, stop : int
        Frames in a batch, first frame, end.

    Yields
    ------
    start : int
    frames : ndarray of uint8, shape (up to n, rows, columns)
    """
    segments, workers = _cut(index, int(np.prod(frame_shape)), start, stop)
    decoders = [Decoder(path, index, threads=1 if workers > 1 else 0) for _ in range(workers)]
    idle: SimpleQueue[Decoder] = SimpleQueue()
    for decoder in decoders:
        idle.put(decoder)
    batches = _Batches(n, start, stop, frame_shape)

    def decode(first: int, end: int) -> int:
        missing = set(range(first, end))

        def take(number: int, picture: np.ndarray) -> None:
            if picture.shape == frame_shape:
                batches.frame(number)[:] = picture
                missing.discard(number)

        decoder = idle.get()
        try:
            decoder.read(first, end, take)
        finally:
            idle.put(decoder)
        for number in missing:
            batches.frame(number)[:] = 0
        bad.update(missing)
        return end

    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    pending: deque[Future[int]] = deque()
    ahead = iter(segments)
    try:
        # One segment more than decoders, so that none of them waits for the reader.
        for segment in itertools.islice(ahead, workers + 1):
            pending.append(pool.submit(decode, *segment))
        while pending:
            decoded_to = pending.popleft().result()
            for segment in itertools.islice(ahead, 1):
                pending.append(pool.submit(decode, *segment))
            yield from batches.complete(decoded_to)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        for decoder in decoders:
            decoder.close()


class _Batches:
    """Batches that several threads fill, made when their first frame comes."""

    def __init__(self, n: int, start: int, stop: int, frame_shape: tuple[int, int]):
        self._n, self._start, self._stop, self._shape = n, start, stop, frame_shape
        self._given = start
        self._lock = Lock()
        self._batches: dict[int, np.ndarray] = {}

    def frame(self, number: int) -> np.ndarray:
        """Where a frame is to be put."""
        which, place = divmod(number - self._start, self._n)
        with self._lock:
            if which not in self._batches:
                length = min(self._n, self._stop - self._start - which * self._n)
                self._batches[which] = np.empty((length, *self._shape), np.uint8)
            return self._batches[which][place]

    def complete(self, decoded_to: int) -> Iterator[tuple[int, np.ndarray]]:
        """Take out the batches that lie before frame `decoded_to` with their first frames."""
        while self._given < decoded_to:
            which = (self._given - self._start) // self._n
            first, end = self._given, min(self._given + self._n, self._stop)
            if end > decoded_to:
                return
            self._given = end
            with self._lock:
                batch = self._batches.pop(which)
            yield first, batch


def _cut(
    index: FrameIndex, frame_bytes: int, start: int, stop: int
) -> tuple[list[tuple[int, int]], int]:
    """Segments, and how many decoders may work on them side by side."""
    longest = max(1, _SEGMENT_BYTES // frame_bytes)
    shortest = min(_SEGMENT_FRAMES, longest)
    edges = [start]
    for key in index.keyframes[(index.keyframes > start) & (index.keyframes < stop)].tolist():
        if key - edges[-1] >= shortest:
            edges.append(key)
    edges.append(stop)
    workers = min(os.cpu_count() or 1, _MAX_WORKERS, len(edges) - 1)
    if workers < 2 or max(np.diff(edges)) > longest or not index.seekable:
        edges = [*range(start, stop, shortest), stop]
        workers = 1
    return list(itertools.pairwise(edges)), workers
