"""Frame-exact decoding of any stretch of a video."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import av.error
import numpy as np

from napari_facemap.video.grey import grey
from napari_facemap.video.index import FrameIndex, open_container, packets


class Decoder:
    """One open file that gives frames by number.

    A frame is identified by its presentation time, so that it is the same picture whatever was
    read before it. Reading on from the last frame goes on decoding; anything else seeks to the
    keyframe before it. Not thread-safe: one thread at a time.

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
        self._open()

    def _open(self) -> None:
        self._container, self._stream = open_container(self.path)
        self._stream.codec_context.thread_count = self._threads
        self._stream.thread_type = "AUTO"
        # Files without usable times are counted from the start.
        self._counted = 0
        self._restart(0)

    def _restart(self, first: int) -> None:
        """Decoding begins at `first`; frames shown earlier may lack what they refer to."""
        self._first = first
        self._skip_before: int | None = None
        self._frames = self._decode()
        self.position = first

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def read(self, start: int, stop: int, keep_passed: bool = False) -> dict[int, np.ndarray]:
        """Decode frames `start` to `stop`, the latter not included.

        Parameters
        ----------
        start, stop : int
            Frame numbers.
        keep_passed : bool
            Give also the frames that had to be decoded on the way from the keyframe.

        Returns
        -------
        dict of int to ndarray of uint8, shape (rows, columns)
            Grey pictures by frame number. A frame that does not decode is missing.
        """
        found: dict[int, np.ndarray] = {}
        begin = start
        while True:
            key = self._go_to(begin, start, keep_passed)
            for number, frame in self._frames:
                self.position = number + 1
                if start <= number < stop or (keep_passed and number < stop):
                    found[number] = grey(frame)
                if number >= stop - 1:
                    break
            # A file cut so that decoding cannot start at this keyframe: take an earlier one.
            if start in found or key == 0 or key is None:
                return found
            begin = key - 1

    def _go_to(self, begin: int, target: int, keep_passed: bool) -> int | None:
        """Stand at `begin` or the keyframe before it; the keyframe, None when going on."""
        key = self.index.keyframe_before(begin)
        if key <= self.position <= begin and (self.position > self._first or key == self._first):
            return None
        if not self.index.seekable:
            if self.position > begin or self._counted:
                self.close()
                self._open()
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
            self.close()
            self._open()
        self._stream.codec_context.flush_buffers()
        self._restart(key)

    def _decode(self) -> Iterator[tuple[int, av.VideoFrame]]:
        """Frames with their numbers, from the keyframe `_first` on, in the order shown."""
        context = self._stream.codec_context
        began = False
        for packet in packets(self._container, self._stream):
            # Some seeks land early, inside a group of frames: wait for its keyframe.
            if not began and not packet.is_keyframe:
                continue
            began = True
            self._choose_skipping(packet)
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                continue
            yield from self._numbered(frames)
        context.skip_frame = "DEFAULT"
        try:
            yield from self._numbered(context.decode(None))
        except (av.error.FFmpegError, EOFError):
            return

    def _choose_skipping(self, packet: av.Packet) -> None:
        """Leave out frames before the target that no other frame refers to."""
        skip = (
            self._skip_before is not None
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
            if number is not None and number >= self._first and not frame.is_corrupt:
                yield number, frame
