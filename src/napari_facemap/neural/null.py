"""What scores chance gives: predictions against activity shifted in time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.fft import irfft, rfft

from napari_facemap.neural.encoder import Encoder, predict_recording
from napari_facemap.neural.features import Features
from napari_facemap.neural.recording import Recording
from napari_facemap.neural.scores import row_chunks
from napari_facemap.neural.splits import correlation_time

_FEWEST_SHIFTS = 19
"""With fewer, no p-value of 0.05 can come out."""

MEMORIES = 4.0
"""Test segments of fewer correlation times than this make p-values too small; see `shift_test`."""


@dataclass(frozen=True, eq=False)
class Null:
    """Scores by chance; see `shift_null`.

    Attributes
    ----------
    p : ndarray, shape (neuron,)
        Chance of a score as high as the neuron's, were it unrelated to the prediction;
        ``1 / (n + 1)`` at least. NaN for a neuron that does not change.
    pooled_p : float
        The same of all neurons together, shifted as one.
    mean : ndarray, shape (neuron,)
        Mean variance explained over the shifts: what chance gives.
    high : ndarray, shape (neuron,)
        95th percentile over the shifts.
    pooled : ndarray, shape (shift,)
        Variance explained of all neurons together, one a shift.
    shifts : ndarray, shape (shift,)
        Seconds.
    least_shift : float
        Shorter shifts, in seconds, were not made.
    memory : float
        Seconds over which measured or predicted activity is correlated with itself, 5 at most.
    """

    p: np.ndarray
    pooled_p: float
    mean: np.ndarray
    high: np.ndarray
    pooled: np.ndarray
    shifts: np.ndarray
    least_shift: float
    memory: float


def shift_null(
    encoder: Encoder,
    behavior: xr.Dataset | Features,
    recording: Recording,
    n: int = 100,
    seed: int = 0,
    least_shift: float = 0.0,
    device: str = "auto",
) -> Null:
    """Test an encoder's scores against circular shifts of the activity.

    The predictions at test times are held as they are, and the activity measured at test times is
    shifted against them; see `shift_test`.

    Parameters
    ----------
    encoder : Encoder
        Fitted.
    behavior : Poses or Features
        What the mouse did.
    recording : Recording
        What the neurons did.
    n : int
        Shifts.
    seed : int
        Which shifts are made follows from it.
    least_shift : float
        Seconds; see `shift_test`.
    device : {"auto", "cpu", "cuda", "mps"}
        What to predict on.

    Returns
    -------
    Null

    Raises
    ------
    ValueError
        When the test time is too short for 19 shifts.
    """
    prediction = predict_recording(encoder, behavior, recording, device)
    return prediction_null(prediction, n, seed, least_shift)


def prediction_null(
    prediction: xr.Dataset, n: int = 100, seed: int = 0, least_shift: float = 0.0
) -> Null:
    """Test a prediction as `shift_null` does, made by `predict_recording` before."""
    test = prediction["test"].values
    step = float(np.median(np.diff(prediction["time"].values)))
    measured, predicted = (prediction[name].values[:, test] for name in ("measured", "predicted"))
    return shift_test(measured, predicted, step, n, seed, least_shift)


def shift_test(
    measured: np.ndarray,
    predicted: np.ndarray,
    step: float,
    n: int = 100,
    seed: int = 0,
    least_shift: float = 0.0,
) -> Null:
    """Compare scores with those against circularly shifted activity.

    Behaviour and activity each change slowly, so that two unrelated ones can go together for a
    while; shifted activity keeps its own time course and loses only its relation to the
    behaviour [1]_. All neurons are shifted by the same time, which keeps what they share.

    Only test samples are shifted, one test segment after the other as a ring. Shifting the whole
    recording instead would put activity that the model was fitted on beside the predictions, and
    other values with another mean and variance than those that are scored; here mean and variance
    stay exactly those of the score, and only the order changes.

    Every shift may be drawn, short ones too: were the two unrelated, no place on the ring would
    differ from any other, and p-values would be even from 0 to 1. To leave out shifts within the
    autocorrelation looks safer and is not: a peak at no shift then need not be higher than its
    own slopes, and slow unrelated signals come out at p <= 0.05 in 6 to 17 % of cases. Short
    shifts cost little power, since a true relation is strongest at no shift.

    The price of the ring is its seams, where one test segment ends and another begins: unshifted
    they lie on each other. With segments shorter than four correlation times p-values become too
    small: of unrelated signals 7 % have p <= 0.05 at two correlation times a segment.

    Parameters
    ----------
    measured, predicted : ndarray, shape (neuron, time)
        At test times.
    step : float
        Seconds between samples.
    n : int
        Shifts, each another one; fewer where the ring has fewer.
    seed : int
        Which shifts are made follows from it.
    least_shift : float
        Seconds, either way around the ring; one sample at least.

    Returns
    -------
    Null
        With ``p = (1 + k) / (n + 1)``, where k of n shifts score as high as no shift [2]_.

    Raises
    ------
    ValueError
        When fewer than 19 shifts are possible or asked for, or shapes differ.

    References
    ----------
    .. [1] Harris, K. D. (2020). Nonsense correlations in neuroscience. bioRxiv 2020.11.29.402719.
    .. [2] Phipson, B. & Smyth, G. K. (2010). Permutation p-values should never be zero.
       Statistical Applications in Genetics and Molecular Biology 9, 39.
    """
    if measured.shape != predicted.shape:
        raise ValueError(
            f"null: measured is {measured.shape} but predicted is {predicted.shape}; "
            "give both as (neuron, time) at the same test times"
        )
    n_times = measured.shape[1]
    nearest = max(1, int(np.ceil(least_shift / step - 1e-9)))
    possible = np.arange(nearest, n_times - nearest + 1)
    if min(n, len(possible)) < _FEWEST_SHIFTS:
        raise ValueError(
            f"null: expected at least {_FEWEST_SHIFTS} shifts; {n} are asked for and "
            f"{len(possible)} of {nearest * step:.3g} s or more fit in {n_times * step:.4g} s of "
            "test time; take more shifts or a longer recording"
        )
    rng = np.random.default_rng(seed)
    shifts = np.sort(rng.choice(possible, min(n, len(possible)), replace=False))
    p, mean, high = np.full((3, len(measured)), np.nan)
    unshifted, error, total = 0.0, np.zeros(len(shifts)), 0.0
    for rows in row_chunks(measured.shape):
        scored = _shifted_scores(measured[rows], predicted[rows], shifts)
        score, chance, squares = scored
        with np.errstate(invalid="ignore"):
            p[rows] = _p(score, chance)
        mean[rows] = chance.mean(axis=1)
        high[rows] = np.percentile(chance, 95, axis=1)
        known = squares > 0
        total += squares.sum()
        unshifted += float(squares[known] @ (1 - score[known]))
        error += squares[known] @ (1 - chance[known])
    pooled = 1 - error / total if total > 0 else np.full(len(shifts), np.nan)
    pooled_score = np.array([1 - unshifted / total if total > 0 else np.nan])
    return Null(
        p=p,
        pooled_p=float(_p(pooled_score, pooled[None])[0]),
        mean=mean,
        high=high,
        pooled=pooled,
        shifts=shifts * step,
        least_shift=nearest * step,
        memory=_memory(measured, predicted, step),
    )


def _memory(measured: np.ndarray, predicted: np.ndarray, step: float) -> float:
    times = np.arange(measured.shape[1]) * step
    return max(correlation_time(activity, times) for activity in (measured, predicted))


def _shifted_scores(
    measured: np.ndarray, predicted: np.ndarray, shifts: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Variance explained unshifted (neuron,), shifted (neuron, shift), and sums of squares."""
    y = np.asarray(measured, np.float64)
    constant = np.ptp(y, axis=1) == 0
    y_hat = np.asarray(predicted, np.float64) - y.mean(axis=1, keepdims=True)
    y = np.where(constant[:, None], 0, y - y.mean(axis=1, keepdims=True))
    squares = (y**2).sum(axis=1)
    # What lies flat goes with nothing; its products must not differ by rounding.
    moving = y_hat - y_hat.mean(axis=1, keepdims=True)
    moving[np.ptp(y_hat, axis=1) == 0] = 0
    product = irfft(rfft(y) * np.conj(rfft(moving)), n=y.shape[1])  # product[s]: y[t + s] y_hat[t]
    divisor = np.where(squares > 0, squares, np.nan)[:, None]
    scores = (2 * product[:, [0, *shifts]] - (y_hat**2).sum(axis=1)[:, None]) / divisor
    return scores[:, 0], scores[:, 1:], squares


def _p(score: np.ndarray, chance: np.ndarray) -> np.ndarray:
    above = (chance >= score[:, None]).sum(axis=1)
    return np.where(np.isnan(score), np.nan, (1 + above) / (1 + chance.shape[1]))
