from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_facemap.movement.alignment import TRUSTED, align, align_regions
from napari_facemap.movement.regions import Region, Regions
from napari_facemap.simulate.face import simulate_face
from napari_facemap.video.arrays import ArrayVideo

SIZE = (240, 320)


@pytest.fixture(scope="module")
def frames():
    face = simulate_face(400, fps=50.0, size=SIZE, seed=5)
    return np.stack([face.frame(k) for k in range(0, 400, 20)])


def _moved(frames, shift=(0.0, 0.0), turn=0.0, scale=1.0, size=SIZE):
    """The same scene by a camera that stands elsewhere, and where points of it went."""
    linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    middle = (np.array(SIZE[::-1]) - 1) / 2
    offset = (np.array(size[::-1]) - 1) / 2 + shift - linear @ middle
    inverse = np.linalg.inv(linear)
    back = inverse[::-1, ::-1], (-inverse @ offset)[::-1]
    rng = np.random.default_rng(1)
    pictures = [
        ndimage.affine_transform(f.astype(float), back[0], back[1], size, order=1, mode="reflect")
        for f in frames
    ]
    noisy = 0.8 * np.array(pictures) + 10 + rng.normal(0, 3, (len(frames), *size))
    return np.clip(noisy, 0, 255).astype(np.uint8), lambda p: p @ linear.T + offset


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({}, 0.1),
        ({"shift": (7.3, -4.6)}, 0.3),
        ({"shift": (-35.0, 22.0)}, 0.5),
        ({"shift": (4.0, 6.0), "turn": 0.05}, 0.7),
        ({"scale": 1.05, "shift": (3.0, 0.0)}, 0.7),
        ({"scale": 0.5, "size": (120, 160)}, 0.5),
        ({"scale": 1.25, "size": (300, 400), "shift": (9.0, -5.0)}, 0.9),
    ],
)
def test_points_are_found_where_they_went(frames, options, error):
    moved, where = _moved(frames, **options)
    corners = np.array([[40, 30], [280, 30], [280, 210], [40, 210], [160, 120]], float)
    shape = Region("r", "motion", corners[:4], "polygon")
    regions = Regions((shape,), (SIZE,))
    found, (quality,) = align_regions(regions, ArrayVideo(frames), ArrayVideo(moved))
    assert quality > TRUSTED
    assert found.sizes == (moved.shape[1:],)
    assert np.abs(found[0].vertices - where(corners[:4])).max() < error


def test_another_scene_is_not_trusted(frames):
    other = simulate_face(40, size=SIZE, seed=11)
    moved = np.stack([other.frame(k) for k in range(0, 40, 4)])[:, ::-1, ::-1]
    regions = Regions((Region.rectangle("r", "motion", 10, 10, 50, 60),), (SIZE,))
    found, (quality,) = align_regions(regions, ArrayVideo(frames), ArrayVideo(moved))
    assert quality < TRUSTED
    np.testing.assert_allclose(found[0].vertices, regions[0].vertices)


def test_each_view_is_aligned_to_its_own(frames):
    moved, where = _moved(frames, shift=(6.0, 3.0))
    regions = Regions(
        (
            Region.rectangle("a", "motion", 10, 10, 50, 60),
            Region("b", "pupil", [[80, 40], [120, 40], [120, 80], [80, 80]], "ellipse", view=1),
        ),
        (SIZE, SIZE),
    )
    found, _ = align_regions(regions, [frames, frames], [frames, moved])
    np.testing.assert_allclose(found[0].vertices, regions[0].vertices, atol=0.2)
    np.testing.assert_allclose(found[1].vertices, where(regions[1].vertices), atol=0.4)
    assert (found[1].view, found[1].kind, found[1].shape) == (1, "pupil", "ellipse")
    with pytest.raises(ValueError, match="2 old and new videos"):
        align_regions(regions, frames, moved)


def test_what_is_too_small_to_align_is_refused():
    with pytest.raises(ValueError, match="24 pixels"):
        align(np.zeros((10, 10)), np.zeros((100, 100)))
    flat = align(np.zeros((50, 60)), np.zeros((50, 60)))
    assert flat.quality < TRUSTED
