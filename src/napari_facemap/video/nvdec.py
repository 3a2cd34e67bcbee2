"""Decoding on an NVIDIA GPU by torchcodec, where that gives the same frames sooner."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable
from contextlib import closing
from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor

from napari_facemap.video.grey import WEIGHTS, WEIGHTS_ONE
from napari_facemap.video.index import VideoError
from napari_facemap.video.video import Video

_COMPARED = 32  # frames that must be the same
_TIMED = 256
_SAME = 1  # grey level: GPUs turn colours into others with roundings of their own

Batches = Generator[tuple[int, Tensor]]


def gpu_decodes_faster(video: Video, n: int, device: str = "cuda") -> bool:
    """Whether a GPU gives a video's frames sooner than the processors, and the same ones.

    Parameters
    ----------
    video : Video
        What will be read.
    n : int
        Frames of a batch.
    device : str
        Where frames are wanted.

    Returns
    -------
    bool
        False also where torchcodec or the GPU's decoder is missing or does not know the codec,
        and for videos with frames that do not decode.
    """
    if find_spec("torchcodec") is None or len(video.bad_frames) or video.warnings:
        return False
    some = min(_COMPARED, len(video))
    try:
        with closing(read_on_gpu(video, some, 0, some, device)) as batches:
            _, found = next(batches)
        expected = torch.from_numpy(video.read(0, some).astype(np.int32))
        if (found.int().cpu() - expected).abs().max() > _SAME:
            return False
        timed = min(_TIMED, len(video))
        on_gpu = _seconds(read_on_gpu(video, n, 0, timed, device), device)
    except Exception:  # noqa: BLE001  whatever a driver or a library lacks, processors decode too
        return False
    return on_gpu < _seconds(video.batches(n, 0, timed), device)


def read_on_gpu(
    video: Video, n: int, start: int = 0, stop: int | None = None, device: str = "cuda"
) -> Batches:
    """Read through a video as `Video.batches` does, into the GPU's memory.

    Parameters
    ----------
    video : Video
        What to read.
    n : int
        Frames at once.
    start, stop : int
        Frame numbers; by default the whole video.
    device : str
        Where to decode.

    Yields
    ------
    start : int
    frames : Tensor of uint8, shape (up to n, rows, columns)
        On the device.

    Raises
    ------
    VideoError
        When the frames found are not those of the video's index.
    """
    from torchcodec.decoders import VideoDecoder

    decoder = VideoDecoder(str(video.path), device=device)
    stop = len(video) if stop is None else stop
    if len(decoder) != len(video):
        raise VideoError(
            f"{video.path}: expected {len(video)} frames, the GPU finds {len(decoder)}."
        )
    between = float(np.diff(video.times).min()) if len(video) > 1 else 1.0
    for first in range(start, stop, n):
        last = min(first + n, stop)
        batch = decoder.get_frames_in_range(first, last)
        times = batch.pts_seconds.cpu().numpy() - video.start
        if np.abs(times - video.times[first:last]).max() > between / 2:
            raise VideoError(f"{video.path}: the GPU gives other frames than {first} to {last}.")
        if tuple(batch.data.shape[2:]) != video.shape[1:]:
            raise VideoError(f"{video.path}: the GPU gives frames of another size.")
        yield first, grey_of(batch.data)


def gpu_then_cpu(video: Video, n: int, device: str = "cuda") -> Generator[tuple[int, object]]:
    """Read through a video on the GPU, and from where that fails on the processors."""
    done = 0
    try:
        for first, frames in read_on_gpu(video, n, 0, None, device):
            yield first, frames
            done = first + len(frames)
    except (VideoError, RuntimeError):
        yield from video.batches(n, done)


def grey_of(rgb: Tensor) -> Tensor:
    """Grey levels of colours, weighed as `weigh` does.

    Parameters
    ----------
    rgb : Tensor of uint8, shape (n, 3, rows, columns)
        Red, green, blue.

    Returns
    -------
    Tensor of uint8, shape (n, rows, columns)
    """
    blue, green, red = WEIGHTS
    weighed = rgb[:, 0].int() * red + rgb[:, 1].int() * green + rgb[:, 2].int() * blue
    return ((weighed + WEIGHTS_ONE // 2) // WEIGHTS_ONE).to(torch.uint8)


def _seconds(batches: Iterable[object], device: str) -> float:
    started = time.perf_counter()
    for _ in batches:
        pass
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - started
