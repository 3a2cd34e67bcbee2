"""How well activity is predicted."""

from __future__ import annotations

import numpy as np


def variance_explained(measured: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Fraction of each neuron's variance that is explained.

    ``1 - mean((y - y_hat)**2) / var(y)``: 1 is perfect, 0 is as good as the neuron's mean over
    these samples, and there is no lower bound.

    Parameters
    ----------
    measured, predicted : ndarray, shape (neuron, time)
        At test times only, to be a fair score.

    Returns
    -------
    ndarray, shape (neuron,)
        float64; NaN for a neuron that does not change, and when there are no samples.

    Raises
    ------
    ValueError
        When the shapes differ.
    """
    error, variance = _error_and_variance(measured, predicted)
    known = variance > 0
    return np.where(known, 1 - error / np.where(known, variance, 1), np.nan)


def pooled_variance_explained(measured: np.ndarray, predicted: np.ndarray) -> float:
    """Fraction of the variance of all neurons together that is explained.

    Parameters
    ----------
    measured, predicted : ndarray, shape (neuron, time)
        As for `variance_explained`. Neurons count by their variance.

    Returns
    -------
    float
        NaN when nothing changes.
    """
    error, variance = _error_and_variance(measured, predicted)
    return float(1 - error.sum() / variance.sum()) if variance.sum() > 0 else float("nan")


def _error_and_variance(
    measured: np.ndarray, predicted: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    if measured.shape != predicted.shape:
        raise ValueError(
            f"scores: measured is {measured.shape} but predicted is {predicted.shape}; "
            "give both as (neuron, time) at the same times"
        )
    if measured.shape[1] == 0:
        nothing = np.full(len(measured), np.nan)
        return nothing, np.zeros(len(measured))
    measured = np.asarray(measured, np.float64)
    error = np.mean((measured - predicted) ** 2, axis=1)
    variance = np.var(measured, axis=1)
    # A constant that float arithmetic makes tremble is still a constant.
    constant = np.ptp(measured, axis=1) == 0
    return error, np.where(constant, 0, variance)
