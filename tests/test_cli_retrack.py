from __future__ import annotations

import json
import os
import signal

import numpy as np
import pytest
import torch

from napari_facemap.cli import main
from napari_facemap.files.poses import read_poses, write_poses
from napari_facemap.keypoints.models import save_model
from napari_facemap.keypoints.network import KeypointNetwork
from napari_facemap.keypoints.store import KeypointStore
from napari_facemap.progress import ProgressBar
from napari_facemap.video.write import write_video


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "mouse.mp4"
    frames = np.random.default_rng(0).integers(0, 256, (12, 64, 80), np.uint8)
    write_video(path, frames, 40.0)
    return path


@pytest.fixture
def models(tmp_path):
    """Two models with different keypoints."""
    paths = []
    for seed, names in enumerate((["a", "b"], ["b", "c"])):
        torch.manual_seed(seed)
        paths.append(tmp_path / f"model{seed}.safetensors")
        save_model(KeypointNetwork(2, (2, 2, 4, 4, 4)), paths[-1], {"keypoints": names})
    return [str(path) for path in paths]


@pytest.fixture
def tracked(video, models, tmp_path):
    """Keypoints of the whole video, one of which was edited."""
    path = tmp_path / "out.h5"
    assert main(["track", str(video), "--model", models[0], "--whole", "--output", str(path)]) == 0
    store = KeypointStore(read_poses(path))
    store.place(5, {"b": (7.0, 8.0)})
    write_poses(store.to_poses(), path)
    return path


def test_a_stretch_is_new_and_the_rest_and_edits_stay(video, models, tracked, tmp_path, capsys):
    before = read_poses(tracked)
    arguments = ["track", str(video), "--model", models[1], "--frames", "4", "8",
                 "--into", str(tracked)]  # fmt: skip
    assert main(arguments) == 0
    assert "frames 4 to 7 are new, 1 edited points stayed" in capsys.readouterr().out
    after = read_poses(tracked)
    assert list(after["keypoint"].values) == ["a", "b", "c"]
    changed = (after["position"].sel(keypoint="b") != before["position"].sel(keypoint="b")).any(
        "space"
    )
    assert np.flatnonzero(changed).tolist() == [4, 6, 7]
    assert after["position"].sel(keypoint="b")[5].values.tolist() == [7, 8]
    assert after.attrs["complete"] == 1
    assert json.loads(after.attrs["retracked"])[0]["model"] == "model1"
    whole = tmp_path / "whole.h5"
    main(["track", str(video), "--model", models[1], "--whole", "--output", str(whole)])
    own = read_poses(whole)["position"].sel(keypoint="c")[4:8]
    np.testing.assert_allclose(after["position"].sel(keypoint="c")[4:8], own, atol=1e-3)


def test_the_result_may_go_elsewhere(video, models, tracked, tmp_path):
    before, out = tracked.read_bytes(), tmp_path / "new.h5"
    arguments = ["track", str(video), "--model", models[1], "--frames", "4", "8",
                 "--into", str(tracked), "--output", str(out)]  # fmt: skip
    assert main(arguments) == 0
    assert tracked.read_bytes() == before
    assert "retracked" in read_poses(out).attrs
    assert main(arguments) == 2
    assert main([*arguments, "--overwrite"]) == 0


def test_interrupted_it_leaves_the_file_as_it_was(video, models, tracked, monkeypatch, capsys):
    before = tracked.read_bytes()
    monkeypatch.setattr(ProgressBar, "__call__", lambda *_: os.kill(os.getpid(), signal.SIGINT))
    arguments = ["track", str(video), "--model", models[1], "--frames", "0", "12",
                 "--into", str(tracked), "--batch-size", "2"]  # fmt: skip
    assert main(arguments) == 130
    assert "left as it was" in capsys.readouterr().out
    assert tracked.read_bytes() == before


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--frames", "0", "4"], "--frames and --into together"),
        (["--into", "FILE"], "--frames and --into together"),
        (["--into", "FILE", "--frames", "4", "4"], "found 4 to 4"),
        (["--into", "FILE", "--frames", "0", "13"], "from 0 to 12"),
        (["--into", "nowhere.h5", "--frames", "0", "4"], "nowhere.h5"),
        (["--into", "FILE", "--frames", "0", "4", "--compat", "facemap"], "no --compat"),
    ],
)
def test_bad_input_is_one_line_and_code_2(video, models, tracked, capsys, more, words):
    before = tracked.read_bytes()
    capsys.readouterr()
    arguments = [str(tracked) if a == "FILE" else a for a in more]
    assert main(["track", str(video), "--model", models[0], *arguments]) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("napari-f")]
    assert len(said) == 1
    assert words in said[0]
    assert tracked.read_bytes() == before
