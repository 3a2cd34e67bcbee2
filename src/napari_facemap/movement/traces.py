"""The measures of all regions, and the traces that they become."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr

from napari_facemap.movement.blink import Blink, DarkArea, blink_events, during_blinks
from napari_facemap.movement.energy import EnergyMeasure, energy_traces
from napari_facemap.movement.eyes import Eyes
from napari_facemap.movement.pupil import PupilMeasure
from napari_facemap.movement.pupil_traces import pupil_traces
from napari_facemap.movement.regions import Region, Regions
from napari_facemap.movement.results import Measure
from napari_facemap.movement.running import RunningMeasure, running_traces

_LIDS = 0.05  # seconds about a blink in which lids cover part of the pupil

_UNITS = {
    "motion_energy": "grey levels, summed over the region's pixels",
    "motion_mean": "grey levels a pixel",
    "pupil_x": "px",
    "pupil_y": "px",
    "pupil_major": "px",
    "pupil_minor": "px",
    "pupil_angle": "rad",
    "pupil_area": "px2",
    "pupil_diameter": "px",
    "pupil_diameter_mm": "mm",
    "pupil_quality": "1",
    "blink_dark": "grey levels, summed over the region's pixels",
    "blink_closed": "1",
    "eyelid_opening": "1",
    "eyelid_closed": "1",
    "running_x": "px a frame",
    "running_y": "px a frame",
    "running_quality": "1",
    "running_speed": "cm/s",
}


class Gauge(NamedTuple):
    """A measure, and whose it is."""

    kind: str
    view: int
    measure: Measure
    regions: tuple[Region | None, ...]


class Gauges:
    """All that is measured frame by frame.

    Parameters
    ----------
    regions : Regions
        Where.
    whole : bool
        Measure motion of whole frames too.
    n_frames : int
        Of the video.
    eyes : Eyes
        What keypoints tell.

    Attributes
    ----------
    measures : list of (int, Measure)
        Which view, and what is measured there.
    done : int
        Frames that were measured.
    """

    def __init__(self, regions: Regions, whole: bool, n_frames: int, eyes: Eyes):
        self._regions, self._eyes, self.done = regions, eyes, 0
        self._gauges = [
            gauge
            for view, size in enumerate(regions.sizes)
            for gauge in _gauges(regions, view, size, whole)
        ]
        self.measures = [(gauge.view, gauge.measure) for gauge in self._gauges]
        self._n_frames = n_frames
        self._values: list[np.ndarray] = []

    def take(self, start: int, values: Sequence[np.ndarray]) -> None:
        """Keep what was measured in frames from `start` on."""
        if not self._values:
            self._values = [np.full((self._n_frames, v.shape[1]), np.nan) for v in values]
        for kept, found in zip(self._values, values, strict=True):
            kept[start : start + len(found)] = found
        self.done = start + len(values[0]) if values else self._n_frames

    def traces(self, times: np.ndarray, decoded: np.ndarray) -> xr.Dataset:
        """All traces.

        Parameters
        ----------
        times : ndarray, shape (time,)
            Seconds.
        decoded : ndarray of bool, shape (time,)
            Frames that are there; the others, and what compares with them, become NaN.

        Returns
        -------
        xarray.Dataset
            See `MotionResult`.
        """
        between = decoded.copy()
        between[1:] &= decoded[:-1]
        between[:1] = False
        blinks = self._blinks(times, decoded)
        shut = [np.zeros(len(times), bool) for _ in self._regions.sizes]
        for view, _, found in blinks:
            shut[view] |= during_blinks(found, times, _LIDS)
        columns: dict[str, dict[str, np.ndarray]] = {}
        for gauge, values in zip(self._gauges, self._values, strict=True):
            alone = gauge.kind in ("pupil", "blink")
            values = np.where((decoded if alone else between)[:, None], values, np.nan)
            for name, region, trace in self._named(gauge, values, times, shut[gauge.view]):
                columns.setdefault(name, {})[region] = trace
        for view, source, found in blinks:
            kind = "blink" if source in [r.name for r in self._regions.of("blink")] else "eyelid"
            closed = during_blinks(found, times).astype(float)
            columns.setdefault(f"{kind}_closed", {})[source] = closed
            if kind == "eyelid":
                columns.setdefault("eyelid_opening", {})[source] = self._opening(view)
        for name, source, trace in self._pupils_of_keypoints(shut):
            columns.setdefault(name, {})[source] = trace
        return _with_events(_table(columns, times), blinks)

    def _blinks(
        self, times: np.ndarray, decoded: np.ndarray
    ) -> list[tuple[int, str, list[Blink]]]:
        """View, source and blinks, of each blink region and of the lids' keypoints."""
        found = []
        for gauge, values in zip(self._gauges, self._values, strict=True):
            if gauge.kind == "blink":
                (region,) = gauge.regions
                assert region is not None
                dark = np.where(decoded, values[:, 0], np.nan)
                found.append((gauge.view, region.name, blink_events(dark, times)))
        for view in range(len(self._regions.sizes)):
            if self._eyes.opening(view) is not None:
                source = self._of_keypoints("eyelids", view)
                found.append((view, source, self._eyes.blinks(view, times)))
        return found

    def _opening(self, view: int) -> np.ndarray:
        opening = self._eyes.opening(view)
        assert opening is not None
        return opening

    def _pupils_of_keypoints(
        self, shut: Sequence[np.ndarray]
    ) -> Iterable[tuple[str, str, np.ndarray]]:
        for view in range(len(self._regions.sizes)):
            scales = [r.options["mm_per_pixel"] for r in self._regions.of("pupil", view)]
            scale = next((scale for scale in scales if scale is not None), None)
            found = self._eyes.pupil(view, shut[view], scale)
            for what, trace in (found or {}).items():
                yield f"pupil_{what}", self._of_keypoints("keypoints", view), trace

    def _of_keypoints(self, what: str, view: int) -> str:
        """A name for what keypoints tell, that no region has."""
        name = what if len(self._regions.sizes) == 1 else f"{what} of view {view}"
        while name in [region.name for region in self._regions]:
            name += " (keypoints)"
        return name

    def _named(
        self, gauge: Gauge, values: np.ndarray, times: np.ndarray, shut: np.ndarray
    ) -> Iterable[tuple[str, str, np.ndarray]]:
        """Names of traces and regions, and the traces."""
        views = self._regions.sizes
        if gauge.kind == "motion":
            height, width = views[gauge.view]
            areas = [
                height * width if r is None else int(r.mask(height, width).sum())
                for r in gauge.regions
            ]
            total, mean = energy_traces(values, np.array(areas))
            for k, region in enumerate(gauge.regions):
                name = region.name if region else _whole_name(gauge.view, len(views))
                yield "motion_energy", name, total[:, k]
                yield "motion_mean", name, mean[:, k]
            return
        (region,) = gauge.regions
        assert region is not None
        if gauge.kind == "pupil":
            found = pupil_traces(values, shut, region.options["mm_per_pixel"])
        elif gauge.kind == "running":
            found = running_traces(values, times, region.options["cm_per_pixel"])
        else:
            found = {"dark": values[:, 0]}
        for what, trace in found.items():
            yield f"{gauge.kind}_{what}", region.name, trace


def _table(columns: dict[str, dict[str, np.ndarray]], times: np.ndarray) -> xr.Dataset:
    """Traces over time and the regions of each kind; NaN where a region has no such trace."""
    traces = xr.Dataset(coords={"time": times})
    for name, found in columns.items():
        kind = name.split("_")[0]
        of_kind = list(
            dict.fromkeys(r for n, f in columns.items() if n.split("_")[0] == kind for r in f)
        )
        missing = np.full(len(times), np.nan)
        table = np.stack([found.get(region, missing) for region in of_kind], axis=1)
        traces[name] = (("time", kind), table, {"units": _UNITS[name]})
        traces = traces.assign_coords({kind: of_kind})
    return traces


def _with_events(traces: xr.Dataset, blinks: Sequence[tuple[int, str, list[Blink]]]) -> xr.Dataset:
    """Add a list of all blinks, where something tells of them."""
    if not blinks:
        return traces
    events = [(source, blink) for _, source, found in blinks for blink in found]
    for k, (what, units) in enumerate((("start", "s"), ("stop", "s"), ("depth", "1"))):
        values = np.array([blink[k] for _, blink in events], float)
        traces[f"blink_event_{what}"] = ("blink_event", values, {"units": units})
    # Of fixed width, so that a list of none is text as well.
    sources = np.array([source for source, _ in events] or np.zeros(0), "U64")
    return traces.assign_coords(blink_event=("blink_event", sources))


def _whole_name(view: int, n_views: int) -> str:
    return "whole frame" if n_views == 1 else f"whole frame of view {view}"


def _gauges(regions: Regions, view: int, size: tuple[int, int], whole: bool) -> Iterable[Gauge]:
    """What is measured in one view's frames of `size`."""
    moving: list[Region | None] = list(regions.of("motion", view))
    if whole:
        moving.insert(0, None)
    if moving:
        yield Gauge("motion", view, EnergyMeasure(moving, *size), tuple(moving))
    glints = regions.of("glint", view)
    for region in regions.of("pupil", view):
        yield Gauge("pupil", view, PupilMeasure(region, glints, *size), (region,))
    for region in regions.of("blink", view):
        yield Gauge("blink", view, DarkArea(region, *size), (region,))
    for region in regions.of("running", view):
        yield Gauge("running", view, RunningMeasure(region, *size), (region,))
