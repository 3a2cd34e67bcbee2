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
from napari_facemap.video.video import open_video

_SAME = 3.0  # grey levels, mean difference of pictures of the same frame


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
    names_of: dict[str, str] = {}  # of videos in the project, by their folders there
    for k, face in enumerate(faces):
        source = Path(face.source)
        frame = frame_of(source.name)
        if frame is None:
            left_out.append(face.source)
        else:
            theirs = source.parent.name
            if theirs not in names_of:
                known = _known_video(project, theirs, frame, face.image)
                names_of[theirs] = known or project.add_video(video_of(folder, theirs))
            video = names_of[theirs]
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


def same_picture(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two pictures show the same frame, though they may be compressed differently."""
    if one.shape != other.shape:
        return False
    return bool(np.abs(one.astype(float) - other).mean() < _SAME)


def _known_video(project: LabelProject, theirs: str, frame: int, image: np.ndarray) -> str | None:
    """Name of a video that the project has already and that shows the same."""
    for name, path in project.videos.items():
        if path.stem != theirs:
            continue
        if project.has_picture(name, frame):
            same = same_picture(project.picture(name, frame), image)
        elif path.is_file():
            with open_video(path) as video:
                same = frame < len(video) and same_picture(video[frame], image)
        else:
            same = not project.labels(name)
        if same:
            return name
    return None


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
