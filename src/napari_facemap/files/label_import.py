"""Labels of DeepLabCut projects taken into a project of our own."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_facemap.files.deeplabcut import alike, deeplabcut_bodyparts, read_deeplabcut
from napari_facemap.files.label_pictures import frame_of
from napari_facemap.files.label_project import LabelProject


@dataclass(frozen=True)
class Imported:
    """What was taken over.

    Attributes
    ----------
    n_frames : int
        Frames with labels.
    keypoints : tuple of str
        Keypoints that the project did not have before.
    left_out : tuple of str
        Pictures whose names hold no frame number.
    complete : bool
        Whether it went on to the end.
    """

    n_frames: int
    keypoints: tuple[str, ...]
    left_out: tuple[str, ...]
    complete: bool


def import_deeplabcut(
    project: LabelProject,
    folder: str | Path,
    progress: Callable[[int, int], bool | None] | None = None,
) -> Imported:
    """Copy the labels and pictures of a DeepLabCut project into ours.

    Parameters
    ----------
    project : LabelProject
        Gets keypoints for body parts that it does not know. Body parts that differ from a
        keypoint only in case, spaces, underscores and brackets are that keypoint. Labels that
        the project has are kept.
    folder : str or Path
        A DeepLabCut project, or one video of its ``labeled-data``; nothing in it is changed.
    progress : callable, optional
        Called with frames done and in all; when it returns False the import stops there.

    Returns
    -------
    Imported

    Raises
    ------
    ValueError
        When the folder is not such a project, or cannot be read whole.
    """
    folder = Path(folder).resolve()
    names = names_for(deeplabcut_bodyparts(folder), project.keypoints)
    targets = list(names.values())
    faces = read_deeplabcut(folder, targets, names)
    new = tuple(name for name in targets if name not in project.keypoints)
    if new:
        project.set_keypoints([*project.keypoints, *new])
    done, left_out = 0, []
    for k, face in enumerate(faces):
        source = Path(face.source)
        frame = frame_of(source.name)
        if frame is None:
            left_out.append(face.source)
        else:
            video = project.add_video(video_of(folder, source.parent.name))
            points = {
                name: (float(x), float(y))
                for name, (x, y) in zip(targets, face.xy.T, strict=True)
                if np.isfinite(x)
            }
            points |= project.labels(video).get(frame, {})
            project.set_labels(video, frame, points, face.image)
            done += 1
        if progress is not None and progress(k + 1, len(faces)) is False:
            return Imported(done, new, tuple(left_out), complete=k + 1 == len(faces))
    return Imported(done, new, tuple(left_out), complete=True)


def names_for(bodyparts: list[str], keypoints: tuple[str, ...] = ()) -> dict[str, str]:
    """Keypoint for each body part: one that is spelt alike, else its own name.

    Parameters
    ----------
    bodyparts : list of str
        Of a DeepLabCut project.
    keypoints : tuple of str
        That are known already.

    Returns
    -------
    dict of str to str
    """
    known = {alike(name): name for name in keypoints}
    names: dict[str, str] = {}
    for part in bodyparts:
        own = re.sub(r"[,/]", "_", part.strip())
        name = known.get(alike(part), own)
        names[part] = own if name in names.values() else name
    return names


def video_of(folder: Path, name: str) -> Path:
    """File of a labelled video; where it is not in the project, the one it would be."""
    project = folder if (folder / "labeled-data").is_dir() else folder.parent.parent
    videos = project / "videos"
    found = sorted(p for p in videos.glob("*") if p.stem == name) if videos.is_dir() else []
    return found[0] if found else videos / f"{name}.avi"
