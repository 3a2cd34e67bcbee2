from __future__ import annotations

import numpy as np
import pytest

from napari_facemap.files.poses import read_poses, write_poses
from napari_facemap.keypoints.poses import check_poses, make_poses


def _poses():
    return make_poses(np.zeros((4, 2, 2)), np.ones((4, 2)), ["a", "b"], np.arange(4) / 10)


def test_the_schema_is_movements():
    poses = _poses().expand_dims("individual")
    assert set(poses.dims) == {"individual", "time", "space", "keypoint"}
    assert poses["space"].values.tolist() == ["x", "y"]
    assert poses["position"].dtype == np.float32
    assert not poses["edited"].any()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: p.drop_vars("confidence"), "confidence"),
        (lambda p: p.transpose("keypoint", ...), "over"),
        (lambda p: p.assign_coords(space=["y", "x"]), "space x, y"),
        (lambda p: p.assign_coords(keypoint=["a", "a"]), "each keypoint once"),
    ],
)
def test_other_datasets_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        check_poses(change(_poses()))


def test_expected_errors_are_there_when_they_are_known():
    poses = make_poses(
        np.zeros((4, 2, 2)), np.ones((4, 2)), ["a", "b"], np.arange(4),
        expected_error=np.arange(8).reshape(4, 2),
    )  # fmt: skip
    assert poses["expected_error"].dims == ("time", "keypoint")
    assert poses["expected_error"].dtype == np.float32
    assert float(poses["expected_error"].sel(keypoint="b")[3]) == 7
    assert "expected_error" not in _poses()


def test_a_poses_file_keeps_expected_errors(tmp_path):
    error = np.array([[1.5, np.nan], [0.25, 30]], np.float32)
    poses = make_poses(
        np.zeros((2, 2, 2)), np.ones((2, 2)), ["a", "b"], np.arange(2), expected_error=error
    )
    write_poses(poses, tmp_path / "p.h5")
    np.testing.assert_array_equal(read_poses(tmp_path / "p.h5")["expected_error"], error)
    write_poses(_poses(), tmp_path / "q.h5")
    assert "expected_error" not in read_poses(tmp_path / "q.h5")
