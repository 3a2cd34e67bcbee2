"""NVIDIA GPUs: one recorded graph from grey levels to what the network read."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from napari_facemap.keypoints.reading import Reading
from napari_facemap.keypoints.runtimes.batch_size import best_batch_size

Look = Callable[[Tensor], Reading]
"""From the parts of frames that lie in the box, uint8 on the GPU, to what was read there."""

_SIZES = (8, 16, 32, 64, 128, 256, 512)
_GAIN = 1.1  # in frames a second, for which twice the memory is taken
_WARM_UP = 3  # calls in which libraries choose their algorithms, before a graph is recorded


class CudaReader:
    """Reads batches with one launch of a recorded graph, copying beside computing.

    Frames go to the GPU as uint8 through pinned memory; only points come back. Used by one thread
    at a time; two readers in two threads keep the GPU busy while frames are copied.

    Parameters
    ----------
    look : callable
        What the graph is recorded from; shapes do not depend on values.
    batch_size, rows, columns : int
        Shape of the largest batch.
    device : torch.device
        A CUDA device.
    """

    def __init__(self, look: Look, batch_size: int, rows: int, columns: int, device: torch.device):
        self._stream = torch.cuda.Stream(device)
        shape = (batch_size, rows, columns)
        self._staged = torch.zeros(shape, dtype=torch.uint8, pin_memory=True)
        with torch.inference_mode(), torch.cuda.stream(self._stream):
            self._crop = torch.zeros(shape, dtype=torch.uint8, device=device)
            for _ in range(_WARM_UP):
                _joined(look(self._crop))
            self._stream.synchronize()
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph, stream=self._stream):
                self._result = _joined(look(self._crop))
            self._fetched = torch.zeros(self._result.shape, pin_memory=True)

    def __call__(self, crop: np.ndarray | Tensor) -> Reading:
        """Read frames' parts of shape (n, rows, columns); a tensor is on the GPU already."""
        n = len(crop)
        if isinstance(crop, Tensor):
            self._stream.wait_stream(torch.cuda.current_stream())
        else:
            np.copyto(self._staged[:n].numpy(), crop)
            crop = self._staged[:n]
        with torch.inference_mode(), torch.cuda.stream(self._stream):
            self._crop[:n].copy_(crop, non_blocking=True)
            self._graph.replay()
            self._fetched.copy_(self._result, non_blocking=True)
        self._stream.synchronize()
        fetched = self._fetched[:n].clone()
        return Reading(fetched[:, :2], fetched[:, 2], fetched[:, 3])


class CudaReaders:
    """As many readers as threads that call; a call waits for one that is free.

    Parameters
    ----------
    look, rows, columns, device
        See `CudaReader`.
    batch_size : int, optional
        Frames at once. By default the size beyond which frames a second grow by less than a
        tenth.
    n : int
        Readers.
    """

    def __init__(
        self,
        look: Look,
        rows: int,
        columns: int,
        device: torch.device,
        batch_size: int | None = None,
        n: int = 2,
    ):
        def seconds(size: int) -> float:
            reader = CudaReader(look, size, rows, columns, device)
            frames = np.zeros((size, rows, columns), np.uint8)
            reader(frames)
            started = time.perf_counter()
            reader(frames)
            return time.perf_counter() - started

        self.batch_size = batch_size or best_batch_size(seconds, _SIZES, _GAIN)
        self._free: queue.SimpleQueue[CudaReader] = queue.SimpleQueue()
        for _ in range(n):
            self._free.put(CudaReader(look, self.batch_size, rows, columns, device))

    def __call__(self, crop: np.ndarray | Tensor) -> Reading:
        """Read frames' parts, see `CudaReader`."""
        reader = self._free.get()
        try:
            return reader(crop)
        finally:
            self._free.put(reader)


def _joined(reading: Reading) -> Tensor:
    return torch.cat([reading.xy, reading.spread[:, None], reading.seen[:, None]], dim=1).float()
