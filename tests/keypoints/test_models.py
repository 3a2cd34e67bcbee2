from __future__ import annotations

import json
import pickle

import pytest
import torch

from napari_facemap.keypoints.models import ModelError, list_models, load_model, save_model
from napari_facemap.keypoints.network import KeypointNetwork
from napari_facemap.keypoints.skeleton import FACEMAP_KEYPOINTS, KEYPOINTS

NAMES = ("a", "b", "c")


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "mine.safetensors"
    save_model(KeypointNetwork(3, (2, 3, 4, 5, 6)), path, {"keypoints": NAMES})
    return path


def test_built_in_model_comes_first_and_loads_with_a_true_card():
    assert list_models()[0] == "mouse-face"
    model = load_model()
    assert model.keypoints == KEYPOINTS
    assert model.card["sha256"] == model.sha256
    assert model.card["input_size"] == 256


def test_saving_and_loading_keep_names_and_weights(saved):
    model = load_model(saved)
    assert model.keypoints == NAMES
    assert model.name == "mine"
    assert all(p.dtype == torch.float32 for p in model.network.parameters())


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


def test_damage_is_named_in_one_line(saved, tmp_path):
    for damage, words in (
        (lambda: saved.write_bytes(saved.read_bytes()[:500]), "damage"),
        (lambda: saved.with_suffix(".json").unlink(), "card"),
        (lambda: saved.with_suffix(".json").write_text("{"), "JSON"),
        (lambda: saved.with_suffix(".json").write_text('{"keypoints": ["a"]}'), "3 keypoints"),
    ):
        save_model(KeypointNetwork(3, (2, 3, 4, 5, 6)), saved, {"keypoints": NAMES})
        damage()
        with pytest.raises(ModelError, match=words) as caught:
            load_model(saved)
        assert "\n" not in str(caught.value)


def test_weights_that_are_not_the_cards_are_refused(saved):
    card = json.loads(saved.with_suffix(".json").read_text())
    saved.with_suffix(".json").write_text(json.dumps(card | {"sha256": "f" * 64}))
    with pytest.raises(ModelError, match="not those that the card"):
        load_model(saved)


def test_unknown_names_are_answered_with_the_known():
    with pytest.raises(ModelError, match="mouse-face"):
        load_model("no-such-model")
