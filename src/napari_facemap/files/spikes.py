"""Spike times of sorted units, counted in bins."""

from __future__ import annotations

import csv
import re
from collections import Counter
from pathlib import Path

import numpy as np

from napari_facemap.files.matrices import load_arrays, make_recording
from napari_facemap.files.times import Clock
from napari_facemap.neural.recording import Recording

BIN = 0.1
"""Seconds of a bin, where nothing else is said."""

OF_SORTING = ("params.py", "spike_times.npy", "spike_clusters.npy")
"""Files that stand for the folder that they are in."""

_LABELS = ("cluster_group.tsv", "cluster_groups.csv", "cluster_KSLabel.tsv")
_TIMES = ("spike_times", "spike_time", "times", "time")
_UNITS = (
    "spike_clusters",
    "spike_cluster",
    "clusters",
    "cluster",
    "cluster_id",
    "unit",
    "unit_id",
)
_MOST = 2**31  # counts; 8 GiB
_MOST_BINS = 2**26  # 18 hours of milliseconds
_SAMPLE_RATE = re.compile(
    r"^[ \t]*sample_rate[ \t]*=[ \t]*([0-9][0-9_.eE+]*)[ \t]*(?:#.*)?$", re.M
)


def is_sorting(folder: Path) -> bool:
    """Whether a folder holds the spikes that a sorter wrote for phy."""
    return (folder / "spike_times.npy").is_file()


def read_spikes(
    path: str | Path,
    times: str | Path | np.ndarray | None = None,
    rate: float | None = None,
    *,
    bin_seconds: float | None = None,
    cells_only: bool = True,
) -> Recording:
    """Read spike times and count them in bins.

    Parameters
    ----------
    path : str or Path
        Folder of Kilosort or phy, with ``spike_times.npy`` (samples), ``spike_clusters.npy`` and
        ``params.py``, of which only the line ``sample_rate = ...`` is looked for and nothing is
        run; .npz with ``spike_times`` in seconds and ``spike_clusters``, or with ``sample_rate``
        in Hz and the times in samples; or .csv or .tsv with columns of these names, in seconds.
    times : str, Path or array-like, optional
        Centres of the bins in seconds; their edges are halfway between.
    rate : float, optional
        Bins a second instead of `bin_seconds`.
    bin_seconds : float, optional
        Length of a bin, by default 0.1 s. Bins begin at multiples of it and reach from the first
        to the last spike of the file.
    cells_only : bool
        Only clusters labelled "good" in ``cluster_group.tsv``, or by Kilosort itself in
        ``cluster_KSLabel.tsv``.

    Returns
    -------
    Recording
        Counts a bin, named by the numbers of the clusters.

    Raises
    ------
    ValueError
        When files are missing, damaged or do not fit together, or no spike is within the times.
    """
    path = Path(path)
    clock = Clock.said(path, times, rate)
    if path.name in OF_SORTING:
        path = path.parent
    remarks: list[str] = []
    labels: dict[int, str] = {}
    if path.is_dir():
        seconds, clusters = _read_sorting(path)
        if cells_only:
            labels, remarks = _labels(path)
    elif path.suffix.lower() == ".npz":
        seconds, clusters = _read_npz(path)
    else:
        seconds, clusters = _read_table(path)
    seconds, clusters = _checked(path, seconds, clusters)
    trains = trains_of(seconds, clusters)
    span = float(seconds.min()), float(seconds.max())
    if labels:
        good = {
            cluster: train for cluster, train in trains.items() if labels.get(cluster) == "good"
        }
        if not good:
            counts = Counter(labels.get(cluster, "no label") for cluster in trains)
            raise ValueError(
                f"{path}: none of {len(trains)} clusters is labelled good ("
                f"{', '.join(f'{n} {label}' for label, n in counts.items())}); label them in phy "
                "or give cells_only=False."
            )
        trains = good
    activity, centres = count_spikes(path, list(trains.values()), span, clock, bin_seconds)
    names = [str(cluster) for cluster in trains]
    return make_recording(path, activity, centres, remarks, names=names)


def trains_of(seconds: np.ndarray, units: np.ndarray) -> dict[int, np.ndarray]:
    """Sort spikes by unit; the times of each unit by its number, in order of the numbers.

    Parameters
    ----------
    seconds : ndarray of float64, shape (spike,)
        Times.
    units : ndarray of int, shape (spike,)
        Whose they are.
    """
    order = np.argsort(units, kind="stable")
    numbers, starts = np.unique(units[order], return_index=True)
    return dict(zip(numbers.tolist(), np.split(seconds[order], starts[1:]), strict=True))


def count_spikes(
    path: Path,
    trains: list[np.ndarray],
    span: tuple[float, float],
    clock: Clock,
    bin_seconds: float | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Count spikes in bins.

    Parameters
    ----------
    path : Path
        For messages.
    trains : list of ndarray of float64
        Seconds of each unit's spikes.
    span : (float, float)
        Seconds of the first and last spike, of these units or others.
    clock : Clock
        Centres of the bins, or their rate, where the user gave them.
    bin_seconds : float, optional
        Length of a bin where the clock does not say.

    Returns
    -------
    counts : ndarray of float32, shape (unit, bin)
    centres : ndarray of float64, shape (bin,)
        Seconds.

    Raises
    ------
    ValueError
        When both say how long bins are, or there would be too few or too many of them.
    """
    edges, centres = _bins(path, len(trains), span, clock, bin_seconds)
    counts = np.zeros((len(trains), len(centres)), np.float32)
    for row, train in zip(counts, trains, strict=True):
        place = np.searchsorted(edges, train, side="right") - 1
        place = place[(place >= 0) & (place < len(row))]
        held, times = np.unique(place, return_counts=True)
        row[held] = times
    if not counts.any():
        raise ValueError(
            f"{path}: no spike lies within the bins from {edges[0]:g} to {edges[-1]:g} s; spikes "
            f"are from {span[0]:g} to {span[1]:g} s. Give times on the clock of the spikes."
        )
    return counts, centres


def _bins(
    path: Path,
    n_units: int,
    span: tuple[float, float],
    clock: Clock,
    bin_seconds: float | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Edges and centres of the bins."""
    if bin_seconds is not None and (clock.times is not None or clock.rate is not None):
        raise ValueError(
            f"{path}: expected either bin_seconds or times or a rate of the bins, found both; "
            "leave one out."
        )
    if bin_seconds is not None and not (np.isfinite(bin_seconds) and bin_seconds > 0):
        raise ValueError(f"{path}: expected bins of more than 0 s, found {bin_seconds}.")
    if clock.times is not None:
        middle = (clock.times[:-1] + clock.times[1:]) / 2
        first, last = 2 * clock.times[0] - middle[0], 2 * clock.times[-1] - middle[-1]
        return np.concatenate([[first], middle, [last]]), clock.times
    width = 1 / clock.rate if clock.rate is not None else bin_seconds or BIN
    first = np.floor(span[0] / width)
    n = int(np.floor(span[1] / width) - first) + 1
    if n < 2:
        raise ValueError(
            f"{path}: expected spikes over at least two bins of {width:g} s, found them from "
            f"{span[0]:g} to {span[1]:g} s; give shorter bins."
        )
    if n > _MOST_BINS or n * n_units > _MOST:
        raise ValueError(
            f"{path}: {n_units} units in {n} bins of {width:g} s, from {span[0]:g} to {span[1]:g} "
            "s, would not fit into memory; give longer bins, or seconds where these are samples."
        )
    edges = (first + np.arange(n + 1)) * width
    edges[-1] = max(edges[-1], np.nextafter(span[1], np.inf))
    return edges, edges[:-1] + width / 2


def _checked(
    path: Path, seconds: np.ndarray, clusters: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    seconds, clusters = np.ravel(seconds), np.ravel(clusters)
    if len(seconds) != len(clusters) or len(seconds) == 0:
        raise ValueError(
            f"{path}: expected a cluster for each spike, found {len(seconds)} spike times and "
            f"{len(clusters)} clusters."
        )
    if seconds.dtype.kind not in "fiu" or not np.isfinite(seconds).all():
        raise ValueError(f"{path}: expected finite spike times, found {seconds.dtype} or NaN.")
    if clusters.dtype.kind not in "fiu" or not np.array_equal(clusters, np.floor(clusters)):
        raise ValueError(f"{path}: expected clusters as whole numbers, found {clusters.dtype}.")
    return seconds.astype(np.float64), clusters.astype(np.int64)


def _read_sorting(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    spikes = _row(folder / "spike_times.npy")
    clusters = folder / "spike_clusters.npy"
    if not clusters.is_file():  # phy writes it when it is first opened
        clusters = folder / "spike_templates.npy"
    if not clusters.is_file():
        raise ValueError(
            f"{folder}: expected spike_clusters.npy beside spike_times.npy, found none."
        )
    params = folder / "params.py"
    if not params.is_file():
        if spikes.dtype.kind == "f":
            return spikes, _row(clusters)
        raise ValueError(
            f"{folder}: expected params.py with the sample_rate of spike_times.npy, found none; "
            "add a file params.py with a line such as sample_rate = 30000."
        )
    return spikes / _sample_rate(params), _row(clusters)


def _row(path: Path) -> np.ndarray:
    found = load_arrays(path)
    row = isinstance(found, np.ndarray) and found.size == max(found.shape, default=0)
    if not isinstance(found, np.ndarray) or not row or found.dtype.kind not in "fiu":
        raise ValueError(
            f"{path}: expected one row of numbers, found {getattr(found, 'dtype', 'an archive')} "
            f"of shape {getattr(found, 'shape', ())}."
        )
    return np.array(found).ravel()


def _sample_rate(params: Path) -> float:
    found = _SAMPLE_RATE.search(params.read_text(encoding="utf-8", errors="replace"))
    try:
        rate = float(found[1]) if found else 0.0
    except ValueError:
        rate = 0.0
    if not (np.isfinite(rate) and rate > 0):
        raise ValueError(
            f"{params}: expected a line sample_rate = a number in Hz, found none; the file is not "
            "run, so write the number itself."
        )
    return rate


def _labels(folder: Path) -> tuple[dict[int, str], list[str]]:
    """Label of each cluster, and what was assumed of them."""
    for name in _LABELS:
        if not (folder / name).is_file():
            continue
        text = (folder / name).read_text(encoding="utf-8-sig", errors="replace")
        rows = list(csv.reader(text.splitlines(), delimiter="\t" if "\t" in text else ","))
        labels = {
            int(row[0]): row[1].strip().lower()
            for row in rows[1:]
            if len(row) > 1 and row[0].strip().isdigit()
        }
        if not labels:
            continue
        by_kilosort = "kslabel" in " ".join(rows[0]).lower()
        remark = f"{folder}: clusters were chosen by Kilosort's own labels in {name}."
        return labels, [remark] if by_kilosort else []
    return {}, [f"{folder}: no labels in cluster_group.tsv; all clusters are kept."]


def _read_npz(path: Path) -> tuple[np.ndarray, np.ndarray]:
    arrays = load_arrays(path)
    missing = {"spike_times", "spike_clusters"} - set(getattr(arrays, "shapes", ()))
    if isinstance(arrays, np.ndarray) or missing:
        raise ValueError(
            f"{path}: expected spike_times and spike_clusters, found "
            f"{', '.join(getattr(arrays, 'shapes', ())) or 'none'}."
        )
    spikes, clusters = arrays.read("spike_times"), arrays.read("spike_clusters")
    if spikes.dtype.kind not in "fiu":
        raise ValueError(f"{path}: expected spike_times as numbers, found {spikes.dtype}.")
    if "sample_rate" in arrays.shapes:
        rate = arrays.read("sample_rate")
        if rate.size != 1 or rate.dtype.kind not in "fiu" or not rate.ravel()[0] > 0:
            raise ValueError(f"{path}: expected sample_rate as a number in Hz, found {rate}.")
        return spikes / float(rate.ravel()[0]), clusters
    if spikes.dtype.kind != "f":
        raise ValueError(
            f"{path}: spike_times are whole numbers, so samples or seconds cannot be told; add "
            "sample_rate in Hz, or save seconds as floats."
        )
    return spikes, clusters


def _read_table(path: Path) -> tuple[np.ndarray, np.ndarray]:
    if not path.is_file():
        raise ValueError(f"{path}: no such file.")
    wanted = f"{path}: expected columns spike_times (seconds) and spike_clusters"
    try:
        with open(path, encoding="utf-8-sig") as file:
            first = file.readline().strip()
            delimiter = "\t" if "\t" in first else ","
            header = [name.strip().strip('"').lower() for name in first.split(delimiter)]
            places = [
                next((header.index(name) for name in names if name in header), -1)
                for names in (_TIMES, _UNITS)
            ]
            if -1 in places:
                raise ValueError(f"{wanted}, found {first[:80] or 'nothing'}.")
            table = np.loadtxt(file, delimiter=delimiter, usecols=places, ndmin=2)
    except ValueError as error:
        if str(error).startswith(wanted):
            raise
        raise ValueError(f"{wanted}, found other text: {' '.join(str(error).split())}.") from error
    return table[:, 0], table[:, 1]
