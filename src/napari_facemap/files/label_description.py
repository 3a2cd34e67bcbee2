"""What a project of labels is about: keypoints, videos, and where tracking looks in them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from napari_facemap.files.atomic import atomic_path
from napari_facemap.keypoints.box import Box

SCORER = "facemap"
_KIND, _VERSION = "napari-facemap labels", 1


@dataclass(frozen=True)
class Description:
    """Content of a project's ``project.json``.

    Attributes
    ----------
    keypoints : tuple of str
        Names, in order.
    videos : dict of str to str
        Files by the names of their folders.
    to_label : dict of str to list of int
        Frames of a video that are to be labelled.
    places : dict of str to (Box, str)
        Where a video is tracked, and where the face in that box looks.
    origin : dict of str to str
        For each keypoint that was renamed its first name.
    before : dict of str to str
        For each keypoint that was renamed last its name before: a crash may have left it in the
        tables of labels.
    """

    keypoints: tuple[str, ...]
    videos: dict[str, str] = field(default_factory=dict)
    to_label: dict[str, list[int]] = field(default_factory=dict)
    places: dict[str, tuple[Box, str]] = field(default_factory=dict)
    origin: dict[str, str] = field(default_factory=dict)
    before: dict[str, str] = field(default_factory=dict)

    @property
    def known_as(self) -> dict[str, str]:
        """Keypoint for each name that tables of labels may have."""
        former = {old: new for names in (self.origin, self.before) for new, old in names.items()}
        return former | {name: name for name in self.keypoints}


def read_description(path: Path) -> Description:
    """Read ``project.json``.

    Raises
    ------
    ValueError
        When the file is damaged or of something else; one line that names it.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["kind"] != _KIND:
            raise ValueError(f"kind {content['kind']!r}")
        videos = {str(k): str(v) for k, v in content["videos"].items()}
        for name in videos:
            if name != folder_name(name):  # it may lead out of the project
                raise ValueError(f"the video {name!r}, which is no name for a folder")
        return Description(
            checked_keypoints(content["keypoints"]),
            videos,
            {str(k): [int(frame) for frame in v] for k, v in content["to_label"].items()},
            {
                str(video): (Box(*(int(v) for v in box)), str(facing))
                for video, (*box, facing) in content.get("places", {}).items()
            },
            {str(k): str(v) for k, v in content.get("origin", {}).items()},
            {str(k): str(v) for k, v in content.get("before", {}).items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        found = f"no {error}" if isinstance(error, KeyError) else str(error)
        if isinstance(error, json.JSONDecodeError):
            found = f"no JSON (line {error.lineno}: {error.msg})"
        raise ValueError(
            f"{path}: expected the description of a project of labels; found {found}. Put a whole "
            "copy of this file back; the labels beside it are in files of their own."
        ) from error


def write_description(description: Description, path: Path) -> None:
    """Write ``project.json``."""
    content = {
        "kind": _KIND,
        "version": _VERSION,
        "keypoints": list(description.keypoints),
        "videos": description.videos,
        "to_label": description.to_label,
        "origin": description.origin,
        "before": description.before,
        "places": {video: [*box, facing] for video, (box, facing) in description.places.items()},
    }
    _write_text(path, json.dumps(content, indent=1, ensure_ascii=False))


def write_config(keypoints: Sequence[str], path: Path) -> None:
    """Write DeepLabCut's ``config.yaml``: scorer and body parts."""
    parts = "".join(f"- {json.dumps(name, ensure_ascii=False)}\n" for name in keypoints)
    _write_text(path, f"Task: faces\nscorer: {SCORER}\nbodyparts:\n{parts}")


def folder_name(text: str) -> str:
    """Give what is nearest to a text and can be the name of a folder on any system."""
    return re.sub(r"[^\w.-]", "_", text).rstrip(".") or "video"


def checked_keypoints(keypoints: Sequence[str]) -> tuple[str, ...]:
    """Names without spaces around them.

    Raises
    ------
    ValueError
        When a name is empty, twice or holds a comma or slash, or there is none.
    """
    names = tuple(str(name).strip() for name in keypoints)
    odd = [n for n in names if not n or "/" in n or "," in n or names.count(n) > 1]
    if odd or not names:
        raise ValueError(
            "Expected a name for each keypoint, each once, without comma and slash; found "
            f"{odd[0] if odd else 'none'!r}."
        )
    return names


def _write_text(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
