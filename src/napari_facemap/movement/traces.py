"""The measures of all regions, and the traces that they become."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr

from napari_facemap.movement.blink import DarkArea, blink_events, during_blinks
from napari_facemap.movement.energy import EnergyMeasure, energy_traces
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

    Attributes
    ----------
    measures : list of (int, Measure)
        Which view, and what is measured there.
    done : int
        Frames that were measured.
    """

    def __init__(self, regions: Regions, whole: bool, n_frames: int):
        self._regions, self.done = regions, 0
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
        columns: dict[str, dict[str, np.ndarray]] = {}
        shut = self._shut(times, decoded)
        for gauge, values in zip(self._gauges, self._values, strict=True):
            alone = gauge.kind in ("pupil", "blink")
            values = np.where((decoded if alone else between)[:, None], values, np.nan)
            for name, region, trace in self._named(gauge, values, times, shut[gauge.view]):
                columns.setdefault(name, {})[region] = trace
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

    def _shut(self, times: np.ndarray, decoded: np.ndarray) -> list[np.ndarray]:
        """During which frames the eye of each view is shut, where a region says so."""
        shut = [np.zeros(len(times), bool) for _ in self._regions.sizes]
        for gauge, values in zip(self._gauges, self._values, strict=True):
            if gauge.kind == "blink":
                dark = np.where(decoded, values[:, 0], np.nan)
                events = blink_events(dark, times, closed_is_high=False)
                shut[gauge.view] |= during_blinks(events, times, _LIDS)
        return shut

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
            events = blink_events(values[:, 0], times, closed_is_high=False)
            found = {"dark": values[:, 0]}
            yield "blink_closed", region.name, during_blinks(events, times).astype(float)
        for what, trace in found.items():
            yield f"{gauge.kind}_{what}", region.name, trace


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
