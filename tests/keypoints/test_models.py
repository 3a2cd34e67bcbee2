from __future__ import annotations

import hashlib
import json
import pickle

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from napari_facemap.keypoints.calibration import Calibration
from napari_facemap.keypoints.models import (
    BUILT_IN,
    ModelError,
    halved,
    list_models,
    load_model,
    save_model,
)
from napari_facemap.keypoints.network import KeypointNetwork
from napari_facemap.keypoints.point_network import PointNetwork
from napari_facemap.keypoints.skeleton import FACEMAP_KEYPOINTS, KEYPOINTS

NAMES = ("a", "b", "c")


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "mine.safetensors"
    save_model(KeypointNetwork(3, (2, 3, 4, 5, 6)), path, {"keypoints": NAMES})
    return path


def test_built_in_model_comes_first_and_loads_with_its_card_and_calibration():
    assert list_models()[0] == "mouse-face"
    model = load_model()
    assert model.keypoints == KEYPOINTS
    assert isinstance(model.network, PointNetwork)
    assert model.card["input_size"] == 256
    assert tuple(model.card["widths"]) == model.network.widths
    assert model.calibration.n_labels > 0
    content = (BUILT_IN / "mouse-face.safetensors").read_bytes()
    assert model.sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("kind", [KeypointNetwork, PointNetwork])
def test_saving_and_loading_keep_names_weights_and_card(tmp_path, kind):
    torch.manual_seed(0)
    network = kind(3, (2, 3, 4, 5, 6)).eval()
    card = {"keypoints": list(NAMES), "where": "Zürich", "errors": {"a": 1.25, "b": None}}
    save_model(network, tmp_path / "mine.safetensors", card)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.safetensors"]
    model = load_model(tmp_path / "mine.safetensors")
    assert model.keypoints == NAMES
    assert model.name == "mine"
    assert model.card == card
    assert model.calibration is None
    assert not model.network.training
    again = model.network.state_dict()
    for name, value in network.state_dict().items():
        assert again[name].dtype == value.dtype
        torch.testing.assert_close(again[name], value, atol=1e-6, rtol=1e-3)


def test_a_calibration_in_the_card_is_read(tmp_path):
    known = Calibration(-10.0, -3.0, -0.5, 0.8, {"eye": 0.1}, {"eye": -0.1}, 99)
    card = {"keypoints": NAMES, "calibration": known.card()}
    save_model(PointNetwork(3, (2, 3, 4, 5, 6)), tmp_path / "mine.safetensors", card)
    assert load_model(tmp_path / "mine.safetensors").calibration == known
    card["calibration"].pop("slope")
    save_model(PointNetwork(3, (2, 3, 4, 5, 6)), tmp_path / "mine.safetensors", card)
    with pytest.raises(ModelError, match=r"mine\.safetensors: expected the calibration"):
        load_model(tmp_path / "mine.safetensors")


def test_the_users_folder_is_listed(saved, monkeypatch):
    monkeypatch.setenv("NAPARI_FACEMAP_MODELS", str(saved.parent))
    assert "mine" in list_models()
    assert load_model("mine").keypoints == NAMES


def test_facemaps_files_load_with_and_without_parameters(tmp_path):
    network = KeypointNetwork(15, (2, 3, 4, 5, 6))
    torch.save(network.state_dict(), tmp_path / "facemap_model_state.pt")
    assert load_model(tmp_path / "facemap_model_state.pt").keypoints == FACEMAP_KEYPOINTS
    names = [f"point {k}" for k in range(15)]
    torch.save({"params": {"bodyparts": names}}, tmp_path / "facemap_model_params.pth")
    assert load_model(tmp_path / "facemap_model_state.pt").keypoints == tuple(names)


class _Harmful:
    def __reduce__(self):
        return (open, ("harm-was-done", "w"))


def test_code_in_a_file_is_not_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"x": _Harmful()}, tmp_path / "evil.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(_Harmful()))
    for name in ("evil.pt", "plain.pt"):
        with pytest.raises(ModelError, match=name):
            load_model(tmp_path / name)
    assert not (tmp_path / "harm-was-done").exists()


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        (None, "card"),
        ({"other": "text"}, "card"),
        ({"card": "{"}, "card"),
        ({"card": "[1]"}, "card"),
        ({"card": "{}"}, "keypoints"),
        ({"card": '{"keypoints": 3}'}, "card"),
        ({"card": '{"keypoints": ["a"]}'}, "3 keypoints"),
        ({"card": '{"keypoints": ["a", "b", "a"]}'}, "once"),
        ({"card": '{"keypoints": ["a", "b", "c/d"]}'}, "c/d"),
    ],
)
def test_a_bad_card_is_named_in_one_line(tmp_path, metadata, words):
    network = PointNetwork(3, (2, 3, 4, 5, 6))
    save_file(network.state_dict(), tmp_path / "mine.safetensors", metadata=metadata)
    with pytest.raises(ModelError, match=words) as caught:
        load_model(tmp_path / "mine.safetensors")
    assert "mine.safetensors" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_damage_is_named_in_one_line(saved):
    whole = saved.read_bytes()
    for damaged in (whole[:500], whole[:-9], b"", b"x" * 100):
        saved.write_bytes(damaged)
        with pytest.raises(ModelError, match="damage") as caught:
            load_model(saved)
        assert "\n" not in str(caught.value)


def test_a_card_that_is_not_json_is_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        save_model(
            PointNetwork(3, (2, 3, 4, 5, 6)),
            tmp_path / "mine.safetensors",
            {"keypoints": NAMES, "error": float("nan")},
        )
    assert list(tmp_path.iterdir()) == []


def test_unknown_names_are_answered_with_the_known():
    with pytest.raises(ModelError, match="mouse-face"):
        load_model("no-such-model")


def test_a_file_that_was_cut_off_is_refused_in_one_line(tmp_path):
    path = tmp_path / "cut.pt"
    torch.save(KeypointNetwork(15, (2, 3, 4, 5, 6)).state_dict(), path)
    for length in (40, 5000, 20000):
        (tmp_path / f"{length}.pt").write_bytes(path.read_bytes()[:length])
        with pytest.raises(ModelError, match="tensors only"):
            load_model(tmp_path / f"{length}.pt")


def test_what_is_no_model_by_its_name_is_refused_in_plain_words(tmp_path):
    path = tmp_path / "mouse.mp4"
    path.write_bytes(b"a video")
    with pytest.raises(ModelError, match=r"expected a model's \.safetensors.*found \.mp4"):
        load_model(path)


@given(st.binary(max_size=60))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_other_file_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "other.pt"
    path.write_bytes(content)
    with pytest.raises(ModelError):
        load_model(path)


def test_a_halved_copy_has_the_weights_that_are_saved(tmp_path):
    torch.manual_seed(0)
    network = PointNetwork(3, (2, 3, 4, 5, 6), (1, 0, 1, 0)).train()
    copied = halved(network)
    assert not copied.training
    assert network.training
    assert (copied.n_keypoints, copied.widths, copied.depths) == (3, network.widths, (1, 0, 1, 0))
    save_model(network, tmp_path / "mine.safetensors", {"keypoints": NAMES})
    saved = load_model(tmp_path / "mine.safetensors").network.state_dict()
    changed = 0
    for name, value in copied.state_dict().items():
        assert torch.equal(value, saved[name])
        changed += not torch.equal(value, network.state_dict()[name])
    assert changed > 10


def test_a_halved_copy_is_not_rounded_and_the_model_stays(saved):
    model = load_model()
    rounding = model.network.rounding
    assert rounding is not None
    copied = halved(model.network)
    assert copied.rounding is None
    assert model.network.rounding is rounding
    pictures = torch.rand(1, 1, 256, 256)
    with torch.inference_mode():
        one, other = copied(pictures)[0], model.network(pictures)[0]
    assert not torch.equal(one, other)
    assert torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1] > 0.98


def test_facemaps_layout_has_no_rounding_in_its_file(saved):
    with safe_open(saved, framework="pt") as file:
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    assert not [name for name in state if name.startswith("rounding.")]
    save_file(state | {"rounding.scale": torch.ones(3)}, saved, metadata=metadata)
    with pytest.raises(ModelError, match=r"mine\.safetensors: .*rounding\.scale"):
        load_model(saved)


def test_a_damaged_rounding_is_refused_with_the_files_name(tmp_path):
    model = load_model()
    state = {n: v.clone() for n, v in model.network.state_dict().items()}
    rounding = model.network.rounding.state()
    for name, change in (
        ("rounding.scale", lambda v: v[1:]),
        ("rounding.scale", lambda v: v * torch.nan),
        ("rounding.zero", lambda v: v + 300),
        ("rounding.bias.0", lambda v: v[1:].clone()),
        ("rounding.bias.0", lambda v: v * torch.inf),
    ):
        damaged = state | rounding | {name: change(rounding[name]).contiguous()}
        path = tmp_path / "damaged.safetensors"
        save_file(damaged, path, metadata={"card": json.dumps({"keypoints": KEYPOINTS})})
        with pytest.raises(
            ModelError, match=r"damaged\.safetensors: expected a rounding"
        ) as error:
            load_model(path)
        assert "\n" not in str(error.value)
