"""Values that some keypoints have in some frames, and a log that takes changes of them back."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

V = TypeVar("V")


class FrameValues(Generic[V]):
    """A value for some keypoints of some frames, by frame number and keypoint index."""

    def __init__(self) -> None:
        self._values: dict[int, dict[int, V]] = {}
        self._frames: list[int] | None = []  # sorted; None when it has to be made anew

    def __len__(self) -> int:
        """Number of values, over all frames."""
        return sum(len(values) for values in self._values.values())

    def __iter__(self) -> Iterator[tuple[int, int, V]]:
        """Give frame, keypoint index and value, in the order of frames."""
        for frame in self.frames:
            for index, value in self._values[frame].items():
                yield frame, index, value

    @property
    def frames(self) -> Sequence[int]:
        """Frames with a value, sorted."""
        if self._frames is None:
            self._frames = sorted(self._values)
        return self._frames

    def of(self, frame: int) -> Mapping[int, V]:
        """Values of one frame by keypoint index; empty where there is none."""
        return self._values.get(frame, {})

    def between(self, start: int, stop: int) -> Sequence[int]:
        """Frames with a value from `start` to `stop`, the latter not included."""
        frames = self.frames
        return frames[bisect.bisect_left(frames, start) : bisect.bisect_left(frames, stop)]

    def nearest(self, frame: int, step: int) -> int | None:
        """Nearest frame with a value after (`step` 1) or before (`step` -1) `frame`."""
        if step > 0:
            at = bisect.bisect_right(self.frames, frame)
            return self.frames[at] if at < len(self.frames) else None
        at = bisect.bisect_left(self.frames, frame) - 1
        return self.frames[at] if at >= 0 else None

    def write(self, frame: int, values: Mapping[int, V | None]) -> None:
        """Set values of a frame by keypoint index; None takes one away."""
        known = frame in self._values
        here = self._values.setdefault(frame, {})
        for index, value in values.items():
            if value is None:
                here.pop(index, None)
            else:
                here[index] = value
        if not here:
            del self._values[frame]
        if known != bool(here):
            self._frames = None


@dataclass(frozen=True)
class _Part:
    """What one step changed in one frame of one set of values."""

    values: FrameValues[Any]
    frame: int
    before: Mapping[int, Any]
    after: Mapping[int, Any]


class History:
    """Steps that changed `FrameValues`, to be undone and done again.

    Attributes
    ----------
    last_changed : tuple of int
        Frames that the last step changed, whether it was done, undone or done again; empty when
        there was nothing to change.
    """

    def __init__(self) -> None:
        self.last_changed: tuple[int, ...] = ()
        self._done: list[tuple[_Part, ...]] = []
        self._undone: list[tuple[_Part, ...]] = []

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to take back."""
        return bool(self._done)

    @property
    def can_redo(self) -> bool:
        """Whether there is a step to do again."""
        return bool(self._undone)

    def apply(self, changes: Iterable[tuple[FrameValues[Any], int, Mapping[int, Any]]]) -> None:
        """Write values of one or many frames as one step.

        Parameters
        ----------
        changes : iterable of (FrameValues, frame, values by keypoint index)
            As for `FrameValues.write`. Without any value there is no step.
        """
        step = []
        for values, frame, after in list(changes):  # all of them first: one may be refused
            if after:
                known = values.of(frame)
                before = {index: known.get(index) for index in after}
                step.append(_Part(values, frame, before, dict(after)))
                values.write(frame, after)
        self._note(step)
        if step:
            self._done.append(tuple(step))
            self._undone.clear()

    def undo(self) -> int | None:
        """Take the last step back; gives its first frame, or None when there is no step."""
        if not self._done:
            return None
        step = self._done.pop()
        for part in reversed(step):
            part.values.write(part.frame, part.before)
        self._undone.append(step)
        return self._note(step)

    def redo(self) -> int | None:
        """Do again what was taken back last; gives its first frame, or None."""
        if not self._undone:
            return None
        step = self._undone.pop()
        for part in step:
            part.values.write(part.frame, part.after)
        self._done.append(step)
        return self._note(step)

    def _note(self, step: Sequence[_Part]) -> int | None:
        self.last_changed = tuple(sorted({part.frame for part in step}))
        return self.last_changed[0] if step else None
