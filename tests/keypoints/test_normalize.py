from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis.extra.numpy import array_shapes, arrays

from napari_facemap.keypoints.box import Box
from napari_facemap.keypoints.normalize import grey_quantiles, prepare, prepare_as_facemap


@given(arrays(np.uint8, array_shapes(min_dims=1, max_dims=1, max_side=300)))
def test_quantiles_equal_those_of_sorted_pixels(pixels):
    counts = np.bincount(pixels, minlength=256)
    levels = (0.0, 0.01, 0.37, 0.99, 1.0)
    expected = np.quantile(pixels.astype(float), levels)
    np.testing.assert_allclose(grey_quantiles(counts, levels), expected, atol=1e-9)


def test_a_frame_is_prepared_alike_alone_and_in_a_batch():
    frames = np.random.default_rng(0).integers(0, 256, (5, 60, 90), np.uint8)
    frames[3] //= 4
    box = Box(10, 5, 71, 50)
    together = prepare(frames, box)
    alone = torch.cat([prepare(frame[None], box) for frame in frames])
    assert together.shape == (5, 1, 256, 256)
    assert torch.equal(together, alone)
    batchwise = prepare_as_facemap(frames, box)
    assert not torch.allclose(batchwise[3], prepare_as_facemap(frames[3:4], box)[0])


def test_brightness_and_contrast_make_no_difference():
    frame = np.random.default_rng(1).integers(0, 100, (1, 64, 64), np.uint8)
    box = Box(0, 0, 64, 64)
    torch.testing.assert_close(prepare(frame, box), prepare(frame * 2 + 30, box))


def test_an_even_frame_stays_finite():
    assert torch.isfinite(prepare(np.full((1, 32, 32), 7, np.uint8), Box(0, 0, 32, 32))).all()
