"""How the built-in keypoint model is made: labelled mice mixed with mice made of code."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_facemap.keypoints.labels import LabelledFace, read_labelled_faces
from napari_facemap.keypoints.models import save_model
from napari_facemap.keypoints.network import INPUT_SIZE
from napari_facemap.keypoints.skeleton import KEYPOINTS
from napari_facemap.keypoints.training import TrainingOptions, options_card, train
from napari_facemap.provenance import software
from napari_facemap.simulate.face import simulate_face

VALIDATION_MICE = ("Bellinda", "Giuseppina2023-02", "Ladon", "Oephelia", "SS109")
"""Parts of file names of the mice that are kept out of training by default."""


def train_built_in(
    faces: Path,
    output: Path,
    validation: Sequence[str] = VALIDATION_MICE,
    options: TrainingOptions | None = None,
    device: str = "auto",
    n_mice: int = 100,
) -> dict[str, Any]:
    """Train a model on labelled and simulated faces and write it with its card.

    Parameters
    ----------
    faces : Path
        Folder with ``labels.csv``, see `read_labelled_faces`.
    output : Path
        The .safetensors file to write.
    validation : sequence of str
        Pictures whose file name holds one of these are kept out of training and measured.
    options : TrainingOptions, optional
        How to train.
    device : {"auto", "cpu", "cuda", "mps"}
        What to compute on.
    n_mice : int
        Simulated mice to mix in.

    Returns
    -------
    dict
        The card.

    Raises
    ------
    ValueError
        When the folder holds no labels, or none are left for training.
    """
    options = options or TrainingOptions()
    labelled = read_labelled_faces(faces, KEYPOINTS)
    held_out = [f for f in labelled if any(part in f.source for part in validation)]
    kept = [f for f in labelled if all(f is not other for other in held_out)]
    if not kept:
        raise ValueError(f"{faces}: expected labelled pictures to train on, found none.")
    print("drawing simulated mice", flush=True)
    network, history = train(
        kept,
        held_out,
        len(KEYPOINTS),
        SimulatedFaces(n_mice, seed=options.seed),
        options,
        device,
        _print_row,
    )
    card = {
        "keypoints": list(KEYPOINTS),
        "input_size": INPUT_SIZE,
        "channels": list(network.channels),
        "date": datetime.date.today().isoformat(),
        "software": software(),
        "training_pictures": _counts(kept),
        "training_labels": _labels(kept),
        "simulated_share": options.simulated_share,
        "validation_pictures": _counts(held_out),
        "validation_files_contain": list(validation),
        "validation_error_percent_of_eye_to_nose": _best(history),
        "options": options_card(options),
        "history": history,
    }
    save_model(network, output, card)
    return card


class SimulatedFaces:
    """Labelled pictures of simulated mice, drawn once and picked at random.

    Parameters
    ----------
    n_mice, per_mouse : int
        Mice, and pictures of each.
    seed : int
        Which mice.
    """

    def __init__(self, n_mice: int = 100, per_mouse: int = 8, seed: int = 0):
        rng = np.random.default_rng(seed)
        mice = rng.integers(1000, 2**31, n_mice).tolist()
        self.faces = [face for mouse in mice for face in _pictures(mouse, per_mouse, rng)]

    def __call__(self, rng: np.random.Generator) -> LabelledFace:
        """Pick one."""
        return self.faces[rng.integers(len(self.faces))]


def _pictures(mouse: int, n: int, rng: np.random.Generator) -> Iterator[LabelledFace]:
    face = simulate_face(n_frames=2000, fps=50.0, size=(240, 320), seed=mouse)
    position = face.poses["position"].values.astype(float)
    for frame in rng.choice(len(position), n, replace=False).tolist():
        yield LabelledFace(face.frame(frame), position[frame], f"simulated/{mouse}/{frame}")


def _counts(faces: Sequence[LabelledFace]) -> dict[str, int]:
    return dict(Counter(face.dataset for face in faces))


def _labels(faces: Sequence[LabelledFace]) -> dict[str, int]:
    n = sum((np.isfinite(face.xy).all(axis=0).astype(int) for face in faces), start=0)
    return dict(zip(KEYPOINTS, np.asarray(n).tolist(), strict=True))


def _best(history: list[dict[str, Any]]) -> dict[str, Any]:
    measured = [row for row in history if "median" in row]
    if not measured:
        return {}
    best = min(measured, key=lambda row: row["median"])
    known = {
        name: round(value, 2)
        for name, value in zip(KEYPOINTS, best["per_keypoint"], strict=True)
        if value is not None
    }
    return {"median": round(best["median"], 2), "p95": round(best["p95"], 2), "median_of": known}


def _print_row(row: dict[str, Any]) -> None:
    line = f"step {row['step']:6d}  loss {row['loss']:.3f}  {row['seconds']:.0f} s"
    if "median" in row:
        line += f"  validation error: median {row['median']:.2f} %, p95 {row['p95']:.2f} %"
    print(line, flush=True)
