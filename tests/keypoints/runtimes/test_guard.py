"""Whatever carries a network out, its points stay where they are."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from napari_facemap.keypoints.box import Box
from napari_facemap.keypoints.models import Model, halved, load_model
from napari_facemap.keypoints.network import CHANNELS
from napari_facemap.keypoints.pointing import Pointer, TrackedPoints
from napari_facemap.keypoints.runtimes.choice import openvino_is_here
from napari_facemap.keypoints.skeleton import KEYPOINTS
from napari_facemap.keypoints.view import eye_and_nose, face_box
from napari_facemap.video.video import open_video

SAME = 0.1  # pixels of the frame, 95th percentile, that a runtime may move points by
SAME_BATCH = 0.02  # pixels, at most, that the batch may
N_FRAMES = 12

# Read off the video by eye: the eye's middle and the tip of the nose.
EYE, NOSE = np.array([345.0, 278.0]), np.array([792.0, 300.0])

needs_openvino = pytest.mark.skipif(not openvino_is_here(), reason="OpenVINO is not installed")
FLOATS = ("torch", pytest.param("openvino", marks=needs_openvino))


@dataclasses.dataclass
class Scene:
    """Frames, and where the face is in them."""

    frames: np.ndarray
    box: Box
    facing: str

    def points(self, model: Model, runtime: str | None, n: int = N_FRAMES) -> TrackedPoints:
        """The points that a runtime finds with n frames at once."""
        pointer = Pointer(model, "cpu", runtime=runtime)
        assert runtime in (None, pointer.runtime.name)
        parts = [
            pointer(self.frames[at : at + n], self.box, self.facing)
            for at in range(0, len(self.frames), n)
        ]
        return TrackedPoints(*map(np.concatenate, zip(*parts, strict=True)))


@pytest.fixture(scope="module", params=["simulated", "real"])
def scene(request) -> Scene:
    if request.param == "simulated":
        mouse = request.getfixturevalue("mouse")
        position = mouse.poses["position"].values[0].astype(float)
        return Scene(mouse.frames[:N_FRAMES], face_box(*eye_and_nose(position, KEYPOINTS)), "left")
    path = request.getfixturevalue("shared_data") / "videos" / "mouse_face_30s.mp4"
    with open_video(path) as video:
        numbers = np.linspace(0, len(video) - 1, N_FRAMES).astype(int)
        frames = np.stack([video[int(number)] for number in numbers])
    return Scene(frames, face_box(EYE, NOSE), "right")


@pytest.fixture(scope="module")
def built_in() -> Model:
    return load_model()


@pytest.fixture(scope="module")
def floats(built_in) -> Model:
    """The built-in model without its rounding."""
    return dataclasses.replace(built_in, network=halved(built_in.network))


@pytest.fixture(scope="module")
def facemaps(make_network) -> Model:
    """Facemap's layout at the size that it is used at, with weights at random."""
    network = make_network("facemap", 0, CHANNELS)
    return Model("random", network, KEYPOINTS[: network.n_keypoints], "0" * 64)


def _distance(one: TrackedPoints, other: TrackedPoints) -> np.ndarray:
    return np.hypot(*np.moveaxis(one.position - other.position, 1, 0))


def _assert_same(found: TrackedPoints, expected: TrackedPoints) -> None:
    assert np.percentile(_distance(found, expected), 95) < SAME
    np.testing.assert_allclose(found.confidence, expected.confidence, atol=0.02)
    np.testing.assert_allclose(found.expected_error, expected.expected_error, rtol=0.02)


@pytest.fixture(scope="module")
def expected(scene, built_in) -> TrackedPoints:
    return scene.points(built_in, "eager")


@pytest.fixture(scope="module")
def expected_of_floats(scene, floats) -> TrackedPoints:
    return scene.points(floats, "eager")


def test_the_face_is_seen_so_that_points_mean_something(expected):
    assert np.median(expected.seen) > 0.8
    assert np.median(expected.confidence.max(axis=1)) > 0.8


@pytest.mark.parametrize("runtime", [None, "torch"])
def test_the_built_in_models_points_are_those_of_eager(scene, built_in, expected, runtime):
    found = scene.points(built_in, runtime)
    _assert_same(found, expected)
    if built_in.network.rounding is not None:
        # In eight bits nothing is left to the runtime but the last layer's sums.
        assert _distance(found, expected).max() < 0.01


@pytest.mark.parametrize("runtime", FLOATS)
def test_a_float_models_points_are_those_of_eager(scene, floats, expected_of_floats, runtime):
    _assert_same(scene.points(floats, runtime), expected_of_floats)


@pytest.mark.parametrize("runtime", FLOATS)
def test_facemaps_layouts_points_are_those_of_eager(scene, facemaps, runtime):
    scene = dataclasses.replace(scene, frames=scene.frames[::3])
    expected = scene.points(facemaps, "eager")
    assert expected.position.std(axis=0).max() > 1
    _assert_same(scene.points(facemaps, runtime), expected)


@pytest.mark.parametrize("runtime", ["eager", *FLOATS])
def test_the_batch_moves_no_point_of_a_float_model(scene, floats, runtime):
    _assert_batch_does_not_matter(scene, floats, runtime)


@pytest.mark.parametrize("runtime", ["eager", "torch"])
def test_the_batch_moves_no_point_of_the_built_in_model(scene, built_in, runtime):
    _assert_batch_does_not_matter(scene, built_in, runtime)


def _assert_batch_does_not_matter(scene: Scene, model: Model, runtime: str) -> None:
    one, *others = (scene.points(model, runtime, n) for n in (1, 3, 8))
    for other in others:
        assert _distance(other, one).max() < SAME_BATCH
        np.testing.assert_allclose(other.confidence, one.confidence, atol=1e-3)


def test_eight_bits_were_given_to_a_network_that_bears_them(expected, expected_of_floats):
    """Not a promise to the pixel, but rounding is not to be what errors are made of."""
    distance = _distance(expected, expected_of_floats)
    assert 0 < np.median(distance) < np.median(expected_of_floats.expected_error) / 2
