"""From what a network reckons itself to a confidence and an expected error that hold.

The spread of a network's distribution says which points are worse, not how bad they are. On mice
that it never saw, two curves are fitted: the chance that a point lies near its label given the
spread (logistic, after Platt 1999), and the mean distance given the spread (a power law).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from scipy.optimize import minimize

from napari_facemap.keypoints.posterior import LEAST_SPREAD
from napari_facemap.keypoints.skeleton import group_of

NEAR = 0.03
"""A point is near its label within this part of the distance from eye to nose tip."""

FEWEST = 20
"""Labels that a calibration needs."""

_SHRINK = (
    20.0  # how strongly a group's own offset is held to 0; recordings differ more than groups
)


@dataclass(frozen=True)
class Calibration:
    """Curves from relative spread to confidence and to expected error.

    With x the logarithm of the excess spread relative to the distance from eye to nose (see
    `log_excess`), the confidence is ``sigmoid(level + slope * x + offset) * seen`` and the
    expected error ``exp(error_level + error_slope * x + error_offset)`` of that distance.

    Attributes
    ----------
    level, slope, error_level, error_slope : float
        Common to all keypoints.
    offsets, error_offsets : dict of float
        For each group of keypoints that was labelled.
    n_labels : int
        Labels that were fitted.
    """

    level: float
    slope: float
    error_level: float
    error_slope: float
    offsets: Mapping[str, float] = field(default_factory=dict)
    error_offsets: Mapping[str, float] = field(default_factory=dict)
    n_labels: int = 0

    def confidence(self, x: np.ndarray, seen: np.ndarray, keypoints: Sequence[str]) -> np.ndarray:
        """Probability that each point lies within `NEAR` of its true place.

        Parameters
        ----------
        x : ndarray, shape (..., keypoint)
            See `log_excess`.
        seen : ndarray, same shape
            Probability of being seen at all.
        keypoints : sequence of str
            Names.

        Returns
        -------
        ndarray, same shape
        """
        logit = self.level + self.slope * x + _column(self.offsets, keypoints)
        return np.asarray(seen / (1 + np.exp(-np.clip(logit, -30, 30))))

    def expected_error(self, x: np.ndarray, keypoints: Sequence[str]) -> np.ndarray:
        """Mean distance from the true place, relative to the distance from eye to nose."""
        log = self.error_level + self.error_slope * x + _column(self.error_offsets, keypoints)
        return np.exp(np.clip(log, -10, 2))

    def card(self) -> dict[str, Any]:
        """As plain values, for a model's card."""
        return {**asdict(self), "near": NEAR}


def calibration_from_card(card: Mapping[str, Any]) -> Calibration:
    """Read what `Calibration.card` wrote.

    Raises
    ------
    ValueError
        When a value is missing or not a number.
    """
    try:
        calibration = Calibration(
            level=float(card["level"]),
            slope=float(card["slope"]),
            error_level=float(card["error_level"]),
            error_slope=float(card["error_slope"]),
            offsets={str(g): float(value) for g, value in card["offsets"].items()},
            error_offsets={str(g): float(value) for g, value in card["error_offsets"].items()},
            n_labels=int(card["n_labels"]),
        )
        numbers = [calibration.level, calibration.slope]
        numbers += [calibration.error_level, calibration.error_slope]
        numbers += [*calibration.offsets.values(), *calibration.error_offsets.values()]
        if not np.isfinite(numbers).all():
            raise ValueError("a number that is not finite")
        return calibration
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"expected the calibration of a model, found {error}") from error


def log_excess(spread: np.ndarray, face_size: np.ndarray) -> np.ndarray:
    """What the curves are fitted over.

    Parameters
    ----------
    spread : ndarray, shape (..., keypoint)
        As from `read_network`, pixels of the network's input.
    face_size : ndarray, shape (...)
        Distance from eye to nose tip, same pixels.

    Returns
    -------
    ndarray, same shape as `spread`
        Logarithm of the spread beyond that of a perfectly sure network, over the face's size.
    """
    # One pixel keeps the logarithm finite; no point is known better than that.
    excess = np.sqrt(np.maximum(spread**2 - LEAST_SPREAD**2, 0) + 1.0)
    return np.log(excess / np.asarray(face_size)[..., None])


def fit_calibration(
    x: np.ndarray, seen: np.ndarray, errors: np.ndarray, keypoints: Sequence[str]
) -> Calibration:
    """Fit the curves on labelled faces that the network was not trained on.

    Parameters
    ----------
    x, seen : ndarray, shape (face, keypoint)
        See `log_excess` and `read_network`.
    errors : ndarray, shape (face, keypoint)
        Distance from the label relative to the distance from eye to nose; NaN without a label.
    keypoints : sequence of str
        Names.

    Returns
    -------
    Calibration

    Raises
    ------
    ValueError
        With fewer than `FEWEST` labels.
    """
    known = np.isfinite(errors)
    if known.sum() < FEWEST:
        raise ValueError(
            f"Expected at least {FEWEST} labels to calibrate on; found {known.sum()}."
        )
    member = np.array([group_of(name) for name in keypoints])
    groups = sorted(set(member[known.any(axis=0)]))
    one_hot = (member[:, None] == np.array(groups)).astype(float)
    design = np.broadcast_to(one_hot, (*errors.shape, len(groups)))[known]
    place, odds, distance = x[known], seen[known], errors[known]
    near = (distance <= NEAR).astype(float)

    def confidence_loss(p: np.ndarray) -> float:
        chance = odds / (1 + np.exp(-np.clip(p[0] + p[1] * place + design @ p[2:], -30, 30)))
        chance = np.clip(chance, 1e-6, 1 - 1e-6)
        likelihood = near * np.log(chance) + (1 - near) * np.log(1 - chance)
        return float(-likelihood.sum() + _SHRINK * (p[2:] ** 2).sum())

    def error_loss(p: np.ndarray) -> float:
        # Of an exponential distribution, so that the fitted curve is a mean.
        log = np.clip(p[0] + p[1] * place + design @ p[2:], -10, 2)
        return float((distance * np.exp(-log) + log).sum() + _SHRINK * (p[2:] ** 2).sum())

    none = [0.0] * len(groups)
    first = minimize(confidence_loss, [0.0, -1.0, *none]).x
    second = minimize(error_loss, [0.0, 1.0, *none]).x
    level, slope, *offsets = first.tolist()
    error_level, error_slope, *error_offsets = second.tolist()
    return Calibration(
        level,
        slope,
        error_level,
        error_slope,
        dict(zip(groups, offsets, strict=True)),
        dict(zip(groups, error_offsets, strict=True)),
        int(known.sum()),
    )


def calibration_error(confidence: np.ndarray, near: np.ndarray, n_bins: int = 10) -> float:
    """Expected calibration error (Naeini et al., AAAI 2015).

    Parameters
    ----------
    confidence : ndarray, shape (n,)
        Predicted probabilities.
    near : ndarray of bool, shape (n,)
        What came true.
    n_bins : int
        Bins of equal width from 0 to 1.

    Returns
    -------
    float
        Mean difference between predicted and true share over the bins, weighted by their counts.
    """
    if not len(confidence):
        return float("nan")
    index = np.minimum((np.asarray(confidence) * n_bins).astype(int), n_bins - 1)
    off = np.bincount(index, np.asarray(near, float) - confidence, minlength=n_bins)
    return float(np.abs(off).sum() / len(confidence))


def _column(offsets: Mapping[str, float], keypoints: Sequence[str]) -> np.ndarray:
    return np.array([offsets.get(group_of(name), 0.0) for name in keypoints])
