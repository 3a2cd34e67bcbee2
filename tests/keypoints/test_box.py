from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_facemap.keypoints.box import Box, check_box, frame_to_input, input_to_frame

boxes = st.builds(
    lambda x, y, w, h: Box(x, y, x + w, y + h),
    st.integers(0, 500),
    st.integers(0, 500),
    st.integers(16, 800),
    st.integers(16, 800),
)


@given(boxes, st.floats(-100, 2000), st.floats(-100, 2000))
def test_there_and_back(box, x, y):
    points = np.array([[x], [y]])
    np.testing.assert_allclose(input_to_frame(frame_to_input(points, box), box), points, atol=1e-9)


@given(boxes)
def test_a_padded_box_is_square_and_holds_the_box(box):
    left, top = box.padding
    assert min(left, top) >= 0
    assert box.side - box.width - left >= left >= 0
    assert box.side - box.height - top >= top >= 0


def test_whole_frame_and_cutting_off():
    assert check_box(None, 480, 640) == (0, 0, 640, 480)
    assert check_box((-10, 5.4, 100.6, 9999), 480, 640) == (0, 5, 101, 480)


@pytest.mark.parametrize(
    "box", [(0, 0, 5, 5), (700, 0, 800, 100), (50, 50, 10, 200), (1, 2, 3), (0, 0, np.nan, 50)]
)
def test_useless_boxes_are_refused(box):
    with pytest.raises(ValueError, match="box of"):
        check_box(box, 480, 640)
