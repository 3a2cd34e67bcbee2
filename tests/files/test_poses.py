from __future__ import annotations

import h5py
import numpy as np
import pytest
import xarray as xr

from napari_facemap.files.poses import PosesFileError, read_poses, write_poses
from napari_facemap.keypoints.poses import make_poses

NAMES = ["nose(tip)", "eye(back)", "paw"]


def _poses(n: int = 7) -> xr.Dataset:
    rng = np.random.default_rng(0)
    position = rng.uniform(0, 100, (n, 2, 3)).astype(np.float32)
    position[2, :, 1] = np.nan
    edited = rng.random((n, 3)) < 0.3
    attrs = {"model": "mouse-face", "box": np.array([1, 2, 3, 4]), "complete": 1}
    return make_poses(position, rng.random((n, 3)), NAMES, np.arange(n) / 31, edited, attrs)


def test_everything_comes_back(tmp_path):
    poses = _poses()
    poses["tracked_position"] = poses["position"] + 1
    poses["tracked_confidence"] = poses["confidence"] / 2
    poses["cleaned_position"] = poses["position"] + 2
    poses.attrs["cleaning"] = '{"smoothing": 0.02}'
    write_poses(poses, tmp_path / "p.h5")
    again = read_poses(tmp_path / "p.h5")
    xr.testing.assert_equal(again, poses)
    assert again.attrs["cleaning"] == poses.attrs["cleaning"]
    assert again.attrs["model"] == "mouse-face"
    assert again.attrs["box"].tolist() == [1, 2, 3, 4]


def test_the_layout_is_facemaps(tmp_path):
    poses = _poses()
    write_poses(poses, tmp_path / "p.h5")
    with h5py.File(tmp_path / "p.h5") as file:
        assert set(file["Facemap"]) == set(NAMES)
        for k, name in enumerate(NAMES):
            for part, values in (
                ("x", poses.position[:, 0, k]),
                ("y", poses.position[:, 1, k]),
                ("likelihood", poses.confidence[:, k]),
            ):
                column = file["Facemap"][name][part]
                assert column.dtype == np.float32
                np.testing.assert_array_equal(column[:], values)


def test_facemaps_own_file_is_read(shared_data):
    poses = read_poses(shared_data / "reference" / "pose" / "clip_24frames_FacemapPose.h5")
    assert dict(poses.sizes) == {"time": 24, "space": 2, "keypoint": 15}
    assert poses.attrs["times_known"] == 0


def test_files_of_facemap_before_1_0_are_read(tmp_path):
    """The layout of a fixed-format pandas table, which is what those files are."""
    names = ["eye(back)", "whisker(c1)", "whisker(d2)"]
    values = np.random.default_rng(1).random((5, 9)).astype(np.float32)
    with h5py.File(tmp_path / "old.h5", "w") as file:
        table = file.create_group("df_with_missing")
        for prefix in ("axis0", "block0_items"):
            table[f"{prefix}_level0"] = np.array([b"Facemap"])
            table[f"{prefix}_level1"] = np.array([n.encode() for n in names])
            table[f"{prefix}_level2"] = np.array([b"x", b"y", b"likelihood"])
            table[f"{prefix}_label0"] = np.zeros(9, np.int8)
            table[f"{prefix}_label1"] = np.repeat(np.arange(3, dtype=np.int8), 3)
            table[f"{prefix}_label2"] = np.tile(np.arange(3, dtype=np.int8), 3)
        table["block0_values"] = values
    poses = read_poses(tmp_path / "old.h5")
    assert poses.keypoint.values.tolist() == ["eye(back)", "whisker(I)", "whisker(III)"]
    np.testing.assert_array_equal(poses.position.sel(space="y"), values[:, 1::3])
    np.testing.assert_array_equal(poses.confidence, values[:, 2::3])


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "p.h5"
    write_poses(_poses(), path)
    before = path.read_bytes()
    bad = _poses().assign_coords(keypoint=["a/b", "c", "d"])
    with pytest.raises(ValueError, match="'/'"):
        write_poses(bad, path)
    broken = _poses()
    broken.attrs["broken"] = object()
    with pytest.raises(TypeError):
        write_poses(broken, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def _other_file(path):
    with h5py.File(path, "w") as file:
        file["something"] = 1


def _incomplete(path):
    with h5py.File(path, "w") as file:
        file["Facemap/nose(tip)/x"] = np.zeros(3)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "no such"),
        (lambda path: path.write_text("hello"), "cannot be opened"),
        (lambda path: path.write_bytes(b""), "cannot be opened"),
        (_other_file, "something"),
        (_incomplete, "damaged or incomplete"),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path, make, words):
    path = tmp_path / "p.h5"
    make(path)
    with pytest.raises(PosesFileError, match=words) as caught:
        read_poses(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
