"""The simulated face: exact, repeatable, and drawn where its keypoints say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_facemap.keypoints.poses import check_poses
from napari_facemap.keypoints.skeleton import KEYPOINTS, PUPIL_KEYPOINTS
from napari_facemap.keypoints.view import eye_and_nose
from napari_facemap.simulate.anatomy import Anatomy
from napari_facemap.simulate.appearance import Appearance
from napari_facemap.simulate.face import simulate_face

CLEAN = Appearance(
    fur=0.5, fur_contrast=0.0, muzzle=0.0, belly=0.0, light_contrast=0.0, rim=0.0, iris=0.35,
    pupil=0.02, glint=0.0, whisker_light=0.0, whisker_dark=0.0, background=0.0, clutter=0.0,
    spout=False, plate=False, vignette=0.0, exposure=1.0, read_noise=0.0, shot_noise=0.0,
)  # fmt: skip


def place(face, name):
    return face.poses["position"].sel(keypoint=name).values.astype(float)


def test_frames_depend_on_seed_and_number_alone():
    face = simulate_face(30, size=(120, 160), seed=3)
    again = simulate_face(30, size=(120, 160), seed=3)
    backwards = [again.frame(index) for index in (20, 7, 0)][::-1]
    for index, picture in zip((0, 7, 20), backwards, strict=True):
        np.testing.assert_array_equal(face.frame(index), picture)
    assert not np.array_equal(face.frame(0), simulate_face(30, size=(120, 160), seed=4).frame(0))
    assert not np.array_equal(face.frame(0), face.frame(1))


def test_longer_simulation_begins_as_the_shorter():
    size = (120, 160)
    short, long = simulate_face(40, size=size, seed=5), simulate_face(1000, size=size, seed=5)
    np.testing.assert_allclose(
        short.poses["position"], long.poses["position"][:40], atol=1e-4, equal_nan=True
    )
    np.testing.assert_array_equal(short.frame(33), long.frame(33))


def test_another_frame_rate_is_the_same_mouse():
    slow, fast = simulate_face(50, fps=25.0, seed=6), simulate_face(100, fps=50.0, seed=6)
    np.testing.assert_allclose(
        slow.poses["position"], fast.poses["position"][::2], atol=1e-3, equal_nan=True
    )


def test_facing_right_is_the_exact_mirror():
    left = simulate_face(20, seed=7, facing="left")
    right = simulate_face(20, seed=7, facing="right")
    np.testing.assert_array_equal(left.frame(9)[:, ::-1], right.frame(9))
    mirrored = left.poses["position"].values.copy()
    mirrored[:, 0] = 319 - mirrored[:, 0]
    np.testing.assert_allclose(mirrored, right.poses["position"], atol=1e-4, equal_nan=True)
    nose, eye = place(left, "nose(tip)"), place(left, "eye(front)")
    assert (nose[:, 0] < eye[:, 0]).all()


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    size=st.sampled_from([(240, 320), (256, 256), (480, 640), (120, 200), (300, 200)]),
)
def test_poses_are_valid_and_in_the_frame(seed, size):
    poses = simulate_face(200, size=size, seed=seed).poses
    check_poses(poses)
    assert list(poses["keypoint"].values) == list(KEYPOINTS)
    xy, confidence = poses["position"].values, poses["confidence"].values
    seen = np.isfinite(xy).all(axis=1)
    np.testing.assert_array_equal(seen, np.isfinite(xy).any(axis=1))
    np.testing.assert_array_equal(confidence, seen.astype(np.float32))
    assert not poses["edited"].values.any()
    x, y = xy[:, 0][seen], xy[:, 1][seen]
    assert x.min() >= 0 and x.max() <= size[1] - 1 and y.min() >= 0 and y.max() <= size[0] - 1
    # Whatever the view, the face itself is in the frame.
    number = list(KEYPOINTS).index
    assert seen[:, number("eye(front)")].mean() > 0.9
    assert seen[:, number("nose(top)")].mean() > 0.8


def test_pupil_is_where_its_points_are():
    anatomy = Anatomy(scale=0.005, pupil=6.0)
    face = simulate_face(3000, seed=2, anatomy=anatomy, appearance=CLEAN)
    points = np.stack([place(face, name) for name in PUPIL_KEYPOINTS])
    lids = np.hypot(*(place(face, "eye(top)") - place(face, "eye(bottom)")).T)
    width = np.hypot(*(points[0] - points[2]).T)
    wide_open = np.flatnonzero(lids > 1.7 * width)
    assert len(wide_open) > 100
    y, x = np.mgrid[:240, :320]
    for index in wide_open[:: len(wide_open) // 12]:
        center = points[:, index].mean(axis=0)
        radius = width[index] / 2
        near = np.hypot(x - center[0], y - center[1]) < radius + 2.5
        grey = face.frame(int(index)).astype(float)
        low = grey[near].min()
        high = np.median(grey[np.abs(np.hypot(x - center[0], y - center[1]) - radius - 2) < 0.7])
        dark = np.clip((0.95 * high - grey) / (0.95 * high - low), 0, 1) * near
        centroid = np.array([(dark * x).sum(), (dark * y).sum()]) / dark.sum()
        assert np.hypot(*(centroid - center)) < 0.3
        assert abs(np.sqrt(dark.sum() / np.pi) - radius) < 0.5


def test_nose_tip_lies_on_the_edge_of_the_head():
    face = simulate_face(100, seed=1, facing="left", anatomy=Anatomy(tilt=0.0), appearance=CLEAN)
    for index in (0, 30, 60, 99):
        x, y = place(face, "nose(tip)")[index]
        row = face.frame(index)[round(y)].astype(float)
        inside = row[round(x) + 4]
        column = np.arange(320)
        edge = np.interp(
            inside / 2, row[round(x) - 5 : round(x) + 4], column[round(x) - 5 : round(x) + 4]
        )
        assert abs(edge - x) < 1.0


@pytest.mark.parametrize("name", ["whisker(I)", "whisker(II)", "whisker(III)"])
def test_whisker_points_lie_on_drawn_shafts(name):
    plain = simulate_face(
        60, seed=8, facing="left", anatomy=Anatomy(scale=0.005), appearance=CLEAN
    )
    drawn = simulate_face(
        60, seed=8, facing="left", anatomy=Anatomy(scale=0.005),
        appearance=replace(CLEAN, whisker_dark=0.8),
    )  # fmt: skip
    for index in (0, 20, 45):
        dark = plain.frame(index).astype(float) - drawn.frame(index)
        x, y = np.round(place(drawn, name)[index]).astype(int)
        assert dark[y - 1 : y + 2, x - 1 : x + 2].max() > 30


def test_lids_close_over_the_pupil():
    face = simulate_face(3000, seed=0)
    openness = face.behavior["openness"]
    blinks = openness < 0.1
    assert 0 < blinks.mean() < 0.1
    for name in ("pupil(top)", "pupil(bottom)"):
        assert np.isnan(place(face, name)[blinks]).all()
        assert np.isfinite(place(face, name)[openness > 0.8]).all()
    assert np.isfinite(place(face, "eye(back)")).all()


def test_hidden_points():
    low = simulate_face(10, seed=0, anatomy=Anatomy(paw=(0.3, 1.3), far_nostril=False))
    for name in ("paw", "nose(r)"):
        assert np.isnan(low.poses["position"].sel(keypoint=name)).all()
        assert (low.poses["confidence"].sel(keypoint=name) == 0).all()
    shown = simulate_face(10, seed=0, anatomy=Anatomy(paw=(0.3, 0.9), far_nostril=True))
    assert np.isfinite(shown.poses["position"].values).all()


def test_grooming_paw_hides_what_it_covers():
    face = simulate_face(60 * 300, fps=10.0, seed=0, anatomy=Anatomy())
    grooming = face.behavior["groom"] > 0.9
    assert 0.005 < grooming.mean() < 0.2
    hidden = np.isnan(place(face, "mouth")[:, 0])
    assert hidden[grooming].any()
    assert not hidden[face.behavior["groom"] == 0].any()


def test_whisking_is_fast_and_pupil_slow():
    behavior = simulate_face(30_000, fps=100.0, seed=1).behavior
    frequency = np.fft.rfftfreq(30_000, 0.01)

    def power(name, low, high):
        spectrum = np.abs(np.fft.rfft(behavior[name] - behavior[name].mean())) ** 2
        return spectrum[(frequency >= low) & (frequency < high)].sum()

    assert power("whisk_angle", 8, 15) > 5 * power("whisk_angle", 15, 50)
    assert power("whisk_angle", 8, 15) > 2 * power("whisk_angle", 4, 8)
    assert power("pupil_radius", 0, 1) > 20 * power("pupil_radius", 1, 50)


def test_frames_index_as_an_array_does():
    face = simulate_face(12, size=(60, 80), seed=9)
    frames = face.frames
    whole = np.asarray(frames)
    assert frames.shape == whole.shape == (12, 60, 80)
    assert frames.dtype == whole.dtype == np.uint8 and frames.ndim == 3 and len(frames) == 12
    for key in (4, -1, slice(2, 9, 3), slice(0, 0), [5, 1, 1], np.array([-2, 0]), ...):
        np.testing.assert_array_equal(frames[key], whole[key])
    np.testing.assert_array_equal(frames[2:5, 10:20, ::2], whole[2:5, 10:20, ::2])
    np.testing.assert_array_equal(frames[3, 7], whole[3, 7])
    with pytest.raises(IndexError, match="12 frames"):
        frames[12]


def test_video_and_file(tmp_path):
    from napari_facemap.video.video import open_video

    face = simulate_face(9, fps=40.0, size=(60, 80), seed=9)
    video = face.video()
    assert video.shape == (9, 60, 80)
    np.testing.assert_allclose(video.times, face.times)
    np.testing.assert_array_equal(video[5], face.frame(5))
    np.testing.assert_array_equal(video.to_dask()[2:4].compute(), face.frames[2:4])
    path = tmp_path / "face.mkv"
    face.write(path, codec="ffv1")
    with open_video(path) as written:
        np.testing.assert_array_equal(written[4], face.frame(4))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_frames": 0}, "1 or more frames"),
        ({"fps": 0.0}, "frames/s"),
        ({"size": (10, 320)}, "32 or more"),
        ({"seed": -1}, "seed"),
        ({"facing": "up"}, "'left' or 'right'"),
    ],
)
def test_bad_parameters_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        simulate_face(**{"n_frames": 5, **change})


# Means over hand-labelled mice, in percent of the distance from eye to nose: forward, down.
LABELLED = {
    "eye(back)": (-13, 6),
    "eye(bottom)": (2, 10),
    "eye(front)": (14, -5),
    "eye(top)": (-3, -11),
    "nose(bottom)": (95, 16),
    "nose(top)": (87, -9),
    "mouth": (65, 53),
    "lowerlip": (57, 60),
    "whisker(I)": (54, 14),
    "whisker(II)": (54, 24),
    "whisker(III)": (63, 21),
}


def test_keypoints_lie_where_people_label_them():
    places = []
    for seed in range(24):
        pose = simulate_face(50, seed=seed, size=(240, 320)).poses["position"].values[20]
        eye, nose = eye_and_nose(pose.astype(float), KEYPOINTS)
        forward = nose - eye
        down = np.array([forward[1], -forward[0]]) * (1 if nose[0] < eye[0] else -1)
        axes = np.stack([forward, down]) / (forward @ forward)
        places.append(100 * axes @ (pose - eye[:, None]))
    mean = np.nanmean(places, axis=0)
    for name, place in LABELLED.items():
        assert np.hypot(*(mean[:, KEYPOINTS.index(name)] - place)) < 12, name


def test_mice_and_rigs_differ():
    looks = [simulate_face(1, seed=seed).appearance for seed in range(60)]
    assert min(look.fur for look in looks) < 0.2
    assert max(look.fur for look in looks) > 0.6
    assert max(look.background for look in looks) > 0.4
    assert {look.spout for look in looks} == {True, False}
    assert any(look.pupil > look.iris for look in looks)
    assert any(look.pupil < look.iris for look in looks)
