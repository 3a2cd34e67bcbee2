from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_facemap.movement import svd
from napari_facemap.movement.svd import ComponentFinder, basis_of, largest, scatter_of, turned

CPU = torch.device("cpu")


def _pictures(n, pixels, seed=0, fall=0.9):
    """Pictures about a mean, in directions that matter less and less, and a little noise."""
    rng = np.random.default_rng(seed)
    rank = min(n, pixels, 40)
    scores = rng.standard_normal((n, rank)) * fall ** np.arange(rank)
    found = scores @ rng.standard_normal((rank, pixels)) + 0.01 * rng.standard_normal((n, pixels))
    return (found + 5 * rng.standard_normal(pixels)).astype(np.float32)


def _found(pictures, k, portion=100):
    finder = ComponentFinder(pictures.shape[1], len(pictures), k, CPU)
    for start in range(0, len(pictures), portion):
        finder.add(pictures[start : start + portion])
    found = finder.directions()
    scores = (torch.from_numpy(pictures) - found.mean.float()) @ found.basis
    if found.scores is not None:
        size = float(scores.abs().max())
        np.testing.assert_allclose(found.scores.numpy(), scores.numpy(), atol=1e-5 * size)
    return found, *turned(found.basis, scores)


def _exact(pictures, k):
    centred = pictures.astype(np.float64) - pictures.mean(0, dtype=np.float64)
    _, lengths, masks = np.linalg.svd(centred, full_matrices=False)
    return lengths[:k], masks[:k].T, (centred**2).sum()


@pytest.mark.parametrize("shape", [(200, 60), (60, 200), (2, 30), (30, 2)])
def test_one_block_is_the_exact_decomposition(shape):
    pictures = _pictures(*shape)
    k = min(10, shape[1], shape[0] - 1)
    found, basis, scores, lengths = _found(pictures, k)
    expected, masks, variance = _exact(pictures, k)
    np.testing.assert_allclose(lengths.numpy(), expected, rtol=1e-4)
    assert found.scores is not None
    assert found.variance == pytest.approx(variance, rel=1e-5)
    # The same space, whatever the signs.
    assert np.linalg.svd(masks.T @ basis.numpy())[1].min() > 1 - 1e-4
    np.testing.assert_allclose((basis.T @ basis).numpy(), np.eye(k), atol=1e-4)
    inner = (scores.T @ scores).numpy() / float(lengths[0]) ** 2
    np.testing.assert_allclose(inner, np.diag(np.diag(inner)), atol=1e-5)
    assert (basis.gather(0, basis.abs().argmax(0, keepdim=True)) > 0).all()


@pytest.mark.parametrize("shape", [(500, 60), (500, 300)])
def test_a_tree_of_blocks_finds_nearly_as_much(shape, monkeypatch):
    monkeypatch.setattr(svd, "_EXACT", 10)
    monkeypatch.setattr(svd, "_BLOCK", 64)
    pictures = _pictures(*shape)
    found, basis, _, lengths = _found(pictures, 20)
    expected, _, variance = _exact(pictures, 20)
    assert found.scores is None
    np.testing.assert_allclose(found.mean.numpy(), pictures.mean(0), atol=1e-4)
    assert found.variance == pytest.approx(variance, rel=1e-5)
    assert 0.9999 < float((lengths**2).sum()) / (expected**2).sum() <= 1 + 1e-5
    np.testing.assert_allclose((basis.T @ basis).numpy(), np.eye(20), atol=1e-4)


def test_a_mean_that_drifts_is_variance_too(monkeypatch):
    # Blocks that are still in themselves, each at another level.
    monkeypatch.setattr(svd, "_EXACT", 10)
    monkeypatch.setattr(svd, "_BLOCK", 16)
    levels = np.repeat(np.arange(8.0), 16)[:, None]
    pictures = (levels * np.ones((1, 50)) + 1e-3 * _pictures(128, 50)).astype(np.float32)
    found, basis, _, lengths = _found(pictures, 2)
    assert float(lengths[0] ** 2) / found.variance > 0.99
    np.testing.assert_allclose(basis[:, 0].numpy(), 50**-0.5, atol=1e-2)


@settings(max_examples=25, deadline=None)
@given(portion=st.integers(1, 130), exact=st.booleans())
def test_portions_make_no_difference(portion, exact):
    before = svd._EXACT, svd._BLOCK
    svd._EXACT, svd._BLOCK = (1000 if exact else 10), 40
    try:
        pictures = _pictures(130, 50)
        _, basis, scores, lengths = _found(pictures, 5, portion)
        _, basis_1, scores_1, lengths_1 = _found(pictures, 5, 130)
    finally:
        svd._EXACT, svd._BLOCK = before
    assert torch.equal(basis, basis_1)
    assert torch.equal(scores, scores_1)
    assert torch.equal(lengths, lengths_1)


def test_some_of_many_eigenvectors_are_found_fast_and_right(monkeypatch):
    monkeypatch.setattr(svd, "_FULL", 50)
    pictures = torch.from_numpy(_pictures(300, 400, fall=0.95))
    matrix = pictures @ pictures.T
    values, vectors = largest(matrix, 20)
    expected = torch.linalg.eigvalsh(matrix.double()).flip(0)[:20]
    np.testing.assert_allclose(values.numpy(), expected.numpy(), rtol=1e-3)
    np.testing.assert_allclose((vectors.T @ vectors).numpy(), np.eye(20), atol=1e-5)


def test_directions_of_nothing_are_left_out():
    pictures = torch.from_numpy(_pictures(40, 30)[:, :1] * np.ones((1, 30), np.float32))
    scatter = scatter_of(pictures, 10)
    assert basis_of(scatter.vectors)[0].shape == (30, 1)


def test_no_pictures_have_no_directions():
    assert ComponentFinder(10, 0, 3, CPU).directions() is None


def test_still_pictures_have_no_directions():
    finder = ComponentFinder(10, 20, 3, CPU)
    finder.add(np.full((20, 10), 7, np.float32))
    assert finder.directions() is None


def test_large_pictures_come_in_smaller_blocks(monkeypatch):
    monkeypatch.setattr(svd, "_BLOCK_BYTES", 4 * 50 * 60)
    pictures = _pictures(130, 50)
    finder = ComponentFinder(50, 130, 5, CPU)
    assert not finder.is_exact
    found, _, _, lengths = _found(pictures, 5)
    assert found.scores is None
    np.testing.assert_allclose(lengths.numpy(), _exact(pictures, 5)[0], rtol=1e-3)


def test_what_is_held_grows_with_the_logarithm_of_the_stream(monkeypatch):
    monkeypatch.setattr(svd, "_EXACT", 10)
    monkeypatch.setattr(svd, "_BLOCK", 16)
    pictures = _pictures(16 * 64, 12)
    finder = ComponentFinder(12, 10**9, 3, CPU)
    for start in range(0, len(pictures), 64):
        finder.add(pictures[start : start + 64])
        assert len(finder._tree) <= 7
        assert finder._block.shape == (16, 12)
    assert finder.scatter().n == len(pictures)
