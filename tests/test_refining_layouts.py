"""Fine-tuning from either layout: Facemap's official weights, and ours."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_facemap import refining
from napari_facemap.keypoints.augment import Augmentation, plain_view
from napari_facemap.keypoints.evaluation import read_faces
from napari_facemap.keypoints.labels import LabelledFace
from napari_facemap.keypoints.models import Model, halved, load_model
from napari_facemap.keypoints.network import KeypointNetwork
from napari_facemap.keypoints.point_network import PointNetwork
from napari_facemap.keypoints.tracking import track
from napari_facemap.keypoints.view import face_size
from napari_facemap.refining import FACEMAP_OPTIONS, refine, save_refined, with_keypoints
from napari_facemap.simulate.face import simulate_face

SIZES = (4, 4, 8, 8, 8)
OLD = ("eye(back)", "eye(front)", "nose(tip)", "paw")


@pytest.fixture
def mouse():
    return simulate_face(40, size=(120, 160), seed=5, facing="right")


@pytest.fixture
def few_mice(monkeypatch):
    monkeypatch.setattr(refining, "_MICE", 1)


def _faces(mouse, keypoints, numbers):
    names = [str(name) for name in mouse.poses["keypoint"].values]
    columns = [names.index(name) for name in keypoints]
    position = mouse.poses["position"].values.astype(float)
    return [
        LabelledFace(mouse.frame(k), position[k][:, columns], f"mouse/img{k:03}.png")
        for k in numbers
    ]


@pytest.mark.parametrize(
    "network", [KeypointNetwork(4, SIZES), PointNetwork(4, (4, 4, 4, 4, 8), (0, 0, 0, 0))]
)
def test_known_keypoints_stay_exactly_and_new_ones_are_as_likely_anywhere(network):
    network = network.eval()
    images = torch.rand(2, 1, 256, 256)
    new = ("tongue", "nose(tip)", "eye(back)")
    made = with_keypoints(network, OLD, new)
    assert type(made) is type(network)
    assert made.n_keypoints == 3
    with torch.inference_mode():
        for before, after in zip(network(images), made(images), strict=True):
            torch.testing.assert_close(after[:, 1], before[:, 2], atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(after[:, 2], before[:, 0], atol=1e-5, rtol=1e-5)
            assert after[:, 0].std() < 1e-6
        heat = made(images)[0]
    if isinstance(network, KeypointNetwork):  # else nothing could be learnt
        assert (heat[:, 0] > 0).all()
    for name, value in made.state_dict().items():
        if value.shape == network.state_dict()[name].shape:
            assert torch.equal(value, network.state_dict()[name])


def test_facemaps_layout_learns_a_few_frames_and_is_tracked_with(mouse, few_mice, tmp_path):
    """The face looks right: this layout sees it so in tracking, and is measured so."""
    torch.manual_seed(0)
    keypoints = (*OLD[:3], "mouth")
    start = Model("official", KeypointNetwork(4, SIZES).eval(), OLD, "0" * 64)
    calm = Augmentation(
        rotation=5, stretch=0, perspective=0, scale=1.1, shift=0.05, mirrored=0.5, far=0, empty=0,
        backdrop=0, cut=0,
    )  # fmt: skip
    options = replace(
        FACEMAP_OPTIONS, steps=60, batch_size=4, learning_rate=2e-2, average=0.9,
        evaluate_every=30, fixed_norms=False, augmentation=calm, simulated_share=0.1,
    )  # fmt: skip
    faces = _faces(mouse, keypoints, range(0, 40, 4))
    refined = refine(faces, keypoints, start, options=options, device="cpu")
    assert isinstance(refined.network, KeypointNetwork)
    assert len(refined.kept) == 8
    assert len(refined.held_out) == 2
    assert refined.after["score"] < refined.before["score"] - 1
    assert refined.options == options

    path = tmp_path / "mine.safetensors"
    card = save_refined(refined, start, path, "project")
    model = load_model(path)
    assert model.keypoints == keypoints
    assert model.card == json.loads(json.dumps(card))
    assert card["channels"] == list(SIZES)
    assert card["refined_from"] == {"name": "official", "sha256": "0" * 64}
    again, kept = model.network.state_dict(), refined.network.state_dict()
    assert all(torch.equal(again[name], value) for name, value in kept.items())
    poses = track(mouse.frames[:2], model, "whole", device="cpu")
    assert list(poses["keypoint"].values) == list(keypoints)
    assert np.isfinite(poses["position"]).all()


def test_what_is_measured_is_what_tracking_does(mouse):
    """A face that looks right is not mirrored for Facemap's layout, in measuring as in tracking."""
    torch.manual_seed(1)
    network = halved(KeypointNetwork(3, SIZES).eval())
    (face,) = _faces(mouse, OLD[:3], [7])
    _, box, _ = plain_view(face, OLD[:3])
    model = Model("official", network, OLD[:3], "")
    poses = track(face.image[None], model, tuple(box), device="cpu", precision="float32")
    errors = np.hypot(*(poses["position"].values[0] - face.xy)) / face_size(face.xy, OLD[:3])
    inside = poses["confidence"].values[0] > 0
    assert inside.any()
    found = read_faces(network, [face], OLD[:3]).errors[0]
    np.testing.assert_allclose(found[inside], 100 * errors[inside], rtol=1e-3)


def test_nothing_labelled_is_refused(mouse):
    start = Model("official", KeypointNetwork(4, SIZES).eval(), OLD, "")
    bare = [replace(face, xy=face.xy * np.nan) for face in _faces(mouse, OLD, [0])]
    with pytest.raises(ValueError, match="labelled frames to learn from; found none"):
        refine(bare, OLD, start)
