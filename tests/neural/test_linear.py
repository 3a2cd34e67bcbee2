from __future__ import annotations

import numpy as np
import pytest

from napari_facemap.neural.clocks import Grid
from napari_facemap.neural.linear import LinearModel, _Regression
from napari_facemap.neural.model import TrainingData


def silent(done, total):
    pass


def data_of_rank(rank, noise, n=3000, n_features=20, n_targets=30, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, n_features)).astype(np.float32)
    weights = rng.standard_normal((n_features, rank)) @ rng.standard_normal((rank, n_targets))
    y = (x @ weights + 3 + noise * rng.standard_normal((n, n_targets))).astype(np.float32)
    train = np.arange(n) < 0.8 * n
    # Neural samples so close that nothing is smoothed.
    return TrainingData(Grid(x, 0, 50), np.arange(n), y, train, ~train, 1e-6), weights


def test_known_weights_and_rank_are_found():
    data, weights = data_of_rank(3, noise=1.0)
    model = LinearModel()
    model.fit(data, silent, 0, "cpu")
    assert model.rank == 3
    assert np.abs(model.weights - weights).max() < 0.15
    assert np.allclose(model.predict(data.grid, data.positions, "cpu"), data.targets, atol=6)


def test_full_rank_without_penalty_is_least_squares():
    data, _ = data_of_rank(20, noise=5.0)
    x, y = data.grid.values[data.train], data.targets[data.train]
    inner, outer = _Regression(x, y).factors(0.0, 20)
    expected = np.linalg.lstsq(x - x.mean(0), y - y.mean(0), rcond=None)[0]
    assert np.allclose(inner @ outer, expected, atol=1e-5)


def test_a_lower_rank_is_the_best_of_that_rank():
    data, _ = data_of_rank(20, noise=1.0)
    x = (data.grid.values - data.grid.values.mean(0)).astype(float)
    y = data.targets - data.targets.mean(0).astype(float)
    inner, outer = _Regression(x, y).factors(0.0, 4)
    # The best approximation of rank 4 to the fitted values is their truncated SVD.
    fitted = x @ np.linalg.lstsq(x, y, rcond=None)[0]
    u, s, vt = np.linalg.svd(fitted, full_matrices=False)
    assert np.allclose(x @ inner @ outer, (u[:, :4] * s[:4]) @ vt[:4], atol=1e-4)


def test_errors_of_all_ranks_are_those_of_predicting():
    data, _ = data_of_rank(5, noise=1.0, n=400)
    x, y = data.grid.values.astype(float), data.targets.astype(float)
    regression = _Regression(x[data.train], y[data.train])
    held_x, held_y = x[data.validation], y[data.validation]
    errors = regression.errors(held_x, held_y, 0.1, 20)
    for rank in (1, 4, 20):
        inner, outer = regression.factors(0.1, rank)
        predicted = (held_x - regression.mean_x) @ inner @ outer + regression.mean_y
        assert errors[rank - 1] == pytest.approx(np.mean((held_y - predicted) ** 2))


def test_a_feature_that_never_moves_does_no_harm():
    data, _ = data_of_rank(3, noise=1.0)
    data.grid.values[:, 5] = 0
    model = LinearModel()
    model.fit(data, silent, 0, "cpu")
    assert np.isfinite(model.weights).all()


def test_bad_options_are_refused():
    with pytest.raises(ValueError, match="rank >= 1"):
        LinearModel(rank=0)
