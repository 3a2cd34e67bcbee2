"""Progress of long work on the command line, and stopping it without losing what is done."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any, Self

from tqdm import tqdm

INTERRUPTED = 130
"""Exit status after Ctrl+C, as shells have it."""


class ProgressBar:
    """A line on standard error with rate and time left; a `progress` callback to call.

    `after` is said when all is counted and the work goes on.
    """

    def __init__(self, title: str, unit: str, after: str = ""):
        self._after = after
        self._bar = tqdm(desc=title, unit=unit, dynamic_ncols=True, mininterval=0.5)

    def __call__(self, done: int, total: int) -> None:
        """Say that `done` of `total` is done."""
        self._bar.total = total
        self._bar.update(done - self._bar.n)
        if self._after and done >= total:
            self._bar.set_postfix_str(self._after)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.close()


class Interruptible:
    """Turns the first Ctrl+C into a wish to stop, so that finished work can be saved.

    Attributes
    ----------
    stopped : bool
        True once Ctrl+C was pressed. A second Ctrl+C interrupts at once, as ever.
    """

    def __init__(self) -> None:
        self.stopped = False
        self._before: Any = None

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGINT, self._stop)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if self.stopped:
            raise KeyboardInterrupt
        self.stopped = True
