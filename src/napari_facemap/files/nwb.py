"""NWB files, read as the HDF5 that they are: traces of ROIs, or spike times of units."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import h5py
import numpy as np

from napari_facemap.files.hdf5 import is_matrix, open_hdf5, read_matrix, text_of
from napari_facemap.files.matrices import make_recording, pieces
from napari_facemap.files.spikes import count_spikes
from napari_facemap.files.times import Clock
from napari_facemap.neural.recording import Footprint, Recording

_KINDS = {
    **dict.fromkeys(("deconvolved", "spks", "spikes"), "spks"),
    **dict.fromkeys(("dfoverf", "df_over_f", "dff"), "dF/F"),
    **dict.fromkeys(("neuropil", "fneu"), "Fneu"),
    **dict.fromkeys(("fluorescence", "f"), "F"),
}
"""What series are, by their own name or else that of the group they are in."""

_MEANS = ("meanimg", "mean_image", "meanimage", "mean", "average_image")


def is_nwb(file: h5py.File) -> bool:
    """Whether an open file says that it is NWB."""
    return "nwb_version" in file.attrs or "nwb_version" in file


def read_nwb(
    path: str | Path,
    times: str | Path | np.ndarray | None = None,
    rate: float | None = None,
    *,
    signal: str | None = None,
    cells_only: bool = True,
    bin_seconds: float | None = None,
) -> Recording:
    """Read traces of ROIs or spike times of units from an NWB file of version 2.

    Parameters
    ----------
    path : str or Path
        .nwb file with a ``RoiResponseSeries``, or with ``units``.
    times : str, Path or array-like, optional
        Seconds of the samples, or of the centres of the bins for units; they go before those
        inside.
    rate : float, optional
        Bins a second for units, or samples a second of a series that holds no times.
    signal : str, optional
        Where there are several: "units"; the place of a series in the file, or its end, such as
        ``Fluorescence/RoiResponseSeries``; or "spks", "F", "dF/F" for the only series called
        Deconvolved, Fluorescence, DfOverF. By default the only one, or the only Deconvolved.
    cells_only : bool
        Only ROIs that a column ``iscell`` (suite2p) or ``Accepted`` of the segmentation marks.
    bin_seconds : float, optional
        Length of a bin for spike times, by default 0.1 s; see `read_spikes`.

    Returns
    -------
    Recording
        Named by the ids of ROIs or units. Footprints and positions come from ``pixel_mask``,
        ``voxel_mask`` or ``image_mask``, whose axes are x, y, z as the schema says (suite2p's own
        files, which have y first, are known by their description).

    Raises
    ------
    ValueError
        When the file is damaged, or it is not clear what is meant, with all that was seen.
    """
    path = Path(path)
    clock = Clock.said(path, times, rate)
    with open_hdf5(path, "an NWB file") as file:
        chosen, remarks = _choose(path, file, signal)
        if chosen == "units":
            return _read_units(path, file["units"], clock, bin_seconds)
        if bin_seconds is not None:
            raise ValueError(f"{path}: {chosen} is sampled already; leave bin_seconds out.")
        return _read_series(path, file, file[chosen], clock, cells_only, remarks)


def _choose(path: Path, file: h5py.File, signal: str | None) -> tuple[str, list[str]]:
    """Place of what is to be read."""
    places: list[str] = []
    file.visititems(
        lambda name, item: (
            places.append(name) if _type(item) == "RoiResponseSeries" and "data" in item else None
        )
    )
    units = file.get("units")
    if isinstance(units, h5py.Group) and "spike_times" in units:
        places.append("units")
    if signal is None:
        fits = (
            places if len(places) == 1 else [place for place in places if _kind(place) == "spks"]
        )
        fits = [] if len(places) > 1 and "units" in places else fits
    else:
        fits = [place for place in places if f"/{place}".endswith(f"/{signal.strip('/')}")]
        fits = fits or [place for place in places if _kind(place) == signal]
    if len(fits) == 1:
        others = f"{path}: {fits[0]} was read; there are also "
        others += f"{', '.join(place for place in places if place != fits[0])}."
        return fits[0], [others] if signal is None and len(places) > 1 else []
    wanted = "one series of ROIs or units" if signal is None else f"one that is {signal}"
    raise ValueError(
        f"{path}: expected {wanted}, found {', '.join(fits or places) or 'none'}; say which by "
        "signal."
    )


def _type(item: Any) -> str:
    return text_of(item.attrs.get("neurodata_type", "")) if isinstance(item, h5py.Group) else ""


def _kind(place: str) -> str:
    own, group = PurePosixPath(place).name.lower(), PurePosixPath(place).parent.name.lower()
    return _KINDS.get(own) or _KINDS.get(group, "")


def _read_series(
    path: Path,
    file: h5py.File,
    series: h5py.Group,
    clock: Clock,
    cells_only: bool,
    remarks: list[str],
) -> Recording:
    data = series["data"]
    if not is_matrix(data):
        raise ValueError(
            f"{path}: expected {series.name}/data as (time, ROI), found shape {data.shape}."
        )
    table = _Rois.of(file, series)
    stamps = series.get("timestamps")
    if stamps is not None:
        clock = clock.within(path, stamps[()])
    n_times = None if clock.times is None else len(clock.times)
    axis, turned = _time_axis(path, data, n_times, None if table is None else len(table.rows))
    n_neurons, n_samples = data.shape[1 - axis], data.shape[axis]
    start = series.get("starting_time")
    if stamps is None and start is not None and start.attrs.get("rate", 0) > 0:
        steady = float(start[()]) + np.arange(n_samples) / float(start.attrs["rate"])
        clock = clock.within(path, steady)
    seconds = clock.seconds(path, (n_neurons, n_samples))
    keep, names, places = np.ones(n_neurons, bool), [str(n) for n in range(n_neurons)], {}
    if table is not None:
        keep, said = table.cells(path) if cells_only else (keep, [])
        remarks = remarks + said
        names = [str(number) for number in table.ids()]
        places = table.places(path, np.flatnonzero(keep))
        places["mean_image"] = _mean_image(file, table.of_suite2p)
    activity = read_matrix(data, by_time=axis == 0, keep=keep)
    activity = _in_units(activity, data)
    names = [name for name, kept in zip(names, keep, strict=True) if kept]
    return make_recording(path, activity, seconds, remarks + turned, names=names, **places)


def _time_axis(
    path: Path, data: h5py.Dataset, n_times: int | None, n_rois: int | None
) -> tuple[int, list[str]]:
    """Which axis is time: 0 by the schema, 1 in some files."""
    for axis in (0, 1):
        if n_times in (None, data.shape[axis]) and n_rois in (None, data.shape[1 - axis]):
            remark = (
                f"{path}: {data.name} {data.shape} was read as (ROI, time), against the schema."
            )
            return axis, [remark] if axis else []
    raise ValueError(
        f"{path}: {data.name} of shape {data.shape} does not fit {n_times or 'any number of'} "
        f"times and {n_rois or 'any number of'} ROIs; give the times of its samples."
    )


def _in_units(activity: np.ndarray, data: h5py.Dataset) -> np.ndarray:
    """Apply the factor and offset that lead to the series' unit."""
    factor, offset = (
        np.float32(data.attrs.get(name, usual))
        for name, usual in (("conversion", 1), ("offset", 0))
    )
    if np.isfinite(factor) and factor not in (0, 1):
        activity *= factor
    if np.isfinite(offset) and offset != 0:
        activity += offset
    return activity


@dataclass
class _Rois:
    """Rows of a segmentation's table that a series is of."""

    table: h5py.Group
    rows: np.ndarray

    @classmethod
    def of(cls, file: h5py.File, series: h5py.Group) -> _Rois | None:
        rois = series.get("rois")
        if not is_matrix(rois, 1):
            return None
        reference = rois.attrs.get("table")
        table = file[reference] if isinstance(reference, h5py.Reference) else None
        if not isinstance(table, h5py.Group) or "id" not in table:
            return None
        rows = rois[()].astype(np.int64)
        fits = len(rows) == 0 or (rows.min() >= 0 and rows.max() < len(table["id"]))
        return cls(table, rows) if fits else None

    @property
    def of_suite2p(self) -> bool:
        """Whether suite2p wrote it, which takes y for x."""
        return text_of(self.table.attrs.get("description", "")) == "suite2p output"

    def ids(self) -> np.ndarray:
        return self.table["id"][()][self.rows]

    def cells(self, path: Path) -> tuple[np.ndarray, list[str]]:
        """Which are marked as cells, and a remark when they are all kept without."""
        everything = np.ones(len(self.rows), bool)
        for name in ("iscell", "Accepted", "accepted"):
            marks = self.table.get(name)
            if not is_matrix(marks, 1) and not is_matrix(marks, 2):
                continue
            marked = marks[()] if marks.ndim == 1 else marks[:, 0]
            keep = marked[self.rows] > 0
            if not keep.any():
                raise ValueError(
                    f"{path}: none of {len(keep)} ROIs is a cell by {marks.name}; give "
                    "cells_only=False to read all."
                )
            remark = f"{path}: {keep.sum()} of {len(keep)} ROIs were kept by {marks.name}."
            return keep, [] if keep.all() else [remark]
        return everything, []

    def places(self, path: Path, kept: np.ndarray) -> dict[str, Any]:
        """Positions and footprints of some of the ROIs."""
        masks = self._masks(path, self.rows[kept])
        if masks is None:
            return {}
        footprints: list[Footprint] = []
        n_axes = len(masks[0]) - 1
        positions = np.full((len(masks), n_axes), np.nan, np.float32)
        for position, (*axes, weight) in zip(positions, masks, strict=True):
            if self.of_suite2p:
                axes[:2] = axes[1::-1]
            if weight.sum() > 0:
                position[:] = [axis @ weight / weight.sum() for axis in axes]
            x, y = (axis.astype(np.int32) for axis in axes[:2])
            footprints.append((y, x, weight))
        return {"positions": positions, "footprints": footprints}

    def _masks(self, path: Path, rows: np.ndarray) -> list[list[np.ndarray]] | None:
        """Of each row x, y, perhaps z, and weight."""
        for name, axes in (("pixel_mask", "xy"), ("voxel_mask", "xyz")):
            if name in self.table and f"{name}_index" in self.table:
                return _listed(path, self.table, name, (*axes, "weight"), rows)
        stored = self.table.get("image_mask")
        if not is_matrix(stored, 3) and not is_matrix(stored, 4):
            return None
        found: dict[int, list[np.ndarray]] = {}
        for part in pieces(len(stored), int(np.prod(stored.shape[1:]))):
            wanted = rows[(rows >= part.start) & (rows < part.stop)]
            block = stored[part] if len(wanted) else ()
            for row in wanted:
                mask = block[row - part.start]
                found[row] = [*np.nonzero(mask), mask[np.nonzero(mask)].astype(np.float32)]
        return [found[row] for row in rows]


def _listed(
    path: Path, table: h5py.Group, name: str, fields: tuple[str, ...], rows: np.ndarray
) -> list[list[np.ndarray]]:
    ends = table[f"{name}_index"][()].astype(np.int64)
    pixels = table[name][()]
    whole = len(ends) == len(table["id"]) and (np.diff(ends, prepend=0) >= 0).all()
    if not whole or ends[-1] > len(pixels) or not set(fields) <= set(pixels.dtype.names or ()):
        raise ValueError(
            f"{path}: expected in {table.name}/{name} {', '.join(fields)} of each of "
            f"{len(table['id'])} ROIs, found entries that do not fit."
        )
    starts = np.concatenate([[0], ends])
    found = []
    for row in rows:
        part = pixels[starts[row] : ends[row]]
        axes = [part[field].astype(np.int32) for field in fields[:-1]]
        found.append([*axes, part[fields[-1]].astype(np.float32)])
    return found


def _mean_image(file: h5py.File, of_suite2p: bool) -> np.ndarray | None:
    """The only mean image, as (y, x); the schema has images as (x, y)."""
    images: list[h5py.Dataset] = []
    file.visititems(
        lambda name, item: (
            images.append(item)
            if is_matrix(item) and PurePosixPath(name).name.lower() in _MEANS
            else None
        )
    )
    if len(images) != 1:
        return None
    image = images[0][()]
    return image if of_suite2p else image.T


def _read_units(
    path: Path, units: h5py.Group, clock: Clock, bin_seconds: float | None
) -> Recording:
    ends = units["spike_times_index"][()].astype(np.int64)
    spikes = units["spike_times"][()].astype(np.float64)
    if (
        (np.diff(ends, prepend=0) < 0).any()
        or len(spikes) == 0
        or ends[-1] != len(spikes)
        or not np.isfinite(spikes).all()
    ):
        raise ValueError(
            f"{path}: expected finite units/spike_times, with where each unit ends in "
            f"spike_times_index; found {len(spikes)} spikes that do not fit."
        )
    ids = units["id"][()] if "id" in units else np.arange(len(ends))
    trains = np.split(spikes, ends[:-1])
    span = float(spikes.min()), float(spikes.max())
    activity, centres = count_spikes(path, trains, span, clock, bin_seconds)
    return make_recording(path, activity, centres, [], names=[str(number) for number in ids])
