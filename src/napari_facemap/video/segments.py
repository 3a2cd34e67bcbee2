"""Reading through a whole video with several decoders at once."""

from __future__ import annotations

import itertools
import os
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

import numpy as np

from napari_facemap.video.batches import Batches, Closed
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
) -> Generator[tuple[int, np.ndarray]]:
    """Give frames `start` to `stop` in batches of `n`, decoded ahead of need.

    The video is cut at keyframes into segments that are decoded side by side, one decoder with
    one thread each; where keyframes lie too far apart for memory, one decoder with all threads
    works through it. Decoders wait while the batches not yet taken fill `batches.ROOM`. Closing
    the generator stops them at their next packet.

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
    batches = Batches(n, start, stop, frame_shape, segments)
    decoders = _Decoders(path, index, threads=1 if workers > 1 else 0)

    def decode(first: int, end: int) -> None:
        try:
            bad.update(_decode(decoders, batches, frame_shape, first, end))
            batches.decided(first, end)
        except Closed:
            pass
        except BaseException as error:
            batches.fail(error)

    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    try:
        for segment in segments:
            pool.submit(decode, *segment)
        yield from batches
    finally:
        batches.close()
        decoders.stop()
        pool.shutdown(wait=True, cancel_futures=True)
        decoders.close()


def _decode(
    decoders: _Decoders, batches: Batches, frame_shape: tuple[int, int], first: int, end: int
) -> set[int]:
    """Put the frames of a segment into the batches; those that do not decode, as zeros."""
    missing = set(range(first, end))
    upto = first
    decoder = decoders.borrow()
    # Several threads of the codec begin a segment anew when they meet damage.
    final_at_once = decoder.threads == 1

    def take(number: int, picture: np.ndarray) -> None:
        nonlocal upto
        if picture.shape != frame_shape or number < upto:
            return
        batches.place(number, first)[:] = picture
        missing.discard(number)
        if final_at_once and number == upto:
            upto += 1
            batches.decided(first, upto)

    try:
        decoder.read(first, end, take)
    finally:
        decoders.give_back(decoder)
    if decoder.stopped:
        raise Closed
    for number in missing:
        batches.place(number, first)[:] = 0
    return missing


class _Decoders:
    """Decoders that threads borrow, opened when there is none to spare."""

    def __init__(self, path: Path, index: FrameIndex, threads: int):
        self._path, self._index, self._threads = path, index, threads
        self._all: list[Decoder] = []
        self._idle: list[Decoder] = []
        self._stopped = False
        self._lock = Lock()

    def borrow(self) -> Decoder:
        """Take a decoder for the calling thread alone."""
        with self._lock:
            if self._idle:
                return self._idle.pop()
        decoder = Decoder(self._path, self._index, self._threads)
        with self._lock:
            self._all.append(decoder)
            decoder.stopped = self._stopped
        return decoder

    def give_back(self, decoder: Decoder) -> None:
        """Leave a decoder to the next thread."""
        with self._lock:
            self._idle.append(decoder)

    def stop(self) -> None:
        """Let all decoders stop where they are."""
        with self._lock:
            self._stopped = True
            for decoder in self._all:
                decoder.stopped = True

    def close(self) -> None:
        """Close the files; no thread may use a decoder any more."""
        for decoder in self._all:
            decoder.close()


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
