from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, shift

from napari_facemap.keypoints import propagation
from napari_facemap.keypoints.propagation import blend, point_radius, propagate
from napari_facemap.keypoints.store import KeypointStore
from napari_facemap.video.arrays import ArrayVideo

SHAPE = (24, 32)
NAN = (np.nan, np.nan)


class Marked:
    """A tracker that reads where the frames say that the points are, and how sure it is."""

    def __init__(self, drift=0.0, loss=0.0):
        self.drift, self.loss = drift, loss
        self.clips = []

    def __call__(self, frames, xy, origin=None):
        numbers = frames[:, 0, 0].astype(int)
        self.clips.append(numbers.tolist())
        steps = np.abs(numbers - numbers[0])
        moved = (numbers - numbers[0]) + self.drift * steps
        confidence = origin.confidence * (1 - self.loss) ** steps[:, None]
        return xy[None] + np.stack([moved, 0 * moved], 1)[:, :, None], confidence


def video(n=30, shape=SHAPE, bad=()):
    """Frames that carry their number in a corner; all points move a pixel a frame to the right."""
    frames = np.zeros((n, *shape), np.uint8)
    frames[:, 0, 0] = np.arange(n)
    made = ArrayVideo(frames, fps=25)
    made.bad_frames = np.array(bad, np.int64)
    return made


def test_one_label_goes_both_ways_as_far_as_wanted():
    found = propagate(video(), {10: {"nose": (12, 5), "eye": (3, 4)}}, 5, 20, Marked())
    assert found.keypoints == ("nose", "eye")
    assert found.complete
    np.testing.assert_array_equal(found.frames, np.arange(5, 20))
    np.testing.assert_allclose(found.position[:, 0, 0], 2 + found.frames)
    np.testing.assert_allclose(found.position[:, 1], [[5, 4]] * 15)
    assert found.confidence.min() == 1
    assert (found.position.dtype, found.confidence.dtype) == (np.float32, np.float32)


def test_labels_outside_the_range_lead_into_it():
    found = propagate(video(), {2: {"nose": (4, 5)}, 28: {"nose": (30, 5)}}, 10, 12, Marked())
    np.testing.assert_allclose(found.position[:, 0, 0], [12, 13])
    only_near = Marked()
    labels = {2: {"nose": (4, 5)}, 8: {"nose": (10, 5)}}
    found = propagate(video(), labels, 10, 12, only_near)
    np.testing.assert_allclose(found.position[:, 0, 0], [12, 13])
    assert only_near.clips == [[8, 9, 10, 11]]


def test_between_labels_both_ways_are_blended_by_time():
    labels = {5: {"nose": (7, 5)}, 15: {"nose": (17, 5)}}
    found = propagate(video(), labels, 0, 20, Marked(drift=0.1))
    off = found.position[:, 0, 0] - (2 + found.frames)
    forward, backward = 0.1 * np.arange(11), 0.1 * np.arange(10, -1, -1)
    share = np.arange(11) / 10
    np.testing.assert_allclose(off[5:16], (1 - share) * forward + share * backward, atol=1e-5)
    np.testing.assert_allclose(off[:5], 0.1 * np.arange(5, 0, -1), atol=1e-5)
    assert off[[5, 15]].tolist() == [0, 0]


def test_the_surer_way_counts_for_more():
    position = np.zeros((2, 1, 2, 1))
    position[1] = 4
    share = np.full((1, 1), 0.5)
    mean, _ = blend(position, np.array([[[0.9]], [[0.3]]]), share, 100)
    assert mean.ravel().tolist() == pytest.approx([1, 1])
    _, near = blend(position / 100, np.full((2, 1, 1), 0.8), share, 8)
    _, apart = blend(position * 3, np.full((2, 1, 1), 0.8), share, 8)
    assert near[0, 0] == pytest.approx(0.8, abs=0.01)
    assert apart[0, 0] < 0.1
    position[0], position[1] = 3, np.nan
    one_way, sure = blend(position, np.array([[[0.7]], [[0.9]]]), np.ones((1, 1)), 8)
    assert one_way.ravel().tolist() == [3, 3]
    assert sure[0, 0] == pytest.approx(0.7)


def test_hidden_ends_a_way_and_unnamed_does_not():
    labels = {
        5: {"nose": (7, 5), "eye": (5, 5), "paw": (1, 1)},
        10: {"nose": NAN, "eye": (10, 5)},
        20: {"nose": (22, 5)},
    }
    found = propagate(video(), labels, 0, 30, Marked(loss=0.01))
    nose, eye, paw = np.moveaxis(found.position[:, 0], 1, 0)
    assert np.isnan(nose[10])
    np.testing.assert_allclose(np.delete(nose, 10), np.delete(2 + found.frames, 10), atol=1e-5)
    np.testing.assert_allclose(eye, found.frames, atol=1e-5)
    np.testing.assert_allclose(paw, found.frames - 4, atol=1e-5)
    np.testing.assert_allclose(found.confidence[6:10, 0], 0.99 ** np.arange(1, 5), atol=1e-5)
    np.testing.assert_allclose(found.confidence[11:20, 0], 0.99 ** np.arange(9, 0, -1), atol=1e-5)
    np.testing.assert_allclose(found.confidence[6:, 2], 0.99 ** np.arange(1, 25), atol=1e-5)


def test_frames_that_do_not_decode_are_stepped_over():
    found = propagate(video(bad=[8, 14, 15]), {10: {"nose": (12, 5)}}, 5, 20, Marked())
    bad = np.isin(found.frames, [8, 14, 15])
    assert np.isnan(found.position[bad]).all()
    assert (found.confidence[bad] == 0).all()
    np.testing.assert_allclose(found.position[~bad, 0, 0], 2 + found.frames[~bad])


def test_it_is_the_same_in_stretches_of_any_length(monkeypatch):
    labels = {3: {"nose": (5, 5), "eye": (3, 4)}, 22: {"nose": (24, 5)}}
    whole = propagate(video(), labels, 0, 30, Marked(drift=0.1, loss=0.02))
    monkeypatch.setattr(propagation, "_SHORTEST", 2)
    monkeypatch.setattr(propagation, "_LONGEST", 4)
    tracker = Marked(drift=0.1, loss=0.02)
    parts = propagate(video(), labels, 0, 30, tracker)
    assert max(map(len, tracker.clips)) == 5
    assert [3, 2, 1, 0] in tracker.clips
    np.testing.assert_allclose(parts.position, whole.position, atol=1e-5)
    np.testing.assert_allclose(parts.confidence, whole.confidence, atol=1e-5)


def test_what_is_lost_is_not_proposed():
    found = propagate(video(), {0: {"nose": (2, 5)}}, 0, 30, Marked(loss=0.2))
    assert (np.isfinite(found.position[:, 0, 0]) == (found.confidence[:, 0] > 0)).all()
    assert np.isnan(found.position[-1]).all()
    assert found.confidence[found.confidence > 0].min() >= 0.1


def test_cancelling_gives_what_is_done(monkeypatch):
    monkeypatch.setattr(propagation, "_SHORTEST", 2)
    monkeypatch.setattr(propagation, "_LONGEST", 4)
    said = []

    def progress(done, total):
        said.append((done, total))
        return done < 8

    found = propagate(video(), {10: {"nose": (12, 5)}}, 0, 30, Marked(), progress)
    assert said == [(4, 29), (8, 29)]
    assert not found.complete
    assert np.isfinite(found.position[10:19]).all()
    assert np.isnan(found.position[:10]).all()


def test_a_store_takes_it_as_proposals():
    from napari_facemap.keypoints.poses import make_poses

    store = KeypointStore(
        make_poses(np.zeros((30, 2, 2)), np.ones((30, 2)), ["eye", "nose"], np.arange(30) / 25)
    )
    store.place(10, {"nose": (12, 5)})
    found = propagate(video(), {10: {"nose": (12, 5)}}, 8, 13, Marked())
    n = store.propose(found.frames, found.keypoints, found.position, found.confidence)
    assert n == 4
    assert store.frame(12).position[1].tolist() == [14, 5]


def test_what_a_video_shows_is_followed_by_default():
    rng = np.random.default_rng(0)
    wide = gaussian_filter(rng.normal(size=(130, 260)), 1.5)
    wide = np.clip(128 + 45 * wide / wide.std(), 0, 255)
    way = 20 + 12 * np.sin(np.arange(24) / 5)
    frames = [shift(wide, (0, -x), order=3, mode="nearest")[:120, :160] for x in way]
    frames = np.clip(np.round(frames), 0, 255).astype(np.uint8)
    frames[9] = 0
    film = ArrayVideo(frames, fps=25)
    film.bad_frames = np.array([9])
    places = {"eye(front)": (50.0, 40.0), "nose(tip)": (130.0, 60.0), "paw": (90.0, 90.0)}

    def at(frame):
        return {name: (x - way[frame] + way[0], y) for name, (x, y) in places.items()}

    labels = {4: at(4), 18: at(18) | {"paw": NAN}}
    found = propagate(film, labels, 0, 24)
    truth = np.array([list(at(frame).values()) for frame in range(24)]).swapaxes(1, 2)
    error = np.hypot(*np.moveaxis(found.position - truth, 1, 0))
    known = np.ones((24, 3), bool)
    known[9] = False
    known[18:, 2] = False
    assert (np.isfinite(error) == known).all()
    assert np.nanmax(error) < 0.3
    assert found.confidence[known].min() > 0.9


def test_windows_are_as_large_as_the_face_asks_for():
    face = {"eye(front)": (10.0, 10.0), "nose(tip)": (130.0, 10.0), "paw": (10.0, 250.0)}
    assert point_radius({1: face}, SHAPE) == pytest.approx(10)
    assert point_radius({1: {"a": (0, 0), "b": (48, 0)}}, SHAPE) == pytest.approx(2)
    assert point_radius({1: {"a": (0, 0)}}, (400, 500)) == 10


@pytest.mark.parametrize(
    ("labels", "span", "words"),
    [
        ({}, (0, 30), "found none; label a frame first"),
        ({3: {"nose": NAN}}, (0, 30), "found none; label a frame first"),
        ({3: {"nose": (1, 2)}}, (5, 5), "expected a range of its 30 frames; found 5 to 5"),
        ({3: {"nose": (1, 2)}}, (5, 31), "expected a range of its 30 frames; found 5 to 31"),
        ({30: {"nose": (1, 2)}}, (0, 30), "a label is on frame 30, but there are 30 frames"),
        ({3: {"nose": (1, 2, 3)}}, (0, 30), r"frame 3: expected \(x, y\) for 'nose'"),
        ({7: {"nose": (1, 2)}}, (0, 30), "labelled frame 7 cannot be decoded"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(labels, span, words):
    with pytest.raises(ValueError, match=words) as caught:
        propagate(video(bad=[7]), labels, *span, Marked())
    assert "\n" not in str(caught.value)


def test_a_tracker_that_gives_something_else_is_named():
    def wrong(frames, xy, origin=None):
        return np.zeros((len(frames), 2)), np.zeros(len(frames))

    with pytest.raises(ValueError, match=r"function: expected places and confidences of shapes"):
        propagate(video(), {3: {"nose": (1, 2)}}, 0, 30, wrong)
