from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_facemap.keypoints.augment import Augmentation
from napari_facemap.keypoints.decode import decode_maps
from napari_facemap.keypoints.degrade import Degradation
from napari_facemap.keypoints.learners import (
    FacemapLearner,
    PointLearner,
    heat_loss,
    learner_for,
)
from napari_facemap.keypoints.network import KeypointNetwork
from napari_facemap.keypoints.point_network import PointNetwork
from napari_facemap.keypoints.training import TrainingOptions, train

NAMES = ("eye(back)", "eye(front)", "nose(tip)")
SIZES = (4, 4, 8, 8, 8)


def _ideal(xy, shape=(64, 64)):
    """Maps that say exactly what they should of points (batch, 2, keypoint)."""
    rows, columns = (torch.arange(float(n)) for n in shape)
    down = rows[:, None] - xy[:, 1, :, None, None]
    right = columns - xy[:, 0, :, None, None]
    heat = torch.exp(-(down**2 + right**2) / 18)
    return heat, (down / 6).expand(heat.shape), (right / 6).expand(heat.shape)


@pytest.fixture
def labels():
    rng = np.random.default_rng(0)
    xy = torch.from_numpy(rng.uniform(10, 54, (2, 2, 3))).float()
    return xy, torch.ones(2, 3)


def test_the_layout_says_what_learns():
    options = TrainingOptions()
    assert type(learner_for(PointNetwork(2, SIZES), options)) is PointLearner
    assert type(learner_for(KeypointNetwork(2, SIZES), options)) is FacemapLearner


def test_maps_that_are_right_cost_nothing_whatever_the_scale_of_heat(labels):
    xy, seen = labels
    heat, row, column = _ideal(xy)
    assert heat_loss(heat, row, column, xy, seen).item() < 0.01
    assert heat_loss(7 * heat, row, column, xy, seen).item() < 0.01
    found, _ = decode_maps(heat, row, column)
    torch.testing.assert_close(found / 4, xy, atol=1e-3, rtol=0)


def test_the_loss_is_the_published_one(labels):
    """Computed keypoint by keypoint with numpy."""
    xy, seen = labels
    seen[0, 1], seen[1, 2], xy[1, :, 2] = 0, np.nan, np.nan
    torch.manual_seed(0)
    heat, row, column = (
        torch.rand(2, 3, 64, 64),
        torch.randn(2, 3, 64, 64),
        torch.randn(2, 3, 64, 64),
    )
    losses = []
    grid_row, grid_column = np.mgrid[:64, :64]
    for i, k in ((0, 0), (0, 2), (1, 0), (1, 1)):
        x, y = xy[i, :, k].double().numpy()
        distance = np.hypot(grid_row - y, grid_column - x)
        target = np.exp(-(distance**2) / 18)
        target *= 10 / (1e-3 + target.sum())
        said = heat[i, k].double().numpy()
        said = 10 * said / (1e-4 + said.sum())
        wrong = np.hypot(
            (grid_row - y) / 6 - row[i, k].numpy(), (grid_column - x) / 6 - column[i, k].numpy()
        )
        losses.append(np.abs(target - said).sum() + 0.5 * wrong[distance <= 3].sum())
    found = heat_loss(heat, row, column, xy, seen).item()
    assert found == pytest.approx(np.mean(losses), rel=1e-4)


def test_what_is_not_labelled_has_no_gradient(labels):
    xy, seen = labels
    xy[:, :, 1], seen[:, 1], seen[:, 2] = np.nan, np.nan, 0
    maps = [part.clone().requires_grad_() for part in _ideal(torch.full((2, 2, 3), 30.0))]
    heat_loss(*maps, xy, seen).backward()
    for part in maps:
        assert torch.isfinite(part.grad).all()
        assert (part.grad[:, 1:] == 0).all()
        assert (part.grad[:, 0] != 0).any()
    nothing = heat_loss(*maps, xy, torch.full((2, 3), np.nan))
    nothing.backward()
    assert nothing.item() == 0


def test_labels_reach_facemaps_layout_in_its_own_pixels(monkeypatch):
    """A label on pixel 40 of the picture is pixel 10 of the maps, as decoding has it."""
    learner = FacemapLearner(KeypointNetwork(1, SIZES), TrainingOptions())
    xy = (torch.tensor([[[40.0], [80.0]]]) + 0.5) / 4 - 0.5
    maps = _ideal(torch.tensor([[[10.0], [20.0]]]))
    learner.network.forward = lambda images: maps
    images = torch.zeros(1, 1, 256, 256)
    assert learner.loss(images, xy, torch.ones(1, 1)).item() < 0.01
    assert learner.loss(images, xy + 0.375, torch.ones(1, 1)).item() > 1


@pytest.fixture(scope="module")
def options():
    calm = Degradation(1.1, 1.1, 0.02, 0.01, 0.4, shade=0, glint=0, cover=0, compress=0)
    how = Augmentation(
        rotation=5, stretch=0, perspective=0, mirrored=0, far=0, empty=0, backdrop=0, cut=0,
        degradation=calm,
    )  # fmt: skip
    return TrainingOptions(
        steps=60, batch_size=4, evaluate_every=20, learning_rate=1e-2, average=0.9,
        augmentation=how,
    )  # fmt: skip


def test_a_network_of_facemaps_layout_learns_where_eye_and_nose_are(eye_and_nose_faces, options):
    torch.manual_seed(0)
    start = KeypointNetwork(3, SIZES)
    before = copy.deepcopy(start.state_dict())
    network, history = train(
        eye_and_nose_faces(20, 0), eye_and_nose_faces(6, 1), NAMES, options=options,
        device="cpu", start=start,
    )  # fmt: skip
    assert isinstance(network, KeypointNetwork)
    assert not network.training
    assert [row["step"] for row in history] == [0, 20, 40, 60]
    assert history[-1]["loss"] < history[1]["loss"]
    assert history[-1]["median"] < history[0]["median"] / 5
    assert history[-1]["median"] < 6
    assert all(torch.equal(value, before[name]) for name, value in start.state_dict().items())


def test_fixed_norms_stay(eye_and_nose_faces, options):
    how = replace(options, steps=2, fixed_norms=True)
    start = KeypointNetwork(3, SIZES)
    network, _ = train(eye_and_nose_faces(4, 0), [], NAMES, options=how, device="cpu", start=start)
    norms = "Conv.conv1.conv.conv_0.0.running_mean"
    assert torch.equal(network.state_dict()[norms], start.state_dict()[norms])
    weight = "Conv.conv1.conv.conv_0.2.weight"
    assert not torch.equal(network.state_dict()[weight], start.state_dict()[weight])
