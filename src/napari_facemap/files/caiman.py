"""HDF5 files of CaImAn: traces, footprints and which components were accepted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from napari_facemap.files.hdf5 import is_matrix, open_hdf5, read_matrix
from napari_facemap.files.matrices import make_recording
from napari_facemap.files.times import Clock
from napari_facemap.neural.recording import Footprint, Recording

SIGNALS = {"spks": "S", "F": "C", "dF/F": "F_dff"}
"""What can be read, and CaImAn's name of it."""


def is_caiman(file: h5py.File) -> bool:
    """Whether an open file is laid out as CaImAn's."""
    return isinstance(file.get("estimates"), h5py.Group)


def read_caiman(
    path: str | Path,
    times: str | Path | np.ndarray | None = None,
    rate: float | None = None,
    *,
    signal: str = "spks",
    cells_only: bool = True,
) -> Recording:
    """Read what CaImAn's ``save`` wrote.

    Parameters
    ----------
    path : str or Path
        .hdf5 file with a group ``estimates``.
    times : str, Path or array-like, optional
        Seconds of the frames.
    rate : float, optional
        Frames a second instead. Without both the file's ``params/data/fr`` is used, and
        ``warnings`` says so.
    signal : {"spks", "F", "dF/F"}
        Deconvolved activity ``S``, denoised traces ``C`` or ``F_dff``.
    cells_only : bool
        Only components of ``idx_components``, where the file has them.

    Returns
    -------
    Recording
        Names are CaImAn's numbers of the components. Footprints are the columns of ``A``, whose
        pixels are counted down the columns of the image (order "F"); positions are their weighted
        means. There is no mean image in these files.

    Raises
    ------
    ValueError
        When the file is damaged, lacks what is asked for or holds shapes that do not fit.
    """
    path = Path(path)
    if signal not in SIGNALS:
        raise ValueError(f"{path}: expected signal {', '.join(SIGNALS)}; found {signal}.")
    clock = Clock.said(path, times, rate)
    with open_hdf5(path, "a file of CaImAn") as file:
        if not is_caiman(file):
            raise ValueError(
                f"{path}: expected CaImAn's group estimates, found {', '.join(file) or 'nothing'}."
            )
        estimates = file["estimates"]
        stored = _trace(path, estimates, signal)
        keep, remarks = _accepted(path, estimates, stored.shape[0], cells_only)
        clock, assumed = clock.or_rate(path, _number(file, "params/data/fr"), "params/data/fr")
        seconds = clock.seconds(path, stored.shape)
        places, doubts = _places(path, file, keep)
        activity = read_matrix(stored, by_time=False, keep=keep)
    names = [str(component) for component in np.flatnonzero(keep)]
    remarks = remarks + assumed + doubts
    return make_recording(path, activity, seconds, remarks, names=names, **places)


def _trace(path: Path, estimates: h5py.Group, signal: str) -> h5py.Dataset:
    found = estimates.get(SIGNALS[signal])
    if not is_matrix(found) or 0 in found.shape:
        # What was not computed stands there as the text "NoneType".
        there = [f'"{name}"' for name, key in SIGNALS.items() if is_matrix(estimates.get(key))]
        raise ValueError(
            f"{path}: expected {SIGNALS[signal]} of (component, frame) for signal {signal}, found "
            f"none; the file has {', '.join(there) or 'no traces'}."
        )
    return found


def _accepted(
    path: Path, estimates: h5py.Group, n: int, cells_only: bool
) -> tuple[np.ndarray, list[str]]:
    if not cells_only:
        return np.ones(n, bool), []
    stored = estimates.get("idx_components")
    if not is_matrix(stored, 1):
        remark = f"{path}: no idx_components; all {n} components are kept."
        return np.ones(n, bool), [remark]
    numbers = stored[()].astype(np.int64)
    if len(numbers) == 0:
        raise ValueError(
            f"{path}: none of {n} components is accepted (idx_components is empty); give "
            "cells_only=False to read all."
        )
    if numbers.min() < 0 or numbers.max() >= n:
        raise ValueError(
            f"{path}: expected idx_components from 0 to {n - 1}, found {numbers.min()} to "
            f"{numbers.max()}."
        )
    keep = np.zeros(n, bool)
    keep[numbers] = True
    return keep, []


def _number(file: h5py.File, key: str) -> float | None:
    found = file.get(key)
    if not isinstance(found, h5py.Dataset) or found.dtype.kind not in "fiu" or found.size != 1:
        return None
    return float(np.ravel(found[()])[0])


def _places(path: Path, file: h5py.File, keep: np.ndarray) -> tuple[dict[str, Any], list[str]]:
    """Positions and footprints of the kept components, where the file has both A and dims."""
    dims = next(
        (
            tuple(int(n) for n in found[()])
            for key in ("estimates/dims", "dims", "params/data/dims")
            if is_matrix(found := file.get(key), 1) and found.size in (2, 3)
        ),
        None,
    )
    columns = file.get("estimates/A")
    parts = ("data", "indices", "indptr")
    if not isinstance(columns, h5py.Group) or not all(is_matrix(columns.get(p), 1) for p in parts):
        return {}, [f"{path}: no footprints, since estimates/A is not a sparse matrix."]
    if dims is None:
        return {}, [f"{path}: no footprints, since the file does not say dims."]
    weights, pixels, starts = (columns[part][()] for part in parts)
    whole = (
        len(starts) == len(keep) + 1
        and len(weights) == len(pixels) == starts[-1]
        and starts[0] == 0
        and (np.diff(starts) >= 0).all()
        and (len(pixels) == 0 or 0 <= pixels.min() <= pixels.max() < np.prod(dims))
    )
    if not whole:
        raise ValueError(
            f"{path}: expected in estimates/A a column of pixels of {dims} for each of the "
            f"{len(keep)} components, found {len(starts) - 1} columns and {len(weights)} values "
            "that do not fit."
        )
    footprints: list[Footprint] = []
    positions = np.full((int(keep.sum()), len(dims)), np.nan, np.float32)
    for row, component in enumerate(np.flatnonzero(keep)):
        part = slice(starts[component], starts[component + 1])
        # y, x and perhaps z
        axes = np.array(np.unravel_index(pixels[part], dims, order="F"), np.int32)
        weight = weights[part].astype(np.float32)
        footprints.append((axes[0], axes[1], weight))
        positions[row] = _centre(axes, weight)
    return {"positions": positions, "footprints": footprints}, []


def _centre(axes: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weighted mean as x, y and perhaps z; NaN without weight."""
    total = weight.sum()
    centre = axes @ weight / total if total > 0 else np.full(len(axes), np.nan)
    return np.concatenate([centre[1::-1], centre[2:]])
