"""Whether two clocks look shifted: cross-correlation of behaviour and activity over lags."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import fftconvolve

from napari_facemap.neural.clocks import covered, overlap, resample
from napari_facemap.neural.features import Features
from napari_facemap.neural.recording import Recording

_RATE = 5.0  # samples a second that lags are tried at
_DRIFT = 10.0  # seconds; what is slower has too few independent samples to align by
_N_DIRECTIONS, _N_NEURONS = 10, 500
_NEAR = 2.0  # seconds by which neurons may truly follow or lead behaviour
_CLEAR, _CLEARER = 8.0, 1.5  # robust deviations of a peak that is sure, and over no shift


@dataclass(frozen=True)
class ClockShift:
    """At which lag behaviour and activity are most alike; see `clock_shift`.

    Attributes
    ----------
    seconds : float
        The activity looks like the behaviour of so many seconds before (below 0: after).
    strength : float
        How alike, in robust standard deviations above what other lags give.
    near : float
        The same for the best lag of at most 2 s.
    """

    seconds: float
    strength: float
    near: float

    @property
    def warning(self) -> str:
        """What to tell the user; empty when the clocks look well."""
        sure = self.strength > _CLEAR and self.strength > _CLEARER * self.near
        if abs(self.seconds) <= _NEAR or not sure:
            return ""
        late = "later" if self.seconds > 0 else "earlier"
        return (
            f"the activity looks like the behaviour, but {abs(self.seconds):.1f} s {late}: is one "
            "of the two clocks shifted? Start the recording's times "
            f"{abs(self.seconds):.1f} s {'earlier' if self.seconds > 0 else 'later'} to check."
        )


def clock_shift(
    features: Features, recording: Recording, delay: float = 0.0, reach: float = 60.0
) -> ClockShift | None:
    """Find the lag at which behaviour and activity share most.

    Levels and speeds of the features, and up to 500 neurons, are put on one grid of 5 samples a
    second, freed of what is slower than 10 s, and whitened to ten directions each. The score of a
    lag is the sum of squared correlations between all directions.

    Parameters
    ----------
    features : Features
        Behaviour.
    recording : Recording
        Activity.
    delay : float
        Seconds that are taken off the recording's times first.
    reach : float
        Longest lag, in seconds; a third of the shared time at most.

    Returns
    -------
    ClockShift or None
        None where both share less than 30 s.
    """
    times = recording.times - delay
    shared = overlap(features.times, times)
    if shared is None or shared[1] - shared[0] < 30:
        return None
    rate = min(_RATE, 2 * recording.rate)
    steps = np.arange(shared[0], shared[1], 1 / rate)
    behavior = _whitened(_levels_and_speeds(features, steps, rate), rate)
    some = recording.activity[:: -(-recording.n_neurons // _N_NEURONS)]
    activity = resample(some.T.astype(np.float32), times, rate)
    at = np.rint(activity.positions(steps)).astype(int)
    neural = _whitened(activity.values[at], rate)
    known = covered(features.times, steps) & covered(times, steps)
    behavior[~known], neural[~known] = 0, 0
    n_lags = int(min(reach, (shared[1] - shared[0]) / 3) * rate)
    score = _alike(behavior, neural, n_lags)
    middle = np.median(score)
    spread = max(1.4826 * float(np.median(np.abs(score - middle))), 1e-12)
    strength = (score - middle) / spread
    lags = np.arange(-n_lags, n_lags + 1) / rate
    best = int(np.argmax(score))
    near = float(strength[np.abs(lags) <= _NEAR].max())
    return ClockShift(float(lags[best]), float(strength[best]), near)


def _levels_and_speeds(features: Features, steps: np.ndarray, rate: float) -> np.ndarray:
    fine = resample(features.values, features.times)
    speeds = np.abs(np.diff(fine.values, axis=0, prepend=fine.values[:1]))
    both = np.concatenate([fine.values, speeds], axis=1)
    both = gaussian_filter1d(both, fine.rate / rate / 2, axis=0)
    return both[np.rint(fine.positions(steps)).astype(int)]


def _whitened(values: np.ndarray, rate: float) -> np.ndarray:
    """Leading directions over time, each of length 1, shape (time, direction)."""
    values = values - gaussian_filter1d(values, _DRIFT * rate, axis=0)
    spread = values.std(axis=0)
    values = values[:, spread > 0] / spread[spread > 0]
    if not values.size:
        return np.zeros((len(values), 1))
    return np.linalg.svd(values, full_matrices=False)[0][:, :_N_DIRECTIONS].astype(float)


def _alike(behavior: np.ndarray, neural: np.ndarray, n_lags: int) -> np.ndarray:
    """Sum of squared correlations at each lag of the activity behind the behaviour."""
    total = np.zeros(2 * n_lags + 1)
    n = len(behavior)
    # With longer lags fewer samples meet.
    meet = n / (n - np.abs(np.arange(-n_lags, n_lags + 1)))
    for one in behavior.T:
        for other in neural.T:
            lagged = fftconvolve(other, one[::-1])[n - 1 - n_lags : n + n_lags]
            total += (lagged * meet) ** 2
    return total
