from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from napari_facemap.keypoints import resize
from napari_facemap.keypoints.box import Box
from napari_facemap.keypoints.normalize import (
    _levels_on_cpu,
    _levels_on_gpu,
    grey_limits,
    grey_quantiles,
    prepare,
    prepare_as_facemap,
)


@given(arrays(np.uint8, array_shapes(min_dims=1, max_dims=1, max_side=300)))
def test_quantiles_equal_those_of_sorted_pixels(pixels):
    counts = np.bincount(pixels, minlength=256)
    levels = (0.0, 0.01, 0.37, 0.99, 1.0)
    expected = np.quantile(pixels.astype(float), levels)
    np.testing.assert_allclose(grey_quantiles(counts, levels), expected, atol=1e-9)


@given(arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=300)))
def test_limits_are_quantiles_of_each_picture(pictures):
    expected = np.quantile(pictures.astype(float), (0.01, 0.99), axis=1)
    low, high = grey_limits(torch.from_numpy(pictures))
    np.testing.assert_allclose(low, expected[0], atol=1e-4)
    even = expected[1] <= expected[0]
    np.testing.assert_allclose(high, np.where(even, expected[0] + 1, expected[1]), atol=1e-4)


@given(arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=50)), st.data())
def test_a_gpu_finds_the_same_levels(pictures, data):
    ranks = data.draw(st.lists(st.integers(0, pictures.shape[1] - 1), min_size=1, max_size=4))
    pixels = torch.from_numpy(pictures)
    assert torch.equal(_levels_on_cpu(pixels, ranks), _levels_on_gpu(pixels, ranks).long())


@pytest.mark.parametrize("side", [90, 256, 700])
def test_however_sums_are_made_they_are_the_same(side, monkeypatch):
    frames = np.random.default_rng(0).integers(0, 256, (2, 300, 400), np.uint8)
    box = Box(-40, 20, side - 40, side + 20)
    banded = prepare(frames, box)
    monkeypatch.setattr(resize, "_BAND", 256)
    assert torch.equal(prepare(frames, box), banded)


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


boxes = st.builds(
    lambda x, y, w, h: Box(x, y, x + w, y + h),
    st.integers(-40, 40),
    st.integers(-30, 30),
    st.integers(50, 120),
    st.integers(40, 120),
)


@settings(max_examples=25)
@given(boxes)
def test_a_face_that_looks_right_is_the_mirror_of_one_that_looks_left(box):
    assume((box.width - box.height) % 2 == 0)  # else one side has a pixel more of padding
    frames = np.random.default_rng(2).integers(0, 256, (2, 60, 90), np.uint8)
    mirrored = Box(90 - box.x1, box.y0, 90 - box.x0, box.y1)
    torch.testing.assert_close(
        prepare(frames, box, facing="right"), prepare(frames[:, :, ::-1], mirrored), atol=1e-5,
        rtol=0,
    )  # fmt: skip


@settings(max_examples=25)
@given(boxes)
def test_what_sticks_out_is_0_and_counts_for_nothing(box):
    frames = np.random.default_rng(3).integers(40, 200, (2, 60, 90), np.uint8)
    inside = box.inside(60, 90)
    part = frames[:, inside.y0 : inside.y1, inside.x0 : inside.x1]
    limits = np.quantile(part, (0.01, 0.99), axis=(1, 2))[..., None, None]
    grey = ((frames - limits[0]) / (limits[1] - limits[0])).astype(np.float32)
    padded = np.pad(grey, ((0, 0), (200, 200), (200, 200)))
    left, top = box.padding
    x0, y0 = box.x0 - left + 200, box.y0 - top + 200
    square = padded[:, y0 : y0 + box.side, x0 : x0 + box.side]
    if box.width != box.height:  # beyond the box is nothing, even where the frame goes on
        keep = np.zeros(square.shape, bool)
        keep[:, top : top + box.height, left : left + box.width] = True
        square = np.where(keep, square, 0)
    expected = F.interpolate(
        torch.from_numpy(square.copy())[:, None], (256, 256), mode="bilinear", antialias=True
    )
    # Weights are whole 256ths.
    torch.testing.assert_close(prepare(frames, box), expected, atol=0.012, rtol=0)
