"""Which times a model learns from, stops by, and is tested on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

N_SEGMENTS = 10
TEST_FRACTION = 0.25
VALIDATION_FRACTION = 0.15
MOST_GUARDED = 0.2
"""Guard gaps take at most this fraction of the recording; a short one has shorter gaps."""

_FEWEST_SEGMENTS = 4
_FEWEST_SAMPLES = 40
_LONGEST_MEMORY = 5.0


@dataclass(frozen=True, eq=False)
class Split:
    """The part that each neural sample plays; a guard gap lies between the parts.

    Attributes
    ----------
    train, validation, test : ndarray of bool, shape (time,)
        Fitting, choosing when to stop, and scoring. No sample is in two of them; samples in guard
        gaps or without behaviour are in none.
    guard : float
        Least distance in seconds between a test sample and any other.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    guard: float


def split_times(times: np.ndarray, usable: np.ndarray, half_width: float, memory: float) -> Split:
    """Split neural samples into contiguous training, validation and test segments.

    The usable samples are cut into up to 10 stretches of equal count; the last quarter of each is
    a test segment, as in Facemap. Training samples closer to a test segment than the guard gap
    are left out, on both sides. The gap is wide enough that a model's filters, centred on a
    training sample, see no behaviour of a test sample, plus the time over which activity is
    correlated with itself. A recording too short for that gets fewer stretches, then narrower
    gaps, so that the gaps take at most a fifth of it. The validation segments are cut out of the
    training samples in the same way, with gaps of the autocorrelation alone: they say when to
    stop, and score nothing.

    Parameters
    ----------
    times : ndarray, shape (time,)
        Increasing seconds.
    usable : ndarray of bool, shape (time,)
        Samples with behaviour.
    half_width : float
        How far a model's filters reach, in seconds.
    memory : float
        Over how many seconds activity is correlated with itself; see `correlation_time`.

    Returns
    -------
    Split

    Raises
    ------
    ValueError
        When fewer than 40 samples are usable.
    """
    if usable.sum() < _FEWEST_SAMPLES:
        raise ValueError(
            f"recording: {int(usable.sum())} of {len(times)} samples have behaviour at their "
            f"time, at least {_FEWEST_SAMPLES} are needed"
        )
    guard = half_width + memory
    rest, test, kept = _cut(times, usable, TEST_FRACTION, guard)
    train, validation, _ = _cut(times, rest, VALIDATION_FRACTION, memory)
    return Split(train, validation, test, kept)


def _cut(
    times: np.ndarray, usable: np.ndarray, fraction: float, guard: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """Hold out the end of each stretch; give what is left, what is held out, and the guard."""
    index = np.flatnonzero(usable)
    step = np.diff(times[index])
    seconds = float(np.minimum(step, 2 * np.median(step)).sum())  # pauses do not count
    affordable = MOST_GUARDED * seconds / 2  # a gap on either side of each held-out segment
    n_segments = int(np.clip(affordable // max(guard, 1e-9), _FEWEST_SEGMENTS, N_SEGMENTS))
    guard = min(guard, affordable / n_segments)
    held = np.zeros(len(times), bool)
    for stretch in np.array_split(index, n_segments):
        n_held = max(1, round(fraction * len(stretch)))
        held[stretch[-n_held:]] = True
    at = times[held]
    after = np.clip(np.searchsorted(at, times), 0, len(at) - 1)
    distance = np.minimum(np.abs(at[after] - times), np.abs(times - at[np.maximum(after - 1, 0)]))
    return usable & ~held & (distance > guard), held, guard


def correlation_time(activity: np.ndarray, times: np.ndarray) -> float:
    """Over how many seconds neurons are correlated with themselves, 5 at most.

    Parameters
    ----------
    activity : ndarray, shape (neuron, time)
        Up to 200 of the neurons, evenly spaced, are looked at.
    times : ndarray, shape (time,)
        Seconds.

    Returns
    -------
    float
        First lag at which the mean autocorrelation of the neurons is below 1/e.
    """
    some = np.asarray(activity[:: max(1, len(activity) // 200)], np.float32)
    some = some - some.mean(axis=1, keepdims=True)
    step = float(np.median(np.diff(times)))
    n_lags = min(int(_LONGEST_MEMORY / step), some.shape[1] // 4)
    power = (some**2).sum(axis=1)
    moving = power > 0
    for lag in range(1, n_lags + 1):
        product = (some[moving, lag:] * some[moving, :-lag]).sum(axis=1)
        if not moving.any() or np.mean(product / power[moving]) < 1 / np.e:
            return lag * step
    return n_lags * step
