from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_facemap.keypoints.poses import make_poses
from napari_facemap.keypoints.store import KeypointStore

NAMES = ("eye(top)", "mouth", "paw")


def some_poses(n_frames=20, names=NAMES, seed=0):
    rng = np.random.default_rng(seed)
    position = rng.uniform(0, 100, (n_frames, 2, len(names))).astype(np.float32)
    confidence = np.full((n_frames, len(names)), 0.9, np.float32)
    return make_poses(position, confidence, names, np.arange(n_frames) / 50, attrs={"model": "m"})


def test_frame_without_edits_is_the_prediction():
    poses = some_poses()
    points = KeypointStore(poses).frame(3)
    np.testing.assert_array_equal(points.position, poses["position"].values[3].T)
    assert not points.edited.any()


def test_place_delete_and_restore_leave_the_prediction_alone():
    poses = some_poses()
    before = poses["position"].values.copy()
    store = KeypointStore(poses)
    store.place(4, {"mouth": (7.5, 8.25)})
    store.delete(4, ["paw"])
    points = store.frame(4)
    assert points.position[1].tolist() == [7.5, 8.25]
    assert np.isnan(points.position[2]).all()
    assert points.confidence.tolist()[1:] == [1, 0]
    assert points.edited.tolist() == [False, True, True]
    np.testing.assert_array_equal(store.prediction(4).position, before[4].T)
    np.testing.assert_array_equal(poses["position"].values, before)
    store.restore(4)
    np.testing.assert_array_equal(store.frame(4).position, before[4].T)
    assert store.n_edits == 0


def test_to_poses_holds_every_frame_and_comes_back_whole():
    store = KeypointStore(some_poses())
    store.place(2, {"paw": (1, 2)})
    store.delete(5, ["mouth"])
    poses = store.to_poses()
    assert poses["edited"].values.sum() == 2
    assert poses.attrs["model"] == "m"
    again = KeypointStore(poses)
    for frame in range(store.n_frames):
        np.testing.assert_array_equal(again.frame(frame).position, store.frame(frame).position)
        np.testing.assert_array_equal(
            again.prediction(frame).position, store.prediction(frame).position
        )


def test_edits_without_known_predictions_are_not_called_predictions():
    store = KeypointStore(some_poses())
    store.place(2, {"paw": (1, 2)})
    again = KeypointStore(store.to_poses(predictions=False))
    assert again.frame(2).position[2].tolist() == [1, 2]
    assert np.isnan(again.prediction(2).position[2]).all()


def test_undo_and_redo_name_the_frame():
    store = KeypointStore(some_poses())
    store.place(2, {"paw": (1, 2)})
    store.delete(7, ["paw", "mouth"])
    assert store.undo() == 7
    assert store.frame(7).edited.sum() == 0
    assert store.undo() == 2
    assert store.undo() is None
    assert store.redo() == 2
    assert store.redo() == 7
    assert store.redo() is None
    assert store.frame(7).edited.sum() == 2
    store.undo()
    store.place(1, {"paw": (0, 0)})
    assert store.redo() is None


def test_next_edited():
    store = KeypointStore(some_poses())
    for frame in (3, 9, 15):
        store.delete(frame, ["paw"])
    assert store.next_edited(3) == 9
    assert store.next_edited(9, -1) == 3
    assert store.next_edited(15) is None
    assert store.next_edited(3, -1) is None


def test_next_low_confidence_skips_edited_and_untracked():
    poses = some_poses(n_frames=20_000)
    poses["confidence"].values[[10, 12, 19_000], 1] = 0.1
    poses["confidence"].values[11, 0] = 0
    poses["position"].values[11, :, 0] = np.nan
    store = KeypointStore(poses)
    assert store.next_low_confidence(0) == 10
    assert store.next_low_confidence(10) == 12
    store.place(12, {"mouth": (3, 3)})
    assert store.next_low_confidence(10) == 19_000
    assert store.next_low_confidence(19_999, -1) == 19_000
    assert store.next_low_confidence(19_000, -1) == 10
    assert store.next_low_confidence(10, -1) is None
    assert store.next_low_confidence(0, threshold=0.05) is None


def test_new_predictions_keep_the_corrections_by_name():
    store = KeypointStore(some_poses())
    store.place(2, {"paw": (1, 2)})
    store.delete(3, ["mouth"])
    fresh = some_poses(names=("mouth", "nose(tip)", "eye(top)"), seed=1)
    new = store.with_predictions(fresh)
    assert new.keypoints == ("mouth", "nose(tip)", "eye(top)", "paw")
    assert new.frame(2).position[3].tolist() == [1, 2]
    assert np.isnan(new.frame(3).position[0]).all()
    np.testing.assert_array_equal(new.prediction(3).position[:3], fresh["position"].values[3].T)
    assert new.n_edits == 2


def test_new_predictions_of_another_video_are_refused():
    with pytest.raises(ValueError, match="not of the same video"):
        KeypointStore(some_poses()).with_predictions(some_poses(n_frames=21))


def test_copy_is_independent():
    store = KeypointStore(some_poses())
    other = store.copy()
    other.place(0, {"paw": (1, 1)})
    assert store.n_edits == 0
    assert other.n_edits == 1


def test_bad_input_is_named():
    store = KeypointStore(some_poses())
    with pytest.raises(IndexError, match="Frame 20"):
        store.frame(20)
    with pytest.raises(IndexError, match="Frame -1"):
        store.delete(-1, ["paw"])
    with pytest.raises(ValueError, match="no keypoint 'tail'"):
        store.place(0, {"tail": (0, 0)})
    with pytest.raises(ValueError, match="finite"):
        store.place(0, {"paw": (np.nan, 0)})
    assert store.n_edits == 0


def test_expected_errors_are_the_trackers_and_nan_where_a_person_was():
    poses = some_poses()
    error = np.arange(60, dtype=np.float32).reshape(20, 3)
    poses["expected_error"] = (("time", "keypoint"), error.copy())
    store = KeypointStore(poses)
    np.testing.assert_array_equal(store.frame(4).expected_error, error[4])
    store.place(4, {"mouth": (1, 2)})
    store.delete(4, ["paw"])
    np.testing.assert_array_equal(store.frame(4).expected_error, [12, np.nan, np.nan])
    np.testing.assert_array_equal(store.prediction(4).expected_error, error[4])
    for saved in (store.to_poses(), store.copy().to_poses()):
        np.testing.assert_array_equal(saved["expected_error"], error)
    store.restore(4)
    np.testing.assert_array_equal(store.frame(4).expected_error, error[4])
    np.testing.assert_array_equal(poses["expected_error"], error)


def test_without_expected_errors_there_are_none():
    store = KeypointStore(some_poses())
    assert store.frame(0).expected_error is None
    assert "expected_error" not in store.to_poses()


def test_new_predictions_bring_their_expected_errors():
    store = KeypointStore(some_poses())
    store.place(2, {"paw": (1, 2)})
    fresh = some_poses(names=("mouth", "eye(top)"), seed=1)
    fresh["expected_error"] = (("time", "keypoint"), np.full((20, 2), 3, np.float32))
    new = store.with_predictions(fresh)
    assert new.keypoints == ("mouth", "eye(top)", "paw")
    np.testing.assert_array_equal(new.frame(2).expected_error, [3, 3, np.nan])


action = st.one_of(
    st.tuples(st.just("place"), st.integers(0, 5), st.sampled_from(NAMES)),
    st.tuples(st.just("delete"), st.integers(0, 5), st.sampled_from(NAMES)),
    st.tuples(st.just("restore"), st.integers(0, 5), st.sampled_from(NAMES)),
    st.tuples(st.just("undo"), st.just(0), st.just("")),
    st.tuples(st.just("redo"), st.just(0), st.just("")),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(action, max_size=30))
def test_undoing_everything_gives_the_predictions_back(actions):
    poses = some_poses(n_frames=6)
    store = KeypointStore(poses)
    for what, frame, name in actions:
        if what == "place":
            store.place(frame, {name: (1.0, 2.0)})
        elif what in ("delete", "restore"):
            getattr(store, what)(frame, [name])
        else:
            getattr(store, what)()
    while store.undo() is not None:
        pass
    assert store.n_edits == 0
    np.testing.assert_array_equal(store.to_poses()["position"].values, poses["position"].values)
