from __future__ import annotations

import numpy as np
import pytest

from napari_facemap.keypoints.augment import Augmentation, plain_view, random_view
from napari_facemap.keypoints.labels import LabelledFace

GEOMETRY_ONLY = Augmentation(gamma=1, contrast=1, brightness=0, noise=0, blur=0.3)


@pytest.fixture
def face() -> LabelledFace:
    """Four bright spots on a dark picture, labelled where they are; a fifth is unlabelled."""
    places = np.array([[60.0, 150.0, 200.0, 90.0, np.nan], [50.0, 70.0, 160.0, 140.0, np.nan]])
    y, x = np.mgrid[:220, :300]
    image = np.full((220, 300), 30.0)
    for x0, y0 in places[:, :4].T:
        image += 200 * np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / 18)
    return LabelledFace(np.clip(image, 0, 255).astype(np.uint8), places, "made/spots")


def _brightest_near(image, x, y, radius=9):
    rows, columns = np.mgrid[:256, :256]
    near = (rows - y) ** 2 + (columns - x) ** 2 <= radius**2
    weight = np.clip(image - np.median(image), 0, None) * near
    return (columns * weight).sum() / weight.sum(), (rows * weight).sum() / weight.sum()


def test_labels_move_with_the_picture(face):
    rng = np.random.default_rng(0)
    checked = 0
    for _ in range(40):
        image, xy = random_view(face, rng, GEOMETRY_ONLY)
        assert image.shape == (256, 256)
        assert np.isnan(xy[:, 4]).all()
        for x, y in xy[:, np.isfinite(xy[0])].T:
            if 15 < x < 240 and 15 < y < 240:
                found = _brightest_near(image, x, y)
                assert np.hypot(found[0] - x, found[1] - y) < 1.2
                checked += 1
    assert checked > 60


def test_points_outside_the_view_are_not_labelled(face):
    rng = np.random.default_rng(1)
    views = [random_view(face, rng)[1] for _ in range(60)]
    labelled = [np.isfinite(xy[0, :4]) for xy in views]
    assert any(not row.all() for row in labelled)
    for xy in views:
        assert np.nanmin(xy) >= -0.5
        assert np.nanmax(xy) <= 255.5


def test_chance_is_the_generators(face):
    first, second = (random_view(face, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])


def test_plain_view_is_the_whole_frame(face):
    image, xy = plain_view(face)
    scale = 256 / 300
    np.testing.assert_allclose(xy[0, 0], (60 + 0.5) * scale - 0.5)
    np.testing.assert_allclose(xy[1, 0], (50 + 40 + 0.5) * scale - 0.5)
    found = _brightest_near(image, *xy[:, 0])
    np.testing.assert_allclose(found, xy[:, 0], atol=0.5)


def test_views_are_normalised_as_tracking_normalises_them(face):
    """What lies beyond the picture's edge is 0 and does not count in the quantiles."""
    grey = np.add.outer(np.arange(220), np.arange(300)) // 5 + 90  # nothing near black
    rng = np.random.default_rng(3)
    with_border = 0
    for _ in range(30):
        image, _ = random_view(
            LabelledFace(grey.astype(np.uint8), face.xy, face.source), rng, GEOMETRY_ONLY
        )
        border = image == 0
        with_border += border.mean() > 0.1
        np.testing.assert_allclose(np.quantile(image[~border], (0.01, 0.99)), (0, 1), atol=0.06)
    assert with_border > 5
