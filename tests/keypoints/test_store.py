from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_facemap.files.poses import read_poses, write_poses
from napari_facemap.keypoints.poses import make_poses
from napari_facemap.keypoints.store import HIDDEN, KeypointStore

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


def test_places_and_hidden_ones_are_one_step():
    store = KeypointStore(some_poses())
    store.correct(4, {"mouth": (7.5, 8.25), "paw": HIDDEN})
    points = store.frame(4)
    assert points.position[1].tolist() == [7.5, 8.25]
    assert np.isnan(points.position[2]).all()
    assert points.edited.tolist() == [False, True, True]
    store.undo()
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


def proposed(frames, n_points=1, value=50.0, confidence=0.8):
    position = np.full((len(frames), 2, n_points), value)
    position += np.asarray(frames)[:, None, None]
    return position, np.full((len(frames), n_points), confidence)


def test_proposals_are_shown_and_not_saved():
    store = KeypointStore(some_poses())
    before = store.to_poses()
    assert store.propose([3, 4], ["paw"], *proposed([3, 4])) == 2
    points = store.frame(4)
    assert points.position[2].tolist() == [54, 54]
    assert points.proposed.tolist() == [False, False, True]
    assert points.confidence[2] == pytest.approx(0.8)
    assert not points.edited.any()
    assert not store.prediction(4).proposed.any()
    assert (store.n_proposed, store.proposed_frames) == (2, [3, 4])
    assert store.next_proposed(3) == 4
    assert store.next_proposed(3, -1) is None
    assert store.to_poses().identical(before)


def test_proposals_leave_corrections_alone_and_replace_earlier_ones():
    store = KeypointStore(some_poses())
    store.place(3, {"paw": (1, 2)})
    store.delete(4, ["paw"])
    position, confidence = proposed([3, 4, 5], 2)
    assert store.propose([3, 4, 5], ["paw", "mouth"], position, confidence) == 4
    assert store.frame(3).position[2].tolist() == [1, 2]
    assert np.isnan(store.frame(4).position[2]).all()
    position[2, :, 0] = np.nan
    position[1, :, 1] = 9
    assert store.propose([3, 4, 5], ["paw", "mouth"], position, confidence) == 3
    assert store.frame(5).proposed.tolist() == [False, True, False]
    assert store.frame(4).position[1].tolist() == [9, 9]


def test_accepting_is_one_step_whatever_its_frames():
    store = KeypointStore(some_poses())
    store.propose([3, 4, 9], ["paw"], *proposed([3, 4, 9]))
    assert store.accept([9, 12]) == 1
    assert store.last_changed == (9,)
    assert store.proposed_frames == [3, 4]
    assert store.accept() == 2
    assert store.last_changed == (3, 4)
    assert (store.n_edits, store.n_proposed) == (3, 0)
    assert store.frame(9).position[2].tolist() == [59, 59]
    assert store.frame(9).confidence[2] == 1
    assert store.undo() == 3
    assert store.last_changed == (3, 4)
    assert (store.n_edits, store.n_proposed) == (1, 2)
    assert store.redo() == 3
    assert store.n_edits == 3
    assert store.accept() == 0
    assert store.last_changed == ()


def test_rejecting_is_one_step():
    store = KeypointStore(some_poses())
    store.propose([3, 4, 9], ["paw"], *proposed([3, 4, 9]))
    assert store.reject([4]) == 1
    assert store.reject() == 2
    assert store.n_proposed == store.n_edits == 0
    assert store.undo() == 3
    assert store.proposed_frames == [3, 9]
    assert store.undo() == 4
    assert store.undo() == 3
    assert store.n_proposed == 0


def test_correcting_a_proposed_point_settles_it():
    store = KeypointStore(some_poses())
    store.propose([3], ["paw", "mouth", "eye(top)"], *proposed([3], 3))
    store.place(3, {"paw": (1, 2)})
    store.delete(3, ["mouth"])
    store.restore(3, ["eye(top)"])
    assert store.n_proposed == 0
    assert store.accept() == 0
    assert store.frame(3).position[2].tolist() == [1, 2]
    assert store.frame(3).position[0].tolist() == store.prediction(3).position[0].tolist()
    for _ in range(3):
        store.undo()
    assert store.frame(3).proposed.all()


def test_a_whole_frame_is_confirmed_as_it_is_seen():
    poses = some_poses()
    poses["position"].values[3, :, 1] = np.nan
    store = KeypointStore(poses)
    store.place(3, {"eye(top)": (1, 2)})
    store.propose([3], ["paw"], *proposed([3]))
    assert store.accept_frame(3) == 1
    points = store.frame(3)
    assert points.edited.tolist() == [True, False, True]
    assert points.position[[0, 2]].tolist() == [[1, 2], [53, 53]]
    assert store.n_proposed == 0
    assert store.accept_frame(4) == 3
    np.testing.assert_array_equal(store.frame(4).position, store.prediction(4).position)
    assert store.undo() == 4
    assert not store.frame(4).edited.any()
    assert store.accept_frame(3) == 0
    assert store.last_changed == ()


def test_proposals_that_do_not_fit_are_refused_and_nothing_is_changed():
    store = KeypointStore(some_poses())
    position, confidence = proposed([3, 20])
    with pytest.raises(IndexError, match="Frame 20"):
        store.propose([3, 20], ["paw"], position, confidence)
    with pytest.raises(ValueError, match="tail"):
        store.propose([3, 4], ["tail"], position, confidence)
    with pytest.raises(ValueError, match=r"\(2, 2, 1\).*found \(2, 1, 2\)"):
        store.propose([3, 4], ["paw"], position.swapaxes(1, 2), confidence)
    assert store.n_proposed == 0
    assert not store.can_undo


def test_low_confidence_is_that_of_the_proposal_where_there_is_one():
    poses = some_poses()
    poses["confidence"].values[5, 2] = 0.1
    store = KeypointStore(poses)
    store.propose([5, 7], ["paw"], *proposed([5, 7]))
    assert store.next_low_confidence(0) is None
    store.propose([7], ["paw"], *proposed([7], confidence=0.2))
    assert store.next_low_confidence(0) == 7
    store.reject()
    assert store.next_low_confidence(0) == 5


def test_cleaned_positions_lie_between_predictions_and_corrections():
    store = KeypointStore(some_poses())
    store.place(2, {"paw": (1, 2)})
    raw = store.to_poses()["tracked_position"].values.copy()
    cleaned = raw + 1
    cleaned[5, :, 0] = np.nan
    store.set_cleaned(cleaned, {"largest_gap": 0.2})
    assert store.is_cleaned
    np.testing.assert_array_equal(store.frame(3).position, cleaned[3].T)
    assert np.isnan(store.frame(5).position[0]).all()
    assert store.frame(5).confidence[0] == pytest.approx(0.9)
    assert store.frame(2).position[2].tolist() == [1, 2]
    np.testing.assert_array_equal(store.prediction(3).position, raw[3].T)
    store.propose([3], ["paw"], *proposed([3]))
    assert store.frame(3).position[2].tolist() == [53, 53]
    store.restore(2)
    np.testing.assert_array_equal(store.frame(2).position[2], raw[2, :, 2])
    store.set_cleaned(None)
    np.testing.assert_array_equal(store.to_poses()["position"].values, raw)
    assert "cleaning" not in store.to_poses().attrs
    with pytest.raises(ValueError, match=r"\(20, 2, 3\)"):
        store.set_cleaned(cleaned[:5])


def test_cleaning_can_be_taken_off_after_it_was_saved(tmp_path):
    store = KeypointStore(some_poses())
    raw = store.to_poses()["position"].values.copy()
    store.set_cleaned(raw + 1, {"largest_gap": 0.2})
    store.place(4, {"mouth": (7, 8)})
    write_poses(store.to_poses(), tmp_path / "p.h5")
    again = KeypointStore(read_poses(tmp_path / "p.h5"))
    assert again.cleaning == {"largest_gap": 0.2}
    assert again.frame(4).position.tolist() == store.frame(4).position.tolist()
    again.restore(4)
    np.testing.assert_array_equal(again.frame(4).position, raw[4].T + 1)
    again.set_cleaned(None)
    np.testing.assert_array_equal(again.to_poses()["position"].values, raw)


def test_poses_cleaned_elsewhere_show_what_was_tracked_where_a_correction_is_taken_back():
    store = KeypointStore(some_poses())
    store.place(4, {"mouth": (7, 8)})
    store.set_cleaned(store.prediction(0).position.T + np.zeros((20, 1, 1)), {})
    again = KeypointStore(store.to_poses().drop_vars("cleaned_position"))
    again.restore(4)
    assert again.is_cleaned
    np.testing.assert_array_equal(again.frame(4).position[1], store.prediction(4).position[1])


def test_cleaning_that_is_not_told_as_json_is_refused():
    store = KeypointStore(some_poses())
    store.set_cleaned(store.to_poses()["position"].values, {})
    with pytest.raises(ValueError, match=r"as JSON.*found 'median'"):
        KeypointStore(store.to_poses().assign_attrs(cleaning="median"))


def test_a_stretch_tracked_anew():
    store = KeypointStore(some_poses())
    store.place(2, {"paw": (1, 2)})
    store.place(6, {"paw": (3, 4)})
    store.propose([7], ["mouth"], *proposed([7]))
    old = store.to_poses()["tracked_position"].values
    fresh = some_poses(names=("tongue", "mouth"), seed=1)
    fresh.attrs = {"model": "mine", "box": np.array([1, 2, 3, 4])}
    new = store.with_predictions(fresh, frames=range(5, 9))
    assert new.keypoints == (*NAMES, "tongue")
    assert new.n_edits == 2
    assert new.frame(6).position[2].tolist() == [3, 4]
    assert new.frame(7).position[1].tolist() == [57, 57]
    for frame in range(20):
        inside = 5 <= frame < 9
        seen = new.prediction(frame).position
        mouth = fresh["position"].values[frame, :, 1] if inside else old[frame, :, 1]
        np.testing.assert_array_equal(seen[1], mouth)
        np.testing.assert_array_equal(seen[0], old[frame, :, 0])
        assert np.isfinite(seen[3]).all() == inside
        assert (new.prediction(frame).confidence[3] > 0) == inside
    assert new.attrs["model"] == "m"
    assert json.loads(new.attrs["retracked"]) == [
        {"start": 5, "stop": 9, "model": "mine", "box": [1, 2, 3, 4]}
    ]
    alone = store.with_predictions(fresh.isel(time=slice(5, 9)), frames=slice(5, 9))
    assert alone.to_poses().identical(new.to_poses())


def test_a_stretch_tracked_anew_is_not_cleaned_and_the_rest_stays_so():
    poses = some_poses()
    poses["expected_error"] = (("time", "keypoint"), np.full((20, 3), 2, np.float32))
    store = KeypointStore(poses)
    cleaned = poses["position"].values + 1
    store.set_cleaned(cleaned, {"smoothing": 1})
    fresh = some_poses(seed=1)
    new = store.with_predictions(fresh, frames=slice(5, 9))
    assert new.cleaning == {"smoothing": 1}
    expected = cleaned.copy()
    expected[5:9] = fresh["position"].values[5:9]
    np.testing.assert_array_equal(new.to_poses()["position"].values, expected)
    assert np.isnan(new.frame(6).expected_error).all()
    assert new.frame(9).expected_error.tolist() == [2, 2, 2]
    assert not store.with_predictions(fresh).is_cleaned


@pytest.mark.parametrize("frames", [range(18, 21), range(5, 5), range(0, 10, 2), range(-2, 3)])
def test_stretches_that_are_none_are_refused(frames):
    store = KeypointStore(some_poses())
    with pytest.raises(ValueError, match="stretch of the video's 20 frames"):
        store.with_predictions(some_poses(), frames=frames)


def test_a_stretch_of_another_length_is_refused():
    with pytest.raises(ValueError, match="7 frames, the video 20 and the stretch 4"):
        KeypointStore(some_poses()).with_predictions(some_poses(n_frames=7), frames=range(5, 9))


N = 6
frames_of_some = st.sets(st.integers(0, N - 1), min_size=1).map(sorted)
action = st.one_of(
    st.tuples(
        st.sampled_from(["place", "delete", "restore"]),
        st.integers(0, N - 1),
        st.sampled_from(NAMES),
    ),
    st.tuples(st.just("propose"), frames_of_some, st.sampled_from(NAMES)),
    st.tuples(st.sampled_from(["accept", "reject"]), st.none() | frames_of_some),
    st.tuples(st.just("accept_frame"), st.integers(0, N - 1)),
    st.tuples(st.sampled_from(["undo", "redo"])),
)


def do(store, what, *arguments):
    if what == "place":
        frame, name = arguments
        store.place(frame, {name: (1.0, 2.0)})
    elif what in ("delete", "restore"):
        frame, name = arguments
        getattr(store, what)(frame, [name])
    elif what == "propose":
        frames, name = arguments
        position, confidence = proposed(frames)
        position[1::2] = np.nan
        store.propose(frames, [name], position, confidence)
    else:
        getattr(store, what)(*arguments)


def state(store):
    """All that can be seen of a store."""
    frames = [store.frame(frame) for frame in range(store.n_frames)]
    return [
        np.nan_to_num([getattr(points, part) for points in frames], nan=-1).tolist()
        for part in ("position", "confidence", "edited", "proposed")
    ] + [store.n_edits, store.n_proposed, store.edited_frames, store.proposed_frames]


@settings(max_examples=80, deadline=None)
@given(st.lists(action, max_size=30), st.booleans())
def test_undoing_all_gives_the_first_state_and_redoing_all_the_last(actions, cleaned):
    poses = some_poses(n_frames=N)
    store = KeypointStore(poses)
    if cleaned:
        store.set_cleaned(poses["position"].values + 1, {})
    first = state(store)
    seen = [first]
    for one in actions:
        do(store, *one)
        now = state(store)
        changed = {f for f in range(N) for p in range(4) if seen[-1][p][f] != now[p][f]}
        assert changed <= set(store.last_changed)
        seen.append(now)
    last = state(store)
    redone = 0
    while store.undo() is not None:
        redone += 1
    assert state(store) == first
    for _ in range(redone):
        assert store.redo() is not None
    assert state(store) == last


@settings(max_examples=60, deadline=None)
@given(st.lists(action, max_size=20), st.booleans())
def test_poses_hold_all_but_proposals(actions, cleaned):
    store = KeypointStore(some_poses(n_frames=N))
    for one in actions[:10]:
        do(store, *one)
    if cleaned:
        store.set_cleaned(store.to_poses()["position"].values + 1, {"how": 1})
    for one in actions[10:]:
        do(store, *one)
    copied = store.copy()
    assert state(copied) == state(store)
    again = KeypointStore(store.to_poses())
    store.reject()
    assert state(again) == state(store)
    assert (again.is_cleaned, again.cleaning) == (store.is_cleaned, store.cleaning)
    for one in (store, again):
        for frame in range(N):
            one.restore(frame)
    assert state(again) == state(store)
    for one in (store, again):
        one.set_cleaned(None)
    assert state(again) == state(store)
    np.testing.assert_array_equal(again.to_poses()["position"], some_poses(N)["position"])
