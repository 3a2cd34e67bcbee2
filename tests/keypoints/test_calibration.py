from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_facemap.keypoints.calibration import (
    FEWEST,
    NEAR,
    Calibration,
    calibration_error,
    calibration_from_card,
    fit_calibration,
    log_excess,
)
from napari_facemap.keypoints.posterior import LEAST_SPREAD

NAMES = ("eye(back)", "eye(top)", "nose(tip)", "paw")
KNOWN = Calibration(-6.0, -2.0, -1.0, 0.7, {"eye": 0.5}, {"eye": -0.3}, 400)
shares = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=50)


def _simulated(n=3000, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.uniform(-4.5, -1.5, (n, len(NAMES)))
    return rng, x, np.full(x.shape, 0.95)


def test_the_curves_are_those_that_are_written_down():
    x, seen = np.array([[-3.5, -3.5]]), np.array([[1.0, 0.5]])
    names = ("eye(back)", "paw")
    expected = [1 / (1 + np.exp(-(-6 + 7 + 0.5))), 0.5 / (1 + np.exp(-(-6 + 7)))]
    np.testing.assert_allclose(KNOWN.confidence(x, seen, names)[0], expected)
    errors = np.exp([-1 - 0.7 * 3.5 - 0.3, -1 - 0.7 * 3.5])
    np.testing.assert_allclose(KNOWN.expected_error(x, names)[0], errors)


def test_a_known_chance_is_found_again():
    rng, x, seen = _simulated()
    near = rng.random(x.shape) < KNOWN.confidence(x, seen, NAMES)
    fitted = fit_calibration(x, seen, np.where(near, NEAR / 2, 0.2), NAMES)
    confidence = fitted.confidence(x, seen, NAMES)
    np.testing.assert_allclose(confidence, KNOWN.confidence(x, seen, NAMES), atol=0.04)
    assert fitted.slope == pytest.approx(KNOWN.slope, rel=0.1)
    assert fitted.offsets["eye"] > fitted.offsets["nose"]
    assert fitted.n_labels == x.size


def test_a_known_expected_error_is_found_again():
    rng, x, seen = _simulated(seed=1)
    expected = KNOWN.expected_error(x, NAMES)
    fitted = fit_calibration(x, seen, rng.exponential(expected), NAMES)
    np.testing.assert_allclose(fitted.expected_error(x, NAMES), expected, rtol=0.15)
    assert fitted.error_slope == pytest.approx(KNOWN.error_slope, rel=0.1)


def test_faces_without_a_label_are_left_out():
    rng, x, seen = _simulated(60)
    errors = rng.exponential(KNOWN.expected_error(x, NAMES))
    errors[:, 3] = np.nan  # nobody labelled the paw
    errors[::2, 0] = np.nan
    fitted = fit_calibration(x, seen, errors, NAMES)
    assert set(fitted.offsets) == set(fitted.error_offsets) == {"eye", "nose"}
    assert fitted.n_labels == 150
    x[np.isnan(errors)] = np.nan
    assert fit_calibration(x, seen, errors, NAMES) == fitted
    # A group of which nothing is known gets the curve that is common to all.
    common = Calibration(fitted.level, fitted.slope, fitted.error_level, fitted.error_slope)
    one, ones = np.full((1, 1), -3.0), np.ones((1, 1))
    assert fitted.confidence(one, ones, ["paw"]) == common.confidence(one, ones, ["paw"])
    assert fitted.expected_error(one, ["paw"]) == common.expected_error(one, ["paw"])


def test_too_few_labels_are_said():
    x = np.zeros((5, 4))
    errors = np.full(x.shape, 0.01)
    errors.flat[FEWEST - 1 :] = np.nan
    with pytest.raises(ValueError, match=f"at least {FEWEST} labels .* found {FEWEST - 1}"):
        fit_calibration(x, x + 1, errors, NAMES)


@given(st.floats(-30, 30), st.floats(-30, 30), st.floats(0, 1))
def test_confidence_is_a_probability_that_falls_with_the_spread(one, other, seen):
    x = np.sort([one, other])[:, None]
    confidence = KNOWN.confidence(x, np.full(x.shape, seen), ("paw",))
    assert 0 <= confidence[1, 0] <= confidence[0, 0] <= seen
    error = KNOWN.expected_error(x, ("paw",))
    assert 0 < error[0, 0] <= error[1, 0] < np.inf


@given(st.floats(0, 400), st.floats(5, 300), st.floats(0.1, 10))
def test_the_excess_is_finite_and_relative_to_the_face(spread, size, factor):
    x = log_excess(np.array([[spread]]), np.array([size]))
    assert np.isfinite(x).all()
    larger = log_excess(np.array([[spread + 5]]), np.array([size]))
    assert larger >= x
    farther = log_excess(np.array([[spread]]), np.array([size * factor]))
    np.testing.assert_allclose(x - farther, np.log(factor), atol=1e-9)


def test_a_perfectly_sure_network_has_an_excess_of_one_pixel():
    x = log_excess(np.array([[LEAST_SPREAD, LEAST_SPREAD / 2]]), np.array([100.0]))
    np.testing.assert_allclose(x, np.log(1 / 100))


def test_the_calibration_error_is_the_weighted_gap_of_the_bins():
    confidence = np.array([0.9, 0.92, 0.98, 0.96, 0.12, 0.18])
    near = np.array([True, True, True, False, False, True])
    by_hand = (4 * abs(0.75 - 0.94) + 2 * abs(0.5 - 0.15)) / 6
    assert calibration_error(confidence, near) == pytest.approx(by_hand)
    assert calibration_error(np.array([1.0, 0.0]), np.array([True, False])) == 0
    assert calibration_error(np.array([1.0]), np.array([False])) == 1
    assert np.isnan(calibration_error(np.array([]), np.array([], bool)))


@given(shares)
def test_the_calibration_error_is_at_least_the_gap_of_the_means(pairs):
    confidence, near = (np.array(column) for column in zip(*pairs, strict=True))
    error = calibration_error(confidence, near)
    gap = abs(near.mean() - confidence.mean())
    assert gap - 1e-12 <= error <= 1
    assert calibration_error(confidence, near, n_bins=1) == pytest.approx(gap)


def test_a_card_gives_the_calibration_back():
    card = json.loads(json.dumps(KNOWN.card()))
    assert calibration_from_card(card) == KNOWN
    assert card["near"] == NEAR


@pytest.mark.parametrize(
    "change",
    [
        lambda card: card.pop("slope"),
        lambda card: card.update(level="high"),
        lambda card: card.update(error_level=None),
        lambda card: card.update(offsets=[0.1]),
        lambda card: card.update(error_offsets={"eye": "much"}),
        lambda card: card.pop("n_labels"),
    ],
)
def test_a_bad_card_is_refused(change):
    card = json.loads(json.dumps(KNOWN.card()))
    change(card)
    with pytest.raises(ValueError, match="expected the calibration of a model"):
        calibration_from_card(card)


@pytest.mark.parametrize("card", ["text", [1, 2], 3])
def test_what_is_no_card_is_refused(card):
    with pytest.raises(ValueError, match="expected the calibration of a model"):
        calibration_from_card(card)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_card_with_numbers_that_are_not_finite_is_refused(value):
    card = Calibration(-5, -2, -1, 1, {}, {}, 30).card() | {"level": value}
    with pytest.raises(ValueError, match="not finite"):
        calibration_from_card(card)
