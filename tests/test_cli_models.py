from __future__ import annotations

import io
import os
import signal
import sys

import pytest
import torch

from napari_facemap.cli import main
from napari_facemap.cli_models import _Bars
from napari_facemap.keypoints import facemap_weights
from napari_facemap.keypoints.facemap_weights import FACEMAP_FILES
from napari_facemap.keypoints.models import list_models, load_model, save_model
from napari_facemap.keypoints.network import KeypointNetwork
from napari_facemap.keypoints.point_network import PointNetwork
from napari_facemap.keypoints.skeleton import FACEMAP_KEYPOINTS

SIZES = (2, 3, 4, 5, 6)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_FACEMAP_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture
def mine(tmp_path, folder):
    path = tmp_path / "mine.safetensors"
    save_model(PointNetwork(2, (2,) * 5), path, {"keypoints": ["a", "b"]})
    return path


@pytest.fixture
def server(serve, folder, monkeypatch):
    """Facemap's two files, with random weights."""

    def content(saved):
        file = io.BytesIO()
        torch.save(saved, file)
        return file.getvalue()

    parameters = {"params": {"channels": list(SIZES), "bodyparts": list(FACEMAP_KEYPOINTS)}}
    names = list(FACEMAP_FILES)
    served = serve(
        {names[0]: content(parameters), names[1]: content(KeypointNetwork(15, SIZES).state_dict())}
    )
    files = {name: f"{served.url}/{name}" for name in names}
    monkeypatch.setattr(facemap_weights, "FACEMAP_FILES", files)
    return served


def test_the_way_of_a_model(mine, folder, tmp_path, capsys):
    assert main(["models", "add", str(mine), "--name", "other"]) == 0
    assert main(["models"]) == 0
    said = capsys.readouterr().out
    assert main(["models", "list"]) == 0
    assert capsys.readouterr().out in said
    lines = said.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["name", "mouse-face", "other"]
    assert str(folder) in said
    out = tmp_path / "out.safetensors"
    assert main(["models", "export", "other", str(out)]) == 0
    assert out.read_bytes() == mine.read_bytes()
    assert main(["models", "remove", "other"]) == 0
    assert str(folder / "removed" / "other.safetensors") in capsys.readouterr().out
    assert "other" not in list_models()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["add", "nowhere.pt"], "nowhere.pt: no such file"),
        (["add", "MINE", "--name", "a/b"], "name of letters"),
        (["remove", "nothing"], "no model 'nothing'"),
        (["remove", "mouse-face"], "built in"),
        (["export", "mouse-face", "MINE"], "exists"),
    ],
)
def test_bad_input_is_one_line_and_code_2(mine, capsys, arguments, words):
    before = mine.read_bytes()
    assert main(["models", *[str(mine) if a == "MINE" else a for a in arguments]]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert words in said
    assert mine.read_bytes() == before


def test_a_damaged_model_does_not_hide_the_others(mine, folder, capsys):
    main(["models", "add", str(mine)])
    (folder / "broken.safetensors").write_text("no")
    capsys.readouterr()
    assert main(["models"]) == 0
    said = capsys.readouterr()
    assert "mine" in said.out
    assert "broken: cannot be read" in said.err


def test_facemaps_model_is_fetched_and_known_by_name(server, capsys):
    assert main(["models", "fetch", "facemap", "--yes"]) == 0
    said = capsys.readouterr().out
    assert "CC BY-NC 4.0" in said
    assert load_model("facemap").sha256 in said
    assert main(["models"]) == 0
    assert "Facemap, fetched" in capsys.readouterr().out
    assert main(["info", "facemap"]) == 0
    assert '"name": "facemap"' in capsys.readouterr().out


def test_nobody_to_ask_needs_yes(server, capsys):
    assert main(["models", "fetch", "facemap"]) == 2
    assert "give --yes" in capsys.readouterr().err
    assert server.asked == []


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("yes", 0), ("", 130), ("no", 130)])
def test_somebody_is_asked(server, monkeypatch, capsys, answer, code):
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: answer)
    assert main(["models", "fetch", "facemap"]) == code
    assert ("facemap" in list_models()) == (code == 0)


def test_offline_is_one_line(folder, monkeypatch, capsys):
    files = dict.fromkeys(FACEMAP_FILES, "http://127.0.0.1:9/x")
    monkeypatch.setattr(facemap_weights, "FACEMAP_FILES", files)
    assert main(["models", "fetch", "facemap", "--yes"]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert "cannot be reached" in said
    assert str(folder / "facemap") in said
    assert list(folder.iterdir()) == []


def test_an_interrupted_fetch_goes_on(server, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        patch.setattr(_Bars, "__call__", lambda *_: os.kill(os.getpid(), signal.SIGINT))
        assert main(["models", "fetch", "facemap", "--yes"]) == 130
    assert "goes on from there" in capsys.readouterr().out
    assert "facemap" not in list_models()
    assert main(["models", "fetch", "facemap", "--yes"]) == 0


def test_who_is_asked_can_leave(server, monkeypatch, capsys):
    """By Ctrl+D, or by Ctrl+C, which waits for nothing there."""

    def end(_):
        raise EOFError

    def interrupt(_):
        os.kill(os.getpid(), signal.SIGINT)
        return "y"

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    for leave in (end, interrupt):
        monkeypatch.setattr("builtins.input", leave)
        assert main(["models", "fetch", "facemap"]) == 130
    assert server.asked == []
