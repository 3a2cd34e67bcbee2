"""Frames that a damaged stretch of a file has swallowed, so that the rest keep their numbers."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

# Block and cluster headers of Matroska take fewer bytes than this between two packets.
_HEADER_BYTES = 256
# How far, in frames, a frame may be stored from where it is shown.
_REORDERED = 17


class Gap(NamedTuple):
    """A stretch of presentation time in which packets were lost, in units of the time base."""

    begin: int
    end: int


class GapFinder:
    """Notices, packet by packet, where demuxing had to step over damage.

    Two signs are taken: bytes between packets that belong to none (Matroska, where packets
    otherwise lie end to end), and packets that the demuxer itself calls corrupt (MPEG-TS, whose
    packets are counted). A pause of the camera leaves neither.

    Parameters
    ----------
    container_format : str
        As FFmpeg names it.
    """

    def __init__(self, container_format: str):
        self._end_to_end = "matroska" in container_format
        # Elsewhere "corrupt" is said of a last packet that was cut off, which is no gap.
        self._counted = container_format == "mpegts"
        self._end: int | None = None
        self._last_pts: int | None = None
        self._lost = False
        self.gaps: list[Gap] = []

    def see(self, pos: int | None, size: int, corrupt: bool, pts: int | None) -> None:
        """Take the next packet in file order; `pts` is None for other streams' packets."""
        if self._end_to_end and pos is not None and pos >= 0:
            self._lost |= self._end is not None and pos - self._end > _HEADER_BYTES
            self._end = pos + size
        self._lost |= corrupt and self._counted
        if pts is None:
            return
        if self._lost and self._last_pts is not None:
            self.gaps.append(Gap(*sorted((self._last_pts, pts))))
        self._lost, self._last_pts = False, pts


def fill_gaps(pts: np.ndarray, gaps: Sequence[Gap], time_base: Fraction) -> np.ndarray:
    """Presentation times of the frames lost in gaps, as far as they can be told.

    Parameters
    ----------
    pts : ndarray of int64, shape (time,)
        Of the frames that are there, increasing.
    gaps : sequence of Gap
        Where packets were lost.
    time_base : Fraction
        Seconds.

    Returns
    -------
    ndarray of int64
        Evenly spaced times of the lost frames; empty when the frame rate varies, since it can
        then not be told how many are missing.
    """
    steps = np.diff(pts)
    if not gaps or len(steps) < 3:
        return np.array([], np.int64)
    step = float(np.median(steps))
    # Containers round times, Matroska to 1 ms: a step is allowed to be that much off.
    slack = max(1.0, 0.0011 / float(time_base), 0.02 * step)
    uneven = np.flatnonzero(np.abs(steps - step) > slack)
    # The mean is finer than the median of rounded steps.
    even = np.delete(steps, uneven)
    step = float(even.mean())
    lost: list[np.ndarray] = []
    for i in uneven.tolist():
        reach = _REORDERED * step
        near = any(pts[i] < gap.end + reach and pts[i + 1] > gap.begin - reach for gap in gaps)
        n = round(steps[i] / step)
        if not near or n < 2 or abs(steps[i] - n * step) > slack + 0.02 * step * n:
            continue
        lost.append(np.round(np.linspace(pts[i], pts[i + 1], n + 1)[1:-1]).astype(np.int64))
    steady = len(uneven) - len(lost) <= 0.02 * len(steps)
    return np.concatenate(lost) if lost and steady else np.array([], np.int64)
