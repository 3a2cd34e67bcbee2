"""Neural activity and its clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

# Activity may be a memory map larger than memory: it is looked through in pieces of this size.
_CHECKED_AT_ONCE = 2**24


@dataclass(eq=False)
class Recording:
    """Activity of neurons over time.

    Attributes
    ----------
    activity : ndarray of float32, shape (neuron, time)
        Any unit: deconvolved spikes, dF/F, rates. A float32 memory map stays one.
    times : ndarray of float64, shape (time,)
        Seconds on the clock of the behaviour, strictly increasing.
    names : sequence of str
        One a neuron; by default their numbers.
    name : str
        Of the recording, for messages and provenance.
    warnings : list of str
        What was assumed while reading, such as a transposed matrix.

    Raises
    ------
    ValueError
        When shapes do not fit, times do not increase or a value is not finite. One line that
        says where.
    """

    activity: np.ndarray
    times: np.ndarray
    names: Sequence[str] = ()
    name: str = "recording"
    warnings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.times = check_times(self.times, self.name)
        activity = np.asanyarray(self.activity)
        if activity.dtype.kind not in "fiub":
            raise ValueError(f"{self.name}: expected activity as numbers; found {activity.dtype}.")
        if activity.ndim != 2 or activity.shape[1] != len(self.times):
            raise ValueError(
                f"{self.name}: expected activity as (neuron, time) with {len(self.times)} times; "
                f"found shape {activity.shape}."
            )
        if activity.shape[0] == 0:
            raise ValueError(f"{self.name}: expected at least one neuron; found none.")
        self.activity = activity if activity.dtype == np.float32 else activity.astype(np.float32)
        _check_finite(self.activity, self.name)
        if not len(self.names):
            self.names = [str(neuron) for neuron in range(self.n_neurons)]
        self.names = [str(name) for name in self.names]
        if len(self.names) != self.n_neurons:
            raise ValueError(
                f"{self.name}: expected {self.n_neurons} names; found {len(self.names)}."
            )

    @property
    def n_neurons(self) -> int:
        """Number of neurons."""
        return self.activity.shape[0]

    @property
    def rate(self) -> float:
        """Samples a second: one over the median step."""
        return float(1 / np.median(np.diff(self.times)))


def check_times(times: object, name: str) -> np.ndarray:
    """Refuse times that are no clock.

    Parameters
    ----------
    times : array-like, shape (time,)
        Seconds.
    name : str
        For the message.

    Returns
    -------
    ndarray of float64, shape (time,)

    Raises
    ------
    ValueError
        When there are fewer than two, or they are not finite and strictly increasing; the message
        gives the first such place.
    """
    times = np.asarray(times)
    if times.ndim != 1 or times.dtype.kind not in "fiu" or len(times) < 2:
        raise ValueError(
            f"{name}: expected a row of at least two times in seconds; found shape {times.shape} "
            f"of {times.dtype}."
        )
    times = times.astype(np.float64)
    if not np.isfinite(times).all():
        place = int(np.flatnonzero(~np.isfinite(times))[0])
        raise ValueError(f"{name}: expected finite times; found {times[place]} at sample {place}.")
    steps = np.diff(times)
    if (steps <= 0).any():
        place = int(np.flatnonzero(steps <= 0)[0])
        raise ValueError(
            f"{name}: expected times that increase; found {times[place]:g} s followed by "
            f"{times[place + 1]:g} s at sample {place + 1}."
        )
    return times


def _check_finite(activity: np.ndarray, name: str) -> None:
    rows = max(1, _CHECKED_AT_ONCE // activity.shape[1])
    for start in range(0, len(activity), rows):
        finite = np.isfinite(activity[start : start + rows])
        if not finite.all():
            neuron, sample = np.argwhere(~finite)[0]
            raise ValueError(
                f"{name}: expected finite activity; found {activity[start + neuron, sample]} for "
                f"neuron {start + neuron} at sample {sample}. Remove or interpolate such samples."
            )
