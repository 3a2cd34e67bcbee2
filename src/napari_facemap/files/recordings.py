"""Recordings of neural activity, whatever wrote them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from napari_facemap.files.caiman import is_caiman, read_caiman
from napari_facemap.files.hdf5 import is_hdf5, open_hdf5
from napari_facemap.files.matlab import read_matlab
from napari_facemap.files.matrices import (
    ACTIVITY_NAMES,
    is_line,
    load_arrays,
    make_recording,
    pick,
    time_axis_of,
)
from napari_facemap.files.nwb import is_nwb, read_nwb
from napari_facemap.files.spikes import OF_SORTING, is_sorting, read_spikes
from napari_facemap.files.suite2p import find_planes, read_suite2p
from napari_facemap.files.times import TIMES_NAMES, Clock, read_times
from napari_facemap.neural.recording import Recording

__all__ = ["read_arrays", "read_recording", "read_times"]

_OF_SUITE2P = ("stat.npy", "iscell.npy", "ops.npy", "settings.npy")


def read_recording(
    neural: str | Path,
    times: str | Path | np.ndarray | None = None,
    rate: float | None = None,
    *,
    signal: str | None = None,
    cells_only: bool | None = None,
    bin_seconds: float | None = None,
    time_axis: int | None = None,
) -> Recording:
    """Read neural activity and the times of its samples, from any file or folder that is known.

    Parameters
    ----------
    neural : str or Path
        - .npy or .npz: a matrix, see `read_arrays`; .npz of spike times, see `read_spikes`.
        - .mat: a matrix, see `napari_facemap.files.matlab.read_matlab`.
        - A folder of suite2p, or ``stat.npy`` in it, see
          `napari_facemap.files.suite2p.read_suite2p`.
        - .hdf5 of CaImAn, see `napari_facemap.files.caiman.read_caiman`.
        - .nwb, see `napari_facemap.files.nwb.read_nwb`.
        - A folder of Kilosort or phy, or ``params.py`` in it; .csv or .tsv of spike times; see
          `napari_facemap.files.spikes.read_spikes`.
    times : str, Path or array-like, optional
        Seconds on the behaviour's clock, one a sample; a file of them is read by `read_times`.
        They go before those inside a file.
    rate : float, optional
        Samples a second instead of times; the first sample is then at 0 s.
    signal : str, optional
        What is read where there is more: "spks" (default of suite2p and CaImAn), "F", "F-Fneu" or
        "dF/F"; in .npz, .mat and .nwb the name of an array.
    cells_only : bool, optional
        Whether only ROIs that were called cells, or clusters that were called good, are read; by
        default they are.
    bin_seconds : float, optional
        Seconds of a bin for spike times, by default 0.1.
    time_axis : 0 or 1, optional
        Which axis of a matrix in .npy, .npz or .mat is time, where times do not tell.

    Returns
    -------
    Recording
        Named like the file or folder; with positions, footprints and a mean image where the
        format has them. ``warnings`` says what was assumed or left out.

    Raises
    ------
    ValueError
        When a file cannot be read, the shapes do not fit together, a value is not finite, times
        do not increase, there are neither times nor a rate, it is not clear what is meant, or an
        option is given that the format has no use for. One line, with what to do.
    """
    path = Path(neural)
    reader, known = _reader(path)
    if path.name in _OF_SUITE2P and reader is read_suite2p:
        path = path.parent
    options: dict[str, Any] = {
        "signal": signal,
        "cells_only": cells_only,
        "bin_seconds": bin_seconds,
        "time_axis": time_axis,
    }
    given = {name: value for name, value in options.items() if value is not None}
    for name in given.keys() - set(known):
        if name != "cells_only":  # what knows no cells has nothing to leave out
            raise ValueError(
                f"{path}: {name} is of no use for this kind of file, which knows "
                f"{', '.join(known)}; leave it out."
            )
    return reader(
        path, times, rate, **{name: value for name, value in given.items() if name in known}
    )


def read_arrays(
    path: str | Path,
    times: str | Path | np.ndarray | None = None,
    rate: float | None = None,
    *,
    signal: str | None = None,
    time_axis: int | None = None,
) -> Recording:
    """Read a matrix of activity from NumPy's files.

    Activity is (neuron, time). When there are times whose number fits only the first axis, the
    array is taken as (time, neuron) and transposed, and ``warnings`` of the recording says so. Of
    a square array nobody can tell: it is refused until `time_axis` says.

    Parameters
    ----------
    path : str or Path
        .npy with one 2-D array, memory-mapped where it is float32 and large, or .npz with one 2-D
        array or one named ``spks``, ``activity``, ``F``, ``dff`` or ``neural``. An .npz may hold
        the times too, 1-D, named ``times``, ``tneural``, ``t`` or ``time``.
    times : str, Path or array-like, optional
        Seconds of the samples; they go before those inside an .npz.
    rate : float, optional
        Samples a second instead.
    signal : str, optional
        Name of the array in an .npz.
    time_axis : 0 or 1, optional
        Which axis is time, where the times do not tell.

    Returns
    -------
    Recording

    Raises
    ------
    ValueError
        As `read_recording`.
    """
    path = Path(path)
    clock = Clock.said(path, times, rate)
    loaded = load_arrays(path)
    if isinstance(loaded, np.ndarray):
        if signal is not None:
            raise ValueError(f"{path}: holds one array without a name; leave signal out.")
        activity = loaded
    else:
        lines = {n for n, shape in loaded.shapes.items() if n in TIMES_NAMES and is_line(shape)}
        inside = next((loaded.read(n).ravel() for n in TIMES_NAMES if n in lines), None)
        clock = clock.within(path, inside)
        tables = {n: s for n, s in loaded.shapes.items() if len(s) == 2 and n not in lines}
        what = "2-D array (neuron, time)"
        name = pick(tables, ACTIVITY_NAMES, path, what, asked=signal, seen=loaded.shapes)
        activity = loaded.read(name, np.float32)
    if activity.ndim != 2:
        raise ValueError(
            f"{path}: expected a 2-D array (neuron, time), found shape {activity.shape}."
        )
    if activity.size == 0:
        raise ValueError(f"{path}: expected activity, found an empty array {activity.shape}.")
    n_times = None if clock.times is None else len(clock.times)
    axis, remarks = time_axis_of(activity.shape, n_times, path, clock.source, asked=time_axis)
    activity = activity if axis == 1 else activity.T
    return make_recording(path, activity, clock.seconds(path, activity.shape), remarks)


def _reader(path: Path) -> tuple[Callable[..., Recording], tuple[str, ...]]:
    """What reads a path, and the options that it knows."""
    suite2p = read_suite2p, ("signal", "cells_only")
    spikes = read_spikes, ("cells_only", "bin_seconds")
    suffix = path.suffix.lower()
    if path.is_dir():
        if is_sorting(path):
            return spikes
        if find_planes(path):
            return suite2p
        inside = sorted(part.name for part in path.iterdir())
        more = f" and {len(inside) - 8} more" if len(inside) > 8 else ""
        raise ValueError(
            f"{path}: expected a folder of suite2p (spks.npy, plane0) or of phy "
            f"(spike_times.npy), found {', '.join(inside[:8]) or 'nothing'}{more}."
        )
    if path.name in _OF_SUITE2P and find_planes(path.parent):
        return suite2p
    if path.name in OF_SORTING and is_sorting(path.parent):
        return spikes
    if suffix == ".npz" and path.is_file():
        shapes = getattr(load_arrays(path), "shapes", {})
        if {"spike_times", "spike_clusters"} <= set(shapes):
            return spikes
    if suffix in (".npy", ".npz"):
        return read_arrays, ("signal", "time_axis")
    if suffix in (".csv", ".tsv", ".txt"):
        return spikes
    if suffix == ".mat":
        return read_matlab, ("signal", "cells_only", "time_axis")
    if is_hdf5(path):
        with open_hdf5(path, "a file of CaImAn or NWB") as file:
            return _hdf5_reader(path, file)
    if not path.exists():
        raise ValueError(f"{path}: no such file.")
    if suffix in (".nwb", ".hdf5", ".h5"):
        raise ValueError(f"{path}: expected HDF5, found it damaged; save or download it again.")
    raise ValueError(
        f"{path}: expected a .npy or .npz file, .mat, .nwb, CaImAn's .hdf5, a table of spike "
        f"times, or a folder of suite2p or phy; found {suffix or 'no ending'}."
    )


def _hdf5_reader(path: Path, file: h5py.File) -> tuple[Callable[..., Recording], tuple[str, ...]]:
    if is_nwb(file):
        return read_nwb, ("signal", "cells_only", "bin_seconds")
    if is_caiman(file):
        return read_caiman, ("signal", "cells_only")
    raise ValueError(
        f"{path}: expected CaImAn's group estimates or an NWB file, found "
        f"{', '.join(list(file)[:8]) or 'nothing'}."
    )
