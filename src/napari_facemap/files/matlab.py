"""Matrices of MATLAB's .mat files, of version 7.3 (HDF5) and before."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
from scipy.io import loadmat, whosmat

from napari_facemap.files.hdf5 import is_hdf5, is_matrix, open_hdf5, read_matrix, text_of
from napari_facemap.files.matrices import (
    ACTIVITY_NAMES,
    Shapes,
    is_line,
    make_recording,
    pick,
    time_axis_of,
)
from napari_facemap.files.times import TIMES_NAMES, Clock
from napari_facemap.neural.recording import Recording

_NUMBERS = (
    *("double", "single", "logical", "int8", "uint8", "int16", "uint16"),
    *("int32", "uint32", "int64", "uint64"),
)


class MatArrays:
    """Matrices of a .mat file, of which only those asked for are read.

    Parameters
    ----------
    path : Path
        The file, of any version.

    Attributes
    ----------
    shapes : dict of str to (int, int)
        Of the matrices of real numbers, as in MATLAB.
    others : dict of str to str
        What else there is, and its class.

    Raises
    ------
    ValueError
        When the file is missing, damaged or something else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.shapes: Shapes = {}
        self.others: dict[str, str] = {}
        self._hdf5 = is_hdf5(path)
        if not path.is_file():
            raise ValueError(f"{path}: no such file.")
        for name, shape, kind in self._contents():
            if kind in _NUMBERS and len(shape) == 2:
                self.shapes[name] = shape
            else:
                self.others[name] = kind

    def _contents(self) -> list[tuple[str, tuple[int, ...], str]]:
        if not self._hdf5:
            try:
                return whosmat(self.path, appendmat=False)
            except Exception as error:
                raise self._damaged(error) from error
        with open_hdf5(self.path, "a .mat file") as file:
            return [
                (name, (found.shape or ())[::-1] if kind in _NUMBERS else (), kind)
                for name, found in file.items()
                if not name.startswith("#") and (kind := _class_of(found))
            ]

    def read(
        self, name: str, *, neurons: int | None = None, keep: np.ndarray | None = None
    ) -> np.ndarray:
        """Read one matrix.

        Parameters
        ----------
        name : str
            One of `shapes`.
        neurons : 0 or 1, optional
            Axis of the neurons in MATLAB's matrix; the result is then float32 (neuron, time). Of
            version 7.3 no more than a piece is held besides; the versions before it hold 2 GB
            at most.
        keep : ndarray of bool, optional
            Which neurons.

        Returns
        -------
        ndarray
            As in MATLAB where `neurons` is not given.
        """
        if self._hdf5:
            with open_hdf5(self.path, "a .mat file") as file:
                # MATLAB writes its columns as rows.
                if neurons is None:
                    return file[name][()].T
                return read_matrix(file[name], by_time=neurons == 0, keep=keep)
        try:
            found = loadmat(self.path, appendmat=False, variable_names=[name])[name]
        except Exception as error:
            raise self._damaged(error) from error
        if not isinstance(found, np.ndarray) or found.dtype.kind not in "fiub":
            raise ValueError(
                f"{self.path}: expected {name} as real numbers; found {found.dtype}. Save its "
                "real part."
            )
        if neurons is None:
            return np.asarray(found, np.float64)
        found = found if neurons == 0 else found.T
        with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused
            return np.ascontiguousarray(found if keep is None else found[keep], np.float32)

    def _damaged(self, error: BaseException) -> ValueError:
        reason = " ".join(str(error).split())[:100]
        return ValueError(
            f"{self.path}: expected a .mat file, found it damaged or something else ({reason}); "
            "save it again in MATLAB, with -v7 or, where it is large, -v7.3."
        )


def read_matlab(
    path: str | Path,
    times: str | Path | np.ndarray | None = None,
    rate: float | None = None,
    *,
    signal: str | None = None,
    cells_only: bool = True,
    time_axis: int | None = None,
) -> Recording:
    """Read activity from a .mat file, which may hold its times too.

    Parameters
    ----------
    path : str or Path
        With one matrix, or one named ``spks``, ``activity``, ``F``, ``dff`` or ``neural``. It may
        hold times, a vector named ``times``, ``tneural``, ``t`` or ``time``. Structs, cells and
        sparse matrices are not looked into.
    times : str, Path or array-like, optional
        Seconds of the samples; they go before those inside.
    rate : float, optional
        Samples a second instead.
    signal : str, optional
        Name of the matrix, where there are several.
    cells_only : bool
        In suite2p's ``Fall.mat``, only what ``iscell`` calls a cell.
    time_axis : 0 or 1, optional
        Which axis of MATLAB's matrix is time; by default the one that has as many entries as
        there are times. In files with suite2p's ``iscell`` it is 1.

    Returns
    -------
    Recording

    Raises
    ------
    ValueError
        When it is not clear which matrix is meant or which axis is time, with what was seen; when
        the file is damaged.
    """
    path = Path(path)
    arrays = MatArrays(path)
    clocks = [n for n in TIMES_NAMES if n in arrays.shapes and is_line(arrays.shapes[n])]
    inside = arrays.read(clocks[0]).ravel() if clocks else None
    clock = Clock.said(path, times, rate).within(path, inside)
    iscell = arrays.shapes.get("iscell")
    aside = {*clocks, *(("iscell", "redcell") if signal is None else ())}
    shapes = {n: shape for n, shape in arrays.shapes.items() if n not in aside and min(shape) > 1}
    name = pick(
        shapes or {n: shape for n, shape in arrays.shapes.items() if n not in aside},
        ACTIVITY_NAMES,
        path,
        "matrix",
        asked=signal,
        seen={**arrays.shapes, **arrays.others},
    )
    shape = arrays.shapes[name]
    if 0 in shape:
        raise ValueError(f"{path}: expected activity, found {name} empty {shape}.")
    by_suite2p = iscell is not None and len(iscell) == 2 and iscell[0] == shape[0]
    asked = 1 if by_suite2p and time_axis is None else time_axis
    n_times = None if clock.times is None else len(clock.times)
    axis, remarks = time_axis_of(shape, n_times, path, clock.source, usual=None, asked=asked)
    seconds = clock.seconds(path, (shape[1 - axis], shape[axis]))
    keep = None
    if by_suite2p and axis == 1 and cells_only:
        keep = arrays.read("iscell")[:, 0] > 0
        if not keep.any():
            raise ValueError(
                f"{path}: none of {shape[0]} ROIs is a cell by iscell; give cells_only=False."
            )
    activity = arrays.read(name, neurons=1 - axis, keep=keep)
    names = () if keep is None else [str(roi) for roi in np.flatnonzero(keep)]
    return make_recording(path, activity, seconds, remarks, names=names)


def _class_of(found: object) -> str:
    """MATLAB's class of something in a file of version 7.3; empty for what is none of MATLAB's."""
    if not isinstance(found, h5py.Dataset | h5py.Group):
        return ""
    kind = text_of(found.attrs.get("MATLAB_class", ""))
    if isinstance(found, h5py.Group):
        return "sparse" if "MATLAB_sparse" in found.attrs else kind or "struct"
    if "MATLAB_empty" in found.attrs:
        return "empty"
    if kind in _NUMBERS and not is_matrix(found, len(found.shape or ())):
        return "complex"
    # Written by another program than MATLAB.
    return kind or ("double" if is_matrix(found) else "array")
