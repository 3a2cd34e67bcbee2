"""What was found in a video's regions as netCDF, which xarray and most languages open.

The root of the file holds the traces, so that ``xarray.open_dataset(path)`` gives them at once;
``components/0``, ``components/1`` and so on hold the pictures and scores of each decomposition,
and the attribute ``regions`` of the root holds the regions as the JSON of files of regions.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr

from napari_facemap.files.atomic import atomic_path
from napari_facemap.files.regions import regions_from_text, regions_to_text
from napari_facemap.movement.regions import Window
from napari_facemap.movement.results import SOURCES, Components, MotionResult

FORMAT = "napari-facemap motion"
VERSION = 1
_OURS = ("format", "format_version", "regions", "number_of_components")
_JSON = "attributes_in_json"
_BOUNDS = ["view", "y0", "y1", "x0", "x1"]


class MotionFileError(ValueError):
    """A file of motion results that is missing, damaged or something else."""


def write_motion(result: MotionResult, path: str | Path) -> Path:
    """Write traces, components and regions into one file.

    Parameters
    ----------
    result : MotionResult
        All that was found.
    path : str or Path
        Where the netCDF file is to be, best ending in .nc. It appears whole or not at all.

    Returns
    -------
    Path
        Where it is.

    Raises
    ------
    ValueError
        When an attribute is neither text, a number, nor lists and dicts of these, or has a name
        that the file needs itself.
    """
    path = Path(path)
    taken = sorted(set(_OURS) & set(result.traces.attrs))
    if taken:
        raise ValueError(
            f"{path}: expected traces without attributes called {', '.join(taken)}, which the "
            "file needs itself; rename them."
        )
    traces = result.traces.copy()
    items: list[Any] = [traces, *traces.variables.values()]
    for item in items:
        item.attrs = _to_file(item.attrs, path)
        item.encoding = {}
    traces.attrs |= {
        "format": FORMAT,
        "format_version": VERSION,
        "regions": regions_to_text(result.regions),
        "number_of_components": len(result.components),
    }
    with atomic_path(path) as temporary:
        _write_group(traces, temporary, None)
        for n, components in enumerate(result.components):
            _write_group(_to_dataset(components), temporary, f"components/{n}")
    return path


def read_motion(path: str | Path) -> MotionResult:
    """Read what `write_motion` wrote.

    Parameters
    ----------
    path : str or Path
        A .nc file.

    Returns
    -------
    MotionResult
        In memory; the file is closed.

    Raises
    ------
    MotionFileError
        When the file is missing, damaged or holds something else.
    """
    path = Path(path)
    if not path.is_file():
        raise MotionFileError(f"{path}: no such file of motion results.")
    if not h5py.is_hdf5(path):
        raise MotionFileError(
            f"{path}: expected motion results as netCDF, found another or a damaged file; "
            "measure the video again and save them."
        )
    try:
        traces = _read_group(path, None)
        found = str(traces.attrs.get("format", "no format")), traces.attrs.get("format_version")
        if found == (FORMAT, VERSION):
            return _result(traces, path)
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise MotionFileError(
            f"{path}: expected motion results as netCDF, found damage ({reason}); measure the "
            "video again and save them."
        ) from error
    raise MotionFileError(
        f"{path}: expected {FORMAT!r} of version {VERSION}, found {found[0]!r:.60} of version "
        f"{found[1]}; choose a file that motion results were saved in, or update napari-facemap."
    )


def _result(traces: xr.Dataset, path: Path) -> MotionResult:
    number = int(traces.attrs["number_of_components"])
    regions = regions_from_text(str(traces.attrs["regions"]), path)
    items: list[Any] = [traces, *traces.variables.values()]
    for item in items:
        item.attrs = _from_file(item.attrs)
        item.encoding = {}
    for name, variable in traces.variables.items():
        # Text comes back as objects.
        if variable.dtype.kind == "O":
            text = np.array([str(v) for v in variable.values.ravel()], str)
            traces[name] = variable.dims, text.reshape(variable.shape), variable.attrs
    for name in _OURS:
        del traces.attrs[name]
    components = tuple(_to_components(_read_group(path, f"components/{n}")) for n in range(number))
    times = traces.sizes.get("time", 0)
    for one in components:
        if len(one.scores) != times:
            raise ValueError(f"scores at {len(one.scores)} times beside traces at {times}")
    return MotionResult(traces, components, regions)


def _write_group(dataset: xr.Dataset, path: Path, group: str | None) -> None:
    # Files are compressed by h5py's own filter, so that any HDF5 opens them.
    squeezed = {"zlib": True, "complevel": 1, "shuffle": True}
    encoding = {
        name: squeezed
        for name, variable in dataset.variables.items()
        if variable.dtype.kind == "f" and variable.ndim and variable.size
    }
    dataset.to_netcdf(
        path, mode="a" if group else "w", group=group, engine="h5netcdf", encoding=encoding
    )


def _read_group(path: Path, group: str | None) -> xr.Dataset:
    with xr.open_dataset(
        path, engine="h5netcdf", group=group, decode_times=False, decode_timedelta=False
    ) as file:
        return file.load()


def _to_dataset(components: Components) -> xr.Dataset:
    windows = np.array([(view, *window) for view, window in components.windows], np.int64)
    dataset = xr.Dataset(
        {
            "scores": (("time", "component"), components.scores),
            "singular_values": (("component",), components.singular_values),
            "windows": (("window", "bound"), windows.reshape(-1, 5)),
        },
        coords={"bound": _BOUNDS},
        attrs={
            "source": components.source,
            "name": components.name,
            "bin": int(components.bin),
            "variance": float(components.variance),
        },
    )
    for n, (mask, mean) in enumerate(zip(components.masks, components.means, strict=True)):
        dataset[f"mask_{n}"] = ("component", f"y_{n}", f"x_{n}"), mask
        dataset[f"mean_{n}"] = (f"y_{n}", f"x_{n}"), mean
    return dataset


def _to_components(dataset: xr.Dataset) -> Components:
    source = str(dataset.attrs["source"])
    if source not in SOURCES:
        raise ValueError(f"components of {source!r:.40}")
    windows = dataset["windows"].values.tolist()
    return Components(
        source=source,
        name=str(dataset.attrs["name"]),
        masks=tuple(dataset[f"mask_{n}"].values for n in range(len(windows))),
        windows=tuple((view, Window(*bounds)) for view, *bounds in windows),
        bin=int(dataset.attrs["bin"]),
        scores=dataset["scores"].values,
        singular_values=dataset["singular_values"].values,
        variance=float(dataset.attrs["variance"]),
        means=tuple(dataset[f"mean_{n}"].values for n in range(len(windows))),
    )


def _to_file(attrs: dict, path: Path) -> dict[str, Any]:
    """Attributes as netCDF has them: text and numbers; others as JSON, and which those are."""
    written: dict[str, Any] = {}
    in_json = []
    for key, value in attrs.items():
        if isinstance(value, np.generic):
            value = value.item()
        # netCDF knows no empty text of one value, no booleans and no lists in lists.
        plain = isinstance(value, int | float) and not isinstance(value, bool)
        if plain or (isinstance(value, str) and value):
            written[str(key)] = value
            continue
        try:
            written[str(key)] = json.dumps(value)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{path}: expected text, numbers, lists and dicts as attributes, found a "
                f"{type(value).__name__} called {key}; save it as text."
            ) from error
        in_json.append(str(key))
    if in_json:
        written[_JSON] = " ".join(in_json) if all(" " not in k for k in in_json) else in_json
    return written


def _from_file(attrs: dict) -> dict[str, Any]:
    in_json = attrs.get(_JSON, "")
    listed = in_json.split() if isinstance(in_json, str) else [str(key) for key in in_json]
    read = {}
    for key, value in attrs.items():
        if key == _JSON:
            continue
        value = value.item() if isinstance(value, np.generic) else value
        read[key] = json.loads(value) if key in listed else value
    return read
