from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_facemap.video.arrays import ArrayVideo, as_video

FRAMES = np.random.default_rng(0).integers(0, 256, (23, 8, 10), np.uint8)


@given(st.integers(0, 23), st.integers(0, 23), st.integers(1, 30))
def test_batches_make_up_the_array(a, b, n):
    start, stop = sorted((a, b))
    pieces = [frames for _, frames in ArrayVideo(FRAMES).batches(n, start, stop)]
    np.testing.assert_array_equal(np.concatenate([FRAMES[:0], *pieces]), FRAMES[start:stop])


def test_lazy_arrays_are_read_like_arrays():
    video = as_video(da.from_array(FRAMES, chunks=(5, 8, 10)), fps=20)
    np.testing.assert_array_equal(video[3:9], FRAMES[3:9])
    np.testing.assert_array_equal(video.to_dask().compute(), FRAMES)
    np.testing.assert_allclose(video.times, np.arange(23) / 20)


def test_other_types_become_8_bits_alike_in_every_chunk():
    wide = FRAMES.astype(np.uint16) * 257
    np.testing.assert_array_equal(ArrayVideo(wide)[:], FRAMES)
    np.testing.assert_array_equal(ArrayVideo(wide)[4], FRAMES[4])
    np.testing.assert_array_equal(ArrayVideo(FRAMES / 255)[:], FRAMES)
    np.testing.assert_array_equal(ArrayVideo(FRAMES.astype(np.int16) * 128)[:], FRAMES)
    grey = ArrayVideo(np.repeat(FRAMES[..., None], 3, axis=3))
    np.testing.assert_array_equal(grey[:], FRAMES)


@pytest.mark.parametrize("shape", [(5, 5), (2, 3, 4, 5), (0, 5, 5)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="expected frames"):
        ArrayVideo(np.zeros(shape, np.uint8))


def test_times_must_fit():
    with pytest.raises(ValueError, match="time for each of 23"):
        ArrayVideo(FRAMES, times=np.arange(22))
    with pytest.raises(ValueError, match="above 0"):
        ArrayVideo(FRAMES, fps=0)
