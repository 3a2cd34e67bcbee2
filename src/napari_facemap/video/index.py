"""Where every frame of a video file lies, found by demuxing and never from the header."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import av.container
import av.error
import av.video
import numpy as np
from av.video.frame import PictureType


class VideoError(ValueError):
    """A file that is missing, is not a video, or cannot be read as one."""


@dataclass(frozen=True)
class FrameIndex:
    """The frames of a video in the order in which they are shown.

    Attributes
    ----------
    pts : ndarray of int64, shape (time,)
        When each frame is shown, strictly increasing, in units of `time_base`.
    keyframes : ndarray of int64
        Numbers of the frames that decoding can start from; the first is always among them.
    time_base : Fraction
        Seconds.
    seekable : bool
        False for files whose packets do not say when they are shown: their frames were counted
        by decoding, and are reached by decoding from the start.
    """

    pts: np.ndarray
    keyframes: np.ndarray
    time_base: Fraction
    seekable: bool = True

    @property
    def times(self) -> np.ndarray:
        """Seconds since the first frame, float64."""
        since_first = self.pts - self.pts[0] if len(self.pts) else self.pts
        return since_first * float(self.time_base)

    def number_of(self, pts: int | None) -> int | None:
        """Number of the frame shown at `pts`; None if there is none."""
        if pts is None:
            return None
        number = int(np.searchsorted(self.pts, pts))
        return number if number < len(self.pts) and self.pts[number] == pts else None

    def keyframe_before(self, frame: int) -> int:
        """The last keyframe that is not after `frame`."""
        return int(self.keyframes[np.searchsorted(self.keyframes, frame, side="right") - 1])


def open_container(path: Path) -> tuple[av.container.InputContainer, av.video.VideoStream]:
    """Open a file and its first video stream.

    Raises
    ------
    VideoError
        When the file is missing, empty, not a video, or holds no video stream.
    """
    if not path.exists():
        raise VideoError(f"{path}: no such file.")
    if path.is_dir():
        raise VideoError(f"{path}: expected a video file, found a folder.")
    if path.stat().st_size == 0:
        raise VideoError(f"{path}: the file is empty (0 bytes); copy or record it anew.")
    try:
        container = av.open(str(path))
    except PermissionError as error:
        raise VideoError(f"{path}: no permission to read it.") from error
    except av.error.FFmpegError as error:
        raise VideoError(
            f"{path}: expected a video, but it cannot be opened as one ({error.strerror}). "
            "If the recording was cut off before it was finished, its index may be missing."
        ) from error
    if not container.streams.video:
        container.close()
        raise VideoError(f"{path}: expected a video, found a file without a video stream.")
    return container, container.streams.video[0]


def packets(
    container: av.container.InputContainer, stream: av.video.VideoStream
) -> Iterator[av.Packet]:
    """Packets of a stream up to its end, or to where the file is damaged beyond demuxing."""
    places = _places_in_avi(container, stream)
    demuxed = container.demux(stream)
    while True:
        try:
            packet = next(demuxed)
        except (StopIteration, av.error.FFmpegError):
            return
        if not packet.size:
            continue
        if packet.pos in places:
            packet.pts = packet.dts = places[packet.pos]
        yield packet


def _places_in_avi(
    container: av.container.InputContainer, stream: av.video.VideoStream
) -> dict[int, int]:
    """Time of each packet by its place in the file, from an AVI's own index.

    AVI files hold no times: demuxing counts packets, and counts wrong after a damaged stretch.
    """
    if container.format.name != "avi" or stream.codec_context.has_b_frames:
        return {}
    header = 8  # bytes between where the index points to and where the frame's data begin
    return {entry.pos + header: entry.timestamp for entry in stream.index_entries}


def build_index(path: Path) -> FrameIndex:
    """Index a video by demuxing it once.

    Parameters
    ----------
    path : Path
        The video.

    Returns
    -------
    FrameIndex

    Raises
    ------
    VideoError
        When it is not a video or holds no frame.
    """
    container, stream = open_container(path)
    with container:
        # These containers hold no presentation times for frames that are stored out of order.
        if container.format.name in ("avi", "mpeg") and stream.codec_context.has_b_frames:
            return _index_by_decoding(path)
        # Frames that an AVI's index knows and demuxing does not find are bad frames.
        is_key = dict.fromkeys(_places_in_avi(container, stream).values(), False)
        seen: set[int | None] = {None}
        for packet in packets(container, stream):
            if packet.is_discard:
                continue
            if packet.pts in seen:
                return _index_by_decoding(path)
            seen.add(packet.pts)
            is_key[packet.pts] = packet.is_keyframe
        if not is_key:
            raise VideoError(f"{path}: expected a video, found a video stream without a frame.")
        time_base = stream.time_base or Fraction(1, 1000)
        pts = np.array(sorted(is_key), np.int64)
        keyframes = np.flatnonzero([is_key[when] for when in pts.tolist()])
        if not _decoding_starts_at(container, stream, pts[keyframes[1:2]]):
            keyframes = keyframes[:0]
    return FrameIndex(pts, np.union1d(keyframes, [0]), time_base)


def _decoding_starts_at(
    container: av.container.InputContainer, stream: av.video.VideoStream, pts: np.ndarray
) -> bool:
    """False where a packet called a keyframe is not whole by itself (gradual refresh)."""
    for when in pts.tolist():
        try:
            container.seek(when, stream=stream, backward=True)
            first = next(packets(container, stream), None)
            if first is None or first.pts != when:
                continue  # landed elsewhere, so that nothing can be said
            frame = next(chain(first.decode(), decoded(container, stream)), None)
        except av.error.FFmpegError:
            return False
        if frame is None or frame.pts != when or frame.pict_type != PictureType.I:
            return False
    return True


def _index_by_decoding(path: Path) -> FrameIndex:
    """Index a file whose packets lack times, or share them, by decoding all of it."""
    container, stream = open_container(path)
    with container:
        stream.thread_type = "AUTO"
        found = [frame.pts for frame in decoded(container, stream)]
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        time_base = stream.time_base or Fraction(1, 1000)
    if not found:
        raise VideoError(f"{path}: expected a video, but not one of its frames can be decoded.")
    pts = np.array([-1 if p is None else p for p in found], np.int64)
    if min(pts) < 0 or (np.diff(pts) <= 0).any():
        pts, time_base = np.arange(len(found), dtype=np.int64), 1 / Fraction(rate)
    return FrameIndex(pts, np.array([0]), time_base, seekable=False)


def decoded(
    container: av.container.InputContainer, stream: av.video.VideoStream
) -> Iterator[av.VideoFrame]:
    """Frames in the order in which they are shown; packets that do not decode give none."""
    for packet in packets(container, stream):
        try:
            yield from packet.decode()
        except av.error.FFmpegError:
            continue
    try:
        yield from stream.codec_context.decode(None)
    except (av.error.FFmpegError, EOFError):
        return
