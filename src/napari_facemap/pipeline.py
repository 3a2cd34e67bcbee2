"""Work on batches of frames by several threads, results in order, memory bounded."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeVar

import torch


class Batch(Protocol):
    """Some frames, and what belongs to them."""

    def __len__(self) -> int: ...


B = TypeVar("B", bound=Batch)
T = TypeVar("T")

_READY = 2  # batches beyond one for each worker that wait decoded


def in_order(
    batches: Iterable[tuple[int, B]],
    work: Callable[[B], T],
    workers: int,
) -> Generator[tuple[int, int, T], None, None]:
    """Work on batches at the same time and give the results in the batches' order.

    While workers are busy the next batches are taken from `batches`, but no more than a few.
    Each worker computes with one thread: several workers use processors better than several
    threads of one.

    Parameters
    ----------
    batches : iterable of (int, Batch)
        Number of the first frame, and as many frames as the batch has length.
    work : callable
        Called by the workers with the batch.
    workers : int
        Threads.

    Yields
    ------
    start, stop : int
        Frames of the batch, `stop` not included.
    result
        What `work` returned. Errors are raised in their turn; closing the generator waits for
        batches in work and drops the others.
    """
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(workers, "frames", lambda: torch.set_num_threads(1))
    waiting: deque[tuple[int, int, Future[T]]] = deque()
    try:
        for start, frames in batches:
            waiting.append((start, start + len(frames), pool.submit(work, frames)))
            while waiting and (len(waiting) >= workers + _READY or waiting[0][2].done()):
                yield _finished(waiting.popleft())
        while waiting:
            yield _finished(waiting.popleft())
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)


def _finished(batch: tuple[int, int, Future[T]]) -> tuple[int, int, T]:
    start, stop, future = batch
    return start, stop, future.result()
