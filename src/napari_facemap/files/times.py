"""Seconds of samples: from files, from rates, and from what a recording says of itself."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_facemap.files.matrices import NpzArrays, is_line, load_arrays, pick
from napari_facemap.neural.recording import check_times

if TYPE_CHECKING:
    from napari_facemap.files.matlab import MatArrays

TIMES_NAMES = ("times", "tneural", "t", "time")
"""What times are called in files of several arrays."""


def read_times(path: str | Path) -> np.ndarray:
    """Read times in seconds, of neural samples or of camera frames.

    Parameters
    ----------
    path : str or Path
        .npy; .npz or .mat with one 1-D array or one named ``times``, ``tneural``, ``t`` or
        ``time``; .csv or .txt with one column, with or without a header.

    Returns
    -------
    ndarray of float64, shape (time,)

    Raises
    ------
    ValueError
        When the file cannot be read, or does not hold finite seconds that increase.
    """
    path = Path(path)
    if path.suffix.lower() in (".csv", ".txt"):
        return check_times(_read_text(path), str(path))
    loaded: np.ndarray | NpzArrays | MatArrays
    if path.suffix.lower() == ".mat":
        from napari_facemap.files.matlab import MatArrays

        loaded = MatArrays(path)
    else:
        loaded = load_arrays(path)
    if isinstance(loaded, np.ndarray):
        values = loaded.ravel() if loaded.ndim == 2 and 1 in loaded.shape else loaded
        return check_times(values, str(path))
    shapes = {name: shape for name, shape in loaded.shapes.items() if is_line(shape)}
    name = pick(shapes, TIMES_NAMES, path, "1-D array of times")
    return check_times(loaded.read(name).ravel(), str(path))


@dataclass(frozen=True)
class Clock:
    """What the user says of when samples were taken; all of it may be None.

    Attributes
    ----------
    times : ndarray of float64, shape (time,), or None
        Seconds.
    rate : float or None
        Samples a second; the first sample is at 0 s.
    source : str
        Where the times are from, for messages.
    """

    times: np.ndarray | None = None
    rate: float | None = None
    source: str = "times"

    @classmethod
    def said(cls, path: Path, times: str | Path | np.ndarray | None, rate: float | None) -> Clock:
        """Take times or a rate as given for a recording.

        Parameters
        ----------
        path : Path
            Of the recording, for messages.
        times : str, Path or array-like, shape (time,), optional
            Seconds, or a file of them.
        rate : float, optional
            In Hz.

        Raises
        ------
        ValueError
            When both are given, or one is not valid.
        """
        if times is not None and rate is not None:
            raise ValueError(
                f"{path}: expected either times or a rate, found both; leave one out."
            )
        if rate is not None and not (np.isfinite(rate) and rate > 0):
            raise ValueError(f"{path}: expected a rate of more than 0 Hz, found {rate}.")
        if times is None:
            return cls(None, rate)
        if isinstance(times, str | Path):
            return cls(read_times(times), None, str(times))
        return cls(check_times(times, f"times for {path}"), None, f"times for {path}")

    def within(self, path: Path, inside: np.ndarray | None) -> Clock:
        """Add the times that the recording itself holds; the user's go before them.

        Parameters
        ----------
        path : Path
            Of the recording.
        inside : ndarray, shape (time,), or None
            Seconds.

        Raises
        ------
        ValueError
            When the user gave a rate besides, or the times are not valid.
        """
        if inside is None or self.times is not None:
            return self
        if self.rate is not None:
            raise ValueError(f"{path}: holds times itself besides the rate; leave the rate out.")
        return Clock(check_times(inside, str(path)), None, str(path))

    def or_rate(self, path: Path, rate: float | None, source: str) -> tuple[Clock, list[str]]:
        """Fall back on a rate that the recording itself holds, and say so.

        Parameters
        ----------
        path : Path
            Of the recording.
        rate : float or None
            In Hz; what is none is passed over.
        source : str
            Where it stands.
        """
        known = self.times is not None or self.rate is not None
        if known or rate is None or not (np.isfinite(rate) and rate > 0):
            return self, []
        remark = (
            f"{path}: neither times nor a rate were given; {rate:g} Hz of {source} was used, with "
            "the first sample at 0 s."
        )
        return Clock(None, float(rate)), [remark]

    def seconds(self, path: Path, shape: tuple[int, ...]) -> np.ndarray:
        """Give the seconds of each sample of activity.

        Parameters
        ----------
        path : Path
            Of the recording, for messages.
        shape : (int, int)
            Of the activity: neuron, time.

        Returns
        -------
        ndarray of float64, shape (time,)

        Raises
        ------
        ValueError
            When nothing is known, or the number of times is another.
        """
        if self.rate is not None:
            with np.errstate(over="ignore"):  # what is too large is refused by the recording
                return np.arange(shape[1]) / self.rate
        if self.times is None:
            raise ValueError(
                f"{path}: expected times in seconds for the {shape[1]} samples, found none; "
                "give a file of times or the sampling rate in Hz."
            )
        if len(self.times) != shape[1]:
            raise ValueError(
                f"{path}: activity of shape {tuple(shape)} does not fit the {len(self.times)} "
                f"times of {self.source}; give one time for each column of (neuron, time)."
            )
        return self.times


def _read_text(path: Path) -> np.ndarray:
    if not path.is_file():
        raise ValueError(f"{path}: no such file.")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        first = lines[0].split(",")[0].strip() if lines else ""
        header = 1 if first and not _is_number(first) else 0
        with warnings.catch_warnings():  # an empty file is said by check_times
            warnings.simplefilter("ignore", UserWarning)
            values = np.loadtxt(lines[header:], delimiter="," if "," in "".join(lines) else None)
    except ValueError as error:  # UnicodeDecodeError is one
        raise ValueError(
            f"{path}: expected one column of times in seconds, found other text: {error}."
        ) from error
    return np.atleast_1d(values)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
