"""Where every frame of a video file lies, found by demuxing and never from the header."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import av.container
import av.error
import av.video
import numpy as np
from av.stream import Disposition
from av.video.frame import PictureType

from napari_facemap.video.gaps import GapFinder, fill_gaps


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
    places : dict of int to int
        For AVI files the time of each packet by its place in the file, see `packets`.
    lost : ndarray of int64
        Numbers of the frames that a damaged stretch of the file has swallowed.
    warnings : tuple of str
        What is wrong with the file though it can be read, a line each.
    """

    pts: np.ndarray
    keyframes: np.ndarray
    time_base: Fraction
    seekable: bool = True
    places: dict[int, int] = field(default_factory=dict)
    lost: np.ndarray = field(default_factory=lambda: np.array([], np.int64))
    warnings: tuple[str, ...] = ()

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
        container = av.open(str(path.absolute()))
    except PermissionError as error:
        raise VideoError(f"{path}: no permission to read it.") from error
    except av.error.FFmpegError as error:
        raise VideoError(
            f"{path}: expected a video, but it cannot be opened as one ({error.strerror}). "
            "If the recording was cut off before it was finished, its index may be missing."
        ) from error
    # FFmpeg draws any text as a film of characters.
    streams = [] if container.format.name == "tty" else _moving_pictures(container)
    if not streams:
        container.close()
        raise VideoError(f"{path}: expected a video, found a file without a video stream.")
    return container, streams[0]


def _moving_pictures(container: av.container.InputContainer) -> list[av.video.VideoStream]:
    """Video streams, without those that hold a single cover picture."""
    return [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]


def packets(
    container: av.container.InputContainer,
    stream: av.video.VideoStream,
    places: dict[int, int],
    gaps: GapFinder | None = None,
) -> Iterator[av.Packet]:
    """Packets of a stream up to its end, or to where the file is damaged beyond demuxing.

    Parameters
    ----------
    container, stream : InputContainer, VideoStream
        Open.
    places : dict of int to int
        Times that overrule a packet's own, by its place in the file.
    gaps : GapFinder, optional
        Is shown the packets of all streams, to notice damage between them.
    """
    demuxed = container.demux(stream) if gaps is None else container.demux()
    while True:
        try:
            packet = next(demuxed)
        except (StopIteration, av.error.FFmpegError):
            return
        if not packet.size:
            continue
        ours = packet.stream_index == stream.index
        if gaps is not None:
            gaps.see(packet.pos, packet.size, packet.is_corrupt, packet.pts if ours else None)
        if not ours:
            continue
        if packet.pos in places:
            packet.pts = packet.dts = places[packet.pos]
        yield packet


def _places_in_avi(
    container: av.container.InputContainer, stream: av.video.VideoStream
) -> dict[int, int]:
    """Time of each packet by its place in the file, from an AVI's own index.

    AVI files hold no times: demuxing counts packets, and counts wrong after a damaged stretch.
    An empty packet stands for a frame that the camera dropped, and is no frame.
    """
    if container.format.name != "avi" or stream.codec_context.has_b_frames:
        return {}
    header = 8  # bytes between where the index points to and where the frame's data begin
    return {entry.pos + header: entry.timestamp for entry in stream.index_entries if entry.size}


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
        places = _places_in_avi(container, stream)
        promised = _promised(container, stream)
        # Frames that an AVI's index knows and demuxing does not find are bad frames.
        is_key = dict.fromkeys(places.values(), False)
        seen: set[int | None] = {None}
        damage = GapFinder(container.format.name)
        for packet in packets(container, stream, places, damage):
            if packet.is_discard:
                continue
            if packet.pts in seen:
                return _index_by_decoding(path)
            seen.add(packet.pts)
            is_key[packet.pts] = packet.is_keyframe
        if not is_key:
            raise VideoError(f"{path}: expected a video, found a video stream without a frame.")
        time_base = stream.time_base or Fraction(1, 1000)
        found = np.array(sorted(is_key), np.int64)
        lost = fill_gaps(found, damage.gaps, time_base)
        pts = np.union1d(found, lost)
        keyframes = np.flatnonzero([is_key.get(when, False) for when in pts.tolist()])
        if not _decoding_starts_at(container, stream, pts[keyframes[1:2]]):
            keyframes = keyframes[:0]
        warnings = [
            *_about_streams(path, container),
            *_about_damage(path, found, lost, len(damage.gaps), time_base),
            *_about_the_end(path, container, pts, promised, time_base),
        ]
    return FrameIndex(
        pts,
        np.union1d(keyframes, [0]),
        time_base,
        places=places,
        lost=np.searchsorted(pts, lost),
        warnings=tuple(warnings),
    )


def _promised(container: av.container.InputContainer, stream: av.video.VideoStream) -> int:
    """How many frames the file's header or table of contents speaks of; 0 if it is silent."""
    if "mp4" in container.format.name:
        # Without those that an edit list leaves out.
        return sum(not entry.is_discard for entry in stream.index_entries)
    if container.format.name == "avi":
        return stream.frames - sum(entry.size == 0 for entry in stream.index_entries)
    return stream.frames


def _about_streams(path: Path, container: av.container.InputContainer) -> Iterator[str]:
    n_streams = len(_moving_pictures(container))
    if n_streams > 1:
        yield f"{path}: holds {n_streams} videos; the first is read."


def _about_damage(
    path: Path, found: np.ndarray, lost: np.ndarray, n_gaps: int, time_base: Fraction
) -> Iterator[str]:
    if len(lost):
        first, last = ((when - found[0]) * float(time_base) for when in (lost[0], lost[-1]))
        yield (
            f"{path}: damaged; {len(lost)} frames between {first:.3f} s and {last:.3f} s are lost "
            "and count as bad frames."
        )
    elif n_gaps:
        yield (
            f"{path}: damaged in {n_gaps} places; frames may be missing there, and frame numbers "
            "after it may be too low; the times in seconds are right."
        )


def _about_the_end(
    path: Path,
    container: av.container.InputContainer,
    pts: np.ndarray,
    promised: int,
    time_base: Fraction,
) -> Iterator[str]:
    there = "the file is probably cut off. What is there can be used."
    if promised > len(pts) + 1:
        yield (f"{path}: its header promises {promised} frames but it holds {len(pts)}; {there}")
    elif not promised and len(container.streams) == 1 and container.duration and len(pts) > 1:
        duration = container.duration / av.time_base
        held = float((pts[-1] - pts[0] + np.median(np.diff(pts))) * time_base)
        if duration - held > max(1.0, 0.01 * duration):
            yield (
                f"{path}: its header promises {duration:.1f} s but it holds {held:.1f} s, "
                f"{len(pts)} frames; {there}"
            )


def _decoding_starts_at(
    container: av.container.InputContainer, stream: av.video.VideoStream, pts: np.ndarray
) -> bool:
    """False where a packet called a keyframe is not whole by itself (gradual refresh)."""
    for when in pts.tolist():
        try:
            container.seek(when, stream=stream, backward=True)
            first = next(packets(container, stream, {}), None)
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
        warnings = [
            *_about_streams(path, container),
            (
                f"{path}: its frames carry no times of their own, so that all of it was decoded "
                "to count them and jumps are slow; converted to .mp4 it opens fast."
            ),
        ]
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        time_base = stream.time_base or Fraction(1, 1000)
    if not found:
        raise VideoError(f"{path}: expected a video, but not one of its frames can be decoded.")
    pts = np.array([-1 if p is None else p for p in found], np.int64)
    if min(pts) < 0 or (np.diff(pts) <= 0).any():
        pts, time_base = np.arange(len(found), dtype=np.int64), 1 / Fraction(rate)
    return FrameIndex(pts, np.array([0]), time_base, False, warnings=tuple(warnings))


def decoded(
    container: av.container.InputContainer, stream: av.video.VideoStream
) -> Iterator[av.VideoFrame]:
    """Frames in the order in which they are shown; packets that do not decode give none."""
    for packet in packets(container, stream, {}):
        try:
            yield from packet.decode()
        except av.error.FFmpegError:
            continue
    try:
        yield from stream.codec_context.decode(None)
    except (av.error.FFmpegError, EOFError):
        return
