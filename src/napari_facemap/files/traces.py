"""Named traces of behaviour, such as running or licking, as tables of text."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import xarray as xr

from napari_facemap.neural.recording import check_times

_TIMES = ("time", "times", "t", "seconds", "time (s)", "time_s")


def read_traces(path: str | Path) -> xr.Dataset:
    """Read traces that share a clock.

    Parameters
    ----------
    path : str or Path
        .csv, or .tsv with tabs: a header with names, and below it numbers. One column is named
        ``time`` (or ``t``, ``times``, ``seconds``), in seconds; every other is a trace. An empty
        cell is a value that is not known.

    Returns
    -------
    xarray.Dataset
        A variable a trace, over ``time`` in seconds.

    Raises
    ------
    ValueError
        When the file cannot be read, has no column of times or no other, or holds something that
        is no number. One line, with what to do.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file.")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
            header, *rows = [row for row in csv.reader(file, delimiter=delimiter) if any(row)]
    except (ValueError, OSError, csv.Error) as error:  # an empty file has no header
        raise ValueError(
            f"{path}: expected a table with a header and numbers, found none."
        ) from error
    names = [name.strip() for name in header]
    clocks = [k for k, name in enumerate(names) if name.lower() in _TIMES]
    # The plainest name first: what is left is a trace, and none of them may be called time.
    clock = min(
        clocks, key=lambda k: (_TIMES.index(names[k].lower()), names[k] != "time"), default=None
    )
    if clock is None or len(names) < 2 or len(set(names)) < len(names) or not all(names):
        raise ValueError(
            f"{path}: expected columns named time and, each otherwise, the traces; found "
            f"{', '.join(names[:8])}."
        )
    values = np.array([_numbers(path, line, row, len(names)) for line, row in enumerate(rows, 2)])
    times = check_times(values[:, clock] if len(values) else values, str(path))
    traces = {n: ("time", values[:, k]) for k, n in enumerate(names) if k != clock}
    return xr.Dataset(traces, coords={"time": ("time", times, {"units": "s"})})


def _numbers(path: Path, line: int, row: list[str], n_columns: int) -> list[float]:
    try:
        found = [float(cell) if cell.strip() else np.nan for cell in row]
    except ValueError as error:
        raise ValueError(f"{path}: expected numbers in line {line}; {error}.") from error
    if len(found) != n_columns:
        raise ValueError(
            f"{path}: expected {n_columns} columns as in the header, found {len(found)} in line "
            f"{line}."
        )
    return found
