from __future__ import annotations

import numpy as np
import pytest

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
