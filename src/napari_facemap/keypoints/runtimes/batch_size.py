"""How many frames at once are fastest."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch

from napari_facemap.keypoints.device import out_of_memory

_CPU_SIZES = (4, 8, 16, 32)
_CPU_GAIN = 0.93  # of the best rate: timings are noisy, and larger batches wait less often
_CPU_TRIES = 2
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


def best_on_cpu(work: Callable[[int], object], most: int) -> int:
    """Find the best batch size for threads that compute with one thread each.

    Larger batches save work between layers until their values leave the processor's caches.

    Parameters
    ----------
    work : callable
        Takes a number of frames and does with so many what is done with each batch.
    most : int
        Frames that a batch may have.

    Returns
    -------
    int
    """
    sizes = [size for size in _CPU_SIZES if size <= most] or [max(1, most)]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        times = _seconds(work, sizes)
    finally:
        torch.set_num_threads(threads)
    rates = {size: size / max(min(found), 1e-9) for size, found in times.items()}
    return max(size for size in rates if rates[size] >= _CPU_GAIN * max(rates.values()))


def _seconds(work: Callable[[int], object], sizes: Sequence[int]) -> dict[int, list[float]]:
    """Time each size; one that takes too long, as all after it would, is left out but the first."""
    times: dict[int, list[float]] = {size: [] for size in sizes}
    for _ in range(_CPU_TRIES):
        for size in list(times):
            started = time.perf_counter()
            work(size)
            times[size].append(time.perf_counter() - started)
            if min(times[size]) > _CPU_SECONDS:
                times = {kept: times[kept] for kept in sizes if kept < size or kept == sizes[0]}
                break
    return times
