"""Neural recordings and times from NumPy and text files."""

from __future__ import annotations

import logging
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np

from napari_facemap.neural.recording import Recording, check_times

_ACTIVITY_NAMES = ("spks", "activity", "F", "dff", "neural")
_TIMES_NAMES = ("times", "tneural", "t", "time")
_MAPPED_FROM = 2**20  # bytes
_log = logging.getLogger(__name__)


def read_recording(
    neural: str | Path, times: str | Path | None = None, rate: float | None = None
) -> Recording:
    """Read neural activity and the times of its samples.

    Activity is (neuron, time). When times are given whose number fits only the first axis, the
    array is taken as (time, neuron) and transposed, and ``warnings`` of the recording says so; a
    square array is (neuron, time).

    Parameters
    ----------
    neural : str or Path
        .npy with one 2-D array, memory-mapped where it is float32 and
        large, or .npz with one 2-D array or one named ``spks``, ``activity``, ``F``, ``dff`` or ``neural``. An .npz may hold the times
        too, 1-D, named ``times``, ``tneural``, ``t`` or ``time``.
    times : str or Path, optional
        Seconds on the behaviour's clock, one a sample; see `read_times`. They go before those
        inside an .npz.
    rate : float, optional
        Samples a second instead of times; the first sample is then at 0 s.

    Returns
    -------
    Recording
        Named like the file.

    Raises
    ------
    ValueError
        When a file cannot be read, the shapes do not fit together, a value is not finite, times
        do not increase, or there are neither times nor a rate. One line, with what to do.
    """
    path = Path(neural)
    if times is not None and rate is not None:
        raise ValueError(f"{path}: expected either times or a rate, found both; leave one out.")
    activity, inside = _read_activity(path)
    if rate is not None:
        if inside is not None:
            raise ValueError(f"{path}: holds times itself besides the rate; leave the rate out.")
        if not (np.isfinite(rate) and rate > 0):
            raise ValueError(f"{path}: expected a rate of more than 0 Hz, found {rate}.")
        return _recording(path, activity, np.arange(activity.shape[1]) / rate, [])
    if times is None and inside is None:
        raise ValueError(
            f"{path}: expected times in seconds for the {activity.shape[1]} samples, found none; "
            "give a file of times or the sampling rate in Hz."
        )
    source = path if times is None else Path(times)
    seconds = check_times(inside, str(path)) if times is None else read_times(source)
    activity, remarks = _oriented(activity, len(seconds), path, source)
    return _recording(path, activity, seconds, remarks)


def read_times(path: str | Path) -> np.ndarray:
    """Read times in seconds, of neural samples or of camera frames.

    Parameters
    ----------
    path : str or Path
        .npy; .npz with one 1-D array or one named ``times``, ``tneural``, ``t`` or ``time``; .csv
        or .txt with one column, with or without a header.

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
    loaded = _load(path)
    if isinstance(loaded, np.ndarray):
        values = loaded.ravel() if loaded.ndim == 2 and 1 in loaded.shape else loaded
        return check_times(values, str(path))
    flat = {name: array.ravel() for name, array in loaded.items() if _is_line(array)}
    return check_times(_pick(flat, _TIMES_NAMES, path, "1-D array of times"), str(path))


def _recording(
    path: Path, activity: np.ndarray, times: np.ndarray, remarks: list[str]
) -> Recording:
    for remark in remarks:
        _log.warning(remark)
    try:
        return Recording(activity, times, name=path.stem, warnings=remarks)
    except ValueError as error:
        # Recording speaks of its name; a reader of files wants the file's.
        raise ValueError(str(error).replace(path.stem, str(path), 1)) from error


def _read_activity(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Give the 2-D array, and times when the file holds them."""
    loaded = _load(path)
    if isinstance(loaded, np.ndarray):
        activity, inside = loaded, None
    else:
        flat = {n: a.ravel() for n, a in loaded.items() if n in _TIMES_NAMES and _is_line(a)}
        inside = next((flat[name] for name in _TIMES_NAMES if name in flat), None)
        tables = {n: a for n, a in loaded.items() if a.ndim == 2 and n not in flat}
        activity = _pick(tables, _ACTIVITY_NAMES, path, "2-D array (neuron, time)")
    if activity.ndim != 2:
        raise ValueError(
            f"{path}: expected a 2-D array (neuron, time), found shape {activity.shape}."
        )
    if activity.size == 0:
        raise ValueError(f"{path}: expected activity, found an empty array {activity.shape}.")
    return activity, inside


def _load(path: Path) -> np.ndarray | dict[str, np.ndarray]:
    """Give the array of a .npy, or those of an .npz by name."""
    if not path.is_file():
        raise ValueError(f"{path}: no such file.")
    if path.suffix.lower() not in (".npy", ".npz"):
        raise ValueError(f"{path}: expected a .npy or .npz file, found {path.suffix or 'none'}.")
    try:
        if path.suffix.lower() == ".npy" and path.stat().st_size > _MAPPED_FROM:
            return np.load(path, mmap_mode="r", allow_pickle=False)
        with open(path, "rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return loaded
            return {name: loaded[name] for name in loaded.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f"{path}: expected plain numeric arrays, found a damaged file or pickled objects, "
            "which are not loaded; save it with numpy.save as a float32 array (neuron, time)."
        ) from error


def _is_line(array: np.ndarray) -> bool:
    return array.ndim == 1 or (array.ndim == 2 and 1 in array.shape)


def _pick(
    arrays: dict[str, np.ndarray], names: tuple[str, ...], path: Path, what: str
) -> np.ndarray:
    for name in names:
        if name in arrays:
            return arrays[name]
    if len(arrays) == 1:
        return next(iter(arrays.values()))
    raise ValueError(
        f"{path}: expected one {what} or one named {', '.join(names)}; found "
        f"{', '.join(arrays) or 'none'}."
    )


def _oriented(
    activity: np.ndarray, n_times: int, path: Path, source: Path
) -> tuple[np.ndarray, list[str]]:
    if activity.shape[1] == n_times:
        return activity, []
    if activity.shape[0] == n_times:
        remark = (
            f"{path}: read as (time, neuron) = {activity.shape} and transposed, since "
            f"{source.name} has {n_times} times."
        )
        return activity.T, [remark]
    raise ValueError(
        f"{path}: activity of shape {activity.shape} does not fit the {n_times} times of "
        f"{source}; give one time for each column of (neuron, time)."
    )


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
