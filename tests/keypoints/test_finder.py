from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_facemap.keypoints.box import Box
from napari_facemap.keypoints.finder import NoFaceError, SearchStopped, find_face, find_facing
from napari_facemap.keypoints.models import Model, load_model
from napari_facemap.keypoints.network import KeypointNetwork
from napari_facemap.keypoints.pointing import Pointer
from napari_facemap.keypoints.skeleton import FACEMAP_KEYPOINTS, KEYPOINTS
from napari_facemap.keypoints.view import eye_and_nose, face_box, face_size
from napari_facemap.simulate.anatomy import draw_anatomy
from napari_facemap.simulate.appearance import draw_appearance
from napari_facemap.simulate.face import simulate_face
from napari_facemap.simulate.geometry import Head
from napari_facemap.simulate.texture import paint_background
from napari_facemap.video.arrays import ArrayVideo
from napari_facemap.video.video import Video
from napari_facemap.video.write import write_video


@pytest.fixture(scope="module")
def pointer():
    return Pointer(load_model(), "cpu")


def _true_box(face, frame):
    position = face.poses["position"].values[frame].astype(float)
    return face_box(*eye_and_nose(position, KEYPOINTS))


def _assert_near(box, expected, share=0.15):
    """The same place and size, to a share of the face's own."""
    off = np.abs(np.subtract(box, expected)).max()
    assert off < share * expected.width / 2.2, (box, expected)


@pytest.mark.parametrize("size", [(100, 140), (240, 320), (480, 600)])
@pytest.mark.parametrize("facing", ["left", "right"])
def test_a_face_is_found_at_any_size_looking_either_way(size, facing):
    face = simulate_face(30, size=size, seed=7, facing=facing)
    found = find_face(face.frames[:30:10], n_frames=3)
    assert found.facing == facing
    assert found.share == 1
    assert found.box.width == found.box.height
    _assert_near(found.box, _true_box(face, 10))


def test_a_mirrored_video_has_the_mirrored_box(mouse_frames):
    plain = find_face(mouse_frames)
    mirrored = find_face(mouse_frames[:, :, ::-1])
    assert (plain.facing, mirrored.facing) == ("left", "right")
    expected = plain.box._replace(x0=320 - plain.box.x1, x1=320 - plain.box.x0)
    _assert_near(mirrored.box, expected, 0.08)


@pytest.mark.parametrize("grey", [0, 90])
def test_a_frame_around_the_picture_moves_the_box_and_nothing_else(mouse_frames, grey):
    plain = find_face(mouse_frames)
    padded = np.pad(mouse_frames, ((0, 0), (60, 110), (150, 40)), constant_values=grey)
    found = find_face(padded)
    box = found.box
    moved = box._replace(x0=box.x0 - 150, x1=box.x1 - 150, y0=box.y0 - 60, y1=box.y1 - 60)
    assert found.facing == plain.facing
    _assert_near(moved, plain.box, 0.1)


@pytest.mark.parametrize("corner", [(20, 30), (230, 450), (300, 100)])
def test_a_small_face_in_a_large_frame_is_found(corner):
    face = simulate_face(20, size=(120, 160), seed=7)
    frames = np.full((2, 480, 640), 60, np.uint8)
    row, column = corner
    frames[:, row : row + 120, column : column + 160] = face.frames[:20:10]
    found = find_face(frames)
    x0, y0, x1, y1 = _true_box(face, 0)
    _assert_near(found.box, Box(x0 + column, y0 + row, x1 + column, y1 + row), 0.2)


def _without_a_face():
    rng = np.random.default_rng(0)
    smooth = np.linspace(0, 255, 160).astype(np.uint8)
    yield "black", np.zeros((1, 120, 160), np.uint8)
    yield "white", np.full((1, 120, 160), 255, np.uint8)
    yield "noise", rng.integers(0, 256, (1, 120, 160), np.uint8)
    yield "gradient", np.broadcast_to(smooth, (1, 120, 160)).copy()
    for seed in (1, 2):
        head = Head(draw_anatomy(seed), (120, 160))
        grey = paint_background(head, draw_appearance(seed))
        yield f"background {seed}", np.clip(255 * grey, 0, 255).astype(np.uint8)[None]


@pytest.mark.parametrize("frames", [pytest.param(f, id=name) for name, f in _without_a_face()])
def test_nothing_is_found_where_there_is_nothing(frames):
    with pytest.raises(NoFaceError, match="in 0 of 1 frames"):
        find_face(frames)


def test_a_single_frame_is_enough(mouse, mouse_frames):
    found = find_face(mouse_frames[:1])
    _assert_near(found.box, _true_box(mouse, 0))


def test_what_is_seen_in_too_few_frames_is_not_a_face(mouse_frames):
    frames = np.zeros((5, *mouse_frames.shape[1:]), np.uint8)
    frames[0] = mouse_frames[0]
    assert find_face(frames[:3]).share == pytest.approx(1 / 3)
    with pytest.raises(NoFaceError, match="in 1 of 5 frames"):
        find_face(frames)


def test_one_frame_that_differs_does_not_move_the_box(mouse_frames):
    odd = np.roll(mouse_frames[:1], 60, axis=2)
    mirrored = mouse_frames[1:2, :, ::-1]
    steady = find_face(mouse_frames)
    found = find_face(np.concatenate([mouse_frames, odd, mirrored]))
    assert found.facing == "left"
    assert found.share == pytest.approx(5 / 6)
    _assert_near(found.box, steady.box, 0.1)


def test_frames_are_looked_at_all_over_the_video_and_bad_ones_are_not(mouse_frames):
    frames = np.concatenate([mouse_frames, np.zeros_like(mouse_frames)])
    assert find_face(frames, n_frames=2).share == 0.5
    video = ArrayVideo(frames)
    video.bad_frames = np.arange(4, 8)
    assert find_face(video).share == 1


def test_the_message_is_one_line_that_names_the_file(tmp_path):
    path = tmp_path / "dark.mp4"
    write_video(path, np.zeros((1, 64, 64), np.uint8), 10.0)
    with pytest.raises(NoFaceError, match=r"dark\.mp4: .*Draw a box") as caught:
        find_face(path)
    assert "\n" not in str(caught.value)


def test_other_models_leave_the_search_to_the_built_in(mouse_frames, pointing_to):
    torch.manual_seed(0)
    facemap = KeypointNetwork(15, (2, 2, 4, 4, 4)).eval()
    uncalibrated = pointing_to(np.full((2, 19), 128.0))
    expected = find_face(mouse_frames[:2])
    for model in (
        Model("facemap", facemap, FACEMAP_KEYPOINTS, "0" * 64),
        Model("uncalibrated", uncalibrated, KEYPOINTS, "0" * 64),
    ):
        assert find_face(mouse_frames[:2], model) == expected


def test_facing_is_the_way_in_which_the_face_is_seen_better(pointer, mouse, mouse_frames):
    box = _true_box(mouse, 0)
    assert find_facing(pointer, mouse_frames, box) == "left"
    mirrored = box._replace(x0=320 - box.x1, x1=320 - box.x0)
    assert find_facing(pointer, mouse_frames[:, :, ::-1], mirrored) == "right"


def test_points_in_the_found_box_are_where_they_belong(pointer, mouse, mouse_frames):
    found = find_face(mouse_frames)
    points = pointer(mouse_frames, found.box, found.facing)
    true = mouse.poses["position"].values[:40:10].astype(float)
    size = face_size(true, KEYPOINTS)[:, None]
    error = np.hypot(*np.moveaxis(points.position - true, 1, 0)) / size
    assert np.nanmedian(error) < 0.05
    assert np.nanpercentile(error, 90) < 0.1


def test_progress_is_called_several_times_for_each_frame(mouse_frames):
    calls = []
    found = find_face(mouse_frames, progress=lambda *call: calls.append(call))
    assert found == find_face(mouse_frames)
    assert calls == sorted(calls)
    assert {total for _, total in calls} == {4}
    assert {done for done, _ in calls} == {0, 1, 2, 3}
    assert len(calls) > 8


@pytest.mark.parametrize("last", [1, 9])
def test_the_search_stops_at_once_when_told(mouse_frames, last):
    calls = []

    def progress(done, total):
        calls.append(done)
        return len(calls) < last

    with pytest.raises(SearchStopped):
        find_face(mouse_frames, progress=progress)
    assert len(calls) == last


def test_a_search_that_was_stopped_closes_the_file(tmp_path, mouse_frames, monkeypatch):
    path = tmp_path / "mouse.mp4"
    write_video(path, mouse_frames, 10.0)
    closed = []
    monkeypatch.setattr(
        Video, "close", lambda video, close=Video.close: closed.append(close(video))
    )
    with pytest.raises(SearchStopped):
        find_face(path, progress=lambda *_: False)
    assert closed
