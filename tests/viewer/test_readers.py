from __future__ import annotations

import h5py
import numpy as np
import pytest
from napari.layers import Layer
from napari.utils.notifications import notification_manager

from napari_facemap.files.poses import PosesFileError, read_poses, write_poses
from napari_facemap.viewer import readers
from napari_facemap.viewer.keypoint_layer import layer_data
from napari_facemap.viewer.layers import STORE, VIDEO
from napari_facemap.viewer.session import session_of
from napari_facemap.viewer.writers import write_keypoints


def frames(n=12, shape=(48, 64)):
    return np.stack([np.full(shape, 5 * i, np.uint8) for i in range(n)])


@pytest.fixture
def video_file(tmp_path):
    from napari_facemap.video.write import write_video

    path = tmp_path / "mouse.mp4"
    write_video(path, frames(), 25.0)
    return path


@pytest.mark.parametrize(
    "suffix", [".mp4", ".avi", ".mov", ".mkv", ".mj2", ".wmv", ".mpg", ".m4v"]
)
def test_every_video_ending_is_taken_in_either_case(suffix):
    assert readers.get_video_reader(f"a{suffix}") is not None
    assert readers.get_video_reader([f"a{suffix.upper()}", "b.mp4"]) is not None


def test_other_files_are_declined():
    assert readers.get_video_reader("a.tif") is None
    assert readers.get_video_reader(["a.mp4", "b.tif"]) is None
    assert readers.get_keypoint_reader("a.csv") is None


def test_a_video_is_one_lazy_layer_in_seconds(viewer, video_file):
    ((data, attributes, kind),) = readers.get_video_reader(str(video_file))(str(video_file))
    assert type(data).__module__.startswith("dask")
    assert data.shape == (12, 48, 64)
    session_of(viewer)
    layer = viewer.add_layer(Layer.create(data, attributes, kind))
    assert layer.scale[0] == pytest.approx(1 / 25)
    assert str(layer.units[0]) == "second"
    assert layer.axis_labels == ("time", "y", "x")
    assert layer.contrast_limits == [0, 255]
    assert viewer.dims.current_step[0] == 0
    assert layer.metadata[VIDEO].shape == (12, 48, 64)
    viewer.dims.set_current_step(0, 7)
    assert abs(int(np.asarray(layer.data[7]).mean()) - 35) <= 3


def test_a_second_video_leaves_the_slider_alone(viewer, video_file, add_video):
    session_of(viewer)
    add_video(viewer, fps=25.0)
    viewer.dims.set_current_step(0, 9)
    ((data, attributes, kind),) = readers.read_videos(str(video_file))
    viewer.add_layer(Layer.create(data, attributes, kind))
    assert viewer.dims.current_step[0] == 9


def test_a_file_that_is_no_video_says_so_in_one_line(tmp_path):
    path = tmp_path / "not.mp4"
    path.write_bytes(b"nothing of the kind" * 50)
    with pytest.raises(ValueError, match=r"not\.mp4") as caught:
        readers.get_video_reader(str(path))(str(path))
    assert "\n" not in str(caught.value)


def test_warnings_of_a_video_are_shown():
    class Truncated:
        warnings = ("cut.avi: 3 of 5 frames can be read.",)
        times = np.arange(3) / 30
        path = None
        name = "cut"

        def to_dask(self):
            return np.zeros((3, 4, 4), np.uint8)

    notification_manager.records.clear()
    readers.video_layer_data(Truncated())
    assert "3 of 5 frames" in notification_manager.records[-1].message


def test_keypoints_go_to_a_file_and_back(tmp_path, make_store):
    store = make_store()
    store.place(40, {"paw": (1.5, 2.5)})
    store.delete(41, ["mouth"])
    data, attributes, _ = layer_data(store)
    path = tmp_path / "m_FacemapPose.h5"
    assert write_keypoints(str(path), data, attributes) == [str(path)]
    assert read_poses(path).sizes["time"] == 100
    reader = readers.get_keypoint_reader(str(path))
    ((rows, attributes, kind),) = reader(str(path))
    assert kind == "points"
    assert len(rows) == 5
    again = attributes["metadata"][STORE]
    for frame in (0, 40, 41, 99):
        np.testing.assert_allclose(again.frame(frame).position, store.frame(frame).position)
        np.testing.assert_array_equal(again.frame(frame).edited, store.frame(frame).edited)
    np.testing.assert_allclose(again.prediction(40).position, store.prediction(40).position)


def test_keypoints_bring_their_video_from_the_same_folder(video_file, make_store):
    path = video_file.with_name("mouse_FacemapPose.h5")
    write_poses(make_store(12).to_poses(), path)
    layers = readers.read_keypoints(str(path))
    assert [kind for _, _, kind in layers] == ["image", "points"]


def test_h5_is_added_to_a_name_without_it(tmp_path, make_store):
    data, attributes, _ = layer_data(make_store(3))
    written = write_keypoints(str(tmp_path / "mouse.1"), data, attributes)
    assert written == [str(tmp_path / "mouse.1.h5")]


def test_ordinary_points_are_not_saved_as_keypoints(tmp_path):
    with pytest.raises(ValueError, match="'spots' holds ordinary points"):
        write_keypoints(str(tmp_path / "a.h5"), np.zeros((3, 2)), {"name": "spots"})
    assert list(tmp_path.iterdir()) == []


def test_hdf5_files_of_others_are_left_to_others(tmp_path):
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file["data"] = [1, 2]
    assert readers.get_keypoint_reader(str(path)) is None


def test_a_damaged_keypoint_file_is_named(tmp_path):
    path = tmp_path / "broken.h5"
    path.write_bytes(b"no hdf5")
    with pytest.raises(PosesFileError, match=r"broken\.h5"):
        readers.get_keypoint_reader(str(path))(str(path))
