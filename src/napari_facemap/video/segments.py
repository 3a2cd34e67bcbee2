"""Reading through a whole video with several decoders at once."""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import av
import numpy as np

from napari_facemap.processors import n_processors
from napari_facemap.video.decoder import Decoder
from napari_facemap.video.grey import shape_of, write_grey
from napari_facemap.video.index import FrameIndex

_SEGMENT_FRAMES = 64
_MAX_WORKERS = 16
# Bytes of decoded frames that may wait: as many for each processor, between two limits.
_BYTES_EACH = 64 * 2**20
_FEWEST_BYTES, _MOST_BYTES = 256 * 2**20, 768 * 2**20


class _Stopped(Exception):
    """Nobody wants the frames any more."""


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
    works through it. Decoded frames that wait are bounded, whatever the video's length.

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
    bytes_waiting = min(max(_FEWEST_BYTES, n_processors() * _BYTES_EACH), _MOST_BYTES)
    most = max(1, bytes_waiting // int(np.prod(frame_shape)))
    segments, workers = _cut(index, most, start, stop)
    shelf = _Shelf(n, start, stop, frame_shape, most, alone=workers == 1)
    ahead = iter(segments)

    def work() -> None:
        try:
            with closing(Decoder(path, index, threads=0 if workers == 1 else 1)) as decoder:
                while (segment := shelf.next_of(ahead)) is not None:
                    shelf.fill(decoder, *segment, bad)
        except _Stopped:
            pass
        except BaseException:
            shelf.stop()
            raise

    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    working = [pool.submit(work) for _ in range(workers)]
    try:
        yield from shelf.batches(working)
    finally:
        shelf.stop()
        pool.shutdown()


class _Shelf:
    """Batches that several decoders fill and one reader takes in order.

    A batch is there when its last frame has come, or with `alone` when its segments are done: a
    decoder with several threads may begin a damaged segment anew.
    """

    def __init__(
        self, n: int, start: int, stop: int, frame_shape: tuple[int, int], most: int, alone: bool
    ):
        self._n, self._start, self._stop, self._shape = n, start, stop, frame_shape
        self._most, self._alone = most, alone
        self._given = start
        self._stopped = False
        self._changed = threading.Condition()
        self._batches: dict[int, np.ndarray] = {}
        self._missing: dict[int, int] = {}  # frames of each batch that have not come
        self._free: list[bytearray] = []

    def stop(self) -> None:
        """Let everybody go home."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def next_of(self, segments: Iterator[tuple[int, int]]) -> tuple[int, int] | None:
        """The next segment, once there is room for it; None after the last."""
        with self._changed:
            segment = next(segments, None)
            # The one that the reader waits for has room always.
            while segment is not None and segment[0] > self._given:
                if segment[1] - self._given <= self._most or self._stopped:
                    break
                self._changed.wait()
            return None if self._stopped else segment

    def fill(self, decoder: Decoder, first: int, end: int, bad: set[int]) -> None:
        """Decode a segment; frames that do not decode are left black and are `bad`."""
        missing = set(range(first, end))

        def take(number: int, frame: av.VideoFrame) -> None:
            if self._stopped:
                raise _Stopped
            if shape_of(frame) != self._shape or not (self._alone or number in missing):
                return
            write_grey(frame, self._frame(number))
            if number in missing:
                missing.discard(number)
                if not self._alone:
                    self._came(number)

        decoder.read(first, end, take)
        for number in missing:
            self._frame(number)[:] = 0
        # Who is given a batch can know of it what is bad.
        bad.update(missing)
        for number in range(first, end) if self._alone else missing:
            self._came(number)

    def _frame(self, number: int) -> np.ndarray:
        which, place = divmod(number - self._start, self._n)
        if which not in self._batches:
            with self._changed:
                self._room_for(which)
        return self._batches[which][place]

    def _room_for(self, which: int) -> None:
        if which in self._batches:
            return
        length = min(self._n, self._stop - self._start - which * self._n)
        self._missing[which] = length
        # Memory that was used before is at hand, new memory has to be found page by page.
        held = self._free.pop() if self._free else bytearray(self._n * int(np.prod(self._shape)))
        # What the batch and all views of it hold on to: when it goes, the memory is free again.
        base = np.frombuffer(held, np.uint8)
        weakref.finalize(base, self._free.append, held).atexit = False
        self._batches[which] = base.reshape(self._n, *self._shape)[:length]

    def _came(self, number: int) -> None:
        which = (number - self._start) // self._n
        with self._changed:
            self._missing[which] -= 1
            if not self._missing[which]:
                self._changed.notify_all()

    def batches(self, working: list[Future[None]]) -> Iterator[tuple[int, np.ndarray]]:
        """Give the batches in order, each when it is there; raise what a decoder raised."""
        while self._given < self._stop:
            which = (self._given - self._start) // self._n
            with self._changed:
                while self._missing.get(which, 1) and not self._stopped:
                    self._changed.wait()
                if self._stopped:
                    break
                del self._missing[which]
                first, batch = self._given, self._batches.pop(which)
                self._given += len(batch)
                self._changed.notify_all()
            yield first, batch
            del batch  # so that its memory is free as soon as the reader lets go of it
        for future in working:
            future.result()


def _cut(index: FrameIndex, most: int, start: int, stop: int) -> tuple[list[tuple[int, int]], int]:
    """Segments, and how many decoders may work on them side by side.

    At most `most` frames may wait, and each decoder's segment may have to.
    """
    shortest = min(_SEGMENT_FRAMES, max(1, most // 4))
    edges = [start]
    for key in index.keyframes[(index.keyframes > start) & (index.keyframes < stop)].tolist():
        if key - edges[-1] >= shortest:
            edges.append(key)
    edges.append(stop)
    longest = max(1, int(np.diff(edges).max()))
    workers = min(n_processors(), _MAX_WORKERS, len(edges) - 1, most // longest)
    if workers < 2 or not index.seekable:
        edges = [*range(start, stop, shortest), stop]
        workers = 1
    return list(itertools.pairwise(edges)), workers
