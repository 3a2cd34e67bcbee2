from __future__ import annotations

import json
import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_facemap import refining
from napari_facemap.cli import main
from napari_facemap.files.label_project import LabelProject
from napari_facemap.keypoints import training
from napari_facemap.keypoints.models import list_models, load_model, save_model
from napari_facemap.keypoints.network import KeypointNetwork
from napari_facemap.progress import ProgressBar

NAMES = ("eye(back)", "eye(front)", "nose(tip)")


@pytest.fixture(autouse=True)
def quick(tmp_path, monkeypatch):
    """Small batches, no simulated mice, and models of this test's own."""
    monkeypatch.setenv("NAPARI_FACEMAP_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(refining, "_MICE", 0)
    usual = refining.FACEMAP_OPTIONS
    how = replace(usual, batch_size=2, evaluate_every=2, learning_rate=1e-2, fixed_norms=False, enough=0,
                  average=0.5)  # fmt: skip
    monkeypatch.setattr(refining, "FACEMAP_OPTIONS", how)


@pytest.fixture
def start(tmp_path):
    """A small model to start from, with a file of its own."""
    torch.manual_seed(0)
    path = tmp_path / "start.safetensors"
    save_model(KeypointNetwork(3, (4, 4, 8, 8, 8)), path, {"keypoints": NAMES})
    return str(path)


@pytest.fixture
def project(tmp_path, eye_and_nose):
    """Make a project of so many labelled frames."""

    def project(n, place="mouse", keypoints=NAMES, seed=0):
        made = LabelProject(tmp_path / place, keypoints)
        video = made.add_video(tmp_path / f"{made.folder.name}.mp4")
        for frame, (image, xy) in enumerate(eye_and_nose(n, seed)):
            points = {name: tuple(xy[:, k]) for k, name in enumerate(NAMES) if name in keypoints}
            made.set_labels(video, 10 * frame, points, image)
        return str(made.folder)

    return project


@pytest.fixture
def eye_and_nose():
    def faces(n, seed):
        rng = np.random.default_rng(seed)
        y, x = np.mgrid[:96, :128]
        half = np.array([8, 0])
        for _ in range(n):
            eye, nose = rng.uniform((80, 30), (105, 50)), rng.uniform((20, 40), (45, 70))
            image = 120 - 110 * (((x - eye[0]) ** 2 + (y - eye[1]) ** 2) < 64)
            image = image + 100 * np.exp(-((x - nose[0]) ** 2 + (y - nose[1]) ** 2) / 30)
            xy = np.stack([eye + half, eye - half, nose], axis=1)
            yield np.clip(image, 0, 255).astype(np.uint8), xy

    return faces


def test_a_project_makes_a_model_under_its_name(project, start, tmp_path, capsys):
    assert main(["refine", project(10), "--from", start, "--steps", "6", "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    for fact in ("10 labelled frames", "learns from 8 frames, 2 are held out", "img00000020.png",
                 "median", "min left", "--model mouse"):  # fmt: skip
        assert fact in said
    assert "mouse" in list_models()
    model = load_model("mouse")
    assert model.keypoints == NAMES
    assert model.card["project"] == "mouse"
    assert model.card["refined_from"]["name"] == "start"
    for when in ("before", "after"):
        assert model.card[f"validation_error_{when}"]["median"] > 0
    assert (tmp_path / "models" / "mouse.png").stat().st_size > 1000


def test_several_projects_have_all_keypoints_and_each_says_nothing_of_the_others(
    project, start, tmp_path, monkeypatch, capsys
):
    """Two folders of one name: their frames are told apart."""
    first = project(2, "a/labels", NAMES[:2])
    second = project(3, "b/labels", (NAMES[2], "tongue"), seed=1)
    seen = {}
    real = refining.refine

    def refine(faces, keypoints, *args, **kwargs):
        seen.update(faces=faces, keypoints=keypoints)
        return real(faces, keypoints, *args, **kwargs)

    monkeypatch.setattr(refining, "refine", refine)
    assert main(["refine", first, second, "--from", start, "--steps", "2", "--name", "two",
                 "--device", "cpu"]) == 0  # fmt: skip
    assert seen["keypoints"] == (*NAMES, "tongue")
    assert len({face.source for face in seen["faces"]}) == 5
    for face in seen["faces"][:2]:
        assert np.isfinite(face.xy[:, :2]).all()
        assert np.isnan(face.xy[:, 2:]).all()
        assert not face.hidden[2:].any()
    said = capsys.readouterr().out
    assert "new keypoints: tongue" in said
    assert "0 are held out" in said
    model = load_model("two")
    assert model.keypoints == (*NAMES, "tongue")
    assert model.card["validation_error_after"] is None


def test_interrupted_it_keeps_the_best_so_far_and_says_so(project, start, monkeypatch, capsys):
    folder = project(10)
    monkeypatch.setattr(
        ProgressBar, "__call__",
        lambda _, done, total: os.kill(os.getpid(), signal.SIGINT) if done == 3 else None,
    )  # fmt: skip
    assert main(["refine", folder, "--from", start, "--steps", "40", "--device", "cpu"]) == 130
    assert "interrupted after step 3: the best so far is kept" in capsys.readouterr().out
    assert load_model("mouse").card["history"][-1]["step"] == 3


def test_nothing_is_saved_when_nothing_better_was_learnt(
    project, start, tmp_path, monkeypatch, capsys
):
    scores = iter([1.0, 2.0, 3.0, 4.0])
    real = training.summary
    monkeypatch.setattr(training, "summary", lambda *a: real(*a) | {"score": next(scores)})
    folder = project(10)
    assert main(["refine", folder, "--from", start, "--steps", "4", "--device", "cpu"]) == 2
    assert "no model was saved" in capsys.readouterr().err
    assert list((tmp_path / "models").iterdir()) == []


def test_a_file_of_ones_own_is_written_with_its_curve(project, start, tmp_path):
    out = tmp_path / "out" / "mine.safetensors"
    arguments = ["refine", project(3), "--from", start, "--steps", "2", "--output", str(out),
                 "--device", "cpu"]  # fmt: skip
    assert main(arguments) == 0
    assert load_model(out).keypoints == NAMES
    assert sorted(path.name for path in out.parent.iterdir()) == [
        "mine.png", "mine.safetensors",
    ]  # fmt: skip
    before = out.read_bytes()
    assert main(arguments) == 2
    assert out.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "nowhere: no such folder"),
        (["EMPTY"], "expected a folder with project.json"),
        (["PROJECT", "--name", "mouse-face"], "'mouse-face' already"),
        (["PROJECT", "--name", "../up"], "name of letters"),
        (["PROJECT", "--from", "nothing"], "No keypoint model 'nothing'"),
        (["PROJECT", "--output", "a.pt"], ".safetensors"),
        (["PROJECT", "--steps", "0"], "at least 1"),
        (["UNLABELLED"], "bare: expected labelled frames to learn from; found none. Label some"),
    ],
)
def test_bad_input_is_one_line_and_code_2(project, tmp_path, capsys, arguments, words):
    (tmp_path / "empty").mkdir()
    places = {"PROJECT": project(2), "UNLABELLED": project(0, "bare"),
              "EMPTY": str(tmp_path / "empty")}  # fmt: skip
    assert main(["refine", *[places.get(a, a) for a in arguments]]) == 2
    (said,) = capsys.readouterr().err.splitlines()  # found out before anything is begun
    assert said.startswith("napari-facemap: ")
    assert words in said
    assert json.loads((tmp_path / "mouse" / "project.json").read_text())["keypoints"] == [*NAMES]
