from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from napari_facemap.keypoints.labels import LabelledFace
from napari_facemap.keypoints.point_network import PointNetwork
from napari_facemap.simulate.face import SimulatedFace, simulate_face

SPOTS = {
    "eye(back)": (205.0, 62.0),
    "mouth": (120.0, 150.0),
    "nose(tip)": (90.0, 82.0),
    "paw": (190.0, 180.0),
}


@pytest.fixture
def spots() -> tuple[LabelledFace, tuple[str, ...]]:
    """A face that looks left, of bright spots where it is labelled, and the keypoints' names.

    After the spots come a keypoint that nobody labelled and one that is known to be hidden.
    """
    names = (*SPOTS, "lowerlip", "nose(top)")
    xy = np.full((2, len(names)), np.nan)
    xy[:, : len(SPOTS)] = np.array(list(SPOTS.values())).T
    y, x = np.mgrid[:220, :300]
    image = np.full((220, 300), 40.0)
    for x0, y0 in SPOTS.values():
        image += 200 * np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / 18)
    hidden = np.array([name == "nose(top)" for name in names])
    picture = np.clip(image, 0, 255).astype(np.uint8)
    return LabelledFace(picture, xy, "made/spots", hidden), names


@pytest.fixture(scope="session")
def mouse() -> SimulatedFace:
    """A simulated mouse that looks left."""
    return simulate_face(40, size=(240, 320), seed=11, facing="left")


@pytest.fixture(scope="session")
def mouse_frames(mouse: SimulatedFace) -> np.ndarray:
    """Some frames of it, (4, 240, 320)."""
    return mouse.frames[:40:10]


class _PointsTo(PointNetwork):
    """A network that says the same places of its input, whatever it is shown."""

    def __init__(self, xy: np.ndarray, sigma: float = 1.0, unseen: float = -9.0):
        super().__init__(xy.shape[1], (2, 2, 2, 2, 2), (0, 0, 0, 0))
        axis = torch.arange(64.0)
        x, y = torch.from_numpy((xy + 0.5) / 4 - 0.5).float()[..., None, None]
        self.answer = -((axis[:, None] - y) ** 2 + (axis - x) ** 2) / (2 * sigma**2)
        self.odds = torch.full((xy.shape[1],), unseen)
        self.eval()

    def forward(self, images):
        n = len(images)
        return self.answer.expand(n, -1, -1, -1), self.odds.expand(n, -1)


@pytest.fixture(scope="session")
def pointing_to() -> type[_PointsTo]:
    """Make a network that says what it is told: places (2, keypoint) in pixels of its input."""
    return _PointsTo


@pytest.fixture(scope="session")
def eye_and_nose_faces() -> Callable[[int, int], list[LabelledFace]]:
    """Make labelled pictures of a dark eye and a bright nose at places that vary."""
    return _eye_and_nose_faces


def _eye_and_nose_faces(n: int, seed: int) -> list[LabelledFace]:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:96, :128]
    faces = []
    for number in range(n):
        eye, nose = rng.uniform((80, 30), (105, 50)), rng.uniform((20, 40), (45, 70))
        image = 120 + rng.normal(0, 4, (96, 128))
        image -= 110 * (((x - eye[0]) ** 2 + (y - eye[1]) ** 2) < 64)
        image += 100 * np.exp(-((x - nose[0]) ** 2 + (y - nose[1]) ** 2) / 30)
        # back, front and nose tip
        half = np.array([8, 0])
        xy = np.stack([eye + half, eye - half, nose], axis=1)
        source = f"made/mouse{seed}/img{number:03}.png"
        faces.append(LabelledFace(np.clip(image, 0, 255).astype(np.uint8), xy, source))
    return faces
