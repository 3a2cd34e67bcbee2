"""What the panel "Fine-tune" does beside the window: read labels, fine-tune, save, track again."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_facemap.files.label_project import LabelProject

if TYPE_CHECKING:
    import xarray as xr

    from napari_facemap.keypoints.predictions import Predictions
    from napari_facemap.keypoints.training import TrainingOptions
    from napari_facemap.refining import Refined

Report = Callable[[dict[str, Any]], None]


class Frame(NamedTuple):
    """A labelled frame."""

    project: str
    video: str
    number: int


class Plan(NamedTuple):
    """What is to be fine-tuned.

    Attributes
    ----------
    folders : list of Path
        Of the projects to learn from.
    model : str or None
        To start from: a name or a file.
    name : str
        Of the new model.
    device : str
        To compute on.
    options : TrainingOptions or None
        How to train; None is as `refine` does by itself.
    """

    folders: list[Path]
    model: str | None
    name: str
    device: str
    options: TrainingOptions | None = None


class Made(NamedTuple):
    """What came of fine-tuning.

    Attributes
    ----------
    path : Path or None
        Of the new model; None where nothing better was learnt.
    refined : Refined
        How it went.
    cancelled : bool
        Whether it was.
    """

    path: Path | None
    refined: Refined
    cancelled: bool


class Retracked(NamedTuple):
    """Predictions of the whole video, new in so many frames.

    Attributes
    ----------
    poses : xarray.Dataset
        Without corrections.
    n_frames : int
        That were tracked.
    complete : bool
        False when it was cancelled.
    """

    poses: xr.Dataset
    n_frames: int
    complete: bool


def labelled_frames(projects: Sequence[LabelProject]) -> list[Frame]:
    """Frames with a visible label, in the order in which they are learnt from."""
    return [
        Frame(project.folder.name, video, frame)
        for project in projects
        for video in sorted(project.videos)
        for frame, points in sorted(project.labels(video).items())
        if np.isfinite([x for x, _ in points.values()]).any()
    ]


def parted(frames: Sequence[Frame]) -> tuple[list[Frame], list[Frame]]:
    """Part labelled frames into those that are learnt from and those that are measured on."""
    from napari_facemap.keypoints.labels import LabelledFace
    from napari_facemap.refining import split

    # Which are held out follows from their order alone: pictures need not be read for it.
    nothing, label = np.zeros((1, 1), np.uint8), np.zeros((2, 1))
    faces = [LabelledFace(nothing, label, str(k)) for k in range(len(frames))]
    kept, held_out = split(faces)
    return [frames[int(f.source)] for f in kept], [frames[int(f.source)] for f in held_out]


def keypoints_of(projects: Sequence[LabelProject]) -> tuple[str, ...]:
    """All keypoints of some projects, in the order in which they come."""
    return tuple(dict.fromkeys(name for project in projects for name in project.keypoints))


def fine_tune(plan: Plan, report: Report, progress: Any) -> Made:
    """Fine-tune, and save what is better than before."""
    from napari_facemap.figures import draw_training
    from napari_facemap.keypoints.model_store import new_model_path
    from napari_facemap.keypoints.models import load_model
    from napari_facemap.refining import faces_of, refine, save_refined

    path = new_model_path(plan.name)
    model = load_model(plan.model)
    # Read anew: the one that is open may change while this goes on.
    projects = [LabelProject(folder) for folder in plan.folders]
    keypoints = keypoints_of(projects)
    faces = faces_of(projects, keypoints)
    origin = {new: old for project in projects for new, old in project.origin.items()}
    cancelled = False

    def go_on(done: int, total: int) -> bool:
        nonlocal cancelled
        cancelled = cancelled or not progress(done, total)
        return not cancelled

    refined = refine(
        faces, keypoints, model, options=plan.options, device=plan.device, report=report,
        progress=go_on, origin=origin,
    )  # fmt: skip
    if refined.best_step == 0:
        return Made(None, refined, cancelled)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_refined(refined, model, path, ", ".join(project.folder.name for project in projects))
    draw_training(refined.history, path.with_suffix(".png"))
    return Made(path, refined, cancelled)


def track_again(
    video: Any,
    predicted: Predictions,
    model: str | None,
    frames: range,
    device: str,
    progress: Any,
) -> Retracked:
    """Track some frames with another model."""
    from napari_facemap.keypoints.merging import RETRACKED
    from napari_facemap.keypoints.retracking import retrack

    def stretches(attrs: dict[str, Any]) -> list[dict[str, Any]]:
        return list(json.loads(attrs.get(RETRACKED, "[]")))

    # Without corrections: those made meanwhile shall count, and not those taken back.
    nothing = np.zeros(predicted.confidence.shape, bool)
    poses = predicted.poses(predicted.shown, predicted.confidence, nothing, predictions=True)
    found = retrack(
        video, poses, model, frames=(frames.start, frames.stop), device=device, progress=progress
    )
    new = stretches(found.attrs)[len(stretches(poses.attrs)) :]
    n_frames = sum(stretch["stop"] - stretch["start"] for stretch in new)
    return Retracked(found, n_frames, bool(found.attrs["complete"]))
