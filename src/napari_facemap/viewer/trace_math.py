"""What a plot of many samples needs, without a plot: windows, peaks, lanes, spans."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import xarray as xr


@dataclass(frozen=True, eq=False)
class Lane:
    """What is drawn one above the other: a trace, or a prediction over what was measured.

    Attributes
    ----------
    label : str
        Beside it.
    times : ndarray, shape (time,)
        Seconds, increasing, need not be regular; each lane has its own.
    values : tuple of ndarray, each shape (time,)
        Drawn over each other with the scale of the first: the last in colour, those before it in
        grey.
    """

    label: str
    times: np.ndarray
    values: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class TraceSet:
    """Traces of neurons, or of neural components, as they are plotted.

    Attributes
    ----------
    times : ndarray, shape (time,)
        Seconds, increasing, need not be regular.
    predicted : ndarray, shape (neuron, time)
        What the encoder says.
    measured : ndarray, shape (neuron, time), or None
        What was recorded, on the same times.
    variance_explained : ndarray, shape (neuron,)
        On test segments; NaN where it is not known.
    test : ndarray of bool, shape (time,)
        Samples that the encoder was not fitted on.
    names : list of str
        Of the neurons.
    """

    times: np.ndarray
    predicted: np.ndarray
    measured: np.ndarray | None
    variance_explained: np.ndarray
    test: np.ndarray
    names: list[str] = field(default_factory=list)

    def best_first(self) -> np.ndarray:
        """Neurons from the best explained to the worst; those not known come last."""
        score = np.where(np.isnan(self.variance_explained), -np.inf, self.variance_explained)
        return np.argsort(-score, kind="stable")

    def lanes(self, neurons: Sequence[int]) -> list[Lane]:
        """Lanes of some neurons, from top to bottom."""
        return [self._lane(neuron) for neuron in neurons]

    def _lane(self, neuron: int) -> Lane:
        explained, name = self.variance_explained[neuron], self.names[neuron]
        label = name if np.isnan(explained) else f"{name}  {100 * explained:.0f} %"
        tables = [self.predicted] if self.measured is None else [self.measured, self.predicted]
        return Lane(label, self.times, tuple(table[neuron] for table in tables))


def trace_set(prediction: xr.Dataset) -> TraceSet:
    """Take what is plotted from a prediction of neurons or of components."""
    n_neurons, n_times = prediction["predicted"].shape
    measured = prediction["measured"].values if "measured" in prediction else None
    explained = np.full(n_neurons, np.nan)
    if "variance_explained" in prediction:
        explained = np.asarray(prediction["variance_explained"].values, float)
    test = np.zeros(n_times, bool)
    if "test" in prediction:
        test = np.asarray(prediction["test"].values, bool)
    if "neuron" in prediction.coords:
        names = [str(name) for name in prediction["neuron"].values]
    elif "component" in prediction.coords:
        names = [f"PC {number}" for number in prediction["component"].values]
    else:
        names = [str(k) for k in range(n_neurons)]
    return TraceSet(
        np.asarray(prediction["time"].values, float),
        prediction["predicted"].values,
        measured,
        explained,
        test,
        names,
    )


def window(times: np.ndarray, start: float, stop: float) -> slice:
    """Find the samples between two times, and one more at either side so that lines reach the edge."""
    first = int(np.searchsorted(times, start)) - 1
    last = int(np.searchsorted(times, stop, side="right")) + 1
    return slice(max(first, 0), min(max(last, 0), len(times)))


def peaks(times: np.ndarray, values: np.ndarray, n_bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Thin a trace out to what can be seen, and keep its peaks.

    Parameters
    ----------
    times, values : ndarray, shape (time,)
        The trace.
    n_bins : int
        As many as there are pixels.

    Returns
    -------
    times, values : ndarray
        The smallest and largest value of each bin in the order in which they come, with their
        own times; the trace itself when it is short enough.
    """
    if len(values) <= 2 * n_bins:
        return times, values
    per_bin = -(-len(values) // n_bins)
    edges = np.arange(0, len(values), per_bin)
    padded = np.full(len(edges) * per_bin, values[-1], values.dtype)
    padded[: len(values)] = values
    bins = padded.reshape(len(edges), per_bin)
    finite = np.where(np.isnan(bins), np.inf, bins)
    low = finite.argmin(axis=1)
    high = np.where(np.isnan(bins), -np.inf, bins).argmax(axis=1)
    kept = np.sort(np.stack([edges + low, edges + high], axis=1), axis=1).ravel()
    kept = np.minimum(kept, len(values) - 1)
    return times[kept], values[kept]


def spans(times: np.ndarray, flags: np.ndarray) -> list[tuple[float, float]]:
    """Stretches of time in which a flag is set, each from half a sample before to half after."""
    if not len(times):
        return []
    half = float(np.median(np.diff(times))) / 2 if len(times) > 1 else 0.5
    steps = np.diff(np.concatenate([[0], np.asarray(flags, np.int8), [0]]))
    starts, stops = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1) - 1
    return [
        (float(times[a]) - half, float(times[b]) + half)
        for a, b in zip(starts, stops, strict=True)
    ]


def limits_of(lanes: Iterable[Lane]) -> tuple[float, float] | None:
    """First and last second of all lanes, from 0 at the latest; None of none."""
    ends = [(lane.times[0], lane.times[-1]) for lane in lanes if len(lane.times)]
    if not ends:
        return None
    return min(0.0, *(float(a) for a, _ in ends)), max(float(b) for _, b in ends)


def lane_scale(values: np.ndarray) -> tuple[float, float]:
    """Middle and height of a trace, so that ``(x - middle) / height`` fills a lane of height 1.

    From percentiles, so that one transient does not flatten the rest; both traces of a neuron
    are drawn with the scale of the measured one, so that amplitudes can be compared.
    """
    finite = values[np.isfinite(values)]
    if not len(finite):
        return 0.0, 1.0
    low, high = np.percentile(finite, [0.5, 99.5])
    height = float(high - low)
    return float(low + high) / 2, height if height > 0 else 1.0


def page(
    time: float, shown: tuple[float, float], half: float, limits: tuple[float, float] | None
) -> tuple[float, float]:
    """Find the window in which a time is well visible.

    Parameters
    ----------
    time : float
        Seconds.
    shown : (start, stop)
        The present window; it stays while the time is well inside it.
    half : float
        Half the width that the window is to have.
    limits : (first, last) or None
        Of what there is to see: the window does not reach beyond it without need.

    Returns
    -------
    start, stop : float
    """
    start, stop = shown
    margin = 0.08 * (stop - start)
    if abs((stop - start) - 2 * half) < 1e-6 and start + margin <= time <= stop - margin:
        return shown
    start = time - half
    if limits is not None and limits[0] <= time <= limits[1]:
        start = max(limits[0], min(start, limits[1] - 2 * half))
    return start, start + 2 * half
