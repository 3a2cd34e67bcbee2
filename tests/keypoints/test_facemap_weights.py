from __future__ import annotations

import io
import json
import shutil

import pytest
import torch

from napari_facemap.download import DownloadError, DownloadStopped
from napari_facemap.keypoints import facemap_weights
from napari_facemap.keypoints.facemap_weights import (
    FACEMAP_FILES,
    FetchRefused,
    about,
    fetch_facemap,
)
from napari_facemap.keypoints.model_store import add_model, remove_model
from napari_facemap.keypoints.models import ModelError, list_models, load_model, save_model
from napari_facemap.keypoints.network import KeypointNetwork
from napari_facemap.keypoints.point_network import PointNetwork
from napari_facemap.keypoints.skeleton import FACEMAP_KEYPOINTS

STATE, PARAMETERS = "facemap_model_state.pt", "facemap_model_params.pth"
SIZES = (2, 3, 4, 5, 6)


def _bytes(content):
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def _official(seed=0, n=15, names=FACEMAP_KEYPOINTS, channels=SIZES):
    torch.manual_seed(seed)
    parameters = {"params": {"channels": list(channels), "bodyparts": list(names)}}
    return {STATE: _bytes(KeypointNetwork(n, SIZES).state_dict()), PARAMETERS: _bytes(parameters)}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_FACEMAP_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture
def server(serve, folder):
    return serve(_official())


@pytest.fixture
def fetch(server):
    def fetch(progress=None, confirm=lambda _: True):
        files = {name: f"{server.url}/{name}" for name in FACEMAP_FILES}
        return fetch_facemap(confirm, progress, files)

    return fetch


def _left(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_it_is_fetched_listed_and_loaded_by_name(fetch, server, folder):
    calls = []
    model = fetch(lambda *call: calls.append(call))
    assert model.name == "facemap"
    assert model.keypoints == FACEMAP_KEYPOINTS
    assert "facemap" in list_models()
    assert load_model("facemap").sha256 == model.sha256
    assert (len(server.files[STATE]),) * 2 in calls
    assert _left(folder) == ["facemap/" + PARAMETERS, "facemap/" + STATE, "fetched.json"]
    assert (folder / "facemap" / STATE).read_bytes() == server.files[STATE]
    record = json.loads((folder / "fetched.json").read_text())["facemap"]
    assert record["files"][STATE]["sha256"] == model.sha256
    assert record["files"][PARAMETERS]["url"].endswith(PARAMETERS)


def test_what_is_there_is_not_fetched_or_asked_about_again(fetch, server):
    fetch()
    server.asked.clear()
    assert fetch(confirm=lambda _: pytest.fail("asked")).name == "facemap"
    assert server.asked == []


def test_nothing_is_fetched_unless_somebody_says_yes_to_the_licence(fetch, server, folder):
    said = []

    def no(text):
        said.append(text)
        return False

    with pytest.raises(FetchRefused):
        fetch(confirm=no)
    assert server.asked == []
    assert not folder.exists()
    for fact in ("GPL 3", "CC BY-NC 4.0", "no part of napari-facemap", str(folder), server.url):
        assert fact in said[0]


def test_a_stopped_fetch_goes_on(fetch, server, folder):
    with pytest.raises(DownloadStopped):
        fetch(lambda done, total: done < 8000)
    assert "facemap" not in list_models()
    server.asked.clear()
    fetch()
    assert [name for name, wanted in server.asked if wanted] == [server.asked[0][0]]
    assert "fetched.json" in _left(folder)


def test_a_cut_connection_is_gone_on_with(fetch, server):
    server.cut_after = [100, 9999, 4096]
    fetch()
    assert [name for name, _ in server.asked] == [PARAMETERS] * 2 + [STATE] * 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({STATE: b"<html>Sign in</html>"}, "tensors only"),
        ({STATE: b"<html>"[:0]}, "tensors only"),
        ({PARAMETERS: b"<html>Sign in</html>"}, "tensors only"),
        ({PARAMETERS: _bytes({"params": [1]})}, "list of keypoints"),
        ({STATE: _bytes({"weights": torch.ones(3)})}, "90 tensors"),
        (_official(n=14), "a name for each of the network's 14"),
        (_official(n=3, names="abc"), "expected Facemap's 15 keypoints"),
        (_official(channels=(2, 3, 4, 5, 7)), "do not belong together"),
        ({STATE: _bytes(PointNetwork(15).state_dict())}, "Facemap's layout"),
        (
            {STATE: _bytes({k: v * torch.nan if v.ndim == 4 else v for k, v in
                            KeypointNetwork(15, SIZES).state_dict().items()})},
            "finite",
        ),
    ],
)  # fmt: skip
def test_what_is_not_facemaps_network_is_refused_and_leaves_nothing(
    fetch, server, folder, change, words
):
    server.files |= change
    with pytest.raises(ModelError, match=words):
        fetch()
    assert _left(folder) == []
    assert "facemap" not in list_models()
    server.files |= _official()
    fetch()


def test_a_later_fetch_of_other_files_is_refused(fetch, server, folder):
    fetch()
    remove_model("facemap")
    server.files |= _official(seed=1)
    with pytest.raises(ModelError, match=r"expected sha256 \w{64}, found \w{64}.*fetched\.json"):
        fetch()
    assert "facemap" not in list_models()
    server.files |= _official()
    assert fetch().name == "facemap"
    remove_model("facemap")
    (folder / "fetched.json").unlink()
    server.files |= _official(seed=1)
    fetch()


@pytest.mark.parametrize("name", [STATE, PARAMETERS])
def test_files_that_were_changed_afterwards_are_not_loaded(fetch, folder, name):
    fetch()
    (folder / "facemap" / name).write_bytes(_official(seed=1, channels=(1,) * 5)[name])
    with pytest.raises(ModelError, match=rf"{name}: expected the file that was fetched") as error:
        load_model("facemap")
    assert "\n" not in str(error.value)
    with pytest.raises(ModelError, match="expected the file that was fetched"):
        fetch()


def test_files_put_there_by_hand_are_used_and_then_recorded(fetch, server, folder):
    (folder / "facemap").mkdir(parents=True)
    for name, content in server.files.items():
        (folder / "facemap" / name).write_bytes(content)
    assert load_model("facemap").keypoints == FACEMAP_KEYPOINTS
    assert _left(folder) == ["facemap/" + PARAMETERS, "facemap/" + STATE]
    fetch(confirm=lambda _: pytest.fail("asked"))
    assert server.asked == []
    assert "fetched.json" in _left(folder)


def test_somebody_elses_model_of_that_name_is_kept(fetch, folder, tmp_path):
    save_model(PointNetwork(1, (2,) * 5), tmp_path / "facemap.safetensors", {"keypoints": ["a"]})
    add_model(tmp_path / "facemap.safetensors")
    assert fetch().keypoints == FACEMAP_KEYPOINTS
    assert "removed/facemap.safetensors" in _left(folder)
    assert load_model("facemap").keypoints == FACEMAP_KEYPOINTS


def test_a_damaged_record_is_said(fetch, folder):
    fetch()
    (folder / "fetched.json").write_text("{")
    with pytest.raises(ModelError, match=r"fetched\.json: expected the hashes"):
        load_model("facemap")


def test_offline_says_what_to_do_by_hand(folder, monkeypatch):
    files = dict.fromkeys(FACEMAP_FILES, "http://127.0.0.1:9/file")
    monkeypatch.setattr(facemap_weights, "FACEMAP_FILES", files)
    with pytest.raises(DownloadError, match="cannot be reached") as error:
        fetch_facemap(lambda _: True)
    said = str(error.value)
    for fact in (STATE, PARAMETERS, "http://127.0.0.1:9/file", str(folder / "facemap")):
        assert fact in said
    assert "\n" not in said
    assert _left(folder) == []


def test_the_official_addresses_are_named():
    assert all(url in about() for url in FACEMAP_FILES.values())
    assert list(FACEMAP_FILES) == [PARAMETERS, STATE]


def test_real_files_of_random_weights(shared_data, tmp_path, folder):
    """Files that Facemap's own code wrote."""
    for name in (STATE, PARAMETERS):
        shutil.copy(shared_data / "reference" / "pose" / name, tmp_path / name)
    assert add_model(tmp_path / STATE).name == "facemap"
    model = fetch_facemap(lambda _: pytest.fail("asked"))
    assert model.keypoints == FACEMAP_KEYPOINTS
