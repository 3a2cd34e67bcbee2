"""Projects of labelled frames: a folder that DeepLabCut reads too, safe against crashes.

The folder holds ``config.yaml`` (scorer and body parts), ``project.json`` (keypoints, videos and
frames to label) and for each video ``labeled-data/VIDEO/``: a picture of every labelled frame,
``CollectedData_SCORER.csv`` with the labels, and ``hidden.csv`` with the keypoints that a person
saw to be hidden, which DeepLabCut has no place for. Every change is on the disk, whole, before
the function that makes it returns.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_facemap.files.atomic import atomic_path
from napari_facemap.files.label_pictures import (
    frame_of,
    picture_name,
    read_picture,
    write_picture,
)
from napari_facemap.keypoints.box import Box
from napari_facemap.keypoints.labels import LabelledFace

Point = tuple[float, float]

HIDDEN: Point = (float("nan"), float("nan"))
"""Place of a keypoint that a person saw to be hidden."""

SCORER = "facemap"
_KIND, _VERSION = "napari-facemap labels", 1


class LabelProject:
    """Labels of frames of any videos, on disk.

    Parameters
    ----------
    folder : str or Path
        Of the project; made when it is missing.
    keypoints : sequence of str, optional
        For a new project.

    Raises
    ------
    ValueError
        When the folder is not a project and no keypoints are given, or a file in it is damaged.
        One line that names the file.

    Attributes
    ----------
    folder : Path
        Of the project.
    keypoints : tuple of str
        Names, in order.
    origin : dict of str to str
        For each keypoint that was renamed its first name: what a model knows it by.
    """

    def __init__(self, folder: str | Path, keypoints: Sequence[str] = ()) -> None:
        self.folder = Path(folder)
        self.origin: dict[str, str] = {}
        self._labels: dict[str, dict[int, dict[str, Point]]] = {}
        self._videos: dict[str, str] = {}
        self._to_label: dict[str, list[int]] = {}
        self._places: dict[str, tuple[Box, str]] = {}
        self._stamps: dict[str, tuple[tuple[int, int], ...]] = {}
        if self._description.is_file():
            self._read()
        elif keypoints:
            self.keypoints = _checked(keypoints)
            self._write_description()
        else:
            raise ValueError(
                f"{self.folder}: expected a folder with project.json; found none. Make a new "
                "project in napari (Label and refine), or choose another folder."
            )

    @property
    def _description(self) -> Path:
        return self.folder / "project.json"

    # -- what there is ----------------------------------------------------------------------------

    @property
    def videos(self) -> dict[str, Path]:
        """Videos by the names of their folders."""
        return {name: Path(path) for name, path in self._videos.items()}

    @property
    def n_labelled(self) -> int:
        """Frames with any label, of all videos."""
        return sum(len(frames) for frames in self._labels.values())

    def labels(self, video: str) -> dict[int, dict[str, Point]]:
        """Labels of a video: by frame, then by keypoint; NaN where it is hidden."""
        return {frame: dict(points) for frame, points in self._labels.get(video, {}).items()}

    def to_label(self, video: str) -> list[int]:
        """Frames that somebody or something proposed to label, in order."""
        return list(self._to_label.get(video, []))

    def picture(self, video: str, frame: int) -> np.ndarray:
        """Picture of a labelled frame: grey, uint8, shape (rows, columns)."""
        return read_picture(self._folder_of(video) / picture_name(frame))

    def has_picture(self, video: str, frame: int) -> bool:
        """Whether there is a picture of a frame, so that it can have labels."""
        return (self._folder_of(video) / picture_name(frame)).is_file()

    # -- changes ----------------------------------------------------------------------------------

    def add_video(self, path: str | Path) -> str:
        """Take up a video; gives its name in the project."""
        path = Path(path).resolve()
        for name, known in self._videos.items():
            if Path(known) == path:
                return name
        stem = re.sub(r"[^\w.-]", "_", path.stem)
        name, k = stem, 1
        while name in self._videos:
            k += 1
            name = f"{stem}-{k}"
        self._videos[name] = str(path)
        self._write_description()
        return name

    def move_video(self, video: str, path: str | Path) -> None:
        """Note that a video's file lies elsewhere now."""
        self._videos[video] = str(Path(path).resolve())
        self._write_description()

    def set_to_label(self, video: str, frames: Iterable[int]) -> None:
        """Note the frames that are to be labelled."""
        self._to_label[video] = sorted({int(frame) for frame in frames})
        self._write_description()

    def set_place(self, video: str, box: Sequence[float], facing: str) -> None:
        """Note where a video is tracked, and where the face in that box looks."""
        place = (Box(*(int(v) for v in box)), str(facing))
        if self._places.get(video) != place:
            self._places[video] = place
            self._write_description()

    def set_labels(
        self, video: str, frame: int, points: Mapping[str, Point], image: np.ndarray | None = None
    ) -> None:
        """Put down all labels of a frame, in place of those before.

        Parameters
        ----------
        video : str
            Name of the video in the project.
        frame : int
            From 0.
        points : mapping of str to (x, y)
            Pixels of the full frame, centres at integers, by keypoint; `HIDDEN` where a person
            saw that it is hidden. None of them takes the frame out of the project.
        image : ndarray of uint8, shape (rows, columns), optional
            The frame; needed once.

        Raises
        ------
        ValueError
            When a keypoint is not the project's, or the frame's picture is needed.
        """
        odd = [name for name in points if name not in self.keypoints]
        if odd:
            raise ValueError(f"{self.folder}: the project has no keypoint {odd[0]!r}.")
        picture = self._folder_of(video) / picture_name(frame)
        if points and not picture.is_file():
            if image is None:
                raise ValueError(f"{picture}: expected the frame's picture with its first label.")
            write_picture(picture, image)
        self._look_again(video)
        frames = self._labels.setdefault(video, {})
        if points:
            frames[int(frame)] = {k: (float(x), float(y)) for k, (x, y) in points.items()}
        else:
            frames.pop(int(frame), None)
        self._write_labels(video)

    def set_keypoints(self, keypoints: Sequence[str], renamed: Mapping[str, str] = {}) -> None:
        """Change the skeleton.

        Parameters
        ----------
        keypoints : sequence of str
            All names, in order. Labels of those that are gone are put aside in the video's folder
            as ``removed-KEYPOINT.csv``.
        renamed : mapping of str to str
            From old names to new ones; their labels stay.
        """
        keypoints = _checked(keypoints)
        for video in list(self._labels):
            self._look_again(video)
            gone: dict[str, dict[int, Point]] = {}
            for frame, points in self._labels[video].items():
                kept = {}
                for name, point in points.items():
                    new = renamed.get(name, name)
                    if new in keypoints:
                        kept[new] = point
                    else:
                        gone.setdefault(name, {})[frame] = point
                self._labels[video][frame] = kept
            for name, points_of in gone.items():
                self._put_aside(video, name, points_of)
            self._labels[video] = {f: p for f, p in self._labels[video].items() if p}
        first = {new: self.origin.get(old, old) for old, new in renamed.items()}
        self.origin = {k: v for k, v in {**self.origin, **first}.items() if k in keypoints != v}
        self.keypoints = keypoints
        self._write_description()
        for video in list(self._labels):
            self._write_labels(video)

    # -- for training -----------------------------------------------------------------------------

    def faces(self, keypoints: Sequence[str] | None = None) -> list[LabelledFace]:
        """Labelled pictures, by video and frame.

        Parameters
        ----------
        keypoints : sequence of str, optional
            Which, in order; by default the project's.
        """
        names = list(self.keypoints if keypoints is None else keypoints)
        found = []
        for video in sorted(self._labels):
            for frame, points in sorted(self._labels[video].items()):
                xy = np.full((2, len(names)), np.nan)
                hidden = np.zeros(len(names), bool)
                for name, point in points.items():
                    if name in names:
                        xy[:, names.index(name)] = point
                        hidden[names.index(name)] = not np.isfinite(point[0])
                picture = self._folder_of(video) / picture_name(frame)
                source = f"{self.folder.name}/{video}/{picture.name}"
                place = self._places.get(video)
                found.append(LabelledFace(read_picture(picture), xy, source, hidden, place=place))
        return found

    # -- on disk ----------------------------------------------------------------------------------

    def _folder_of(self, video: str) -> Path:
        return self.folder / "labeled-data" / video

    def _tables(self, video: str) -> tuple[Path, Path]:
        folder = self._folder_of(video)
        return folder / "hidden.csv", folder / f"CollectedData_{SCORER}.csv"

    def _stamp(self, video: str) -> tuple[tuple[int, int], ...]:
        found = [path.stat() for path in self._tables(video) if path.is_file()]
        return tuple((file.st_mtime_ns, file.st_size) for file in found)

    def _look_again(self, video: str) -> None:
        """Take up what another window, or DeepLabCut, wrote in the meantime."""
        if self._stamp(video) != self._stamps.get(video, ()):
            self._labels[video] = self._read_labels(video)

    def _write_description(self) -> None:
        content = {
            "kind": _KIND,
            "version": _VERSION,
            "keypoints": list(self.keypoints),
            "videos": self._videos,
            "to_label": self._to_label,
            "origin": self.origin,
            "places": {video: [*box, facing] for video, (box, facing) in self._places.items()},
        }
        _write_text(self._description, json.dumps(content, indent=1, ensure_ascii=False))
        parts = "".join(f"- {json.dumps(name, ensure_ascii=False)}\n" for name in self.keypoints)
        config = f"Task: faces\nscorer: {SCORER}\nbodyparts:\n{parts}"
        _write_text(self.folder / "config.yaml", config)

    def _write_labels(self, video: str) -> None:
        frames = sorted(self._labels.get(video, {}).items())
        names = self.keypoints
        twice = [name for name in names for _ in "xy"]
        rows: list[Sequence[Any]] = [
            ["scorer", "", "", *[SCORER] * len(twice)],
            ["bodyparts", "", "", *twice],
            ["coords", "", "", *["x", "y"] * len(names)],
        ]
        hidden: list[Sequence[Any]] = [["frame", "keypoint"]]
        for frame, points in frames:
            places = [points.get(name, HIDDEN) for name in names]
            numbers = [_text(value) for place in places for value in place]
            rows.append(["labeled-data", video, picture_name(frame), *numbers])
            hidden += [[frame, name] for name, (x, _) in points.items() if not np.isfinite(x)]
        # Hidden ones first: a crash in between leaves one label more, never one less.
        for path, content in zip(self._tables(video), (hidden, rows), strict=True):
            _write_rows(path, content)
        self._stamps[video] = self._stamp(video)

    def _put_aside(self, video: str, keypoint: str, points: Mapping[int, Point]) -> None:
        name = re.sub(r"[^\w.-]", "_", keypoint)
        path = self._folder_of(video) / f"removed-{name}.csv"
        rows = [[frame, *map(_text, point)] for frame, point in sorted(points.items())]
        _write_rows(path, [["frame", "x", "y"], *rows])

    def _read(self) -> None:
        path = self._description
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["kind"] != _KIND:
                raise ValueError(f"kind {content['kind']!r}")
            self.keypoints = _checked(content["keypoints"])
            self._videos = {str(k): str(v) for k, v in content["videos"].items()}
            self._to_label = {
                str(k): [int(frame) for frame in v] for k, v in content["to_label"].items()
            }
            self._places = {
                str(video): (Box(*(int(v) for v in box)), str(facing))
                for video, (*box, facing) in content.get("places", {}).items()
            }
            self.origin = {str(k): str(v) for k, v in content.get("origin", {}).items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{path}: expected the description of a project of labels; found {error}."
            ) from error
        for video in self._videos:
            self._labels[video] = self._read_labels(video)

    def _read_labels(self, video: str) -> dict[int, dict[str, Point]]:
        hidden, table = self._tables(video)
        self._stamps[video] = self._stamp(video)
        # After a crash while keypoints were renamed the tables may still have the old names.
        known = {old: new for new, old in self.origin.items()} | {k: k for k in self.keypoints}
        found: dict[int, dict[str, Point]] = {}
        for frame, name in (row for row in _read_rows(hidden)[1:] if len(row) == 2):
            if name in known and frame.isdecimal():
                found.setdefault(int(frame), {})[known[name]] = HIDDEN
        rows = _read_rows(table)
        names = rows[1][3::2] if len(rows) > 1 else []
        for number, row in enumerate(rows[3:], start=4):
            frame_number = frame_of(row[2]) if len(row) > 2 else None
            if frame_number is None:
                raise ValueError(
                    f"{table}, line {number}: expected the picture of a frame, img00000000.png; "
                    f"found {row[2:3]}. Mend the line, or take it out."
                )
            points = found.setdefault(frame_number, {})
            for name, x, y in zip(names, row[3::2], row[4::2], strict=False):
                if x and y and name in known:
                    points[known[name]] = _place(table, number, x, y)
        return {frame: points for frame, points in found.items() if points}


def _place(table: Path, number: int, x: str, y: str) -> Point:
    try:
        return float(x), float(y)
    except ValueError as error:
        raise ValueError(
            f"{table}, line {number}: expected numbers of pixels; found {x!r}, {y!r}. Mend the "
            "line, or empty both."
        ) from error


def _checked(keypoints: Sequence[str]) -> tuple[str, ...]:
    names = tuple(str(name).strip() for name in keypoints)
    odd = [n for n in names if not n or "/" in n or "," in n or names.count(n) > 1]
    if odd or not names:
        raise ValueError(
            "Expected a name for each keypoint, each once, without comma and slash; found "
            f"{odd[0] if odd else 'none'!r}."
        )
    return names


def _text(value: float) -> str:
    return f"{value:.3f}" if np.isfinite(value) else ""


def _write_text(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _write_rows(path: Path, rows: Iterable[Sequence[Any]]) -> None:
    with (
        atomic_path(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        csv.writer(file).writerows(rows)


def _read_rows(path: Path) -> list[list[str]]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.reader(file) if any(row)]
