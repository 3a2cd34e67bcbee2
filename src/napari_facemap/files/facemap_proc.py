"""Motion, pupils, blinks and running from the ``_proc.npy`` files of Facemap 1.0.

Facemap counts pixels from the corner of each region, stores squares of the pupil's axes and
leaves some numbers one frame early; `read_facemap_proc` says where each is turned into ours. Its
mean over time and its masks are of a sample of the frames, which the file does not name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from napari_facemap.files.regions import outline_of_mask, regions_from_text
from napari_facemap.files.unpickle import load_plain
from napari_facemap.movement.regions import Region, Regions, Window
from napari_facemap.movement.results import Components, MotionResult
from napari_facemap.provenance import software

EXTRA = "napari_facemap"
"""Key of what Facemap has no place for, in files of ours."""

KINDS = {"Pupil": "pupil", "motion SVD": "motion", "Blink": "blink", "Running": "running"}
"""Facemap's names of kinds, and ours."""

KEYS = {"motion": ("mot", "avgmotion"), "movie": ("mov", "avgframe")}
"""Sources of components: how Facemap's keys of them begin, and its key of the mean."""

BATCH = 500
"""Frames that Facemap projects at once."""


class FacemapFileError(ValueError):
    """A file of Facemap's that is missing, damaged or something else."""


def read_facemap_proc(path: str | Path, times: np.ndarray | None = None) -> MotionResult:
    """Read a ``_proc.npy`` file; nothing in it is executed.

    Parameters
    ----------
    path : str or Path
        What Facemap 1.0 saved after processing, or with "save ROIs"; or `write_facemap_proc`.
    times : ndarray of float, shape (time,), optional
        Seconds of each frame, which Facemap does not keep.

    Returns
    -------
    MotionResult
        Without `times` its ``time`` counts frames and ``attrs["times_known"]`` is 0. A file of
        regions alone gives no traces and no components. Regions are called by their kind and
        number, as in "pupil 1"; whole frames "whole frame", of several views together "whole
        frames".

        - ``motion_energy``: sum over binned pixels of absolute differences. Facemap keeps the
          first 499 of them a frame early, and a 0 for the next; here each stands at the later
          of its two frames, and NaN at the first frame.
        - ``pupil_x`` and so on: in pixels of the full frame; true semi-axes, the longer one as
          ``pupil_major``; the angle of the longer one in radians from x towards y, from -pi/2 to
          below pi/2.
        - ``running_x`` and ``running_y``: shifts between frames, NaN at the first; Facemap's
          from 1.0.5 on are known to be wrong.
        - Components: masks are brought to length 1, and scores with them, where Facemap's are
          not (of videos with less than 2000 frames; their lengths are the singular values).
          Of longer videos without motion SVD they are not orthogonal either, which stays so.
          Components of no length are left out. Scores of the first frame, which Facemap copies
          from the second, are NaN. Singular values are those of Facemap's sample of frames,
          known for what it decomposed last, or NaN.

    Raises
    ------
    UnsafeFileError
        When the file is missing, no .npy file, or would run code.
    FacemapFileError
        When it holds something else or is incomplete, or `times` are of another number of frames.
    """
    path = Path(path)
    proc = load_plain(path)
    if not isinstance(proc, dict) or not {"Ly", "Lx", "rois"} <= set(proc):
        found = f"keys {', '.join(map(str, proc))}"[:120] if isinstance(proc, dict) else "no dict"
        raise FacemapFileError(
            f"{path}: expected what Facemap saves as _proc.npy, a dict with Ly, Lx and rois; "
            f"found {found}. Choose a _proc.npy file."
        )
    try:
        return _result(proc, path.name, times)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise FacemapFileError(
            f"{path}: expected what Facemap saves as _proc.npy, found it incomplete or other "
            f"than Facemap's: {' '.join(reason.split())[:200].rstrip('.')}. Process the video again."
        ) from error


def _result(proc: dict, name: str, times: np.ndarray | None) -> MotionResult:
    extra: dict = proc.get(EXTRA) or {}
    sizes = tuple((int(y), int(x)) for y, x in zip(proc["Ly"], proc["Lx"], strict=True))
    regions = Regions(tuple(_regions(proc["rois"])), sizes)
    if "regions" in extra:
        own = regions_from_text(str(extra["regions"]), name)
        # Somebody may have drawn other regions in Facemap since.
        if all(len(own.of(kind)) == len(regions.of(kind)) for kind in KINDS.values()):
            regions = own
    attrs = _provenance(proc, name)
    if "motion" not in proc:
        return MotionResult(xr.Dataset(attrs=attrs), (), regions)
    traces = _traces(proc, regions, bool(extra))
    frames = traces.sizes.get("time", 0)
    if times is None and len(extra.get("times", ())) == frames:
        times = extra["times"] if extra.get("times_known", 1) else None
    if times is not None and np.shape(times) != (frames,):
        raise ValueError(f"{frames} frames beside times of shape {np.shape(times)}")
    attrs["times_known"] = int(times is not None)
    at = np.arange(frames, dtype=float) if times is None else np.array(times, float)
    units = {"units": "frame" if times is None else "s"}
    traces = traces.assign_coords(time=("time", at, units)).assign_attrs(attrs)
    found = list(_components(proc, regions, extra, frames))
    order = [(one["source"], one["name"]) for one in extra.get("components", ())]
    if set(order) == {(one.source, one.name) for one in found}:
        found.sort(key=lambda one: order.index((one.source, one.name)))
    return MotionResult(traces, tuple(found), regions)


def whole_name(n_views: int) -> str:
    """What motion of whole frames is called, of all views together."""
    return "whole frame" if n_views == 1 else "whole frames"


def _provenance(proc: dict, name: str) -> dict[str, Any]:
    videos = [[str(video) for video in part] for part in proc.get("filenames") or ()]
    return {
        "source": "Facemap _proc.npy",
        "source_file": name,
        "facemap_filenames": json.dumps(videos),
        "bin": int(proc.get("sbin", 1)),
        "imported_by": software(),
    }


def _regions(rois: list[dict]) -> list[Region]:
    """Facemap's regions, and the reflections in its pupils, by kind and number."""
    found: list[Region] = []
    number = dict.fromkeys((*KINDS.values(), "glint"), 0)

    def add(kind: str, y: Any, x: Any, mask: Any, view: int, options: dict) -> None:
        shape, vertices = outline_of_mask(np.asarray(y), np.asarray(x), mask)
        same = [r for r in found if (r.kind, r.view) == (kind, view) == ("glint", view)]
        # One glint is told of each pupil that it touches.
        if any(np.array_equal(r.vertices, vertices) for r in same):
            return
        number[kind] += 1
        found.append(Region(f"{kind} {number[kind]}", kind, vertices, shape, view, options))

    for roi in rois:
        if roi["rtype"] not in KINDS:
            raise ValueError(f"a region of the kind {roi['rtype']!r:.40}")
        kind, view = KINDS[roi["rtype"]], int(roi["ivid"])
        y, x = np.asarray(roi["yrange"]), np.asarray(roi["xrange"])
        dark = kind in ("pupil", "blink")
        options = {"threshold": float(roi["saturation"])} if dark else {}
        add(kind, y, x, roi.get("ellipse"), view, options)
        for glint in roi.get("reflector") or () if kind == "pupil" else ():
            # Counted from the corner of the pupil's region.
            inner = np.asarray(glint["yrange"]) + y[0], np.asarray(glint["xrange"]) + x[0]
            add("glint", *inner, glint.get("ellipse"), view, {})
    return found


def _traces(proc: dict, regions: Regions, ours: bool) -> xr.Dataset:
    found: dict[str, tuple] = {}
    names = {kind: [r.name for r in regions.of(kind)] for kind in KINDS.values()}
    coords = {kind: of for kind, of in names.items() if of and kind != "motion"}
    _expect("pupil", proc.get("pupil", []), names["pupil"])
    _expect("running", proc.get("running", []), names["running"])
    _expect("blink", proc.get("blink", []), names["blink"])
    energy, pixels = _motion_energy(proc, ours)
    if energy:
        called = [whole_name(len(regions.sizes)), *names["motion"]]
        coords["motion"] = [called[n] for n in energy]
        values = np.stack(list(energy.values()), 1).astype(float)
        about = {"units": "grey levels, summed over binned pixels"}
        if names["pupil"] or names["blink"]:
            about["note"] = "Facemap measures it in frames that are white about pupils and eyes."
        found["motion_energy"] = _over("motion", values, **about)
        mean = values / np.array([pixels[n] for n in energy])
        found["motion_mean"] = _over("motion", mean, units="grey levels a pixel")
    if names["pupil"]:
        found |= _pupils(proc["pupil"], proc["rois"])
    if names["blink"]:
        values = np.stack([np.asarray(b, float) for b in proc["blink"]], 1)
        units = "grey levels, summed over the region's pixels"
        found["blink_dark"] = _over("blink", values, units=units)
    if names["running"]:
        shift = np.stack([_finite_after_first(r) for r in proc["running"]], 1)
        note = "Shift from the frame before, in whole pixels; wrong in Facemap 1.0.5 to 1.0.8."
        about = {"units": "px a frame", "note": note}
        found["running_x"] = _over("running", shift[..., 1], **about)
        found["running_y"] = _over("running", shift[..., 0], **about)
    traces = xr.Dataset(found, coords=coords)
    if not found:
        # A movie without anything but components of its frames.
        frames = max(
            (len(s) for key in ("motSVD", "movSVD") for s in proc.get(key, [])), default=0
        )
        traces = traces.assign_coords(time=np.arange(frames))
    return traces


def _over(kind: str, values: np.ndarray, **attrs: Any) -> tuple:
    return ("time", kind), values, attrs


def _expect(what: str, found: list, names: list[str]) -> None:
    if len(found) != len(names):
        raise ValueError(f"{len(found)} traces of {len(names)} {what} regions")


def _finite_after_first(shift: Any) -> np.ndarray:
    shift = np.array(shift, float)
    shift[:1] = np.nan
    return shift


def _motion_energy(proc: dict, ours: bool) -> tuple[dict[int, np.ndarray], dict[int, int]]:
    """Motion energy of whole frames (0) and regions (1 and so on), and how many pixels each has."""
    energy = {n: np.array(e, np.float32) for n, e in enumerate(proc["motion"])}
    energy = {n: e for n, e in energy.items() if not np.isnan(e).all()}
    # Facemap measures none, and keeps zeros, where it was not asked for components of motion.
    if not any(e.any() for e in energy.values()) and not proc.get("motSVD"):
        return {}, {}
    pixels = {0: int(np.dot(proc["Lybin"], proc["Lxbin"]))}
    motion = [roi for roi in proc["rois"] if KINDS[roi["rtype"]] == "motion"]
    for n, roi in enumerate(motion, start=1):
        pixels[n] = len(roi["yrange_bin"]) * len(roi["xrange_bin"])
    early = not ours and all(e[min(BATCH, len(e)) - 1] == 0 for e in energy.values())
    for e in energy.values():
        if early:
            # Its first batch is differences from each frame to the next, without one at its end.
            e[1:BATCH] = e[: BATCH - 1][: len(e) - 1].copy()
        e[:1] = np.nan
    return energy, pixels


def _pupils(pupils: list[dict], rois: list[dict]) -> dict[str, tuple]:
    own = [roi for roi in rois if KINDS[roi["rtype"]] == "pupil"]
    columns: dict[str, list[np.ndarray]] = {}
    for pupil, roi in zip(pupils, own, strict=True):
        centre, squares = np.asarray(pupil["com"], float), np.asarray(pupil["axlen"], float)
        axes = np.asarray(pupil["axdir"], float)
        order = np.argsort(-squares, axis=1, kind="stable")
        major, minor = np.sqrt(np.take_along_axis(squares, order, 1)).T
        # Columns are directions (y, x), each along the axis of the same place.
        y, x = np.take_along_axis(axes, order[:, None, :1], 2)[..., 0].T
        area = np.array(pupil["area"], float)
        for name, values in {
            "pupil_x": centre[:, 1] + roi["xrange"][0],
            "pupil_y": centre[:, 0] + roi["yrange"][0],
            "pupil_major": major,
            "pupil_minor": minor,
            "pupil_angle": (np.arctan2(y, x) + np.pi / 2) % np.pi - np.pi / 2,
            "pupil_area": area,
            "pupil_diameter": 2 * np.sqrt(area / np.pi),
            "pupil_quality": np.full(len(area), np.nan),
        }.items():
            columns.setdefault(name, []).append(values)
    about = {
        "pupil_angle": {"units": "rad"},
        "pupil_area": {"units": "px2"},
        "pupil_quality": {"units": "1", "note": "Facemap measures none."},
    }
    return {
        name: _over("pupil", np.stack(values, 1), **about.get(name, {"units": "px"}))
        for name, values in columns.items()
    }


def _components(proc: dict, regions: Regions, extra: dict, frames: int) -> Iterator[Components]:
    binned = [(int(y), int(x)) for y, x in zip(proc["Lybin"], proc["Lxbin"], strict=True)]
    names = ["", *(r.name for r in regions.of("motion"))]
    parts = [[(view, Window(0, y, 0, x)) for view, (y, x) in enumerate(binned)]]
    for roi in proc["rois"]:
        if KINDS[roi["rtype"]] == "motion":
            y, x = roi["yrange_bin"], roi["xrange_bin"]
            window = Window(int(y[0]), int(y[-1]) + 1, int(x[0]), int(x[-1]) + 1)
            parts.append([(int(roi["ivid"]), window)])
    known = {(one["source"], one["name"]): one for one in extra.get("components", ())}
    for source, (key, mean) in KEYS.items():
        means = [np.reshape(m, b) for m, b in zip(proc[mean], binned, strict=True)]
        there = [n for n, scores in enumerate(proc[f"{key}SVD"]) if np.size(scores)]
        for n in there:
            values = proc[f"{key}Sv"] if n == there[-1] else ()
            masks, scores, values = _unit(proc[f"{key}Mask"][n], proc[f"{key}SVD"][n], values)
            if len(scores) != frames:
                raise ValueError(f"scores of {len(scores)} frames beside traces of {frames}")
            if source == "motion" or np.array_equal(scores[:1], scores[1:2]):
                scores[:1] = np.nan
            own = known.get((source, names[n]), {})
            bin_ = int(proc["sbin"])
            if "singular_values" in own:
                values = np.reshape(own["singular_values"], len(values)).astype(float)
            windows = [(view, Window(*(bin_ * edge for edge in w))) for view, w in parts[n]]
            pictures = own.get("means") or [w.of(means[view]) for view, w in parts[n]]
            if "windows" in own:
                windows = [(int(view), Window(*map(int, w))) for view, *w in own["windows"]]
            yield Components(
                source=source,
                name=names[n],
                masks=_split(masks, [w for _, w in parts[n]]),
                windows=tuple(windows),
                bin=bin_,
                scores=scores,
                singular_values=values,
                variance=float(own.get("variance", np.nan)),
                means=tuple(
                    np.array(np.reshape(picture, w.shape), np.float32)
                    for picture, (_, w) in zip(pictures, parts[n], strict=True)
                ),
            )


def _unit(masks: Any, scores: Any, values: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Masks (pixel, component) of length 1, their scores and their singular values or NaN."""
    masks, scores = np.array(masks, np.float32), np.array(scores, np.float32)
    lengths = np.linalg.norm(masks.astype(float), axis=0)
    if len(values) != len(lengths) or not np.any(values):
        values = np.full(len(lengths), np.nan)
    if len(lengths) == 0 or np.allclose(lengths, 1, atol=1e-3):
        return masks, scores, np.array(values, float)
    # Of one chunk Facemap keeps masks times singular values; rounding alone is left of the last.
    some = lengths > 1e-6 * lengths.max()
    lengths = lengths[some]
    unit = (masks[:, some] / lengths).astype(np.float32)
    few = unit[:, np.unique(np.linspace(0, len(lengths) - 1, 50).astype(int))]
    # Several chunks that it never joined are neither orthogonal nor have values together.
    joined = np.abs(np.triu(few.T @ few, 1)).max() < 1e-2
    values = lengths if joined else np.full(len(lengths), np.nan)
    return unit, (scores[:, some] / lengths).astype(np.float32), values


def _split(masks: np.ndarray, windows: list[Window]) -> tuple[np.ndarray, ...]:
    """Masks (component, y, x) of each window from all of them on end."""
    ends = np.cumsum([rows * columns for rows, columns in (w.shape for w in windows)])
    if ends[-1] != len(masks):
        raise ValueError(f"masks of {len(masks)} pixels for regions of {ends[-1]}")
    pieces = zip(np.split(masks, ends[:-1]), windows, strict=True)
    return tuple(piece.T.reshape(-1, *window.shape).copy() for piece, window in pieces)
