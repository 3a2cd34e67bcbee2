"""Which video of a project a layer shows."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

from napari.layers import Image

from napari_facemap.files.label_import import same_picture
from napari_facemap.files.label_project import LabelProject


def name_in(project: LabelProject, layer: Image, source: Any) -> str:
    """Name of a video in a project; it is taken up where it is new.

    A video that was moved, copied, or is on another computer, keeps its name: it is known by its
    file's name, its size where the file is still at the place that the project knows, and the
    picture of a labelled frame. What came from no file is known by its layer's name and that
    picture.
    """
    file = source.path or layer.source.path
    path = Path(file or project.folder / layer.name).resolve()
    names = {known: name for name, known in project.videos.items()}
    if path not in names:
        for name, known in project.videos.items():
            alike = path.stem == known.stem and _may_be(path, known)
            if alike and _shows(project, name, source):
                if path.exists():
                    project.move_video(name, path)
                return name
    elif file is None and not _shows(project, names[path], source):
        path = _another(project, path, source)
    return project.add_video(path)


def _another(project: LabelProject, path: Path, source: Any) -> Path:
    """What the project has, or may have, in place of a file that shows something else."""
    names = {known: name for name, known in project.videos.items()}
    others = (path.with_name(f"{path.name}-{k}") for k in count(2))
    return next(p for p in others if p not in names or _shows(project, names[p], source))


def _may_be(path: Path, known: Path) -> bool:
    if not known.is_file():
        return True
    return path.is_file() and path.stat().st_size == known.stat().st_size


def _shows(project: LabelProject, name: str, source: Any) -> bool:
    """Whether a labelled frame looks in a video as in the project; True without labels."""
    frames = sorted(project.labels(name))
    if not frames:
        return True
    if frames[-1] >= source.shape[0]:
        return False
    return same_picture(project.picture(name, frames[0]), source[frames[0]])
