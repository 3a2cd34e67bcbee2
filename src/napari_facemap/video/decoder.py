"""Frame-exact decoding of any stretch of a video."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import av
import av.error

from napari_facemap.video.index import FrameIndex, open_container, packets

# Codecs whose frames that no other refers to can be left out on the way without any effect.
_SKIPS_EXACTLY = ("h264",)

Taker = Callable[[int, av.VideoFrame], None]


class _Damage(Exception):
    """Something did not decode while several threads of the codec were at work."""


class Decoder:
    """One open file that gives frames by number.

    A frame is identified by its presentation time, so that it is the same picture whatever was
    read before it. Reading on from the last frame goes on decoding; anything else seeks to the
    keyframe before it. Not thread-safe: one thread at a time.

    Where a packet does not decode, its frame is missing, and with it all that may refer to it:
    the frames up to the next keyframe, unless no frame refers to that packet.

    Parameters
    ----------
    path : Path
        The video.
    index : FrameIndex
        Its index.
    threads : int
        Threads of the codec; 0 lets it choose.
    """

    def __init__(self, path: Path, index: FrameIndex, threads: int = 0):
        self.path, self.index = path, index
        self._threads = threads
        self._container, self._stream = open_container(path)
        self._begin()

    def _reopen(self) -> None:
        # The old file is let go only when there is a new one: who asks again may be luckier.
        container, stream = open_container(self.path)
        self._container.close()
        self._container, self._stream = container, stream
        self._begin()

    def _begin(self) -> None:
        self._stream.codec_context.thread_count = self._threads
        self._stream.thread_type = "AUTO"
        # Files without usable times are counted from the start.
        self._counted = 0
        if self._stream.codec_context.pix_fmt == "pal8":
            self._take_palette()
        self._restart(0)

    def _restart(self, first: int) -> None:
        """Decoding begins at `first`; frames shown earlier may lack what they refer to."""
        self._first = first
        self._first_pts = int(self.index.pts[first])
        self._skip_before: int | None = None
        # Presentation times of frames that may refer to one that did not decode.
        self._spoilt: set[int | None] = set()
        self._frames = self._decode()
        self.position = first

    def _take_palette(self) -> None:
        """Decode the first packet: the palette comes with it alone, and seeking skips it."""
        for packet in packets(self._container, self._stream, self.index.places):
            with suppress(av.error.FFmpegError):
                packet.decode()
            break
        with suppress(av.error.FFmpegError):
            self._container.seek(0, stream=self._stream)
        self._stream.codec_context.flush_buffers()

    @property
    def codec(self) -> str:
        """The codec as FFmpeg names it."""
        return self._stream.codec_context.name

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def read(self, start: int, stop: int, take: Taker, keep_passed: bool = False) -> None:
        """Decode frames `start` to `stop`, the latter not included.

        Parameters
        ----------
        start, stop : int
            Frame numbers.
        take : callable
            Is given each frame's number and the frame, see `grey`. A frame that does not decode
            is left out; after damage a frame may be given twice.
        keep_passed : bool
            Give also the frames that had to be decoded on the way from the keyframe.
        """
        try:
            began_at, found = self._give(start, start, stop, take, keep_passed)
            if not found and began_at:
                # A file may be cut so that decoding cannot start at its keyframe: one earlier.
                self._give(began_at - 1, start, stop, take, keep_passed)
        except _Damage:
            # Threads lose frames around damage by chance; one alone loses the same ones always.
            self._threads = 1
            self._reopen()
            self.read(start, stop, take, keep_passed)

    def _give(
        self, begin: int, start: int, stop: int, take: Taker, keep_passed: bool
    ) -> tuple[int | None, bool]:
        """Decode from the keyframe before `begin`; see `_go_to`, and whether `start` was found."""
        key = self._go_to(begin, start, keep_passed)
        found = False
        for number, frame in self._frames:
            self.position = number + 1
            found |= number == start
            if start <= number < stop or (keep_passed and number < stop):
                take(number, frame)
            if number >= stop - 1:
                break
        return key, found

    def _go_to(self, begin: int, target: int, keep_passed: bool) -> int | None:
        """Stand at `begin` or the keyframe before it; the keyframe, None when going on."""
        key = self.index.keyframe_before(begin)
        if key <= self.position <= begin and (self.position > self._first or key == self._first):
            return None
        if not self.index.seekable:
            if self.position > begin or self._counted:
                self._reopen()
            return 0
        self._seek(key)
        if not keep_passed:
            self._skip_before = int(self.index.pts[target])
        return key

    def _seek(self, key: int) -> None:
        try:
            if key == 0:
                raise av.error.FFmpegError(0, "some containers cannot seek to their start")
            self._container.seek(int(self.index.pts[key]), stream=self._stream, backward=True)
        except av.error.FFmpegError:
            self._reopen()
        self._stream.codec_context.flush_buffers()
        self._restart(key)

    def _decode(self) -> Iterator[tuple[int, av.VideoFrame]]:
        """Frames with their numbers, from the keyframe `_first` on, in the order shown."""
        context = self._stream.codec_context
        began = not self.index.seekable or self._first == 0
        spoilt = False
        for packet in packets(self._container, self._stream, self.index.places):
            leading = packet.pts is not None and packet.pts < self._first_pts
            if self.index.seekable and self._first > 0:
                # Seeking may land early, and frames shown before the keyframe may refer further
                # back: neither is asked for.
                if leading or not (began or packet.is_keyframe):
                    continue
                began = True
            spoilt = spoilt and not packet.is_keyframe
            if spoilt:
                self._spoilt.add(packet.pts)
            self._choose_skipping(packet)
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                if self._threads != 1:
                    raise _Damage from None
                spoilt = spoilt or self._is_referred_to(packet)
                continue
            yield from self._numbered(frames)
        context.skip_frame = "DEFAULT"
        try:
            frames = context.decode(None)
        except av.error.EOFError:
            return
        except av.error.FFmpegError:
            if self._threads != 1:
                raise _Damage from None
            return
        yield from self._numbered(frames)

    def _is_referred_to(self, packet: av.Packet) -> bool:
        """Whether other frames may refer to a packet that does not decode."""
        context = self._stream.codec_context
        if self.codec not in _SKIPS_EXACTLY:
            return True
        try:
            context.skip_frame = "NONREF"
            packet.decode()
        except av.error.FFmpegError:
            return True
        return False

    def _choose_skipping(self, packet: av.Packet) -> None:
        """Leave out frames before the target that no other frame refers to."""
        skip = (
            self._skip_before is not None
            and self.codec in _SKIPS_EXACTLY
            and packet.pts is not None
            and packet.pts < self._skip_before
        )
        wanted = "NONREF" if skip else "DEFAULT"
        context = self._stream.codec_context
        if context.skip_frame != wanted:
            context.skip_frame = wanted

    def _numbered(self, frames: list[av.VideoFrame]) -> Iterator[tuple[int, av.VideoFrame]]:
        for frame in frames:
            if self.index.seekable:
                number = self.index.number_of(frame.pts)
            else:
                number = self._counted
                self._counted += 1
            if number is None or number < self._first or frame.is_corrupt:
                continue
            if frame.pts is None or frame.pts not in self._spoilt:
                yield number, frame
