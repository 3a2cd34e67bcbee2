"""Frames of one or several views passing by, each beside the one before it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_facemap.movement.binning import Binning
from napari_facemap.movement.results import Measure
from napari_facemap.pipeline import in_order
from napari_facemap.processors import n_processors

if TYPE_CHECKING:
    from napari_facemap.video.arrays import ArrayVideo
    from napari_facemap.video.video import Video

_BATCH_BYTES = 1 << 23
_MOST_FRAMES = 64


@dataclass(frozen=True)
class Portion:
    """Some frames of each view, and the frames before them."""

    before: tuple[np.ndarray, ...]
    frames: tuple[np.ndarray, ...]

    def __len__(self) -> int:
        return len(self.frames[0])


@dataclass(frozen=True)
class Found:
    """What was found in a portion.

    Attributes
    ----------
    values : tuple of ndarray, each shape (n, column)
        Of each measure.
    sums : tuple of ndarray of uint16, each shape (n, pixel)
        Of each binning.
    """

    values: tuple[np.ndarray, ...]
    sums: tuple[np.ndarray, ...]


def batch_size_for(videos: Sequence[Video | ArrayVideo]) -> int:
    """How many frames at once suit the processor's caches and memory."""
    pixels = max(video.shape[1] * video.shape[2] for video in videos)
    return int(np.clip(_BATCH_BYTES // pixels, 1, _MOST_FRAMES))


def portions(videos: Sequence[Video | ArrayVideo], n: int) -> Generator[tuple[int, Portion]]:
    """Read all views in step, `n` frames at a time."""
    with ExitStack() as stack:
        reading = [stack.enter_context(closing(video.batches(n))) for video in videos]
        before: tuple[np.ndarray, ...] | None = None
        for batches in zip(*reading, strict=True):
            frames = tuple(frames for _, frames in batches)
            yield batches[0][0], Portion(before or tuple(part[0] for part in frames), frames)
            # A copy, so that the batch's memory is free when it is done with.
            before = tuple(part[-1].copy() for part in frames)


def pass_by(
    videos: Sequence[Video | ArrayVideo],
    measures: Sequence[tuple[int, Measure]],
    binnings: Sequence[tuple[int, Binning]],
    n: int,
    take: Callable[[int, Found], bool],
) -> None:
    """Go through the videos once.

    Parameters
    ----------
    videos : sequence of Video or ArrayVideo
        The views, with as many frames each.
    measures : sequence of (int, Measure)
        Which view, and what to measure.
    binnings : sequence of (int, Binning)
        Which view, and what to add up.
    n : int
        Frames at once.
    take : callable
        Is given each portion's first frame and what was found, in order; False ends the pass.
    """

    def work(portion: Portion) -> Found:
        return Found(
            tuple(m.work(portion.before[view], portion.frames[view]) for view, m in measures),
            tuple(binning(portion.frames[view]) for view, binning in binnings),
        )

    with (
        closing(portions(videos, n)) as parts,
        closing(in_order(parts, work, n_processors())) as results,
    ):
        for start, _, found in results:
            if not take(start, found):
                break
