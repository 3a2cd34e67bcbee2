"""Motion, pupils, blinks and running as files that Facemap 1.0 and scripts made for it read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from scipy.io import savemat

from napari_facemap.files.atomic import atomic_path
from napari_facemap.files.facemap_proc import EXTRA, KEYS, KINDS, whole_name
from napari_facemap.files.regions import regions_to_text
from napari_facemap.movement.regions import Region, Regions
from napari_facemap.movement.results import Components, MotionResult
from napari_facemap.provenance import software

_TYPES = {kind: name for name, kind in KINDS.items()}
_NUMBERS = {"Pupil": 0, "motion SVD": 1, "Blink": 2, "Running": 3}
_RED, _GREEN = (229, 13, 13), (13, 229, 13)
_COLORS = {"pupil": _RED, "motion": _GREEN, "blink": (229, 229, 13), "running": (13, 229, 229)}
_SINGULAR, _SMOOTHING = 500, 30


def write_facemap_proc(
    result: MotionResult, path: str | Path, videos: Sequence[str | Path] | None = None
) -> Path:
    """Write what Facemap writes as ``_proc.npy`` or ``_proc.mat``.

    Parameters
    ----------
    result : MotionResult
        All that was found. Without traces only the regions are written, as by "save ROIs".
    path : str or Path
        Where the file is to be, ending in .npy (a pickled dict, which is Facemap's format; our
        `read_facemap_proc` reads it without running it) or .mat. It appears whole or not at all.
    videos : sequence of str or Path, optional
        The video of each view, which Facemap opens; those named in the result unless given.

    Returns
    -------
    Path
        Where it is.

    Raises
    ------
    ValueError
        When the file is to end otherwise or the components are of several sizes of bins.

    Notes
    -----
    Facemap's names, types, shapes and units, with these exceptions: motion energy stands at the
    later of its two frames throughout, and is the mean change of a pixel times Facemap's number
    of bins; masks have length 1; singular values, which Facemap has room for only once, are those
    of the last region; smoothed pupils are not pulled to 0 at the ends. What is not known at the
    first frame is copied from the second, as Facemap does, and 0 in running. Means of whole
    frames are NaN where nothing of them was kept. Polygons become masks, glints belong to the
    pupils that they touch. Qualities, speeds and millimetres have no place. Times, names, exact
    vertices, options and windows, and each component's singular values and means stand under a
    key of our own.
    """
    path = Path(path)
    if path.suffix not in (".npy", ".mat"):
        raise ValueError(
            f"{path}: expected a name that ends in .npy or .mat, found {path.suffix or 'none'}; "
            "name it like video_proc.npy."
        )
    bins = {components.bin for components in result.components}
    if len(bins) > 1:
        raise ValueError(
            f"{path}: expected components of one size of bins, found {sorted(bins)}; decompose "
            "all with the same bin."
        )
    proc = _to_proc(result, bins.pop() if bins else int(result.traces.attrs.get("bin", 1)))
    proc["filenames"] = _videos(result.traces.attrs, videos)
    proc |= {"save_path": str(path.parent), "save_mat": path.suffix == ".mat"}
    with atomic_path(path) as temporary:
        if path.suffix == ".mat":
            savemat(temporary, _for_matlab(proc), long_field_names=True)
        else:
            np.save(temporary, proc)  # type: ignore[arg-type]
    return path


def _videos(attrs: dict, videos: Sequence[str | Path] | None) -> list[list[str]]:
    """Videos that follow each other, of each those of all views."""
    if videos is None and "facemap_filenames" in attrs:
        return json.loads(attrs["facemap_filenames"])
    named = attrs.get("video", []) if videos is None else videos
    return [[str(video) for video in ([named] if isinstance(named, str) else named)]]


def _to_proc(result: MotionResult, bin_: int) -> dict[str, Any]:
    regions, sizes = result.regions, result.regions.sizes
    offsets = np.cumsum([0, *(columns for _, columns in sizes)])
    whole = any(not components.name for components in result.components)
    proc: dict[str, Any] = {
        "Ly": [int(rows) for rows, _ in sizes],
        "Lx": [int(columns) for _, columns in sizes],
        "sy": np.zeros(len(sizes), int),
        "sx": offsets[:-1],
        "sbin": int(bin_),
        "fullSVD": whole,
        EXTRA: _extra(result),
    }
    if not result.traces.sizes.get("time"):
        return proc | {
            "LY": max((rows for rows, _ in sizes), default=0),
            "LX": int(offsets[-1]),
            "rois": _rois(regions, bin_, {}),
            "motSVD": True,
            "movSVD": False,
        }
    layout = _Layout(result, bin_)
    proc |= layout.sizes() | {"rois": _rois(regions, bin_, layout.starts)}
    proc |= layout.means()
    binned = [len(r["yrange_bin"]) * len(r["xrange_bin"]) for r in proc["rois"] if r["rind"] == 1]
    pixels = [int(np.dot(proc["Lybin"], proc["Lxbin"])), *binned]
    proc["motion"] = _motion(result.traces, regions, pixels)
    for source in KEYS:
        proc |= layout.components(source)
    return proc | _signals(result.traces, regions)


def _extra(result: MotionResult) -> dict[str, Any]:
    """What Facemap has no place for."""
    extra: dict[str, Any] = {"software": software(), "regions": regions_to_text(result.regions)}
    if result.traces.sizes.get("time"):
        extra["times"] = result.traces["time"].values.astype(float)
        extra["times_known"] = int(result.traces.attrs.get("times_known", 1))
    extra["components"] = [
        {
            "source": one.source,
            "name": one.name,
            "singular_values": np.asarray(one.singular_values, float),
            "variance": float(one.variance),
            "windows": np.array([(view, *window) for view, window in one.windows], int),
            "means": [np.asarray(mean, np.float32) for mean in one.means],
        }
        for one in result.components
    ]
    return extra


class _Layout:
    """Where binned pixels of views and regions lie, in Facemap's order."""

    def __init__(self, result: MotionResult, bin_: int) -> None:
        self.result, self.bin = result, bin_
        self.motion = result.regions.of("motion")
        self.views = [(rows // bin_, columns // bin_) for rows, columns in result.regions.sizes]
        for one in result.components:
            for (view, _), mean in zip(one.windows, one.means, strict=True):
                if not one.name:
                    self.views[view] = mean.shape
        # First row and column of bins, and how many, of each region that was decomposed.
        self.starts: dict[str, tuple[int, int, int, int]] = {}
        for one in result.components:
            if one.name:
                (view, window), (rows, columns) = one.windows[0], one.means[0].shape
                y = min(round(window.y0 / bin_), self.views[view][0] - rows)
                x = min(round(window.x0 / bin_), self.views[view][1] - columns)
                self.starts[one.name] = max(y, 0), max(x, 0), rows, columns
        self.columns = np.cumsum([0, *(columns for _, columns in self.views)])
        self.shape = max((rows for rows, _ in self.views), default=0), int(self.columns[-1])

    def sizes(self) -> dict[str, Any]:
        """Sizes of views in bins, and where they stand beside each other."""
        rows, columns = np.array(self.views, np.int32).reshape(-1, 2).T
        return {
            "Lybin": rows.copy(),
            "Lxbin": columns.copy(),
            "sybin": np.zeros(len(self.views), int),
            "sxbin": self.columns[:-1],
            "LYbin": self.shape[0],
            "LXbin": self.shape[1],
        }

    def means(self) -> dict[str, Any]:
        """Mean pictures, flat unless the view has a motion region, and beside each other."""
        found: dict[str, Any] = {}
        for source, (_, key) in KEYS.items():
            pictures = [np.full(shape, np.nan, np.float32) for shape in self.views]
            # Whole frames last: they hold what parts of them do.
            for one in sorted(self._of(source), key=lambda one: not one.name):
                for (view, _), mean in zip(one.windows, one.means, strict=True):
                    y, x, _, _ = self.starts.get(one.name, (0, 0, 0, 0))
                    rows, columns = mean.shape
                    room = pictures[view][y : y + rows, x : x + columns]
                    room[:] = mean[: room.shape[0], : room.shape[1]]
            flat = np.concatenate([p.ravel() for p in pictures])
            found[f"{key}_reshape"] = self._beside(flat[:, None])[..., 0]
            with_region = {region.view for region in self.motion}
            found[key] = [p if v in with_region else p.ravel() for v, p in enumerate(pictures)]
        return found

    def components(self, source: str) -> dict[str, Any]:
        """Masks, scores and the last singular values; lists are empty when there is nothing."""
        key, _ = KEYS[source]
        by_name = {one.name: one for one in self._of(source)}
        names = ["", *(region.name for region in self.motion)] if by_name else []
        none = np.zeros((0, 1), np.float32)
        masks, pictures, scores = ([none] * len(names) for _ in range(3))
        for n, one in enumerate(map(by_name.get, names)):
            if one is not None:
                flat = masks[n] = self._flat(one)
                shape = *one.means[0].shape, flat.shape[1]
                pictures[n] = flat.reshape(shape) if one.name else self._beside(flat)
                scores[n] = _first_as_second(np.asarray(one.scores, np.float32))
        last = [by_name[r.name] for r in self.motion if r.name in by_name]
        values = np.zeros(_SINGULAR, np.float32)
        for one in (last or list(by_name.values()))[-1:]:
            if np.isfinite(one.singular_values).all():
                values = np.asarray(one.singular_values, np.float32)
        return {
            f"{key}Sv": values,
            f"{key}Mask": masks,
            f"{key}Mask_reshape": pictures,
            f"{key}SVD": scores,
        }

    def _of(self, source: str) -> list[Components]:
        return [one for one in self.result.components if one.source == source]

    def _flat(self, one: Components) -> np.ndarray:
        """Masks (pixel, component) of all windows, or of whole frames all views, on end."""
        there = {view: mask for (view, _), mask in zip(one.windows, one.masks, strict=True)}
        number = len(one.singular_values)
        views = range(len(self.views)) if not one.name else there
        pieces = [
            there[view].reshape(number, -1).T
            if view in there
            else np.zeros((int(np.prod(self.views[view])), number))
            for view in views
        ]
        return np.concatenate(pieces).astype(np.float32)

    def _beside(self, flat: np.ndarray) -> np.ndarray:
        """Pictures (y, x, component) of views beside each other from those on end."""
        picture = np.zeros((*self.shape, flat.shape[1]), np.float32)
        start = 0
        for (rows, columns), x in zip(self.views, self.columns[:-1], strict=True):
            piece = flat[start : start + rows * columns].reshape(rows, columns, -1)
            picture[:rows, x : x + columns] = piece
            start += rows * columns
        return picture


def _rois(
    regions: Regions, bin_: int, starts: dict[str, tuple[int, int, int, int]]
) -> list[dict[str, Any]]:
    rois: list[dict[str, Any]] = []
    for region in regions:
        if region.kind == "glint":
            continue
        name = _TYPES[region.kind]
        y, x, mask = _part(region, regions)
        # Facemap leaves out the last bin that a region touches.
        ends = [max(v[-1] // bin_ - v[0] // bin_, 1) for v in (y, x)]
        bins = (y[0] // bin_, x[0] // bin_, *ends)
        y0, x0, rows, columns = starts.get(region.name, bins)
        dark = region.options.get("threshold")
        threshold = 255.0 if dark is None else float(dark)
        rois.append(
            {
                "rind": _NUMBERS[name],
                "rtype": name,
                "iROI": len(rois),
                "ivid": int(region.view),
                "color": _COLORS[region.kind],
                "yrange": y,
                "xrange": x,
                "saturation": int(threshold) if threshold.is_integer() else threshold,
                "pupil_sigma": 2.0,
                "ellipse": mask,
                "reflector": _reflectors(region, regions) if region.kind == "pupil" else [],
                "yrange_bin": np.arange(y0, y0 + rows),
                "xrange_bin": np.arange(x0, x0 + columns),
            }
        )
    return rois


def _part(region: Region, regions: Regions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows and columns of a region, and which of their pixels belong to it."""
    size = regions.sizes[region.view]
    window = region.window(*size)
    return np.arange(window.y0, window.y1), np.arange(window.x0, window.x1), region.mask(*size)


def _reflectors(pupil: Region, regions: Regions) -> list[dict[str, np.ndarray]]:
    """Glints that touch a pupil, counted from its corner."""
    y, x, mask = _part(pupil, regions)
    touching = []
    for glint in regions.of("glint", pupil.view):
        rows, columns, ellipse = _part(glint, regions)
        held = np.isin(rows, y), np.isin(columns, x)
        common = mask[np.ix_(np.isin(y, rows), np.isin(x, columns))] & ellipse[np.ix_(*held)]
        if common.any():
            touching.append({"yrange": rows - y[0], "xrange": columns - x[0], "ellipse": ellipse})
    return touching


def _trace(traces: xr.Dataset, name: str, region: str) -> np.ndarray:
    """One region's trace, or NaN where it was not measured."""
    if name not in traces or region not in traces[traces[name].dims[1]].values:
        return np.full(traces.sizes["time"], np.nan)
    return traces[name].sel({traces[name].dims[1]: region}).values.astype(float)


def _motion(traces: xr.Dataset, regions: Regions, pixels: list[int]) -> list[np.ndarray]:
    """Motion energy of whole frames and of each motion region, which have so many bins."""
    n_views = len(regions.sizes)
    if whole_name(n_views) in traces.get("motion", ()):
        whole = _trace(traces, "motion_mean", whole_name(n_views))
    else:
        areas = np.array([rows * columns for rows, columns in regions.sizes], float)
        views = [f"whole frame of view {view}" for view in range(n_views)]
        each = [_trace(traces, "motion_mean", view) for view in views]
        whole = np.average(each, axis=0, weights=areas)
    means = [whole, *(_trace(traces, "motion_mean", r.name) for r in regions.of("motion"))]
    if np.isnan(whole).all():
        means[0] = whole[:0]
    energy = [mean * number for mean, number in zip(means, pixels, strict=True)]
    return [_first_as_second(values.astype(np.float32)) for values in energy]


def _first_as_second(values: np.ndarray) -> np.ndarray:
    values = values.copy()
    if len(values) > 1 and np.isnan(values[0]).all():
        values[0] = values[1]
    return values


def _signals(traces: xr.Dataset, regions: Regions) -> dict[str, Any]:
    pupils, runs = [], []
    for region in regions.of("pupil"):
        names = ("x", "y", "major", "minor", "angle", "area")
        one = {name: _trace(traces, f"pupil_{name}", region.name) for name in names}
        pupils.append(_pupil(one, *_part(region, regions)[:2]))
    blinks = [_trace(traces, "blink_dark", region.name) for region in regions.of("blink")]
    for region in regions.of("running"):
        runs.append(np.stack([_trace(traces, f"running_{a}", region.name) for a in "yx"], 1))
        runs[-1][:1] = np.nan_to_num(runs[-1][:1])
    return {"pupil": pupils, "running": runs, "blink": blinks}


def _pupil(one: dict[str, np.ndarray], y: np.ndarray, x: np.ndarray) -> dict[str, np.ndarray]:
    sine, cosine = np.sin(one["angle"]), np.cos(one["angle"])
    centre = np.stack([one["y"] - y[0], one["x"] - x[0]], 1)
    return {
        "area": one["area"],
        "com": centre,
        # Columns: directions (y, x) of the longer and of the shorter axis.
        "axdir": np.stack([np.stack([sine, cosine], 1), np.stack([cosine, -sine], 1)], 2),
        "axlen": np.stack([one["major"] ** 2, one["minor"] ** 2], 1),
        "area_smooth": _smooth(one["area"]),
        "com_smooth": np.stack([_smooth(centre[:, 0]), _smooth(centre[:, 1])], 1),
    }


def _smooth(values: np.ndarray) -> np.ndarray:
    """Values with the unknown ones, and those far from the median about them, replaced by it."""
    known = np.isfinite(values)
    if not known.any():
        return values.copy()
    padded = np.pad(values, (_SMOOTHING // 2, _SMOOTHING // 2 - 1), constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, _SMOOTHING)
    held = np.isfinite(windows).any(1)
    median = np.full(len(values), np.nan)
    median[held] = np.nanmedian(windows[held], axis=1)
    at = np.arange(len(values))
    median = np.interp(at, at[held], median[held])
    far = np.abs(values - median) > np.std(values[known]) / 2
    return np.where(known & ~far, values, median)


def _for_matlab(proc: dict[str, Any]) -> dict[str, Any]:
    """Numbered arrays in place of lists of them, and cells of structures, as Facemap has them."""
    saved: dict[str, Any] = {}
    for key, value in proc.items():
        if isinstance(value, list) and value and isinstance(value[0], np.ndarray):
            saved |= {f"{key}_{n}": array for n, array in enumerate(value)}
        elif key in ("pupil", "rois"):
            saved[key] = _cells(value)
        elif key == EXTRA:
            saved[key] = {k: v for k, v in value.items() if k != "components"}
        else:
            saved[key] = value
    return saved


def _cells(items: list) -> np.ndarray:
    cells = np.empty(len(items), object)
    for n, item in enumerate(items):
        cells[n] = {k: _cells(v) if k == "reflector" else v for k, v in item.items()}
    return cells
