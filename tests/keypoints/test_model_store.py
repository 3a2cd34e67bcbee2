from __future__ import annotations

import json

import pytest
import torch

from napari_facemap.keypoints.model_store import (
    add_model,
    describe_model,
    describe_models,
    export_model,
    new_model_path,
    remove_model,
)
from napari_facemap.keypoints.models import (
    BUILT_IN,
    ModelError,
    list_models,
    load_model,
    save_model,
)
from napari_facemap.keypoints.network import KeypointNetwork
from napari_facemap.keypoints.point_network import PointNetwork
from napari_facemap.keypoints.skeleton import KEYPOINTS

SIZES = (2, 3, 4, 5, 6)
CARD = {
    "keypoints": ["a", "b"],
    "date": "2026-01-02",
    "refined_from": {"name": "mouse-face", "sha256": "0"},
    "validation_error_after": {"median": 1.5},
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_FACEMAP_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture
def mine(tmp_path, folder):
    """A file of ours that is not among the models yet."""
    save_model(PointNetwork(2, (2,) * 5), tmp_path / "mine.safetensors", CARD)
    return tmp_path / "mine.safetensors"


@pytest.fixture
def theirs(tmp_path, folder):
    """Files of Facemap's with other keypoints."""
    (tmp_path / "lab").mkdir()
    torch.save(KeypointNetwork(2, SIZES).state_dict(), tmp_path / "lab" / "paws.pt")
    content = {"params": {"channels": list(SIZES), "bodyparts": ["left", "right"]}}
    torch.save(content, tmp_path / "lab" / "facemap_model_params.pth")
    return tmp_path / "lab" / "paws.pt"


def test_the_list_says_where_models_come_from(mine, theirs):
    add_model(mine)
    add_model(theirs)
    found = {info.name: info for info in describe_models()}
    assert list(found) == list_models()
    built_in, own, other = (found[name] for name in ("mouse-face", "mine", "paws"))
    assert built_in.origin == "built-in"
    assert built_in.keypoints == KEYPOINTS
    assert 0 < built_in.error < 5
    assert (own.origin, own.date, own.error) == ("refined from mouse-face", "2026-01-02", 1.5)
    assert own.keypoints == ("a", "b")
    assert (other.origin, other.keypoints) == ("Facemap's layout", ("left", "right"))
    assert other.error is None
    assert not any(info.problem for info in found.values())


def test_a_trained_model_without_held_out_frames_has_no_error(tmp_path, folder):
    save_model(PointNetwork(1, (2,) * 5), folder / "plain.safetensors", {"keypoints": ["a"]})
    assert describe_model("plain").origin == "trained"
    assert describe_model("plain").error is None


def test_damaged_models_are_listed_with_what_is_wrong(folder):
    (folder / "odd").mkdir(parents=True)
    (folder / "odd" / "facemap_model_state.pt").write_text("no")
    (folder / "broken.safetensors").write_text("no")
    found = {info.name: info for info in describe_models()}
    assert "cannot be read" in found["broken"].problem
    assert "tensors only" in found["odd"].problem


def test_added_models_are_loaded_by_name_and_the_same(mine, theirs):
    for path, name in ((mine, "mine"), (theirs, "paws")):
        before = load_model(path)
        info = add_model(path)
        after = load_model(name)
        assert info.name == after.name == name
        assert after.sha256 == before.sha256
        assert after.keypoints == before.keypoints
    assert mine.exists()
    assert theirs.exists()


def test_what_is_no_model_is_not_added(tmp_path, folder):
    (tmp_path / "no.safetensors").write_text("no")
    (tmp_path / "no.pt").write_text("no")
    for name in ("no.safetensors", "no.pt", "nowhere.pt"):
        with pytest.raises(ModelError, match=name):
            add_model(tmp_path / name)
    assert not folder.exists()


def test_another_model_is_never_overwritten(mine, theirs, folder):
    add_model(mine)
    before = (folder / "mine.safetensors").read_bytes()
    with pytest.raises(ModelError, match=r"There is a model 'mine' already.*remove"):
        add_model(mine)
    with pytest.raises(ModelError, match="'MINE' already"):
        add_model(theirs, "MINE")
    with pytest.raises(ModelError, match="'mouse-face' already"):
        add_model(theirs, "mouse-face")
    assert (folder / "mine.safetensors").read_bytes() == before
    assert add_model(mine, "mine too").name == "mine too"


@pytest.mark.parametrize(
    "name", ["", "../up", "a/b", "a\\b", ".hidden", "nul\0", "a.", "a ", "-f"]
)
def test_names_that_are_no_file_names_are_refused(mine, name):
    with pytest.raises(ModelError, match="name of letters"):
        new_model_path(name)


def test_names_in_other_scripts_and_with_dots_are_fine(mine):
    for name in ("Mäuse 2", "v1.2", "鼠"):
        add_model(mine, name)
        assert load_model(name).name == name
        assert remove_model(name).is_file()


def test_removed_models_are_kept_aside(mine, theirs, folder):
    for _ in range(2):
        add_model(mine)
        (folder / "mine.png").write_text("curve")
        add_model(theirs, "v1.2")
        first, second = remove_model("mine"), remove_model("v1.2")
        assert load_model(first).keypoints == ("a", "b")
        assert load_model(second / "facemap_model_state.pt").keypoints == ("left", "right")
        assert list_models() == [info.name for info in describe_models()]
        assert not {"mine", "v1.2", "removed"} & set(list_models())
    assert sorted(path.name for path in (folder / "removed").iterdir()) == [
        "mine-2.png", "mine-2.safetensors", "mine.png", "mine.safetensors", "v1.2", "v1.2-2",
    ]  # fmt: skip


def test_the_built_in_model_stays(folder):
    with pytest.raises(ModelError, match="built in"):
        remove_model("mouse-face")
    with pytest.raises(ModelError, match="There is no model 'nothing'"):
        remove_model("nothing")
    assert (BUILT_IN / "mouse-face.safetensors").is_file()


def test_an_exported_model_is_the_same(mine, theirs, tmp_path):
    add_model(mine)
    add_model(theirs)
    assert export_model("mine", tmp_path / "out" / "a.safetensors") == [
        tmp_path / "out" / "a.safetensors"
    ]
    assert (tmp_path / "out" / "a.safetensors").read_bytes() == mine.read_bytes()
    weights, parameters = export_model("paws", tmp_path / "out" / "b.pt")
    assert weights.read_bytes() == theirs.read_bytes()
    assert load_model(weights).keypoints == ("left", "right")
    assert parameters.name == "facemap_model_params.pth"


def test_a_refined_model_of_facemaps_layout_is_exported_as_facemap_reads_it(folder, tmp_path):
    torch.manual_seed(0)
    network = KeypointNetwork(2, SIZES).eval()
    save_model(network, folder / "refined.safetensors", {"keypoints": ["left", "right"]})
    weights, parameters = export_model("refined", tmp_path / "out.pt")
    found, kept = torch.load(weights, weights_only=True), load_model("refined").network
    assert found.keys() == kept.state_dict().keys()
    assert all(torch.equal(found[name], value) for name, value in kept.state_dict().items())
    content = torch.load(parameters, weights_only=True)["params"]
    assert content == {"channels": list(SIZES), "bodyparts": ["left", "right"]}


def test_exporting_overwrites_nothing_and_fits_the_layout(mine, theirs, tmp_path):
    add_model(mine)
    add_model(theirs)
    with pytest.raises(ModelError, match=r"mine\.safetensors: exists"):
        export_model("mine", mine)
    with pytest.raises(ModelError, match=r"a\.pt: expected a file that ends in \.safetensors"):
        export_model("mine", tmp_path / "a.pt")
    with pytest.raises(ModelError, match=r"ends in \.pt for paws; found \.safetensors"):
        export_model("paws", tmp_path / "a.safetensors")
    (tmp_path / "facemap_model_params.pth").write_text("somebody's")
    with pytest.raises(ModelError, match=r"facemap_model_params\.pth: exists"):
        export_model("paws", tmp_path / "a.pt")
    assert not (tmp_path / "a.pt").exists()


def test_the_card_survives_being_added(mine):
    assert load_model(add_model(mine).path).card == json.loads(json.dumps(CARD))
