"""How many frames at once are fastest."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from napari_facemap.keypoints.device import out_of_memory

_CPU_SIZES = (4, 8, 16, 32)
_CPU_GAIN = 0.97  # below 1: timings are noisy, and larger batches wait less for one another
_CPU_SECONDS = 0.3  # that a batch may take at most: who cancels waits for it


def best_batch_size(
    seconds: Callable[[int], float], sizes: Sequence[int], gain: float = 1.0
) -> int:
    """Find how many frames at once are worth their memory.

    Parameters
    ----------
    seconds : callable
        Takes a number of frames and says how long they take together.
    sizes : sequence of int
        What is tried, in rising order.
    gain : float
        How many times as many frames a second a larger size must give to be taken.

    Returns
    -------
    int
        The size after which a larger one does not give that gain, or memory ends.

    Raises
    ------
    RuntimeError
        When there is not enough memory for the smallest.
    """
    best, rate = sizes[0], 0.0
    for size in sizes:
        try:
            found = size / max(seconds(size), 1e-9)
        except RuntimeError as error:
            if size == sizes[0] or not out_of_memory(error):
                raise
            break
        if found < gain * rate:
            break
        best, rate = size, found
    return best


def best_on_cpu(run: Callable[[Tensor], object], side: int) -> int:
    """Find the best batch size of a network for threads that compute with one thread each.

    Larger batches save work between layers until their values leave the processor's caches.

    Parameters
    ----------
    run : callable
        Takes pictures of shape (n, 1, side, side).
    side : int
        Pixels.

    Returns
    -------
    int
    """

    def seconds(size: int) -> float:
        pictures = torch.zeros(size, 1, side, side)
        times = []
        for _ in range(2):
            started = time.perf_counter()
            run(pictures)
            times.append(time.perf_counter() - started)
            if times[-1] > _CPU_SECONDS:
                break
        # What takes too long is as good as too slow.
        return min(times) if min(times) <= _CPU_SECONDS or size == _CPU_SIZES[0] else 1e9

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            return best_batch_size(seconds, _CPU_SIZES, _CPU_GAIN)
    finally:
        torch.set_num_threads(threads)
