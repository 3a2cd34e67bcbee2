from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_facemap.keypoints.box import Box
from napari_facemap.keypoints.resize import ONE, Resize, triangle_weights


@settings(max_examples=30)
@given(st.integers(16, 4000))
def test_weights_are_whole_add_up_and_are_their_own_mirror(side):
    weights = triangle_weights(side)
    assert weights.shape == (256, side)
    assert (weights == np.round(weights)).all() and weights.min() >= 0
    assert (weights.sum(axis=1) == ONE).all()
    assert (weights == weights[::-1, ::-1]).all()


def test_a_picture_of_the_networks_size_stays_as_it_is():
    assert (triangle_weights(256) == ONE * np.eye(256)).all()


def test_sums_are_exact():
    crop = np.random.default_rng(0).integers(0, 256, (2, 400, 700), np.uint8)
    resize = Resize(Box(0, 0, 700, 500), 400, 700, "left", torch.device("cpu"))
    rows, columns = triangle_weights(700)[:, 100:500], triangle_weights(700)
    expected = rows.astype(np.int64) @ crop.astype(np.int64) @ columns.T.astype(np.int64)
    np.testing.assert_array_equal(resize(torch.from_numpy(crop)).numpy(), expected)
    assert resize.inside_share.max() == ONE**2
