"""Videos of two cameras: of one length, often of one name, and started at other times."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from napari_facemap.files.label_project import LabelProject
from napari_facemap.viewer.keypoint_layer import layer_data
from napari_facemap.viewer.layers import VIDEO
from napari_facemap.viewer.session import session_of
from napari_facemap.viewer.target import video_to_refine

FPS, N = 50.0, 100
START = 0.4  # seconds at which the second camera was started


@pytest.fixture
def cameras(viewer, add_video):
    """Layers of two videos of one length, the second 20 frames later."""
    first, second = add_video(viewer), add_video(viewer)
    second.translate = (START, 0, 0)
    first.name, second.name = "left", "right"
    return first, second


@pytest.fixture
def tracked(viewer, cameras, make_store):
    """Keypoint layers of both."""
    layers = []
    for camera in cameras:
        store = make_store()
        store.attrs["video"] = camera.name
        data = layer_data(store, f"{camera.name} keypoints")
        layers.append(session_of(viewer).add_keypoints(data))
    return layers


def test_frames_are_those_of_the_camera_that_was_tracked(viewer, cameras, tracked):
    viewer.dims.set_point(0, 0.5)
    assert [keypoints.frame for keypoints in tracked] == [25, 5]
    tracked[1].clock.go_to_frame(70)
    assert viewer.dims.point[0] == pytest.approx(START + 70 / FPS)
    # A person may rename or remove the layer of either.
    cameras[1].name = "nose side"
    assert tracked[1].frame == 70
    viewer.layers.remove(cameras[0])
    assert tracked[1].frame == 70


def test_what_follows_tracking_works_on_that_camera(viewer, cameras, tracked):
    session = session_of(viewer)
    for camera, keypoints in zip(cameras, tracked, strict=True):
        viewer.layers.selection.active = keypoints.layer
        assert video_to_refine(session) is camera


def test_undo_is_of_the_camera_that_is_labelled(viewer, cameras, tracked, tmp_path):
    session = session_of(viewer)
    session.labelling.open_project(tmp_path / "project", tracked[0].names)
    session.labelling.use_video(cameras[0])
    viewer.layers.selection.active = cameras[0]  # whose points lie below the other's
    assert session.active() is tracked[0]
    viewer.layers.selection.active = tracked[1].layer
    assert session.active() is tracked[1]


def test_labels_are_of_the_frame_that_is_shown(viewer, cameras, tmp_path):
    labelling = session_of(viewer).labelling
    labelling.open_project(tmp_path / "project", ("a",))
    labelling.use_video(cameras[1])
    viewer.dims.set_point(0, 0.5)
    labelling.keypoints.layer.add((5, 10))
    assert sorted(LabelProject(tmp_path / "project").labels("right")) == [5]
    labelling.frames.go_to(30)
    assert viewer.dims.point[0] == pytest.approx(START + 30 / FPS)


def test_motion_takes_the_eyes_of_the_camera_that_is_measured(viewer, cameras, make_store, qtbot):
    from napari_facemap.viewer.motion_dock import MotionDock

    names = ("eye(back)", "eye(bottom)", "eye(front)", "eye(top)")
    layers = []
    for camera in cameras:
        store = make_store(names=names)
        store.attrs["video"] = camera.name
        layers.append(session_of(viewer).add_keypoints(layer_data(store)).layer)
    dock = MotionDock(viewer)
    qtbot.addWidget(dock)
    for camera, layer in zip(cameras, layers, strict=True):
        dock.video.choose(camera)
        assert dock.keypoints.layer is layer
    dock.close()


def test_labels_of_videos_of_one_name_stay_apart(viewer, add_video, tmp_path):
    layers = []
    for k, name in enumerate(("first", "second")):
        frames = np.full((N, 20, 30), 50 * k, np.uint8)
        path = tmp_path / name / "mouse.mp4"
        path.parent.mkdir()
        path.write_bytes(bytes(10 + k))
        layers.append(add_video(viewer, shape=(20, 30), **{VIDEO: _Video(path, frames)}))
    labelling = session_of(viewer).labelling
    labelling.open_project(tmp_path / "project", ("a",))
    for x, layer in enumerate(layers, start=1):
        labelling.use_video(layer)
        labelling.keypoints.clock.go_to_frame(10 * x)
        labelling.keypoints.layer.add((5, x))
    project = LabelProject(tmp_path / "project")
    assert [project.labels(name) for name in project.videos] == [
        {10: {"a": (1, 5)}},
        {20: {"a": (2, 5)}},
    ]
    assert [int(face.image[0, 0]) for face in project.faces()] == [0, 50]
    # Each has its layer again when it is gone back to.
    labelling.use_video(layers[0])
    assert labelling.keypoints.store.edited_frames == [10]


class _Video(SimpleNamespace):
    """What a layer knows of its file."""

    def __init__(self, path, frames):
        super().__init__(path=path, name=path.name, shape=frames.shape, _frames=frames)

    def __getitem__(self, frame):
        return self._frames[frame]


def test_tracking_the_other_camera_leaves_these_corrections(
    viewer, cameras, tracked, make_store, qtbot
):
    """Its files have one name, as cameras that each write to a folder of their own do."""
    from napari_facemap.viewer.tracking_dock import TrackingDock

    dock = TrackingDock(viewer)
    qtbot.addWidget(dock)
    for keypoints, camera in zip(tracked, cameras, strict=True):
        keypoints.store.attrs["video"] = "mouse.mp4"
        keypoints.clock.follow(camera)
    tracked[1].store.place(3, {"paw": (1, 1)})
    poses = make_store().to_poses().assign_attrs(video="mouse.mp4", complete=1)
    assert dock._earlier(poses, cameras[0]) is tracked[0]
    assert dock._earlier(poses, cameras[1]) is tracked[1]
    viewer.layers.remove(tracked[0].layer)
    assert dock._earlier(poses, cameras[0]) is None
    dock.close()
