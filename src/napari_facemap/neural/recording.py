"""Neural activity and its clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

Footprint = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Pixels of a neuron: y, x (pixel centres at integers) and weights, three rows of one length."""

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
    positions : ndarray of float32, shape (neuron, 2) or (neuron, 3), optional
        Centres of the neurons as x, y and, where there are several planes, z. In pixels of the
        mean image, z in planes.
    footprints : list of (y, x, weights), optional
        Pixels of each neuron, one entry a neuron; see `Footprint`.
    mean_image : ndarray of float32, shape (y, x) or (plane, y, x), optional
        What the microscope saw on average.

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
    positions: np.ndarray | None = None
    footprints: list[Footprint] | None = None
    mean_image: np.ndarray | None = None

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
        with np.errstate(
            over="ignore", invalid="ignore"
        ):  # what is too large becomes infinite, and is refused
            self.activity = activity.astype(np.float32, copy=False)
        _check_finite(self.activity, self.name)
        if not len(self.names):
            self.names = [str(neuron) for neuron in range(self.n_neurons)]
        self.names = [str(name) for name in self.names]
        if len(self.names) != self.n_neurons:
            raise ValueError(
                f"{self.name}: expected {self.n_neurons} names; found {len(self.names)}."
            )
        with np.errstate(over="ignore", invalid="ignore"):
            self._check_places()

    def _check_places(self) -> None:
        if self.positions is not None:
            self.positions = np.asarray(self.positions, np.float32)
            if self.positions.shape not in ((self.n_neurons, 2), (self.n_neurons, 3)):
                raise ValueError(
                    f"{self.name}: expected positions (x, y) or (x, y, z) of {self.n_neurons} "
                    f"neurons; found shape {self.positions.shape}."
                )
        if self.footprints is not None:
            if len(self.footprints) != self.n_neurons:
                raise ValueError(
                    f"{self.name}: expected {self.n_neurons} footprints; found "
                    f"{len(self.footprints)}."
                )
            for neuron, parts in enumerate(self.footprints):
                if len(parts) != 3 or len({len(part) for part in parts}) != 1:
                    raise ValueError(
                        f"{self.name}: expected a footprint of y, x and weights of one length; "
                        f"found lengths {[len(part) for part in parts]} for neuron {neuron}."
                    )
        if self.mean_image is not None:
            self.mean_image = np.asarray(self.mean_image, np.float32)
            if self.mean_image.ndim not in (2, 3):
                raise ValueError(
                    f"{self.name}: expected a mean image (y, x) or (plane, y, x); found shape "
                    f"{self.mean_image.shape}."
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
