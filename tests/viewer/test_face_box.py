from __future__ import annotations

from types import SimpleNamespace

import pytest

from napari_facemap.keypoints.box import Box
from napari_facemap.viewer.face_box import add_face_box, box_of, found_face, show_face


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_box_of_follows_both_layers_scales(viewer, add_video, scale):
    video = add_video(viewer)
    video.scale = (0.02, scale, scale)
    shapes = add_face_box(viewer, video)
    assert box_of(shapes, video) == (8, 6, 73, 55)
    shapes.scale = (2 * scale, 2 * scale)
    assert box_of(shapes, video) == (16, 12, 145, 109)  # sticks out, as drawn
    shapes.translate = (1000, 1000)
    with pytest.raises(ValueError, match="outside the video"):
        box_of(shapes, video)
    assert box_of(None, video) is None


@pytest.mark.parametrize("scale", [1.0, 0.1, 1 / 3, 7.7])
@pytest.mark.parametrize("box", [Box(-813, 6, 1234, 2053), Box(0, 0, 80, 60), Box(3, -9, 64, 52)])
def test_a_found_box_comes_back_to_the_pixel(viewer, add_video, box, scale):
    video = add_video(viewer)
    video.scale, video.translate = (0.02, scale, scale), (3.0, 11.1, -7.3)
    shapes = show_face(viewer, video, SimpleNamespace(box=box, facing="left", share=1.0))
    assert box_of(shapes, video) == box
    assert found_face(shapes, video) is not None


def test_a_box_that_sticks_out_is_in_view(viewer, add_video):
    video = add_video(viewer, shape=(600, 800))
    inside = SimpleNamespace(box=Box(100, 100, 300, 300), facing="left", share=1.0)
    viewer.camera.zoom = zoom = 3 * viewer.camera.zoom
    show_face(viewer, video, inside)
    assert viewer.camera.zoom == zoom  # a person's view is left alone where it can be
    outside = SimpleNamespace(box=Box(-400, 100, 800, 1300), facing="left", share=1.0)
    shapes = show_face(viewer, video, outside)
    assert shapes.data[0].min(axis=0).tolist() == [99.5, -400.5]
    assert shapes.data[0].max(axis=0).tolist() == [1299.5, 799.5]
    assert viewer.camera.zoom < zoom / 3
    assert viewer.camera.center[-2:] == pytest.approx((649, 199), abs=2)
