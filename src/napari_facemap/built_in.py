"""How the built-in keypoint model is made: labelled mice mixed with mice made of code."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from napari_facemap.figures import draw_training
from napari_facemap.files.atomic import check_writable
from napari_facemap.files.deeplabcut import is_deeplabcut, read_deeplabcut
from napari_facemap.keypoints.augment import plain_view, random_view
from napari_facemap.keypoints.calibration import (
    FEWEST,
    Calibration,
    calibration_error,
    fit_calibration,
)
from napari_facemap.keypoints.evaluation import NEAR_PERCENT, Readings, read_faces, summary
from napari_facemap.keypoints.labels import LabelledFace, read_labelled_faces
from napari_facemap.keypoints.models import halved, save_model
from napari_facemap.keypoints.network import INPUT_SIZE
from napari_facemap.keypoints.point_network import PointNetwork
from napari_facemap.keypoints.runtimes.rounding import fit_rounding
from napari_facemap.keypoints.skeleton import KEYPOINTS
from napari_facemap.keypoints.training import TrainingOptions, options_card, train
from napari_facemap.keypoints.view import face_size
from napari_facemap.progress import Interruptible, ProgressBar
from napari_facemap.provenance import software
from napari_facemap.simulate.face import simulate_face

VALIDATION_MICE = ("Bellinda", "Giuseppina", "Ladon", "Oephelia", "SS109", "views/mouse2")
"""Parts of file names of the mice that the built-in model was not trained on."""

_ROUNDING_VIEWS = 64  # of each kind, that the 8-bit network is fitted to
_HELD_OUT_SHARE = 0.2  # of the recordings, where nobody says which are to be held out


def train_model(
    folders: Sequence[Path],
    output: Path,
    validation: Sequence[str] | None = None,
    options: TrainingOptions | None = None,
    device: str = "auto",
    n_mice: int = 240,
    workers: int = 1,
) -> dict[str, Any]:
    """Train a model on labelled and simulated faces and write it with its card.

    Stopped or crashed, it goes on where it was when it is called again in the same way.

    Parameters
    ----------
    folders : sequence of Path
        Folders with ``labels.csv``, see `read_labelled_faces`, or DeepLabCut projects, see
        `read_deeplabcut`.
    output : Path
        The .safetensors file to write. A picture of the error curve is written beside it, where
        until the training is done the checkpoint lies.
    validation : sequence of str, optional
        Pictures whose file name holds one of these are kept out of training and measured. By
        default `VALIDATION_MICE`, or where there are none of these a fifth of the recordings.
    options : TrainingOptions, optional
        How to train.
    device : {"auto", "cpu", "cuda", "mps"}
        What to compute on.
    n_mice : int
        Simulated mice to mix in.
    workers : int
        Processes that prepare views beside the training.

    Returns
    -------
    dict
        The card.

    Raises
    ------
    ValueError
        When a folder holds no labels, none are left for training, or a checkpoint of another
        training is in the way.
    TrainingStopped
        After Ctrl+C; what was learnt is in the checkpoint.
    """
    options = options or TrainingOptions()
    check_writable(output)
    labelled = [face for folder in folders for face in read_faces_of(folder)]
    kept, held_out = split_by_mouse(labelled, validation, options.seed)
    if not kept:
        raise ValueError(
            f"{folders[0]}: expected labelled pictures to train on, found {len(labelled)}, all "
            "of them held out for validation. Name fewer with --validation."
        )
    print(f"{len(kept)} pictures to train on, {len(held_out)} held out", flush=True)
    print(f"drawing {n_mice} simulated mice", flush=True)
    checkpoint = output.with_suffix(".checkpoint")
    simulated = simulated_faces(n_mice, seed=options.seed)
    with ProgressBar("training", "step") as bar, Interruptible() as go:

        def progress(done: int, total: int) -> bool:
            bar(done, total)
            return not go.stopped

        network, history = train(
            kept,
            held_out,
            KEYPOINTS,
            simulated,
            options,
            device,
            _print_row,
            checkpoint,
            workers,
            progress,
        )
    print("rounding to 8 bits", flush=True)
    network = round_network(network, kept, options)
    card = _card(network, kept, held_out, options, history)
    save_model(network, output, card)
    draw_training(history, output.with_suffix(".png"))
    checkpoint.unlink()
    return card


def read_faces_of(folder: Path) -> list[LabelledFace]:
    """Read the labelled pictures of a folder, whichever of the known kinds it is."""
    if is_deeplabcut(folder):
        return read_deeplabcut(folder, KEYPOINTS)
    return read_labelled_faces(folder, KEYPOINTS)


def split_by_mouse(
    faces: Sequence[LabelledFace], validation: Sequence[str] | None, seed: int = 0
) -> tuple[list[LabelledFace], list[LabelledFace]]:
    """Part labelled faces into those to train on and those to measure on.

    Parameters
    ----------
    faces : sequence of LabelledFace
        All of them.
    validation : sequence of str or None
        As in `train_model`.
    seed : int
        Of the choice of recordings.

    Returns
    -------
    kept, held_out : list of LabelledFace
        Pictures without eye and nose tip cannot be measured, and are in neither when they would
        have been held out.
    """
    parts = VALIDATION_MICE if validation is None else validation
    chosen = {f.source for f in faces if any(part in f.source for part in parts)}
    recordings = sorted({face.recording for face in faces})
    if validation is None and not chosen and len(recordings) > 1:
        n = max(1, round(_HELD_OUT_SHARE * len(recordings)))
        picked = set(np.random.default_rng(seed).choice(recordings, n, replace=False).tolist())
        chosen = {face.source for face in faces if face.recording in picked}
    kept = [face for face in faces if face.source not in chosen]
    held_out = [
        face
        for face in faces
        if face.source in chosen and np.isfinite(face_size(face.xy, KEYPOINTS))
    ]
    return kept, held_out


def simulated_faces(n_mice: int, per_mouse: int = 5, seed: int = 0) -> list[LabelledFace]:
    """Draw labelled pictures of simulated mice.

    Parameters
    ----------
    n_mice, per_mouse : int
        Mice, and pictures of each.
    seed : int
        Which mice.

    Returns
    -------
    list of LabelledFace
        With all keypoints labelled, or known to be hidden.
    """
    rng = np.random.default_rng(seed)
    mice = rng.integers(1000, 2**31, n_mice).tolist()
    return [face for mouse in mice for face in _pictures(mouse, per_mouse, rng)]


def round_network(
    network: PointNetwork,
    faces: Sequence[LabelledFace],
    options: TrainingOptions,
    keypoints: Sequence[str] = KEYPOINTS,
) -> PointNetwork:
    """Make a trained network one of eight bits, about four times as fast on processors.

    Parameters
    ----------
    network : PointNetwork
        Trained; stays as it is.
    faces : sequence of LabelledFace
        That it was trained on; the rounding is fitted to some of them as they are and to random
        views of some, from all recordings alike.
    options : TrainingOptions
        How it was trained.
    keypoints : sequence of str
        Of the labels.

    Returns
    -------
    PointNetwork
        With the weights that it has once it was saved.
    """
    rng = np.random.default_rng(options.seed)
    keypoints = tuple(keypoints)
    recordings: dict[str, list[LabelledFace]] = {}
    for face in faces:
        if np.isfinite(face.xy).any():
            recordings.setdefault(face.recording, []).append(face)
    in_turn = [
        of[k // len(recordings) % len(of)]
        for k, of in zip(range(_ROUNDING_VIEWS), cycle(recordings.values()), strict=False)
    ]
    views = [plain_view(face, keypoints)[0] for face in in_turn]
    views += [random_view(face, keypoints, rng, options.augmentation) for face in in_turn]
    pictures = torch.from_numpy(np.stack([view.image for view in views]))[:, None]
    copied = halved(network)
    return copied.round_to(fit_rounding(copied.plan(), pictures))


def calibrate(
    readings: Readings, recordings: Sequence[str]
) -> tuple[Calibration | None, float | None]:
    """Calibrate a model on faces that it was not trained on.

    Parameters
    ----------
    readings : Readings
        Of those faces.
    recordings : sequence of str
        Which recording each is of.

    Returns
    -------
    calibration : Calibration or None
        None with too few labels.
    error : float or None
        Expected calibration error on recordings that were left out of the fit in turn; None
        with fewer than two recordings.
    """
    errors = readings.errors / 100
    known = np.isfinite(errors)
    if known.sum() < FEWEST:
        return None, None
    confidence = np.full(errors.shape, np.nan)
    for recording in sorted(set(recordings)):
        out = np.array([other == recording for other in recordings])
        if known[~out].sum() < FEWEST:
            continue
        others = _fit(readings, errors, ~out)
        confidence[out] = others.confidence(
            readings.log_excess[out], readings.seen[out], KEYPOINTS
        )
    tried = known & np.isfinite(confidence)
    near = readings.errors[tried] <= NEAR_PERCENT
    error = calibration_error(confidence[tried], near) if tried.any() else None
    return _fit(readings, errors, np.ones(len(errors), bool)), error


def _fit(readings: Readings, errors: np.ndarray, faces: np.ndarray) -> Calibration:
    return fit_calibration(
        readings.log_excess[faces], readings.seen[faces], errors[faces], KEYPOINTS
    )


def _card(
    network: PointNetwork,
    kept: Sequence[LabelledFace],
    held_out: Sequence[LabelledFace],
    options: TrainingOptions,
    history: list[dict[str, Any]],
) -> dict[str, Any]:
    card = {
        "keypoints": list(KEYPOINTS),
        "input_size": INPUT_SIZE,
        "widths": list(network.widths),
        "depths": list(network.depths),
        "precision": "8-bit",
        "date": datetime.date.today().isoformat(),
        "software": software(),
        "training_pictures": _counts(kept),
        "training_recordings": sorted({face.recording for face in kept}),
        "training_labels": _labels(kept),
        "simulated_share": options.simulated_share,
        "validation_pictures": _counts(held_out),
        "validation_recordings": sorted({face.recording for face in held_out}),
        "options": options_card(options),
        "history": [{k: v for k, v in row.items() if k != "per_keypoint"} for row in history],
    }
    if not held_out:
        return card
    readings = read_faces(network, held_out, KEYPOINTS)
    calibration, error = calibrate(readings, [face.recording for face in held_out])
    sources = np.array([face.dataset for face in held_out])
    card["validation_error_percent_of_eye_to_nose"] = {
        "all": summary(readings.errors, KEYPOINTS),
        **{
            name: summary(readings.errors[sources == name], KEYPOINTS)
            for name in sorted({*sources})
        },
    }
    if calibration is not None:
        card["calibration"] = calibration.card()
        card["calibration_error_left_out_recordings"] = error
    return card


def _pictures(mouse: int, n: int, rng: np.random.Generator) -> Iterator[LabelledFace]:
    face = simulate_face(n_frames=2000, fps=50.0, size=(240, 320), seed=mouse)
    position = face.poses["position"].values.astype(float)
    for frame in rng.choice(len(position), n, replace=False).tolist():
        hidden = ~np.isfinite(position[frame]).all(axis=0)
        source = f"simulated/{mouse}/{frame}"
        yield LabelledFace(face.frame(frame), position[frame], source, hidden)


def _counts(faces: Sequence[LabelledFace]) -> dict[str, int]:
    return dict(Counter(face.dataset for face in faces))


def _labels(faces: Sequence[LabelledFace]) -> dict[str, int]:
    n = sum((np.isfinite(face.xy).all(axis=0).astype(int) for face in faces), start=0)
    return dict(zip(KEYPOINTS, np.asarray(n).tolist(), strict=True))


def _print_row(row: dict[str, Any]) -> None:
    line = f"step {row['step']:6d}  loss {row['loss']:.3f}"
    if "median" in row:
        line += f"  validation error: median {row['median']:.2f} %, p95 {row['p95']:.2f} %"
    tqdm.write(f"{line}  {tqdm.format_interval(row['seconds_left'])} left")
