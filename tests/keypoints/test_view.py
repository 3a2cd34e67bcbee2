from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from napari_facemap.keypoints.view import (
    BOX_SIDE,
    eye_and_nose,
    face_box,
    face_size,
    facing_of,
    view_of,
)

NAMES = ("eye(back)", "pupil(top)", "nose(tip)", "eye(front)", "pupil(bottom)")
places = st.tuples(st.floats(-200, 900), st.floats(-200, 900)).map(np.array)


def _xy(**known):
    xy = np.full((2, len(NAMES)), np.nan)
    for name, place in known.items():
        xy[:, NAMES.index(name)] = place
    return xy


def test_the_eye_is_the_middle_of_what_is_known_of_it():
    xy = np.array([[10.0, 99, 3, 20, 99], [0.0, 99, 4, 4, 99]])
    eye, nose = eye_and_nose(xy, NAMES)
    np.testing.assert_array_equal(eye, [15, 2])
    np.testing.assert_array_equal(nose, [3, 4])
    xy[0, 0] = np.nan
    np.testing.assert_array_equal(eye_and_nose(xy, NAMES)[0], [20, 4])
    xy[:, 3] = np.nan
    np.testing.assert_array_equal(eye_and_nose(xy, NAMES)[0], [99, 99])  # the pupil stands in
    xy[:, [1, 4]] = np.nan
    assert np.isnan(eye_and_nose(xy, NAMES)[0]).all()
    assert np.isnan(face_size(xy, NAMES))


def test_names_without_eye_or_nose_are_unknown_not_an_error():
    eye, nose = eye_and_nose(np.ones((2, 1)), ("paw",))
    assert np.isnan(eye).all()
    assert np.isnan(nose).all()


def test_many_faces_at_once_are_as_one_by_one():
    xy = np.random.default_rng(0).uniform(0, 100, (6, 2, len(NAMES)))
    xy[2, :, 0], xy[3, :, 2] = np.nan, np.nan
    sizes = face_size(xy, NAMES)
    assert sizes.shape == (6,)
    np.testing.assert_array_equal(sizes, [face_size(one, NAMES) for one in xy])
    assert np.isnan(sizes[3])


@given(places, places)
def test_the_view_of_the_mirrored_face_is_the_mirrored_view(eye, nose):
    assume(abs(eye[0] - nose[0]) > 1e-3)
    middle, side = view_of(eye, nose)
    flip = np.array([-1.0, 1.0])
    mirrored, same = view_of(flip * eye, flip * nose)
    np.testing.assert_allclose(mirrored, flip * middle, atol=1e-9)
    assert same == pytest.approx(side)
    assert {facing_of(eye, nose), facing_of(flip * eye, flip * nose)} == {"left", "right"}


@given(places, places)
def test_the_box_is_a_square_that_holds_eye_and_nose_with_room(eye, nose):
    size = np.hypot(*(nose - eye))
    assume(size > 10)
    box = face_box(eye, nose)
    assert box.width == box.height
    assert abs(box.width - BOX_SIDE * size) <= 0.5
    for x, y in (eye, nose):
        room = min(x - box.x0, box.x1 - 1 - x, y - box.y0, box.y1 - 1 - y)
        assert room > 0.2 * size - 1


def test_there_is_more_room_below_a_level_face_than_above():
    box = face_box(np.array([200.0, 100]), np.array([100.0, 100]))
    assert box.y1 - 100 > 100 - box.y0 + 20


def test_the_smallest_box_is_one_that_tracking_takes():
    assert face_box(np.array([50.0, 50]), np.array([50.0, 50])).width == 16
