from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_facemap.movement.common_shift import CommonShift, _solved, evened


@pytest.fixture
def texture():
    rng = np.random.default_rng(0)
    return 128 + 400 * ndimage.gaussian_filter(rng.standard_normal((90, 140)), 2)


def moved(texture, x, y):
    """A part of the texture after it moved by (x, y)."""
    whole = ndimage.shift(texture, (y, x), order=3, mode="nearest")[10:-10, 10:-10]
    return evened(np.clip(whole, 0, 255).round().astype(np.uint8))


def weights(texture):
    return np.ones((texture.shape[0] - 20, texture.shape[1] - 20), np.float32)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.3, -0.4), (3.2, 1.7), (-2.6, -3.4)])
def test_a_shift_is_found_from_half_a_pixel_away(texture, shift):
    x, y = shift
    fit = CommonShift(weights(texture))
    found = fit.near(moved(texture, 0, 0), moved(texture, x, y), x + 0.5, y - 0.5)
    assert found == pytest.approx(shift, abs=0.05)


def test_what_moves_otherwise_is_left_out(texture):
    """A stripe over a quarter of the picture goes its own way."""
    before, after = moved(texture, 0, 0), moved(texture, 0.6, 0.2)
    stripe = slice(20, 36)
    before[stripe], after[stripe] = before[stripe] + 0, moved(texture, 0, 3)[stripe]
    found = CommonShift(weights(texture)).near(before, after, 0.3, 0.6)
    assert found == pytest.approx((0.6, 0.2), abs=0.08)


def test_equations_are_solved_as_numpy_solves_them():
    rng = np.random.default_rng(1)
    for _ in range(50):
        matrix, aim = rng.standard_normal((3, 3)), rng.standard_normal(3)
        matrix = matrix @ matrix.T + 0.1 * np.eye(3)
        np.testing.assert_allclose(
            _solved(matrix.tolist(), aim.tolist()), np.linalg.solve(matrix, aim), rtol=1e-6
        )
