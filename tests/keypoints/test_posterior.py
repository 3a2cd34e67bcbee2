from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_facemap.keypoints.network import MAP_STRIDE
from napari_facemap.keypoints.posterior import (
    LEAST_SPREAD,
    TARGET_SIGMA,
    posterior_loss,
    read_posterior,
)

SURELY_SEEN = torch.tensor([[-20.0]])


def _gaussian(row: float, column: float, sigma: float = TARGET_SIGMA, size: int = 64):
    """Log odds of a Gaussian, shape (1, 1, size, size)."""
    axis = torch.arange(float(size))
    square = (axis[:, None] - row) ** 2 + (axis - column) ** 2
    return (-square / (2 * sigma**2))[None, None]


@settings(max_examples=60)
@given(st.floats(4, 59), st.floats(4, 59), st.floats(-30, 30))
def test_a_gaussians_centre_and_spread_are_found(row, column, level):
    found = read_posterior(_gaussian(row, column) + level, SURELY_SEEN)
    assert abs(float(found.xy[0, 0, 0]) - column) < 0.05
    assert abs(float(found.xy[0, 1, 0]) - row) < 0.05
    # The mean distance from the middle of a Gaussian in the plane.
    assert float(found.spread) == pytest.approx(TARGET_SIGMA * math.sqrt(math.pi / 2), rel=0.04)
    assert float(found.spread) * MAP_STRIDE == pytest.approx(LEAST_SPREAD, rel=0.04)


def test_the_greater_of_two_places_wins_and_the_other_adds_to_the_spread():
    both = torch.log(torch.exp(_gaussian(20, 12)) * 0.7 + torch.exp(_gaussian(20, 52)) * 0.3)
    found = read_posterior(both, SURELY_SEEN)
    torch.testing.assert_close(found.xy[0, :, 0], torch.tensor([12.0, 20.0]), atol=0.05, rtol=0)
    assert float(found.spread) == pytest.approx(0.7 * 1.25 + 0.3 * 40, rel=0.02)


def test_a_wide_area_outweighs_a_single_pixel():
    place = _gaussian(30, 40, sigma=2.0)
    place[0, 0, 5, 5] = 0.7
    found = read_posterior(place, SURELY_SEEN)
    torch.testing.assert_close(found.xy[0, :, 0], torch.tensor([40.0, 30.0]), atol=0.1, rtol=0)


@settings(max_examples=30)
@given(st.floats(-8, 8), st.floats(-20, 20))
def test_unseen_is_one_more_outcome_of_the_same_softmax(odds, level):
    torch.manual_seed(0)
    place = torch.randn(2, 3, 8, 8) + level
    unseen = torch.randn(2, 3) + odds + level
    every = torch.softmax(torch.cat([place.flatten(2), unseen[..., None]], 2), 2)
    found = read_posterior(place, unseen)
    torch.testing.assert_close(found.unseen, every[..., -1], atol=1e-5, rtol=1e-4)


def test_half_precision_is_read_as_well_as_single():
    place = _gaussian(17.3, 40.8)
    exact, half = (read_posterior(p, SURELY_SEEN) for p in (place, place.half()))
    assert half.xy.dtype == half.spread.dtype == torch.float32
    torch.testing.assert_close(half.xy, exact.xy, atol=0.05, rtol=0)


def _labels(seen: list[float]):
    torch.manual_seed(1)
    n = len(seen)
    place = torch.randn(1, n, 16, 16, requires_grad=True)
    unseen = torch.randn(1, n, requires_grad=True)
    xy = torch.rand(1, 2, n) * 15
    return place, unseen, xy, torch.tensor([seen])


def test_what_nobody_labelled_counts_nothing():
    place, unseen, xy, seen = _labels([1.0, math.nan, 0.0])
    loss = posterior_loss(place, unseen, xy, seen)
    loss.backward()
    assert place.grad[0, 1].abs().max() == 0
    assert unseen.grad[0, 1] == 0
    assert place.grad[0, 0].abs().max() > 0
    assert place.grad[0, 2].abs().max() > 0
    without = posterior_loss(place[:, ::2], unseen[:, ::2], xy[..., ::2], seen[:, ::2])
    torch.testing.assert_close(loss, without)


@pytest.mark.parametrize("value", [math.nan, 3.0, -500.0, 1e6])
def test_the_place_of_what_is_not_seen_is_not_read(value):
    place, unseen, xy, seen = _labels([1.0, math.nan, 0.0])
    expected = posterior_loss(place, unseen, xy, seen)
    xy[..., 1:] = value
    loss = posterior_loss(place, unseen, xy, seen)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert torch.isfinite(place.grad).all()


def test_no_label_at_all_is_no_loss():
    place, unseen, xy, seen = _labels([math.nan, math.nan])
    loss = posterior_loss(place, unseen, xy, seen)
    loss.backward()
    assert loss == 0
    assert place.grad.abs().max() == 0


@settings(max_examples=30)
@given(st.integers(1, 14), st.integers(1, 14))
def test_the_gradient_pushes_towards_the_label(row, column):
    place, unseen, xy, seen = _labels([1.0])
    xy[0, :, 0] = torch.tensor([float(column), float(row)])
    posterior_loss(place, unseen, xy, seen).backward()
    # Descending raises the log odds at the label most of all and lowers those of "not seen".
    assert int(place.grad[0, 0].argmin()) == row * 16 + column
    assert place.grad[0, 0, row, column] < 0
    assert unseen.grad[0, 0] > 0


def test_what_is_hidden_pushes_towards_not_seen():
    place, unseen, xy, seen = _labels([0.0])
    posterior_loss(place, unseen, xy, seen).backward()
    assert unseen.grad[0, 0] < 0
    assert place.grad.min() > 0


def test_the_loss_is_least_where_the_distribution_is_the_target():
    xy, seen = torch.tensor([[[20.4], [33.1]]]), torch.ones(1, 1)

    def loss(place):
        return float(posterior_loss(place, SURELY_SEEN, xy, seen))

    best = loss(_gaussian(33.1, 20.4))
    # The entropy of a Gaussian in the plane.
    assert best == pytest.approx(math.log(2 * math.pi * math.e * TARGET_SIGMA**2), abs=0.01)
    for other in (
        _gaussian(33.6, 20.4),
        _gaussian(33.1, 19.9),
        _gaussian(33.1, 20.4, sigma=1.2),
        _gaussian(33.1, 20.4, sigma=0.85),
        torch.zeros(1, 1, 64, 64),
    ):
        assert loss(other) > best + 0.01
