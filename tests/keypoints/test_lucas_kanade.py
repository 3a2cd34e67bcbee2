from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates

from napari_facemap.keypoints.following import Origin
from napari_facemap.keypoints.lucas_kanade import LucasKanade

SHAPE = (120, 160)
POINTS = np.array([[50.0, 80.5, 110.25], [50.0, 60.25, 98.0]])
MIDDLE = np.array([80.0, 60.0])


def texture(seed=0, side=320, grain=2.0):
    plain = gaussian_filter(np.random.default_rng(seed).normal(size=(side, side)), grain)
    return np.clip(128 + 45 * plain / plain.std(), 0, 255)


def picture(shift=(0.0, 0.0), angle=0.0, gain=1.0, bias=0.0, noise=2.0, seed=0):
    """A textured plane, turned about the middle, then shifted."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
    x, y = x - MIDDLE[0] - shift[0], y - MIDDLE[1] - shift[1]
    cos, sin = np.cos(angle), np.sin(angle)
    at = [160 - sin * x + cos * y, 160 + cos * x + sin * y]
    grey = gain * map_coordinates(texture(), at, order=3, mode="reflect") + bias
    grey += np.random.default_rng(seed).normal(size=SHAPE) * noise
    return np.clip(grey, 0, 255).round().astype(np.uint8)


def shifts(n):
    t = np.arange(n)
    return np.stack([12 * np.sin(t / 6), 5 * np.cos(t / 4) - 5], axis=1)


def error(xy, truth):
    return np.hypot(*np.moveaxis(xy - truth, 1, 0))


def test_shifts_are_followed_to_a_fraction_of_a_pixel():
    way = shifts(30)
    clip = np.stack([picture(s, seed=k) for k, s in enumerate(way)])
    xy, confidence = LucasKanade(8)(clip, POINTS)
    assert xy.shape == (30, 2, 3)
    assert xy.dtype == confidence.dtype == np.float32
    np.testing.assert_array_equal(xy[0], POINTS.astype(np.float32))
    assert error(xy, POINTS + way[:, :, None]).max() < 0.15
    assert confidence.min() > 0.95


def test_other_light_is_no_motion():
    way = shifts(20)
    clip = np.stack(
        [picture(s, gain=1 - 0.02 * k, bias=15 * np.sin(k)) for k, s in enumerate(way)]
    )
    xy, confidence = LucasKanade(8)(clip, POINTS)
    assert error(xy, POINTS + way[:, :, None]).max() < 0.2
    assert confidence.min() > 0.9


def test_turns_are_followed():
    angles = 0.3 * np.sin(np.arange(30) / 5)
    turns = np.array([[[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]] for a in angles])
    truth = turns @ (POINTS - MIDDLE[:, None]) + MIDDLE[:, None]
    xy, confidence = LucasKanade(8)(np.stack([picture(angle=a) for a in angles]), POINTS)
    assert error(xy, truth).max() < 1.6
    assert confidence.min() > 0.9


def test_points_do_not_drift_from_what_was_labelled():
    """A slow shift in many steps, none of which is more than noise."""
    way = np.stack([0.03 * np.arange(60), np.zeros(60)], axis=1)
    clip = np.stack([picture(s, noise=10, seed=k) for k, s in enumerate(way)])
    xy, _ = LucasKanade(8)(clip, POINTS)
    assert error(xy[-5:], (POINTS + way[:, :, None])[-5:]).mean() < 0.25


def test_what_is_covered_is_lost_and_stays_lost():
    way = shifts(30) / 4
    clip = np.stack([picture(s) for s in way])
    cover = texture(5)[:50, :30].astype(np.uint8)
    for k in range(30):
        left = 5 * k - 10
        part = cover[:, max(-left, 0) :]
        clip[k, 30:80, max(left, 0) : max(left, 0) + part.shape[1]] = part[:, : 160 - max(left, 0)]
    xy, confidence = LucasKanade(8)(clip, POINTS)
    lost = confidence == 0
    assert (np.isnan(xy).all(axis=1) == lost).all()
    assert lost[14, 0]
    assert not lost[:6, 0].any()
    assert (np.diff(lost.astype(int), axis=0) >= 0).all()
    truth = POINTS + way[:, :, None]
    assert np.nanmax(np.where(confidence > 0.5, error(xy, truth), 0)) < 2
    assert confidence[-1, 2] > 0.9  # passed below the cover


def test_points_that_leave_the_picture_are_lost():
    clip = np.stack([picture((3.0 * k, 0)) for k in range(42)])
    _, confidence = LucasKanade(8)(clip, POINTS)
    for k, x in enumerate(POINTS[0]):
        leaves = int((159.5 - x) / 3)
        assert confidence[leaves - 4, k] > 0.8
        assert confidence[leaves, k] < confidence[leaves - 4, k]
        assert (confidence[leaves + 1 :, k] == 0).all()


def test_a_window_half_outside_the_picture_is_half_as_sure():
    clip = np.stack([picture()] * 3)
    _, confidence = LucasKanade(8)(clip, np.array([[0.0, 80.0], [60.0, 60.0]]))
    assert 0.4 < confidence[2, 0] < 0.7
    assert confidence[2, 1] > 0.95


def test_nothing_is_followed_where_nothing_is_to_be_seen():
    flat = 100 + np.random.default_rng(0).integers(-1, 2, (4, *SHAPE))
    edge = np.zeros((4, *SHAPE)) + np.where(np.arange(160) < 50, 60, 160)
    _, confidence = LucasKanade(8)(flat.astype(np.uint8), POINTS)
    assert (confidence[1:] == 0).all()
    _, along_the_edge = LucasKanade(8)(edge.astype(np.uint8), POINTS)
    assert (along_the_edge[1:] < 0.5).all()


def test_another_scene_is_not_the_same_place():
    clip = np.stack([picture(), picture(), texture(3)[: SHAPE[0], : SHAPE[1]].astype(np.uint8)])
    _, confidence = LucasKanade(8)(clip, POINTS)
    assert (confidence[1] > 0.9).all()
    assert (confidence[2] < 0.4).all()
    assert (confidence[2] == 0).any()


def test_hidden_points_are_not_followed_and_do_not_matter():
    clip = np.stack([picture(s) for s in shifts(6)])
    some = POINTS.copy()
    some[:, 1] = np.nan
    xy, confidence = LucasKanade(8)(clip, some)
    assert np.isnan(xy[:, :, 1]).all()
    assert (confidence[:, 1] == 0).all()
    alone, _ = LucasKanade(8)(clip, POINTS[:, [0, 2]])
    np.testing.assert_allclose(xy[:, :, [0, 2]], alone, atol=0.02)


def test_a_clip_in_two_parts_gives_what_it_gives_whole():
    clip = np.stack([picture(s, seed=k) for k, s in enumerate(shifts(12))])
    tracker = LucasKanade(8)
    xy, confidence = tracker(clip, POINTS)
    first_xy, first = tracker(clip[:6], POINTS)
    origin = Origin(clip[0], POINTS, first[-1])
    then_xy, then = tracker(clip[5:], first_xy[-1], origin)
    np.testing.assert_allclose(np.concatenate([first_xy, then_xy[1:]]), xy, atol=1e-5)
    np.testing.assert_allclose(np.concatenate([first, then[1:]]), confidence, atol=1e-5)


@pytest.mark.parametrize("radius", [5, 16, 24])
def test_windows_of_all_sizes_follow(radius):
    way = shifts(8)
    clip = np.stack([picture(s) for s in way])
    xy, _ = LucasKanade(radius)(clip, POINTS)
    assert np.nanmax(error(xy, POINTS + way[:, :, None])) < 0.6
    assert np.isfinite(xy).mean() > 0.9


def test_a_radius_that_is_none_is_refused():
    with pytest.raises(ValueError, match="above 0 pixels; found 0"):
        LucasKanade(0)


def test_windows_may_be_as_large_as_a_low_picture():
    plain = texture(side=700, grain=4.0)[:48]
    clip = np.stack([plain[:, 20 - 2 * k : 660 - 2 * k] for k in range(4)]).astype(np.uint8)
    xy, confidence = LucasKanade(24)(clip, np.array([[300.0], [24.0]]))
    np.testing.assert_allclose(xy[:, 0, 0], 300 + 2 * np.arange(4), atol=0.1)
    assert confidence.min() > 0.8
