"""Neural activity and its clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass
class Recording:
    """Activity of neurons over time.

    Attributes
    ----------
    activity : ndarray of float32, shape (neuron, time)
        Any unit: deconvolved spikes, dF/F, rates.
    times : ndarray of float64, shape (time,)
        Seconds on the clock of the behaviour, strictly increasing.
    names : sequence of str, optional
        One a neuron; by default their numbers.
    name : str
        Of the recording, for messages and provenance.
    warnings : list of str
        What was assumed while reading, such as a transposed matrix.

    Raises
    ------
    ValueError
        When shapes do not fit, times do not increase or a value is not finite.
    """

    activity: np.ndarray
    times: np.ndarray
    names: Sequence[str] | None = None
    name: str = "recording"
    warnings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.times = check_times(self.times, self.name)
        if self.activity.ndim != 2 or self.activity.shape[1] != len(self.times):
            raise ValueError(
                f"{self.name}: expected activity as (neuron, time) with {len(self.times)} times; "
                f"found shape {self.activity.shape}."
            )
        if self.activity.shape[0] == 0:
            raise ValueError(f"{self.name}: expected at least one neuron; found none.")
        self.activity = np.asarray(self.activity, np.float32)
        for neuron, trace in enumerate(self.activity):
            if not np.isfinite(trace).all():
                place = int(np.flatnonzero(~np.isfinite(trace))[0])
                raise ValueError(
                    f"{self.name}: expected finite activity; found {trace[place]} for neuron "
                    f"{neuron} at sample {place}. Remove or interpolate such samples."
                )
        if self.names is None:
            self.names = [str(neuron) for neuron in range(self.n_neurons)]
        if len(self.names) != self.n_neurons:
            raise ValueError(
                f"{self.name}: expected {self.n_neurons} names; found {len(self.names)}."
            )

    @property
    def n_neurons(self) -> int:
        """Number of neurons."""
        return self.activity.shape[0]


def check_times(times: np.ndarray, name: str) -> np.ndarray:
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
        When there are fewer than two, or they are not finite and strictly increasing.
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
