from __future__ import annotations

import numpy as np
import pytest

from napari_facemap.keypoints.poses import make_poses
from napari_facemap.keypoints.suggestion import difficulty, suggest
from napari_facemap.video.arrays import ArrayVideo

NAMES = ("eye(back)", "eye(front)", "nose(tip)", "paw")
N, FPS = 400, 50.0


@pytest.fixture
def poses():
    """A still face, 40 pixels from eye to nose, tracked well."""
    position = np.zeros((N, 2, 4), np.float32)
    position[:] = [[58, 62, 20, 40], [30, 30, 30, 55]]
    error = np.full((N, 4), 0.4, np.float32)
    confidence = np.full((N, 4), 0.95, np.float32)
    times = np.arange(N) / FPS
    return make_poses(position, confidence, NAMES, times, None, {}, error)


@pytest.fixture
def video():
    """Four kinds of picture, 100 frames of each."""
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 256, (4, 60, 80))
    noise = rng.integers(-3, 4, (N, 60, 80))
    frames = np.clip(kinds[np.arange(N) // 100] + noise, 0, 255).astype(np.uint8)
    return ArrayVideo(frames, times=np.arange(N) / FPS)


def test_a_point_that_is_expected_to_be_off_makes_a_frame_hard(poses):
    poses["expected_error"][{"time": 30, "keypoint": 0}] = 6
    hard = difficulty(poses)
    assert hard.argmax() == 30
    np.testing.assert_allclose(np.delete(hard, 30), 0.01, rtol=1e-5)
    assert hard[30] == pytest.approx((3 * 0.01 + 6 / 40) / 4, rel=1e-5)


def test_a_jump_makes_a_frame_hard_however_sure_the_point_is(poses):
    poses["position"][{"time": 77, "keypoint": 2}] += 8
    assert difficulty(poses).argmax() == 77


def test_a_steady_movement_does_not(poses):
    poses["position"][{"keypoint": 3, "space": 0}] += np.linspace(0, 100, N)
    assert np.ptp(difficulty(poses)) < 1e-6


def test_without_expected_errors_low_confidence_is_hard(poses):
    poses = poses.drop_vars("expected_error")
    poses["confidence"][{"time": 12, "keypoint": 1}] = 0.1
    assert difficulty(poses).argmax() == 12


def test_a_keypoint_that_is_never_seen_does_not_count(poses):
    before = difficulty(poses)
    poses["expected_error"][{"keypoint": 3}] = 30
    poses["position"][{"keypoint": 3}] += np.random.default_rng(0).normal(0, 20, (N, 2))
    np.testing.assert_allclose(difficulty(poses), before, rtol=1e-5)


def test_frames_not_tracked_are_hard_and_no_trouble(poses):
    poses["position"][200:] = np.nan
    poses["expected_error"][200:] = np.nan
    poses["confidence"][200:] = 0
    hard = difficulty(poses)
    assert np.isfinite(hard).all()
    assert hard[200:].min() > hard[:200].max()


def test_hard_frames_of_each_kind_are_suggested(poses, video):
    """Each kind has one hard frame; two hard ones of a kind are not both taken."""
    hard = [20, 150, 290, 390]
    for frame in [*hard, 60]:
        poses["expected_error"][{"time": frame}] = 5 if frame == 60 else 6
    assert suggest(video, poses, 4) == hard


@pytest.mark.parametrize("n", [1, 3, 9])
def test_suggestions_are_apart_and_as_many_as_wanted(poses, video, n):
    rng = np.random.default_rng(n)
    poses["expected_error"][:] = rng.uniform(0, 6, (N, 4))
    found = suggest(video, poses, n, min_gap=0.5)
    assert len(found) == n
    assert found == sorted(set(found))
    assert (np.diff(found) >= 25).all()
    assert found == suggest(video, poses, n, min_gap=0.5)


def test_none_is_suggested_near_one_that_is_labelled(poses, video):
    poses["expected_error"][{"time": slice(100, 110)}] = 6
    found = suggest(video, poses, 5, labelled=[104])
    assert all(abs(frame - 104) >= 25 for frame in found)


def test_a_short_video_gives_what_it_has(poses, video):
    short = ArrayVideo(np.zeros((3, 20, 20), np.uint8), times=[0, 1, 2])
    assert suggest(short, poses.isel(time=slice(0, 3)).assign_coords(time=[0, 1, 2]), 10) == [
        0,
        1,
        2,
    ]


def test_where_views_of_a_frame_disagree_is_hard(poses, video, monkeypatch):
    """Two frames of a kind are as hard; the network sees one of them otherwise when mirrored."""
    from napari_facemap.keypoints import suggestion

    class Pointer:
        def __init__(self, model, device):
            self.calls = 0

        def __call__(self, frames, box, facing):
            odd = facing == "right" and np.array_equal(frames[0], video[160])
            position = np.zeros((1, 2, 4)) + 10 * odd
            return type("P", (), {"position": position, "confidence": np.ones((1, 4))})

    monkeypatch.setattr(suggestion, "Pointer", Pointer)
    poses.attrs |= {"box": np.array([0, 0, 80, 60]), "facing": "left"}
    for frame in (110, 160):
        poses["expected_error"][{"time": frame}] = 6
    assert 110 in suggest(video, poses, 1)
    assert suggest(video, poses, 1, model=object()) == [160]


def test_stopping_gives_what_was_looked_at(poses, video):
    seen = []

    def progress(done, total):
        seen.append((done, total))
        return done < 10

    found = suggest(video, poses, 2, progress=progress)
    assert seen[-1][0] == 10
    assert len(found) == 2


def test_what_does_not_fit_is_said(poses, video):
    with pytest.raises(ValueError, match="expected to suggest 1 frame or more; found n=0"):
        suggest(video, poses, 0)
    with pytest.raises(ValueError, match="keypoints of the video's 400 frames; found 10"):
        suggest(video, poses.isel(time=slice(10)), 2)


def test_frames_that_cannot_be_decoded_are_not_suggested(poses, video):
    """One is known beforehand, the other when it is read; both have no keypoints, as tracked."""

    class Broken(ArrayVideo):
        def read(self, start, stop):
            if start <= 150 < stop:
                self.bad_frames = np.array([60, 150])
            return super().read(start, stop)

    broken = Broken(video.array, times=video.times)
    broken.bad_frames = np.array([60])
    for frame in (60, 150):
        poses["position"][frame] = poses["expected_error"][frame] = np.nan
        poses["confidence"][frame] = 0
    found = suggest(broken, poses, 5)
    assert len(found) == 5
    assert not {60, 150} & set(found)


def test_frames_are_suggested_where_a_keypoint_or_all_have_no_place(poses, video):
    poses["position"][{"keypoint": 3}] = np.nan
    assert len(suggest(video, poses, 3)) == 3
    poses["position"][:] = np.nan
    poses["confidence"][:] = 0
    for some in (poses, poses.drop_vars("expected_error")):
        assert np.isfinite(difficulty(some)).all()
        assert len(suggest(video, some, 3)) == 3


def test_a_video_that_was_opened_for_it_is_closed_again(poses, video, monkeypatch):
    from napari_facemap.keypoints import suggestion

    closed = []
    monkeypatch.setattr(video, "close", lambda: closed.append(True))
    monkeypatch.setattr(suggestion, "as_video", lambda source: video)
    suggest("mouse.mp4", poses, 1)
    assert closed == [True]
    suggest(video, poses, 1)
    assert closed == [True]
