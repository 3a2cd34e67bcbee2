"""Fine-tuning: a few labelled frames of one's own make a model one's own."""

from __future__ import annotations

import copy
import datetime
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_facemap.built_in import round_network, simulated_faces
from napari_facemap.keypoints.augment import Augmentation
from napari_facemap.keypoints.evaluation import read_faces, summary
from napari_facemap.keypoints.guessing import with_guesses
from napari_facemap.keypoints.labels import LabelledFace
from napari_facemap.keypoints.learners import Network
from napari_facemap.keypoints.models import Model, halved, like, save_model
from napari_facemap.keypoints.network import INPUT_SIZE, KeypointNetwork
from napari_facemap.keypoints.point_network import PointNetwork
from napari_facemap.keypoints.skeleton import KEYPOINTS
from napari_facemap.keypoints.training import Report, TrainingOptions, options_card, train
from napari_facemap.provenance import software

if TYPE_CHECKING:
    from napari_facemap.files.label_project import LabelProject

FEWEST_TO_HOLD_OUT = 8
"""With fewer labelled frames all are learnt from: one or two frames say too little."""

_EVERY = 5  # of the labelled frames, one is held out

OPTIONS = TrainingOptions(
    steps=240,
    batch_size=12,
    learning_rate=5e-4,
    average=0.97,
    simulated_share=0.2,
    evaluate_every=30,
    augmentation=Augmentation(rotation=15, scale=1.2, shift=0.07, far=0.1),
    patience=4,
    fixed_norms=True,
    enough=5,
)
"""How a model of our layout is fine-tuned on up to `_FEW` frames; on more it takes more steps.

Two frames held out chose an epoch a fifth worse on other frames of the recording than the last
one was, hence `enough`.
"""

FACEMAP_OPTIONS = replace(
    OPTIONS,
    learning_rate=3e-4,
    augmentation=replace(OPTIONS.augmentation, mirrored=0.5, empty=0.0),
)
"""How one of Facemap's layout is, which sees faces as they look, to the left or to the right."""

# Layers with a channel a keypoint, and the bias of a new one. Facemap's heat map is cut off at 0,
# below which nothing is learnt; ours holds everything for hidden that it does not know.
_HEADS: dict[type, dict[str, float]] = {
    PointNetwork: {"place": 0.0, "unseen": 6.0},
    KeypointNetwork: {"Conv2_1x1.conv0": 0.1, "Conv2_1x1.conv1": 0.0, "Conv2_1x1.conv2": 0.0},
}

_FEW = 20  # labelled frames
_MICE, _PER_MOUSE = 16, 4  # simulated, so that what was learnt before stays


@dataclass(frozen=True)
class Refined:
    """A fine-tuned network, and how it became better.

    Attributes
    ----------
    network : PointNetwork or KeypointNetwork
        Of the best epoch, with the weights that it has once it was saved; of our own layout
        rounded to 8 bits.
    keypoints : tuple of str
        Its keypoints.
    history : list of dict
        A row an epoch: step, training loss, and errors on the frames held out; the first is of
        the model before.
    before, after : dict or None
        Errors on the frames held out, see `summary`; None where none were. `before` is of the
        keypoints that the model before knew.
    kept, held_out : list of LabelledFace
        Frames learnt from, and frames measured on.
    options : TrainingOptions
        How it was trained.
    """

    network: Network
    keypoints: tuple[str, ...]
    history: list[dict[str, Any]]
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    kept: list[LabelledFace]
    held_out: list[LabelledFace]
    options: TrainingOptions = OPTIONS

    @property
    def best_step(self) -> int:
        """Step whose weights were kept; 0 is the model before."""
        measured = [row for row in self.history if "score" in row]
        if not measured:
            return int(self.history[-1]["step"])
        best = min(measured[::-1], key=lambda row: float(row["score"]))  # the last of the best
        return int(best["step"])


def refine(
    faces: Sequence[LabelledFace],
    keypoints: Sequence[str],
    model: Model,
    held_out: Sequence[LabelledFace] | None = None,
    options: TrainingOptions | None = None,
    device: str = "auto",
    report: Report | None = None,
    progress: Callable[[int, int], bool | None] | None = None,
    origin: Mapping[str, str] | None = None,
) -> Refined:
    """Fine-tune a model on labelled frames.

    What is not labelled on the frames shall not be forgotten: pictures of simulated mice, whose
    labels are known, are mixed in, and keypoints that the model itself is sure of count as
    labelled (see `with_guesses`), but never in the errors.

    Parameters
    ----------
    faces : sequence of LabelledFace
        Of any recordings.
    keypoints : sequence of str
        Of the labels; the refined model has these. What the model knew of those with the same
        names stays.
    model : Model
        To start from, of our own layout or of Facemap's, which keeps its layout and is trained
        as Facemap trains it.
    held_out : sequence of LabelledFace, optional
        Frames among `faces` to measure on. By default every fifth, where there are 8 or more.
    options : TrainingOptions, optional
        How to train; by default `OPTIONS`, or `FACEMAP_OPTIONS` for Facemap's layout, with more
        steps for many frames.
    device : {"auto", "cpu", "cuda", "mps"}
        What to compute on.
    report : callable, optional
        Called with each row of the history.
    progress : callable, optional
        Called with steps done and in all; when it returns False the fine-tuning stops, and the
        best epoch so far is kept.
    origin : mapping of str to str, optional
        Names that renamed keypoints had before, as in `LabelProject.origin`: by them the model
        knows keypoints that it does not know by their new names.

    Returns
    -------
    Refined

    Raises
    ------
    ValueError
        When no frame is labelled, or all are held out.
    """
    keypoints = tuple(keypoints)
    labelled = [face for face in faces if np.isfinite(face.xy).any()]
    if not labelled:
        raise ValueError("Expected labelled frames to learn from; found none. Label some first.")
    model = replace(model, keypoints=renamed(model.keypoints, keypoints, origin))
    own_layout = isinstance(model.network, PointNetwork)
    kept, measured = split(with_guesses(labelled, keypoints, model, device), held_out)
    if not kept:
        raise ValueError(
            f"Expected frames to learn from; all {len(measured)} are held out. Hold out fewer."
        )
    options = options or _options(own_layout, len(kept))
    start = with_keypoints(halved(model.network), model.keypoints, keypoints)
    simulated = []
    for mouse in range(_MICE):
        if progress is not None and progress(0, options.steps) is False:
            break
        simulated += simulated_faces(1, _PER_MOUSE, seed=mouse)
    known = renamed(KEYPOINTS, keypoints, origin)
    simulated = [relabelled(face, known, keypoints) for face in simulated]
    simulated = [face for face in simulated if np.isfinite(face.xy).any()]
    network, history = train(
        kept, measured, keypoints, simulated, options, device, report,
        progress=progress, start=start,
    )  # fmt: skip
    if progress is not None:
        progress(options.steps, options.steps)  # also when it ended early: what follows takes long
    refined = halved(network)
    if own_layout:
        # By the user's own pictures: with simulated ones among them points were a tenth worse.
        refined = round_network(network, kept, options, keypoints)
    return Refined(
        refined, keypoints, history, _errors(start, measured, keypoints, model.keypoints),
        _errors(refined, measured, keypoints), kept, measured, options,
    )  # fmt: skip


def _options(own_layout: bool, n_frames: int) -> TrainingOptions:
    usual = OPTIONS if own_layout else FACEMAP_OPTIONS
    epochs = usual.steps / usual.evaluate_every * math.sqrt(max(n_frames / _FEW, 1))
    return replace(usual, steps=round(epochs) * usual.evaluate_every)


def renamed(
    known: Sequence[str], wanted: Sequence[str], origin: Mapping[str, str] | None
) -> tuple[str, ...]:
    """Give keypoints the names that they have now.

    Parameters
    ----------
    known : sequence of str
        Names that a model knows.
    wanted : sequence of str
        Names of today.
    origin : mapping of str to str, optional
        From names of today to former ones.

    Returns
    -------
    tuple of str
        `known`, where a name that is no longer wanted is replaced by the one that came of it.
    """
    now = {old: new for new, old in (origin or {}).items() if new in wanted and new not in known}
    return tuple(now.get(name, name) if name not in wanted else name for name in known)


def faces_of(projects: Sequence[LabelProject], keypoints: Sequence[str]) -> list[LabelledFace]:
    """Labelled frames of several projects.

    Parameters
    ----------
    projects : sequence of LabelProject
        One after the other.
    keypoints : sequence of str
        Of all of them; what a project has no name for is not labelled there.

    Returns
    -------
    list of LabelledFace
        Each with a source of its own.
    """
    faces = [project.faces(keypoints) for project in projects]
    if len({project.folder.resolve().name for project in projects}) == len(projects):
        return [face for some in faces for face in some]
    # Frames are told apart by their source, which starts with the project's folder.
    return [
        replace(face, source=f"{number}-{face.source}")
        for number, some in enumerate(faces, start=1)
        for face in some
    ]


def split(
    faces: Sequence[LabelledFace], held_out: Sequence[LabelledFace] | None = None
) -> tuple[list[LabelledFace], list[LabelledFace]]:
    """Part labelled frames into those to learn from and those to measure on.

    Parameters
    ----------
    faces : sequence of LabelledFace
        All of them, as in a project: by video and frame.
    held_out : sequence of LabelledFace, optional
        Those among them to measure on, where somebody chose.

    Returns
    -------
    kept, held_out : list of LabelledFace
        Of 8 frames or more every fifth is held out.
    """
    if held_out is not None:
        sources = {face.source for face in held_out}
        return (
            [face for face in faces if face.source not in sources],
            [face for face in faces if face.source in sources],
        )
    if len(faces) < FEWEST_TO_HOLD_OUT:
        return list(faces), []
    out = set(range(_EVERY // 2, len(faces), _EVERY))
    return (
        [face for k, face in enumerate(faces) if k not in out],
        [face for k, face in enumerate(faces) if k in out],
    )


def with_keypoints(network: Network, old: Sequence[str], new: Sequence[str]) -> Network:
    """Give a network other keypoints; what it knows of those with the same names stays.

    Parameters
    ----------
    network : PointNetwork or KeypointNetwork
        Stays as it is; without rounding.
    old, new : sequence of str
        Its keypoints, and those that are wanted.

    Returns
    -------
    PointNetwork or KeypointNetwork
        Of the same layout, in evaluation mode. New keypoints start as likely anywhere.
    """
    made = like(network, len(new))
    state = copy.deepcopy(network.state_dict())
    for layer, bias in _HEADS[type(network)].items():
        for name, fresh in made.get_submodule(layer).state_dict().items():
            taught = state[f"{layer}.{name}"]
            filled = torch.full_like(fresh, 0.0 if name == "weight" else bias)
            for k, keypoint in enumerate(new):
                if keypoint in old:
                    filled[k] = taught[list(old).index(keypoint)]
            state[f"{layer}.{name}"] = filled
    made.load_state_dict(state)
    return made.eval()


def relabelled(face: LabelledFace, old: Sequence[str], new: Sequence[str]) -> LabelledFace:
    """Put a face's labels in another order; keypoints that it does not have are not labelled."""
    names = list(old)
    xy = np.full((2, len(new)), np.nan)
    hidden = np.zeros(len(new), bool)
    for k, keypoint in enumerate(new):
        if keypoint in names:
            xy[:, k] = face.xy[:, names.index(keypoint)]
            if face.hidden is not None:
                hidden[k] = face.hidden[names.index(keypoint)]
    return replace(face, xy=xy, hidden=hidden)


def save_refined(refined: Refined, model: Model, path: Path, name: str = "") -> dict[str, Any]:
    """Write a fine-tuned model with its card.

    Parameters
    ----------
    refined : Refined
        As from `refine`.
    model : Model
        That it started from.
    path : Path
        Ends in .safetensors.
    name : str
        Of the project, for the card.

    Returns
    -------
    dict
        The card: the model it started from, frames, errors before and after, and how confidence
        follows from what the network reckons, which is taken over from that model.
    """
    card: dict[str, Any] = {
        "keypoints": list(refined.keypoints),
        "input_size": INPUT_SIZE,
        **_layout(refined.network),
        "date": datetime.date.today().isoformat(),
        "software": software(),
        "project": name,
        "refined_from": {"name": model.name, "sha256": model.sha256},
        "training_frames": [face.source for face in refined.kept],
        "validation_frames": [face.source for face in refined.held_out],
        "validation_error_before": refined.before,
        "validation_error_after": refined.after,
        "options": options_card(refined.options),
        "history": [{k: v for k, v in r.items() if k != "per_keypoint"} for r in refined.history],
    }
    if "calibration" in model.card:
        card["calibration"] = model.card["calibration"]
    save_model(refined.network, path, card)
    return card


def _layout(network: Network) -> dict[str, Any]:
    if isinstance(network, PointNetwork):
        sizes = {"widths": list(network.widths), "depths": list(network.depths)}
        return {**sizes, "precision": "8-bit"}
    return {"layout": "Facemap", "channels": list(network.channels), "precision": "float32"}


def _errors(
    network: Network,
    faces: Sequence[LabelledFace],
    keypoints: Sequence[str],
    known: Sequence[str] | None = None,
) -> dict[str, Any] | None:
    """Errors of the keypoints that a network knew; its score counts new ones as well."""
    if not faces:
        return None
    errors = read_faces(network, faces, keypoints).errors
    every = summary(errors, keypoints)
    if known is not None:  # where points that it never heard of were put says nothing
        errors[:, [name not in known for name in keypoints]] = np.nan
    if not np.isfinite(errors).any():
        return every
    return {**summary(errors, keypoints), "score": every["score"]}
