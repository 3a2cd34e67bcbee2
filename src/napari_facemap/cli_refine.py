"""The verb `refine`: labelled frames make a model one's own, without a window."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from napari_facemap.progress import INTERRUPTED, Interruptible, ProgressBar

if TYPE_CHECKING:
    from napari_facemap.files.label_project import LabelProject
    from napari_facemap.keypoints.labels import LabelledFace
    from napari_facemap.keypoints.models import Model
    from napari_facemap.refining import Refined

_AFTER = "rounding to 8 bits and measuring"  # which takes a minute


def add_refine(verbs: Any) -> None:
    """Add the verb to the command line."""
    verb = verbs.add_parser("refine", help="fine-tune a keypoint model on labelled frames")
    verb.add_argument(
        "projects",
        type=Path,
        nargs="+",
        metavar="PROJECT",
        help="folders of labels made in napari",
    )
    verb.add_argument(
        "--from", dest="model", metavar="MODEL",
        help="name or file to start from; by default the built-in model",
    )  # fmt: skip
    where = verb.add_mutually_exclusive_group()
    where.add_argument("--name", help="of the new model; by default the first project's")
    where.add_argument(
        "--output", type=Path, metavar="FILE.safetensors", help="not among your models but here"
    )
    verb.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    verb.add_argument("--steps", type=int, metavar="N", help="at most; by default by the frames")
    verb.set_defaults(run=_refine)


def _refine(options: argparse.Namespace) -> int:
    from napari_facemap.files.label_project import LabelProject
    from napari_facemap.keypoints.models import load_model
    from napari_facemap.refining import faces_of, refine, save_refined

    missing = [folder for folder in options.projects if not folder.is_dir()]
    if missing:
        raise ValueError(f"{missing[0]}: no such folder.")
    projects = [LabelProject(folder) for folder in options.projects]
    path = _path(options)
    model = load_model(options.model)
    keypoints = tuple(dict.fromkeys(name for p in projects for name in p.keypoints))
    how = _options(options, model)
    faces = faces_of(projects, keypoints)
    if not faces:
        folders = ", ".join(str(folder) for folder in options.projects)
        raise ValueError(
            f"{folders}: expected labelled frames to learn from; found none. Label some in napari "
            "(Label and refine)."
        )
    _say_what_is_learnt(projects, keypoints, faces, model)
    with ProgressBar("refining", "step", _AFTER) as bar, Interruptible() as go:

        def progress(done: int, total: int) -> bool:
            bar(done, total)
            return not go.stopped

        refined = refine(
            faces, keypoints, model,
            options=how, device=options.device, report=_print_row,
            progress=progress, origin={k: v for p in projects for k, v in p.origin.items()},
        )  # fmt: skip
        stopped = go.stopped
    if refined.best_step == 0:
        return _nothing_better(refined, model, stopped)
    names = ", ".join(project.folder.resolve().name for project in projects)
    save_refined(refined, model, path, names)
    return _say_how_it_went(refined, path, stopped, options.output is None)


def _path(options: argparse.Namespace) -> Path:
    """Where the model goes; what is in the way or no name is found out before the work."""
    from napari_facemap.files.atomic import check_writable
    from napari_facemap.keypoints.model_store import new_model_path

    path: Path = options.output or new_model_path(
        options.name or options.projects[0].resolve().name
    )
    if path.suffix != ".safetensors":
        raise ValueError(f"{path}: expected --output to end in .safetensors.")
    for file in (path, path.with_suffix(".png")):
        if file.exists():
            raise ValueError(f"{file}: exists; choose another --output or --name.")
    check_writable(path)
    return path


def _options(options: argparse.Namespace, model: Model) -> Any:
    """How to train, where somebody says how many steps; else it follows from the frames."""
    from napari_facemap.keypoints.point_network import PointNetwork
    from napari_facemap.refining import FACEMAP_OPTIONS, OPTIONS

    if options.steps is None:
        return None
    if options.steps < 1:
        raise ValueError(f"--steps {options.steps}: expected at least 1.")
    return replace(
        OPTIONS if isinstance(model.network, PointNetwork) else FACEMAP_OPTIONS,
        steps=options.steps,
    )


def _say_what_is_learnt(
    projects: Sequence[LabelProject],
    keypoints: Sequence[str],
    faces: Sequence[LabelledFace],
    model: Model,
) -> None:
    import numpy as np

    from napari_facemap.refining import FEWEST_TO_HOLD_OUT, split

    for project in projects:
        print(f"{project.folder}: {project.n_labelled} labelled frames")
    kept, held_out = split([face for face in faces if np.isfinite(face.xy).any()])
    print(f"{model.name}: learns from {len(kept)} frames, {len(held_out)} are held out")
    for face in held_out:
        print(f"  held out: {face.source}")
    if not held_out and kept:
        print(f"  with {FEWEST_TO_HOLD_OUT} frames or more the error could be measured")
    added = [name for name in keypoints if name not in model.keypoints]
    gone = [name for name in model.keypoints if name not in keypoints]
    if added:
        print(f"  new keypoints: {', '.join(added)}")
    if gone:
        print(f"  left out, since no project has them: {', '.join(gone)}")
    sys.stdout.flush()


def _print_row(row: dict[str, Any]) -> None:
    line = f"step {row['step']:4d}"
    if "loss" in row:
        line += f"  loss {row['loss']:.3f}"
    if "median" in row:
        line += f"  error on frames held out: median {row['median']:.2f} %, p95 {row['p95']:.2f} %"
    if "seconds_left" in row:
        line += f"  {row['seconds_left'] / 60:.1f} min left at most"
    tqdm.write(line)


def _nothing_better(refined: Refined, model: Model, stopped: bool) -> int:
    if stopped:
        print(f"interrupted before anything better than {model.name} was learnt; nothing is saved")
        return INTERRUPTED
    error = "" if refined.before is None else f" ({refined.before['median']:.2f} %)"
    raise ValueError(
        f"Nothing was learnt that finds the {len(refined.held_out)} frames held out better than "
        f"{model.name}{error}; no model was saved. Label more frames, and other ones."
    )


def _say_how_it_went(refined: Refined, path: Path, stopped: bool, listed: bool) -> int:
    from napari_facemap.figures import draw_training

    draw_training(refined.history, path.with_suffix(".png"))
    step = refined.best_step
    if stopped:
        print(f"interrupted after step {refined.history[-1]['step']}: the best so far is kept")
    if refined.before is not None and refined.after is not None:
        print(
            f"error on {len(refined.held_out)} frames held out, percent of the distance from eye "
            f"to nose: median {refined.before['median']:.2f} before, {refined.after['median']:.2f} "
            f"after; p95 {refined.before['p95']:.2f} before, {refined.after['p95']:.2f} after"
        )
    print(
        f"{path}: the model as it was at step {step}; its error curve: {path.with_suffix('.png')}"
    )
    print(f"napari-facemap track VIDEO --model {path.stem if listed else path}")
    return INTERRUPTED if stopped else 0
