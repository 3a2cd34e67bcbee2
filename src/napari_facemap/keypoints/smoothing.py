"""The constant-velocity smoother: noisy places at any times, as one banded system."""

from __future__ import annotations

import numpy as np
from scipy.linalg import LinAlgError, solveh_banded


def smooth(
    times: np.ndarray, values: np.ndarray, variance: np.ndarray, at: np.ndarray, inertia: float
) -> tuple[np.ndarray, np.ndarray]:
    """Smooth a series and fill it in, as if it moved with a velocity that wanders.

    The model is that of a Kalman smoother for constant velocity: the velocity is a Wiener process
    with the variance ``1 / inertia`` a second, each value its integral plus noise of its
    `variance`. With nothing known of the beginning, what the forward filter and the
    Rauch-Tung-Striebel pass back give as the mean is the curve g that makes least

        sum_i (values_i - g(times_i))^2 / variance_i + inertia * integral of g''(t)^2 dt ,

    a natural cubic spline [1]_. Its second derivatives at the times solve a system with five
    diagonals [2]_, at once and exactly, in a time that grows with the length only.

    Parameters
    ----------
    times : ndarray, shape (n,)
        Seconds, strictly increasing.
    values : ndarray, shape (n, m)
        Series of the same noise, such as x and y.
    variance : ndarray, shape (n,)
        Of the noise; 0 is kept exactly.
    at : ndarray, shape (k,)
        Further times, between the first and the last, at which the curve is wanted.
    inertia : float
        How little the velocity wanders; 0 keeps all values and joins them by straight lines.

    Returns
    -------
    smoothed : ndarray, shape (n, m)
        The curve at `times`.
    between : ndarray, shape (k, m)
        The curve at `at`.

    Raises
    ------
    ValueError
        When `inertia` is so large that double precision cannot tell the curve from a line.

    References
    ----------
    .. [1] Wahba (1978), Improper priors, spline smoothing and the problem of guarding against
       model errors in regression. J. R. Stat. Soc. B 40.
    .. [2] Green, Silverman (1994), Nonparametric regression and generalized linear models,
       chapter 2 (Reinsch's algorithm).
    """
    n = len(times)
    bend = np.zeros(values.shape)  # second derivatives; 0 at both ends
    smoothed = np.array(values, float)
    if n > 2 and inertia > 0:
        step = np.diff(times)
        before, after = 1 / step[:-1], 1 / step[1:]
        middle = -before - after
        noise = inertia * variance
        bands = np.zeros((3, n - 2))  # lower form: the diagonal, and the two below it
        bands[0] = (step[:-1] + step[1:]) / 3
        bands[0] += before**2 * noise[:-2] + middle**2 * noise[1:-1] + after**2 * noise[2:]
        bands[1, :-1] = step[1:-1] / 6
        bands[1, :-1] += (
            middle[:-1] * before[1:] * noise[1:-2] + after[:-1] * middle[1:] * (noise[2:-1])
        )
        bands[2, :-2] = after[:-2] * before[2:] * noise[2:-2]
        slope = np.diff(smoothed, axis=0) / step[:, None]
        try:
            bend[1:-1] = solveh_banded(
                bands, np.diff(slope, axis=0), lower=True, check_finite=False
            )
        except LinAlgError as error:
            raise ValueError(
                f"smooth: smoothing over {inertia**0.25:.3g} s is too long for steps of "
                f"{np.median(step):.3g} s. Choose a shorter one."
            ) from error
        # The transpose of taking second differences: what bends is pulled straight.
        pull = np.diff(np.diff(bend, axis=0) / step[:, None], axis=0)
        ends = (bend[1] / step[0], bend[-2] / step[-1])
        smoothed[1:-1] -= noise[1:-1, None] * pull
        smoothed[0] -= noise[0] * ends[0]
        smoothed[-1] -= noise[-1] * ends[1]
    return smoothed, _between(times, smoothed, bend, at)


def _between(
    times: np.ndarray, values: np.ndarray, bend: np.ndarray, at: np.ndarray
) -> np.ndarray:
    """The cubic spline with these values and second derivatives."""
    if not len(at):
        return np.empty((0, values.shape[1]))
    left = np.clip(np.searchsorted(times, at, side="right") - 1, 0, max(len(times) - 2, 0))
    right = np.minimum(left + 1, len(times) - 1)
    length = np.maximum(times[right] - times[left], 1e-12)[:, None]
    since, until = (at - times[left])[:, None], (times[right] - at)[:, None]
    straight = (since * values[right] + until * values[left]) / length
    curved = (1 + since / length) * bend[right] + (1 + until / length) * bend[left]
    return straight - since * until / 6 * curved
