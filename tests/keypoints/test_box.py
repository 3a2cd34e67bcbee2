from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_facemap.keypoints.box import Box, check_box, frame_to_input, input_to_frame

boxes = st.builds(
    lambda x, y, w, h: Box(x, y, x + w, y + h),
    st.integers(-300, 500),
    st.integers(-300, 500),
    st.integers(16, 800),
    st.integers(16, 800),
)
facings = st.sampled_from(["left", "right"])


@given(boxes, facings, st.floats(-100, 2000), st.floats(-100, 2000))
def test_there_and_back(box, facing, x, y):
    points = np.array([[x], [y]])
    there = frame_to_input(points, box, facing)
    np.testing.assert_allclose(input_to_frame(there, box, facing), points, atol=1e-9)
    back = input_to_frame(points, box, facing)
    np.testing.assert_allclose(frame_to_input(back, box, facing), points, atol=1e-9)


@given(boxes, st.floats(0, 255), st.floats(0, 255))
def test_a_face_that_looks_right_is_seen_mirrored(box, x, y):
    left = input_to_frame(np.array([[255 - x], [y]]), box, "left")
    right = input_to_frame(np.array([[x], [y]]), box, "right")
    np.testing.assert_allclose(left, right, atol=1e-9)


@given(boxes)
def test_the_corners_of_the_input_are_those_of_the_padded_box(box):
    left, top = box.padding
    edges = input_to_frame(np.array([[-0.5, 255.5], [-0.5, 255.5]]), box)
    x0, y0 = box.x0 - left - 0.5, box.y0 - top - 0.5
    np.testing.assert_allclose(edges, [[x0, x0 + box.side], [y0, y0 + box.side]], atol=1e-9)


@given(boxes)
def test_a_padded_box_is_square_and_holds_the_box(box):
    left, top = box.padding
    assert min(left, top) >= 0
    assert box.side - box.width - left >= left >= 0
    assert box.side - box.height - top >= top >= 0


def test_whole_frame_and_sticking_out():
    assert check_box(None, 480, 640) == (0, 0, 640, 480)
    assert check_box((-10, 5.4, 100.6, 999), 480, 640) == (-10, 5, 101, 999)
    assert check_box((-10, 5, 101, 999), 480, 640).inside(480, 640) == (0, 5, 101, 480)


@pytest.mark.parametrize(
    "box",
    [
        (0, 0, 5, 5),
        (700, 0, 800, 100),
        (625, 0, 800, 100),  # 15 columns are inside
        (-90, -90, -10, -10),
        (50, 50, 10, 200),
        (0, 0, 9999, 400),
        (1, 2, 3),
        (0, 0, np.nan, 50),
    ],
)
def test_useless_boxes_are_refused(box):
    with pytest.raises(ValueError, match="Expected a box"):
        check_box(box, 480, 640)
