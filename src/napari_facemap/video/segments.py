"""Reading through a whole video with several decoders at once."""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

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
    idle: SimpleQueue[Decoder] = SimpleQueue()
    decoders = [Decoder(path, index, threads=1 if workers > 1 else 0) for _ in range(workers)]
    for decoder in decoders:
        idle.put(decoder)

    def decode(first: int, end: int) -> np.ndarray:
        decoder = idle.get()
        try:
            return _stack(decoder.read(first, end), frame_shape, bad, first, end)
        finally:
            idle.put(decoder)

    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    pending: deque[Future[np.ndarray]] = deque()
    try:
        ahead = iter(segments)

        def fill() -> None:
            while len(pending) <= workers and (segment := next(ahead, None)):
                pending.append(pool.submit(decode, *segment))

        fill()
        batch = np.empty((min(n, stop - start), *frame_shape), np.uint8)
        filled = 0
        while pending:
            frames = pending.popleft().result()
            fill()
            for frame in _runs(frames, n, filled):
                batch[filled : filled + len(frame)] = frame
                filled += len(frame)
                if filled == len(batch):
                    yield start, batch
                    start += filled
                    batch = np.empty((min(n, stop - start), *frame_shape), np.uint8)
                    filled = 0
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        for decoder in decoders:
            decoder.close()


def _runs(frames: np.ndarray, n: int, filled: int) -> Iterator[np.ndarray]:
    """Cut frames where batches of `n`, the first filled in part, end."""
    first = n - filled
    yield frames[:first]
    for begin in range(first, len(frames), n):
        yield frames[begin : begin + n]


def _stack(
    found: dict[int, np.ndarray], shape: tuple[int, int], bad: set[int], first: int, end: int
) -> np.ndarray:
    frames = np.zeros((end - first, *shape), np.uint8)
    for number in range(first, end):
        if number in found and found[number].shape == shape:
            frames[number - first] = found[number]
        else:
            bad.add(number)
    return frames


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
