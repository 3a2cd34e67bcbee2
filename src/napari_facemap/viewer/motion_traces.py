"""Traces of what was measured in a video, named for people and as lanes of the plot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_facemap.viewer.trace_math import Lane

if TYPE_CHECKING:
    import xarray as xr

    from napari_facemap.movement.results import Components

_FIRST = (  # what people look at first, the others follow
    "motion_energy",
    "pupil_diameter_mm",
    "pupil_diameter",
    "running_speed",
    "running_x",
    "eyelid_opening",
    "blink_dark",
)
_AT_ONCE = 6


class NamedTrace(NamedTuple):
    """A trace of one region.

    Attributes
    ----------
    variable : str
        Of the dataset.
    label : str
        What it is and where, with its unit.
    values : ndarray, shape (time,)
    """

    variable: str
    label: str
    values: np.ndarray

    def lane(self, times: np.ndarray) -> Lane:
        """Put it on a clock."""
        return Lane(self.label, times, (self.values,))


def named_traces(traces: xr.Dataset) -> list[NamedTrace]:
    """All traces of a dataset, those that people look at first before the others."""
    known = [name for name in _FIRST if name in traces]
    rest = [str(name) for name in traces.data_vars if name not in known]
    return [trace for name in (*known, *rest) for trace in _of_variable(traces, name)]


def first_looked_at(traces: list[NamedTrace]) -> list[int]:
    """Which of them to plot until a person chooses."""
    variables = {trace.variable for trace in traces}
    spare = {  # the same thing in other units
        "pupil_diameter" if "pupil_diameter_mm" in variables else "",
        "running_x" if "running_speed" in variables else "",
        "blink_dark" if "eyelid_opening" in variables else "",
    }
    wanted = [
        k for k, trace in enumerate(traces)
        if trace.variable in _FIRST and trace.variable not in spare
        and np.isfinite(trace.values).any()
    ]  # fmt: skip
    return wanted[:_AT_ONCE]


def score_lane(components: Components, index: int, times: np.ndarray) -> Lane:
    """How strongly one component takes part over time."""
    label = f"{components.label} {index + 1}"
    return Lane(label, times, (components.scores[:, index].astype(float),))


def _of_variable(traces: xr.Dataset, name: str) -> Iterator[NamedTrace]:
    found = traces[name]
    if found.dims[:1] != ("time",) or found.ndim != 2:
        return
    unit = str(found.attrs.get("units", ""))
    # Grey levels are of this camera in this light: nobody compares them.
    told = unit not in ("", "1") and not unit.startswith("grey levels")
    what = name.removesuffix("_mm").replace("_", " ") + (f" ({unit})" if told else "")
    regions = traces[found.dims[1]].values if found.dims[1] in traces.coords else ()
    for k, region in enumerate(regions):
        yield NamedTrace(name, f"{region}: {what}", np.asarray(found.values[:, k], float))
