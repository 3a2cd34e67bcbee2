"""Matrices of NumPy's files, read without copies where they are large; which axis is time."""

from __future__ import annotations

import logging
import math
import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from napari_facemap.neural.recording import Recording

_MAPPED_FROM = 2**20  # bytes
ACTIVITY_NAMES = ("spks", "activity", "F", "dff", "neural")
"""What activity is called in files of several arrays; the first goes first."""

AT_ONCE = 2**24
"""Values that are held besides the result while a large matrix is read or converted."""
_log = logging.getLogger(__name__)

_DAMAGE = (
    *(ValueError, OSError, EOFError, KeyError, NotImplementedError, MemoryError),
    *(zipfile.BadZipFile, zlib.error, tokenize.TokenError, SyntaxError, TypeError),
)

Shapes = dict[str, tuple[int, ...]]


class NpzArrays:
    """Arrays of an .npz file, of which only those asked for are read.

    Parameters
    ----------
    path : Path
        The file.

    Attributes
    ----------
    shapes : dict of str to tuple of int
        By name.

    Raises
    ------
    ValueError
        When the file is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.shapes: Shapes = {}
        try:
            with zipfile.ZipFile(path) as archive:
                for name in archive.namelist():
                    if name.endswith(".npy"):
                        with archive.open(name) as file:
                            self.shapes[name.removesuffix(".npy")] = _header(file)[0]
        except _DAMAGE as error:
            raise _damaged(path) from error

    def read(self, name: str, dtype: type | None = None) -> np.ndarray:
        """Read one array.

        Parameters
        ----------
        name : str
            One of `shapes`.
        dtype : type, optional
            What to convert it to piece by piece, so that a large array is never held twice.

        Raises
        ------
        ValueError
            When it is damaged or a pickle.
        """
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(f"{name}.npy") as file:
                return _array(file, archive.getinfo(f"{name}.npy").file_size, dtype)
        except _DAMAGE as error:
            raise _damaged(self.path) from error


def load_arrays(path: Path) -> np.ndarray | NpzArrays:
    """Open a .npy file, memory-mapped where it is large, or an .npz file.

    Raises
    ------
    ValueError
        When the file is missing, damaged, of another kind or a pickle.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file.")
    if path.suffix.lower() == ".npz":
        return NpzArrays(path)
    if path.suffix.lower() != ".npy":
        raise ValueError(f"{path}: expected a .npy or .npz file, found {path.suffix or 'none'}.")
    try:
        if path.stat().st_size > _MAPPED_FROM:
            return np.lib.format.open_memmap(path, mode="r")
        with open(path, "rb") as file:
            return np.lib.format.read_array(file, allow_pickle=False)
    except _DAMAGE as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> ValueError:
    return ValueError(
        f"{path}: expected plain numeric arrays, found a damaged file or pickled objects, "
        "which are not loaded; save it with numpy.save as a float32 array (neuron, time)."
    )


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(file)
    raise ValueError(f"version {version} of the .npy format")


def _array(file: IO[bytes], size: int, dtype: type | None) -> np.ndarray:
    shape, fortran, stored = _header(file)
    count = math.prod(shape)
    if stored.hasobject or count * stored.itemsize > size:
        raise ValueError("a pickle, or less than announced")
    flat = np.empty(count, dtype or stored)
    for start in range(0, count, AT_ONCE):
        part = flat[start : start + AT_ONCE]
        with np.errstate(over="ignore", invalid="ignore"):  # what is too large becomes infinite
            part[:] = np.frombuffer(_exactly(file, len(part) * stored.itemsize), stored)
    return flat.reshape(shape, order="F" if fortran else "C")


def _exactly(file: IO[bytes], size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise EOFError
    return data


def is_line(shape: tuple[int, ...]) -> bool:
    """Whether an array of this shape is one row or column of numbers."""
    return len(shape) == 1 or (len(shape) == 2 and 1 in shape)


def pick(
    shapes: Mapping[str, tuple[int, ...]],
    names: Iterable[str],
    path: Path,
    what: str,
    asked: str | None = None,
    seen: Mapping[str, object] | None = None,
) -> str:
    """Choose one of several arrays: the one asked for, one of a known name, or the only one.

    Parameters
    ----------
    shapes : dict of str to tuple of int
        Those it can be.
    names : iterable of str
        Known names, the first goes first.
    path : Path
        For the message.
    what : str
        What is looked for, for the message.
    asked : str, optional
        The user's name of it.
    seen : dict of str to object, optional
        All arrays of the file and their shapes, for the message.

    Raises
    ------
    ValueError
        When it is not clear which; with all that was seen.
    """
    names = tuple(names)
    for name in (asked,) if asked is not None else names:
        if name in shapes:
            return name
    if asked is None and len(shapes) == 1:
        return next(iter(shapes))
    seen = seen or shapes
    found = f"{', '.join(seen)} of shapes {', '.join(map(str, seen.values()))}" if seen else "none"
    found = " ".join(found.split())  # names of damaged files may have any characters
    wanted = f"named {asked}" if asked is not None else f"or one named {', '.join(names)}"
    raise ValueError(f"{path}: expected one {what} {wanted}; found {found}.")


def time_axis_of(
    shape: tuple[int, ...],
    n_times: int | None,
    path: Path,
    source: str,
    usual: int | None = 1,
    asked: int | None = None,
) -> tuple[int, list[str]]:
    """Find which axis of a matrix is time.

    Parameters
    ----------
    shape : (int, int)
        Of the matrix.
    n_times : int or None
        Number of times, where known.
    path : Path
        Of the matrix, for messages.
    source : str
        Of the times, for messages.
    usual : 0, 1 or None
        The axis by the format's convention, which decides where there are no times; None where
        there is no convention.
    asked : 0 or 1, optional
        What the user says.

    Returns
    -------
    axis : 0 or 1
    remarks : list of str
        Says when it is not the usual one, or when there are more neurons than times and nothing
        but convention says so.

    Raises
    ------
    ValueError
        When the times fit neither axis, or nothing decides between the two: without times and
        convention, and of a square matrix.
    """
    if asked not in (None, 0, 1):
        raise ValueError(f"{path}: expected time_axis 0 or 1, found {asked}.")
    fits = [axis for axis in (0, 1) if n_times is None or shape[axis] == n_times]
    fits = [axis for axis in fits if asked in (None, axis)]
    if not fits:
        raise ValueError(
            f"{path}: activity of shape {shape} does not fit the {n_times} times of {source}; "
            "give one time for each column of (neuron, time)."
        )
    square = len(fits) == 2 and (n_times is not None or shape[0] == shape[1])
    if square or (len(fits) == 2 and usual is None):
        reason = "without times" if n_times is None else f"and {n_times} times fit both"
        raise ValueError(
            f"{path}: found a matrix of shape {shape} {reason}, so which axis is time cannot be "
            "told; say time_axis=1 for neuron x time or time_axis=0 for time x neuron."
        )
    axis = usual if len(fits) == 2 and usual is not None else fits[0]
    if n_times is None and asked is None and shape[axis] < shape[1 - axis]:
        remark = (
            f"{path}: read as {shape[1 - axis]} neurons x {shape[axis]} times; if it is the other "
            f"way round, say time_axis={1 - axis}."
        )
        return axis, [remark]
    if axis == 1 or asked is not None:
        return axis, []
    remark = (
        f"{path}: read as (time, neuron) = {shape} and transposed, since "
        f"{Path(source).name} has {n_times} times."
    )
    return axis, [remark]


def pieces(n_rows: int, n_columns: int) -> Iterator[slice]:
    """Slices of rows, each with no more than `AT_ONCE` values."""
    step = max(1, AT_ONCE // max(1, n_columns))
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))


def copy_rows(
    source: np.ndarray, rows: np.ndarray, n_columns: int, out: np.ndarray | None = None
) -> np.ndarray:
    """Copy some rows of a memory map to float32, without more than a piece besides.

    Parameters
    ----------
    source : ndarray, shape (row, column)
        Any numbers.
    rows : ndarray of int
        Which.
    n_columns : int
        How many of the first columns.
    out : ndarray of float32, shape (len(rows), n_columns), optional
        Where to.

    Returns
    -------
    ndarray of float32, shape (len(rows), n_columns)
    """
    if out is None:
        out = np.empty((len(rows), n_columns), np.float32)
    for part in pieces(len(rows), source.shape[1]):
        with np.errstate(over="ignore", invalid="ignore"):
            out[part] = source[rows[part], :n_columns]
    return out


def finite_rows(activity: np.ndarray) -> np.ndarray:
    """Say which rows are finite throughout; bool, one a row."""
    finite = np.empty(len(activity), bool)
    for part in pieces(*activity.shape):
        finite[part] = np.isfinite(activity[part]).all(axis=1)
    return finite


def make_recording(
    path: Path, activity: np.ndarray, times: np.ndarray, remarks: list[str], **more: Any
) -> Recording:
    """Make a recording, named like its file, whose errors name the file.

    Parameters
    ----------
    path : Path
        Where it was read.
    activity : ndarray, shape (neuron, time)
        Any unit.
    times : ndarray, shape (time,)
        Seconds.
    remarks : list of str
        What was assumed; logged, and kept as warnings of the recording.
    **more
        Other fields of `Recording`.

    Raises
    ------
    ValueError
        When it is no valid recording.
    """
    for remark in remarks:
        _log.warning(remark)
    name = more.pop("name", path.stem)
    try:
        return Recording(activity, times, name=name, warnings=remarks, **more)
    except ValueError as error:
        # Recording speaks of its name; a reader of files wants the file's.
        raise ValueError(str(error).replace(name, str(path), 1)) from error
