from __future__ import annotations

import numpy as np
import pytest

from napari_facemap.keypoints.poses import make_poses
from napari_facemap.neural.features import Features, Scaler, keypoint_features


def some_poses(n=100, names=("nose(tip)", "whisker(I)", "paw"), **options):
    times = np.arange(n) / 50
    position = np.random.default_rng(0).normal(50, 5, (n, 2, len(names)))
    return make_poses(position, np.ones((n, len(names))), names, times, **options)


def test_names_and_columns_belong_together():
    poses = some_poses()
    features = keypoint_features(poses)
    assert features.names[:3] == ("nose(tip) x", "nose(tip) y", "whisker(I) x")
    whisker = poses["position"].sel(keypoint="whisker(I)", space="y").values
    assert np.allclose(features.select(["whisker(I) y"]).values[:, 0], whisker)


def test_hidden_points_are_bridged_in_time_and_held_at_the_ends():
    poses = some_poses()
    x = poses["position"].values[:, 0, 0]
    x[:5] = np.nan
    x[50:60] = np.nan
    x[-3:] = np.nan
    found = keypoint_features(poses).values[:, 0]
    assert np.allclose(found[:5], x[5])
    assert np.allclose(found[49:61], np.interp(np.arange(49, 61), [49, 60], [x[49], x[60]]))
    assert np.allclose(found[-3:], x[-4])


def test_a_point_that_is_nearly_always_hidden_is_left_out_and_named():
    poses = some_poses()
    poses["position"].values[:92, :, 2] = np.nan
    features = keypoint_features(poses)
    assert features.dropped == ("paw",)
    assert "paw x" not in features.names
    assert "paw x" in keypoint_features(poses, keep=("paw x",)).names


def test_frames_without_any_point_count_as_a_pause_of_the_camera():
    poses = some_poses()
    poses["position"].values[40:] = np.nan
    assert np.allclose(keypoint_features(poses).times, np.arange(40) / 50)


def test_keypoints_that_are_never_seen_are_refused():
    poses = some_poses()
    poses["position"].values[:] = np.nan
    with pytest.raises(ValueError, match="none of 3 keypoints"):
        keypoint_features(poses)


def test_frame_numbers_are_not_taken_for_seconds():
    poses = some_poses(attrs={"times_known": 0})
    with pytest.raises(ValueError, match="without times"):
        keypoint_features(poses.assign_coords(time=np.arange(100)))
    assert len(keypoint_features(poses).times) == 100  # times were given after reading


def test_missing_features_are_named():
    with pytest.raises(ValueError, match="tongue x is missing"):
        keypoint_features(some_poses()).select(["paw x", "tongue x"])


@pytest.mark.parametrize(
    ("values", "names", "says"),
    [
        (np.zeros((5, 2)), ["a"], "shape"),
        (np.zeros((5, 2)), ["a", "a"], "name each"),
        (np.array([[0.0], [1], [np.nan], [1], [1]]), ["a"], "sample 2"),
    ],
)
def test_features_are_checked(values, names, says):
    with pytest.raises(ValueError, match=says):
        Features(values, np.arange(5), names)


def test_scaler_gives_mean_0_and_deviation_1_and_spares_what_is_still():
    values = np.random.default_rng(0).normal(300, 7, (1000, 3)).astype(np.float32)
    values[:, 1] = 212.7
    scaled = Scaler.fit(values)(values)
    assert np.abs(scaled.mean(axis=0)).max() < 1e-3
    assert np.allclose(scaled.std(axis=0), [1, 0, 1], atol=1e-3)
