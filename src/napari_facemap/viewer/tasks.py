"""Long work beside the window: progress, time left, cancelling, one line when it fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject, Signal

_EVERY = 0.1  # seconds between reports: more of them slow the window and the work


class Task(QObject):
    """Runs a function in a thread of its own; its signals arrive in the window's thread.

    Parameters
    ----------
    work : callable
        Called with one argument, a `progress` callback as every long function of this package
        takes. What it returns comes with `finished`, also after a cancel.
    parent : QObject, optional
        Qt parent.
    """

    progressed = Signal(int, int, float, float)
    """Done, total, per second, seconds left (NaN while unknown)."""
    finished = Signal(object)
    failed = Signal(str)

    def __init__(self, work: Callable[..., Any], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._work = work
        self._cancelled = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._started = self._reported = 0.0

    @property
    def cancelled(self) -> bool:
        """Whether somebody asked to stop."""
        return self._cancelled.is_set()

    def start(self) -> None:
        """Begin."""
        self._started = time.perf_counter()
        self._thread.start()

    def cancel(self) -> None:
        """Ask to stop; the work stops at its next report and keeps what is done."""
        self._cancelled.set()

    def wait(self, seconds: float = 10.0) -> bool:
        """Wait until the work is over; False when it is not after `seconds`."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            result = self._work(self._progress)
        except Exception as error:  # noqa: BLE001  whatever it is, a person shall read it
            self._tell("failed", one_line(error))
        else:
            self._tell("finished", result)

    def _progress(self, done: int, total: int) -> bool:
        now = time.perf_counter()
        if not done:  # something else comes first; what follows is timed without it
            self._started = now
            return not self.cancelled
        if done >= total or now - self._reported >= _EVERY:
            self._reported = now
            elapsed = max(now - self._started, 1e-9)
            rate = done / elapsed
            left = (total - done) / rate if rate > 0 else float("nan")
            self._tell("progressed", done, total, rate, left)
        return not self.cancelled

    def _tell(self, signal: str, *values: Any) -> None:
        try:
            getattr(self, signal).emit(*values)
        except RuntimeError:  # the window was closed and took this object along
            self._cancelled.set()


def one_line(error: BaseException) -> str:
    """Say what an error says in one line; its kind where it says nothing."""
    text = " ".join(str(error).split())
    return text or type(error).__name__


def describe_rate(done: int, total: int, rate: float, left: float, unit: str = "frames") -> str:
    """Progress in words: ``"1,200 of 6,000 frames, 210 frames/s, 0:23 left"``."""
    parts = [f"{done:,} of {total:,} {unit}"]
    if rate > 0:
        parts.append(f"{rate:,.0f} {unit}/s" if rate >= 10 else f"{rate:.1f} {unit}/s")
    if left == left and done < total:
        minutes, seconds = divmod(round(left), 60)
        hours, minutes = divmod(minutes, 60)
        clock = f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
        parts.append(f"{clock} left")
    return ", ".join(parts)
