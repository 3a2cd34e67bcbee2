"""What the panel "Fine-tune" does beside the window: read labels, fine-tune, save, track again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_facemap.files.label_project import LabelProject

if TYPE_CHECKING:
    import xarray as xr

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
    """A new model: its file, and how it became better."""

    path: Path
    refined: Refined


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


def fine_tune(plan: Plan, report: Report, progress: Any) -> Made | None:
    """Fine-tune and save; None when it was cancelled before anything was learnt."""
    from napari_facemap.keypoints.model_store import new_model_path
    from napari_facemap.keypoints.models import load_model
    from napari_facemap.refining import refine, save_refined

    path = new_model_path(plan.name)
    model = load_model(plan.model)
    # Read anew: the one that is open may change while this goes on.
    projects = [LabelProject(folder) for folder in plan.folders]
    keypoints = keypoints_of(projects)
    faces = [face for project in projects for face in project.faces(keypoints)]
    refined = refine(
        faces, keypoints, model,
        options=plan.options, device=plan.device, report=report, progress=progress,
    )  # fmt: skip
    if refined.history[-1]["step"] == 0:
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    save_refined(refined, model, path, ", ".join(project.folder.name for project in projects))
    return Made(path, refined)


def track_again(
    video: Any,
    poses: xr.Dataset,
    model: str | None,
    frames: tuple[int, int],
    device: str,
    progress: Any,
) -> xr.Dataset:
    """Track some frames with another model."""
    from napari_facemap.keypoints.retracking import retrack

    return retrack(video, poses, model, frames=frames, device=device, progress=progress)
