"""HDF5 files of other programs: opened with clear errors, large matrices read in slabs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

SLAB = 2**22
"""Values of a stored matrix that are held besides the result."""


@contextmanager
def open_hdf5(path: Path, what: str) -> Iterator[h5py.File]:
    """Open a file for reading; whatever is wrong with it becomes one line that names it.

    Parameters
    ----------
    path : Path
        The file.
    what : str
        What it should be, for the message.

    Raises
    ------
    ValueError
        When it is missing, damaged or lacks what is looked for.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file.")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, KeyError, TypeError, RuntimeError, AttributeError, IndexError) as error:
        raise _damaged(path, what, error) from error
    except ValueError as error:
        if str(error).startswith(str(path)):  # said already
            raise
        raise _damaged(path, what, error) from error


def _damaged(path: Path, what: str, error: Exception) -> ValueError:
    return ValueError(
        f"{path}: expected {what}, found it damaged or something else: "
        f"{' '.join(str(error).split())[:200]}. Save or download it again."
    )


def is_hdf5(path: Path) -> bool:
    """Whether a file begins as HDF5 does."""
    return path.is_file() and bool(h5py.is_hdf5(path))


def text_of(value: Any) -> str:
    """Text of an attribute or scalar, whichever way it was stored."""
    value = value[()] if isinstance(value, h5py.Dataset) else value
    value = value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def is_matrix(found: object, n_axes: int = 2) -> bool:
    """Whether something in a file is an array of numbers with so many axes."""
    return (
        isinstance(found, h5py.Dataset)
        and found.dtype.kind in "fiub"
        and len(found.shape or ()) == n_axes
    )


def read_matrix(
    stored: h5py.Dataset, *, by_time: bool, keep: np.ndarray | None = None
) -> np.ndarray:
    """Read a matrix as float32, with no more than a slab of it besides.

    Parameters
    ----------
    stored : h5py.Dataset, two axes
        Any numbers; chunks are read once, whichever way they lie.
    by_time : bool
        Whether it is stored as (time, neuron).
    keep : ndarray of bool, shape (neuron,), optional
        Which neurons; by default all.

    Returns
    -------
    ndarray of float32, shape (neuron, time)
    """
    axis_of_neurons = 1 if by_time else 0
    n_neurons, n_times = stored.shape[axis_of_neurons], stored.shape[1 - axis_of_neurons]
    keep = np.ones(n_neurons, bool) if keep is None else keep
    place = np.concatenate([[0], np.cumsum(keep)])
    activity = np.empty((place[-1], n_times), np.float32)
    axis, step = _slabs(stored)
    for start in range(0, stored.shape[axis], step):
        slab = slice(start, min(start + step, stored.shape[axis]))
        if axis == axis_of_neurons:
            chosen = keep[slab]
            target = activity[place[slab.start] : place[slab.stop]]
        else:
            chosen, target = keep, activity[:, slab]
        if not chosen.any():
            continue
        part = stored[slab] if axis == 0 else stored[:, slab]
        part = part.T if by_time else part
        with np.errstate(over="ignore", invalid="ignore"):  # what is too large becomes infinite
            target[...] = part if chosen.all() else part[chosen]
    return activity


def _slabs(stored: h5py.Dataset) -> tuple[int, int]:
    """Axis along which to cut, and how thick, so that no chunk is unpacked twice."""
    chunks = stored.chunks or (1, stored.shape[1])
    counts = [-(-n // chunk) for n, chunk in zip(stored.shape, chunks, strict=True)]
    axis = 0 if counts[0] >= counts[1] else 1
    whole = SLAB // max(1, stored.shape[1 - axis] * chunks[axis])
    return axis, chunks[axis] * max(1, whole)
