"""All that is known of a mouse's behaviour, joined into features of named groups."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from napari_facemap.movement.pupil_traces import smooth_pupil
from napari_facemap.neural.clocks import bridged_gap, covered, overlap
from napari_facemap.neural.features import KEYPOINTS, Features, keypoint_features
from napari_facemap.neural.recording import check_times

if TYPE_CHECKING:
    from napari_facemap.movement.results import MotionResult

SPEED, ENERGY, PUPIL, EYELIDS, RUNNING, TRACES = (
    "speed", "motion energy", "pupil", "eyelids", "running", "traces",
)  # fmt: skip
COMPONENTS = {"motion": "motion components", "movie": "movie components"}
GROUPS = (KEYPOINTS, SPEED, *COMPONENTS.values(), ENERGY, PUPIL, EYELIDS, RUNNING, TRACES)
"""What `behavior_features` can tell apart, in its order."""

N_COMPONENTS = 100
"""So many components of each part of the video are features."""

_VARIABLES = {
    ENERGY: ("motion_energy",),
    PUPIL: ("pupil_diameter", "pupil_x", "pupil_y"),
    EYELIDS: ("eyelid_opening", "eyelid_closed", "blink_closed"),
    RUNNING: ("running_speed", "running_x", "running_y"),
}
_SPEED_SECONDS = 0.1  # over which a keypoint's speed is taken
_Named = tuple[str, str, np.ndarray, np.ndarray]  # group, name, values and times


def behavior_features(
    poses: xr.Dataset | None = None,
    motion: MotionResult | None = None,
    traces: xr.Dataset | Mapping[str, tuple[np.ndarray, np.ndarray]] | None = None,
    include: Collection[str] | None = None,
) -> Features:
    """Join what was tracked and measured into features.

    Parameters
    ----------
    poses : xarray.Dataset, optional
        Keypoints: groups "keypoints" (x and y of each) and "speed" (px/s, over a tenth of a
        second).
    motion : MotionResult, optional
        What `motion` measured: groups "motion components" and "movie components" (the scores of
        the first 100 of each part), "motion energy", "pupil" (diameter and place, smoothed),
        "eyelids" and "running".
    traces : xarray.Dataset or mapping of str to (values, times), optional
        Any other series, 1-D over seconds: group "traces".
    include : collection of str, optional
        Groups to take; by default all that are there, but "speed".

    Returns
    -------
    Features
        On the clock of the fastest. What is slower is interpolated linearly. Samples at which
        something is missing for longer than the pause that clocks bridge are left out; within
        shorter gaps, and where a pupil is hidden, values are interpolated or held.

    Raises
    ------
    ValueError
        When nothing is given, a group is not known or not there, or clocks do not overlap.
    """
    unknown = sorted(set(include or ()) - set(GROUPS))
    if unknown:
        raise ValueError(
            f"behaviour: expected groups of {', '.join(GROUPS)}; found {', '.join(unknown)}"
        )
    wanted = set(GROUPS) - {SPEED} if include is None else set(include)
    parts = [part for part in _parts(poses, motion, traces) if set(part.groups) & wanted]
    there = {group for part in parts for group in part.groups}
    missing = [group for group in GROUPS if include is not None and group in wanted - there]
    if missing or not parts:
        raise ValueError(
            f"behaviour: found nothing of {', '.join(missing) or 'what is asked for'}; give "
            "keypoints, motion results or traces that hold it"
        )
    return join_features([part.only(*wanted) for part in parts])


def groups_there(keypoints: bool, motion: MotionResult | None) -> list[str]:
    """Which groups `behavior_features` would find, without computing them."""
    found = {KEYPOINTS, SPEED} if keypoints else set()
    if motion is not None:
        found |= {COMPONENTS[components.source] for components in motion.components}
        found |= {g for g, names in _VARIABLES.items() if any(n in motion.traces for n in names)}
    return [group for group in GROUPS if group in found]


def join_features(parts: Sequence[Features]) -> Features:
    """Put features of several clocks side by side.

    Parameters
    ----------
    parts : sequence of Features
        Their times in seconds on one clock.

    Returns
    -------
    Features
        At the times of the part with most samples a second, where all parts are known.

    Raises
    ------
    ValueError
        When they share no time or a name repeats.
    """
    if len(parts) == 1:
        return parts[0]
    fastest = min(parts, key=lambda part: float(np.median(np.diff(part.times))))
    times = fastest.times
    known = np.ones(len(times), bool)
    for part in parts:
        span = overlap(times, part.times)
        if span is None:
            raise ValueError(
                f"behaviour: {part.group_names[0]} from {part.times[0]:.6g} to "
                f"{part.times[-1]:.6g} s and {fastest.group_names[0]} from {times[0]:.6g} to "
                f"{times[-1]:.6g} s do not overlap; put both on one clock, in seconds"
            )
        known &= covered(part.times, times, bridged_gap(part.times))
    if known.sum() < 2:
        raise ValueError("behaviour: at no time is everything known; leave a group out")
    times = times[known]
    columns = [np.interp(times, part.times, column) for part in parts for column in part.values.T]
    return Features(
        np.stack(columns, axis=1),
        times,
        [name for part in parts for name in part.names],
        [name for part in parts for name in part.dropped],
        [group for part in parts for group in part.groups],
    )


def _parts(
    poses: xr.Dataset | None,
    motion: MotionResult | None,
    traces: xr.Dataset | Mapping[str, tuple[np.ndarray, np.ndarray]] | None,
) -> Iterator[Features]:
    if poses is not None:
        places = keypoint_features(poses)
        yield places
        yield _speeds(places)
    if motion is not None:
        found = list(_measured(motion))
        if found:
            yield _together(found)
    series = traces.items() if traces is not None else ()
    for name, one in series:
        values, times = (one.values, one["time"].values) if isinstance(one, xr.DataArray) else one
        yield _together([(TRACES, str(name), *_series(str(name), values, times))])


def _speeds(places: Features) -> Features:
    """How fast each keypoint moves, whatever the camera's rate."""
    half, times = _SPEED_SECONDS / 2, places.times
    before, after = np.maximum(times - half, times[0]), np.minimum(times + half, times[-1])
    way = np.stack(
        [np.interp(after, times, c) - np.interp(before, times, c) for c in places.values.T], axis=1
    )
    speed = np.hypot(way[:, 0::2], way[:, 1::2]) / np.maximum(after - before, 1e-9)[:, None]
    names = [f"{name.removesuffix(' x')} speed" for name in places.names[0::2]]
    return Features(speed, times, names, groups=[SPEED] * len(names))


def _measured(motion: MotionResult) -> Iterator[_Named]:
    traces = motion.traces
    if "time" not in traces.coords:
        return
    if not traces.attrs.get("times_known", 1):
        raise ValueError(
            "behaviour: this file of Facemap's comes without times; read it with "
            "read_facemap_proc(path, times=seconds)"
        )
    times = np.asarray(traces["time"].values, float)
    for components in motion.components:
        group = COMPONENTS[components.source]
        for k in range(min(N_COMPONENTS, components.scores.shape[1])):
            yield group, f"{components.label} {k + 1}", components.scores[:, k], times
    for group, variables in _VARIABLES.items():
        known = [name for name in variables if name in traces]
        if group == RUNNING and "running_speed" in known:
            known = ["running_speed"]
        for name in known:
            table = traces[name]
            for region, column in zip(table[table.dims[1]].values, table.values.T, strict=True):
                values = smooth_pupil(column, times) if group == PUPIL else column
                yield group, f"{region} {name.replace('_', ' ')}", values, times


def _together(found: Sequence[_Named]) -> Features:
    """Features of one clock; series of which nothing is known are left out."""
    times = found[0][3]
    kept, names, groups, dropped = [], [], [], []
    for group, name, values, _ in found:
        there = np.isfinite(values)
        if not there.any():
            dropped.append(name)
            continue
        kept.append(np.interp(times, times[there], np.asarray(values, float)[there]))
        names.append(name)
        groups.append(group)
    if not kept:
        raise ValueError(f"behaviour: nothing is known of {', '.join(dropped)}")
    return Features(np.stack(kept, axis=1), times, names, dropped, groups)


def _series(name: str, values: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values, times = np.asarray(values, float), check_times(times, f"trace {name!r}")
    if values.shape != times.shape:
        raise ValueError(
            f"trace {name!r}: expected one value for each of {len(times)} times, found shape "
            f"{values.shape}"
        )
    return values, times
