from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_facemap.keypoints.augment import Augmentation, plain_view, random_view
from napari_facemap.keypoints.box import Box
from napari_facemap.keypoints.degrade import Degradation
from napari_facemap.keypoints.normalize import prepare
from napari_facemap.keypoints.view import face_box

CLEAR = Degradation(1, 1, 0, 0, 0.4, shade=0, glint=0, cover=0, compress=0)
GEOMETRY = Augmentation(cut=0, degradation=CLEAR)
NEAR = replace(GEOMETRY, far=0, empty=0)


def _spot_near(image, x, y, radius=8):
    """Centre of what is bright around a place."""
    rows, columns = np.mgrid[:256, :256]
    near = (rows - y) ** 2 + (columns - x) ** 2 <= radius**2
    weight = np.clip(image - np.median(image[near]), 0, None) * near
    return (columns * weight).sum() / weight.sum(), (rows * weight).sum() / weight.sum()


def _mirrored(face):
    xy = face.xy.copy()
    xy[0] = face.image.shape[1] - 1 - xy[0]
    return replace(face, image=face.image[:, ::-1].copy(), xy=xy)


def _views(spots, how, n, seed=0):
    face, names = spots
    rng = np.random.default_rng(seed)
    return [random_view(face, names, rng, how) for _ in range(n)]


@pytest.mark.parametrize("how", [NEAR, replace(NEAR, mirrored=1.0, backdrop=1.0)])
def test_labels_move_with_the_picture(spots, how):
    checked = 0
    for view in _views(spots, how, 25):
        assert view.image.shape == (256, 256)
        assert view.image.dtype == np.float32
        for x, y in view.xy[:, view.seen == 1].T:
            if 12 < x < 243 and 12 < y < 243:
                found = _spot_near(view.image, x, y)
                assert np.hypot(found[0] - x, found[1] - y) < 1.2
                checked += 1
    assert checked > 60


def test_a_labelled_point_is_seen_where_it_is_in_the_view_and_nowhere_else(spots):
    for view in _views(spots, GEOMETRY, 60, seed=1):
        xy = view.xy[:, :4]
        inside = ((xy >= -0.5) & (xy <= 255.5)).all(axis=0)
        np.testing.assert_array_equal(view.seen[:4], inside)


def test_hidden_points_are_unseen_and_unlabelled_ones_unknown(spots):
    for view in _views(spots, Augmentation(), 20):
        assert np.isnan(view.seen[4])
        assert view.seen[5] == 0
        assert not np.isnan(view.seen[:4]).any()
    face, names = spots
    view = random_view(replace(face, hidden=None), names, np.random.default_rng(0))
    assert np.isnan(view.seen[5])


def test_what_is_covered_or_cut_off_is_not_seen(spots):
    def hidden_within(how):
        count = 0
        for view in _views(spots, how, 60, seed=2):
            within = ((view.xy[:, :4] > 0) & (view.xy[:, :4] < 255)).all(axis=0)
            count += int((view.seen[:4][within] == 0).sum())
        return count

    assert hidden_within(NEAR) == 0
    assert hidden_within(replace(NEAR, cut=1.0)) > 0
    assert hidden_within(replace(NEAR, degradation=replace(CLEAR, cover=1.0))) > 0


def test_what_is_cut_off_is_black(spots):
    for view in _views(spots, replace(NEAR, cut=1.0, backdrop=1.0), 15, seed=3):
        x, y = np.round(view.xy[:, :4]).astype(int)
        within = (x >= 0) & (x < 256) & (y >= 0) & (y < 256)
        gone = within & (view.seen[:4] == 0)
        assert (view.image[y[gone], x[gone]] == 0).all()


def test_an_empty_view_shows_neither_eye_nor_nose(spots):
    for view in _views(spots, replace(GEOMETRY, empty=1.0), 40, seed=4):
        assert view.seen[0] == 0  # eye(back)
        assert view.seen[2] == 0  # nose(tip)


def test_faces_that_look_right_are_shown_looking_left(spots):
    face, names = spots
    for shown in (face, _mirrored(face)):
        for view in _views((shown, names), replace(NEAR, mirrored=0.0), 12):
            assert view.xy[0, 2] < view.xy[0, 0]  # the nose left of the eye
        for view in _views((shown, names), replace(NEAR, mirrored=1.0), 12):
            assert view.xy[0, 2] > view.xy[0, 0]


def test_chance_is_the_generators(spots):
    face, names = spots
    first, second = (random_view(face, names, np.random.default_rng(5)) for _ in range(2))
    other = random_view(face, names, np.random.default_rng(6))
    for one, two in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(first.image, other.image)


def test_the_face_itself_is_left_alone(spots):
    face, names = spots
    image, xy, hidden = face.image.copy(), face.xy.copy(), face.hidden.copy()
    for seed in range(10):
        random_view(face, names, np.random.default_rng(seed))
    np.testing.assert_array_equal(face.image, image)
    np.testing.assert_array_equal(face.xy, xy)
    np.testing.assert_array_equal(face.hidden, hidden)


def test_a_face_without_eye_or_nose_has_views_too(spots):
    face, names = spots
    xy = face.xy.copy()
    xy[:, 0] = np.nan
    views = _views((replace(face, xy=xy), names), NEAR, 20)
    seen = [view.xy[:, view.seen == 1].shape[1] for view in views]
    assert np.mean(seen) > 2
    facings = {bool(view.xy[0, 1] < view.xy[0, 3]) for view in views}  # mouth left of the paw
    assert facings == {True, False}


def test_views_are_normalised_as_tracking_normalises_them(spots):
    """What lies beyond the picture's edge is 0 and does not count in the quantiles."""
    face, names = spots
    grey = (np.add.outer(np.arange(220), np.arange(300)) // 5 + 90).astype(np.uint8)
    with_border = 0
    how = replace(GEOMETRY, backdrop=0.0, empty=0.0)
    for view in _views((replace(face, image=grey), names), how, 20, seed=3):
        border = view.image == 0
        with_border += border.mean() > 0.1
        limits = np.quantile(view.image[~border], (0.01, 0.99))
        np.testing.assert_allclose(limits, (0, 1), atol=0.06)
    assert with_border > 3


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_plain_view_is_what_tracking_shows(spots, mirrored):
    face, names = spots
    face = _mirrored(face) if mirrored else face
    view, box, facing = plain_view(face, names)
    assert facing == ("right" if mirrored else "left")
    assert box == face_box(face.xy[:, 0], face.xy[:, 2])
    np.testing.assert_array_equal(
        view.image, prepare(face.image[None], box, facing=facing)[0, 0].numpy()
    )
    np.testing.assert_array_equal(view.seen, [1, 1, 1, 1, np.nan, 0])
    for x, y in view.xy[:, :4].T:
        np.testing.assert_allclose(_spot_near(view.image, x, y), (x, y), atol=0.5)
    whole, box, _ = plain_view(face, names, (0, 0, 300, 220))
    assert box == Box(0, 0, 300, 220)
    assert whole.image[:30].max() == 0  # the bar above a picture that is wider than high
