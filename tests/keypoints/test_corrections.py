from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_facemap.keypoints.corrections import (
    nothing_tracked,
    with_corrections,
)
from napari_facemap.keypoints.poses import make_poses
from napari_facemap.keypoints.store import HIDDEN, KeypointStore

NAMES = ("a", "b", "c")


@pytest.fixture
def store():
    position = np.arange(5 * 2 * 3, dtype=float).reshape(5, 2, 3)
    error = np.full((5, 3), 1.5, np.float32)
    confidence = np.full((5, 3), 0.7, np.float32)
    return KeypointStore(
        make_poses(position, confidence, NAMES, np.arange(5) / 10, expected_error=error)
    )


def test_nothing_is_tracked_in_a_store_to_label_on():
    store = nothing_tracked(NAMES, np.arange(4.0), {"video": "x"})
    points = store.frame(3)
    assert np.isnan(points.position).all()
    assert not points.edited.any()
    assert (points.confidence == 0).all()
    assert store.next_low_confidence(0) is None
    assert store.attrs == {"video": "x"}


def test_corrections_are_laid_over_without_a_log(store):
    store.place(1, {"a": (1, 1)})
    store.place(2, {"a": (2, 2), "b": (3, 3)})
    new = with_corrections(store, NAMES, {2: {"c": (9, 8), "a": HIDDEN}})
    found = new.corrections(2)
    assert found["c"] == (9, 8)
    assert np.isnan(found["a"]).all()
    assert set(found) == {"a", "c"}
    assert new.corrections(1) == {"a": (1, 1)}
    assert not new.can_undo
    assert store.corrections(2) == {"a": (2, 2), "b": (3, 3)}  # as it was
    # Taking a correction back shows what was predicted.
    new.restore(2)
    np.testing.assert_array_equal(new.frame(2).position, store.prediction(2).position)
    np.testing.assert_array_equal(new.frame(2).expected_error, 1.5)


def test_keypoints_are_added_renamed_and_removed(store):
    store.place(0, {"a": (1, 1), "b": (2, 2), "c": (3, 3)})
    new = with_corrections(store, ("d", "B", "a"), {}, {"b": "B"})
    assert new.keypoints == ("d", "B", "a")
    assert new.corrections(0) == {"B": (2, 2), "a": (1, 1)}
    np.testing.assert_array_equal(
        new.prediction(3).position[1:], store.prediction(3).position[1::-1]
    )
    assert np.isnan(new.frame(3).position[0]).all()
    assert new.frame(3).confidence[0] == 0


def test_proposals_and_cleaning_stay(store):
    store.set_cleaned(np.full((5, 2, 3), 4.0), {"smooth": 1})
    store.propose([1, 3], ["a", "b"], np.full((2, 2, 2), 7.0), np.full((2, 2), 0.4))
    new = with_corrections(store, ("b", "z"), {4: {"b": (5, 5)}})
    assert new.proposed_frames == [1, 3]
    assert new.frame(1).proposed.tolist() == [True, False]
    np.testing.assert_array_equal(new.frame(1).position[0], (7, 7))
    assert new.cleaning == {"smooth": 1}
    np.testing.assert_array_equal(new.frame(0).position[0], (4, 4))
    new.restore(4)
    np.testing.assert_array_equal(new.frame(4).position[0], (4, 4))


places = st.tuples(st.floats(-1e3, 1e3, width=32), st.floats(-1e3, 1e3, width=32))


@given(
    st.dictionaries(
        st.integers(0, 5),
        st.dictionaries(st.sampled_from(NAMES), places | st.just(HIDDEN), min_size=1),
    )
)
def test_what_is_laid_on_is_what_is_there(corrections):
    new = with_corrections(nothing_tracked(NAMES, np.arange(6.0)), NAMES, corrections)
    assert new.edited_frames == sorted(corrections)
    for frame, points in corrections.items():
        found = new.corrections(frame)
        assert found.keys() == points.keys()
        for name, point in points.items():
            np.testing.assert_array_equal(found[name], point)
