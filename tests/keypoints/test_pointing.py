from __future__ import annotations

import copy
import dataclasses
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from napari_facemap.keypoints import pointing
from napari_facemap.keypoints.box import Box, input_to_frame
from napari_facemap.keypoints.calibration import Calibration
from napari_facemap.keypoints.models import Model
from napari_facemap.keypoints.network import KeypointNetwork
from napari_facemap.keypoints.point_network import PointNetwork
from napari_facemap.keypoints.pointing import Pointer
from napari_facemap.keypoints.runtimes.rounding import fit_rounding

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


OUT_OF_MEMORY = {
    "of a GPU": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
    "of Python": MemoryError(),
    "of PyTorch on a CPU": RuntimeError("DefaultCPUAllocator: can't allocate memory"),
}


def _limited(pointer: Pointer, most: int, error: BaseException) -> list[int]:
    """Let a pointer fail beyond some frames at once; returns how many it was given each time."""
    run, given = pointer.runtime.run, []

    def limited(pictures):
        given.append(len(pictures))
        if len(pictures) > most:
            raise error
        return run(pictures)

    pointer.runtime = dataclasses.replace(pointer.runtime, run=limited)
    return given


@pytest.fixture(scope="module")
def random_network() -> PointNetwork:
    torch.manual_seed(0)
    return PointNetwork(3, (2, 2, 2, 2, 2), (0, 0, 0, 0)).eval()


MANY = np.random.default_rng(1).integers(0, 256, (11, 60, 90), np.uint8)
SQUARE = Box(0, 0, 60, 60)


@pytest.mark.parametrize("error", OUT_OF_MEMORY.values(), ids=OUT_OF_MEMORY)
@pytest.mark.parametrize("most", [1, 2, 3, 10])
def test_when_memory_runs_out_fewer_frames_are_looked_at_at_once(random_network, most, error):
    expected = _pointer(random_network, CURVES)(MANY, SQUARE)
    pointer = _pointer(random_network, CURVES)
    given = _limited(pointer, most, error)
    points = pointer(MANY, SQUARE)
    for one, other in zip(points, expected, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-3)
    assert expected.position.std(axis=0).max() > 0.1
    # Halved until it fits, and so it stays.
    assert 1 <= pointer.most_frames <= most < 2 * pointer.most_frames + 1
    before = len(given)
    pointer(MANY, SQUARE)
    assert max(given[before:]) <= most
    assert sum(given[before:]) == 11


def test_when_memory_does_not_suffice_for_one_frame_that_is_said(random_network):
    pointer = _pointer(random_network)
    error = torch.OutOfMemoryError("CUDA out of memory")
    given = _limited(pointer, 0, error)
    with pytest.raises(torch.OutOfMemoryError) as caught:
        pointer(MANY[:8], SQUARE)
    assert caught.value is error
    assert given == [8, 4, 2, 1]


@pytest.mark.parametrize("error", [RuntimeError("mat1 and mat2 do not fit"), KeyError("a")])
def test_other_errors_are_not_taken_for_an_end_of_memory(random_network, error):
    pointer = _pointer(random_network)
    given = _limited(pointer, 0, error)
    with pytest.raises(type(error)) as caught:
        pointer(MANY, SQUARE)
    assert caught.value is error
    assert given == [11]


def test_several_threads_may_run_out_of_memory_at_once(random_network):
    expected = _pointer(random_network)(MANY, SQUARE)
    pointer = _pointer(random_network)
    _limited(pointer, 2, OUT_OF_MEMORY["of a GPU"])
    with ThreadPoolExecutor(4) as pool:
        for points in pool.map(lambda _: pointer(MANY, SQUARE), range(8)):
            np.testing.assert_allclose(points.position, expected.position, atol=1e-3)
    assert 1 <= pointer.most_frames <= 2


def test_the_batch_that_was_asked_for_is_settled_on(random_network, monkeypatch):
    pointer = _pointer(random_network)
    assert pointer.settle(60, 90, SQUARE, "left", 5) == 5
    asked = []

    def best_on_cpu(work, most):
        work(min(2, most))
        asked.append(most)
        return most

    monkeypatch.setattr(pointing, "best_on_cpu", best_on_cpu)
    sizes = {(60, 90): 3106, (1200, 2000): 6, (5000, 9000): 1}  # 16 MiB
    assert [pointer.settle(*size, SQUARE, "left", None) for size in sizes] == [*sizes.values()]
    assert asked == [*sizes.values()]


def test_a_rounded_model_points_nearly_where_it_did(random_network):
    model = Model("m", random_network, NAMES, "0" * 64, {}, CURVES)
    exact = Pointer(model, "cpu", runtime="torch")
    pictures = exact.preparation(60, 90, SQUARE)(MANY)
    rounding = fit_rounding(random_network.plan(), pictures)
    rounded = Pointer(model, "cpu", rounding=rounding)
    assert (exact.runtime.precision, rounded.runtime.precision) == ("float32", "8-bit")
    points, expected = rounded(MANY, SQUARE), exact(MANY, SQUARE)
    distance = np.hypot(*np.moveaxis(points.position - expected.position, 1, 0))
    assert 0 < np.median(distance) < 3


def test_facemaps_way_is_not_sped_up(random_network):
    network = KeypointNetwork(3, (2, 2, 4, 4, 4)).eval()
    pointer = Pointer(Model("m", network, NAMES, "0" * 64), "cpu", facemap=True)
    assert pointer.runtime.name == "eager"
