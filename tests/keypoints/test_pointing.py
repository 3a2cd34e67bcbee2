from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from napari_facemap.keypoints.box import Box, input_to_frame
from napari_facemap.keypoints.calibration import Calibration
from napari_facemap.keypoints.models import Model
from napari_facemap.keypoints.network import KeypointNetwork
from napari_facemap.keypoints.pointing import Pointer

NAMES = ("eye(back)", "nose(tip)", "paw")
PLACES = np.array([[180.0, 60.0, 200.0], [110.0, 130.0, 240.0]])
CURVES = Calibration(-6.0, -2.0, -1.0, 0.7)
FRAMES = np.random.default_rng(0).integers(0, 256, (3, 60, 90), np.uint8)


def _pointer(network, calibration=None, **options):
    return Pointer(
        Model("m", network, NAMES, "0" * 64, {}, calibration), "cpu", runtime="eager", **options
    )


@pytest.mark.parametrize("facing", ["left", "right"])
def test_points_are_carried_to_the_frame(pointing_to, facing):
    box = Box(-10, 5, 60, 90)
    points = _pointer(pointing_to(PLACES))(FRAMES, box, facing)
    expected = input_to_frame(PLACES, box, facing)
    assert points.position.shape == (3, 2, 3)
    np.testing.assert_allclose(points.position, np.stack([expected] * 3), atol=0.02)
    assert all(part.dtype == np.float32 for part in points)


def test_a_model_without_calibration_says_only_whether_it_sees(pointing_to):
    points = _pointer(pointing_to(PLACES, unseen=5.0))(FRAMES, Box(0, 0, 60, 60))
    np.testing.assert_array_equal(points.confidence, points.seen)
    assert np.isnan(points.expected_error).all()
    assert (points.seen < 0.5).all()


def test_the_expected_error_grows_with_the_frame_and_the_confidence_does_not(pointing_to):
    pointer = _pointer(pointing_to(PLACES, sigma=2.0), CURVES)
    small = pointer(FRAMES, Box(0, 0, 60, 60))
    large = pointer(FRAMES.repeat(3, 1).repeat(3, 2), Box(0, 0, 180, 180))
    np.testing.assert_allclose(large.expected_error, 3 * small.expected_error, rtol=1e-5)
    np.testing.assert_allclose(large.confidence, small.confidence, rtol=1e-5)
    size = np.hypot(120, 20) * 60 / 256
    x = np.log(np.sqrt((2 * 5) ** 2 - 5**2 + 1) / np.hypot(120, 20))
    expected = CURVES.expected_error(np.full(3, x), NAMES) * size
    np.testing.assert_allclose(small.expected_error[0], expected, rtol=0.03)


def test_a_wider_distribution_is_trusted_less(pointing_to):
    sure, unsure = (
        _pointer(pointing_to(PLACES, sigma), CURVES)(FRAMES, Box(0, 0, 60, 60))
        for sigma in (1.0, 4.0)
    )
    assert (sure.confidence > unsure.confidence).all()
    assert (sure.expected_error < unsure.expected_error).all()
    np.testing.assert_allclose(sure.position, unsure.position, atol=1)


def test_eye_and_nose_in_one_place_leave_the_error_finite(pointing_to):
    points = _pointer(pointing_to(np.full((2, 3), 100.0)), CURVES)(FRAMES, Box(0, 0, 60, 60))
    assert np.isfinite(points.expected_error).all()
    assert (points.expected_error > 0).all()
    assert np.isfinite(points.confidence).all()


def test_facemaps_networks_see_a_face_as_it_is():
    torch.manual_seed(0)
    pointer = _pointer(KeypointNetwork(3, (2, 2, 4, 4, 4)).eval())
    box = Box(0, 0, 60, 60)
    for one, other in zip(
        pointer(FRAMES, box, "left"), pointer(FRAMES, box, "right"), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_the_model_is_left_alone(pointing_to):
    network = pointing_to(PLACES)
    before = copy.deepcopy(network.state_dict())
    _pointer(network)(FRAMES, Box(0, 0, 60, 60))
    assert all(torch.equal(network.state_dict()[name], value) for name, value in before.items())
