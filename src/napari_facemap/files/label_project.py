"""Projects of labelled frames: a folder that DeepLabCut reads too, safe against crashes.

The folder holds ``config.yaml`` (scorer and body parts), ``project.json`` (keypoints, videos and
frames to label) and for each video ``labeled-data/VIDEO/``: a picture of every labelled frame,
``CollectedData_SCORER.csv`` with the labels, and ``hidden.csv`` with the keypoints that a person
saw to be hidden, which DeepLabCut has no place for. Every change is on the disk, whole, before
the function that makes it returns.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_facemap.files.atomic import atomic_path, unused_path
from napari_facemap.files.label_description import (
    SCORER,
    Description,
    checked_keypoints,
    folder_name,
    read_description,
    write_config,
    write_description,
)
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

_Stamp = tuple[tuple[int, int], ...]


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
        When the folder is not a project and no keypoints are given, or is one of DeepLabCut's, or
        a file in it is damaged. One line that names the file.

    Attributes
    ----------
    folder : Path
        Of the project.
    """

    def __init__(self, folder: str | Path, keypoints: Sequence[str] = ()) -> None:
        self.folder = Path(folder)
        self._labels: dict[str, dict[int, dict[str, Point]]] = {}
        self._stamps: dict[str, _Stamp] = {}
        self._of_others: dict[tuple[str, int], set[str]] = {}  # keypoints another window labelled
        self._described: _Stamp = ()
        if self._path.is_file():
            self._follow()
        elif not keypoints:
            raise ValueError(
                f"{self.folder}: expected a folder with project.json; found none. Make a new "
                "project in napari (Label and refine), or choose another folder."
            )
        elif self._config.exists():
            raise ValueError(
                f"{self._config}: expected a folder without a project; found DeepLabCut's. Choose "
                "another folder, and take its labels over from here."
            )
        else:
            self._describe(Description(checked_keypoints(keypoints)))

    @property
    def _path(self) -> Path:
        return self.folder / "project.json"

    @property
    def _config(self) -> Path:
        return self.folder / "config.yaml"

    # -- what there is ----------------------------------------------------------------------------

    @property
    def keypoints(self) -> tuple[str, ...]:
        """Names, in order."""
        return self._description.keypoints

    @property
    def origin(self) -> dict[str, str]:
        """For each keypoint that was renamed its first name: what a model knows it by."""
        return dict(self._description.origin)

    @property
    def videos(self) -> dict[str, Path]:
        """Videos by the names of their folders."""
        return {name: Path(path) for name, path in self._description.videos.items()}

    @property
    def n_labelled(self) -> int:
        """Frames with any label, of all videos."""
        return sum(len(frames) for frames in self._labels.values())

    def labels(self, video: str) -> dict[int, dict[str, Point]]:
        """Labels of a video: by frame, then by keypoint; NaN where it is hidden."""
        return {frame: dict(points) for frame, points in self._labels.get(video, {}).items()}

    def to_label(self, video: str) -> list[int]:
        """Frames that somebody or something proposed to label, in order."""
        return list(self._description.to_label.get(video, []))

    def picture(self, video: str, frame: int) -> np.ndarray:
        """Picture of a labelled frame: grey, uint8, shape (rows, columns)."""
        return read_picture(self._folder_of(video) / picture_name(frame))

    def has_picture(self, video: str, frame: int) -> bool:
        """Whether there is a picture of a frame, so that it can have labels."""
        return (self._folder_of(video) / picture_name(frame)).is_file()

    # -- changes ----------------------------------------------------------------------------------

    def add_video(self, path: str | Path) -> str:
        """Take up a video; gives its name in the project."""
        self._follow()
        path = Path(path).resolve()
        videos = self._description.videos
        for name, known in videos.items():
            if Path(known) == path:
                return name
        stem = folder_name(path.stem)
        name, k = stem, 1
        # Some file systems do not tell capitals apart.
        while name.casefold() in {other.casefold() for other in videos}:
            k += 1
            name = f"{stem}-{k}"
        self._change(videos={**videos, name: str(path)})
        return name

    def move_video(self, video: str, path: str | Path) -> None:
        """Note that a video's file lies elsewhere now."""
        self._follow()
        self._change(videos={**self._description.videos, video: str(Path(path).resolve())})

    def set_to_label(self, video: str, frames: Iterable[int]) -> None:
        """Note the frames that are to be labelled."""
        self._follow()
        chosen = sorted({int(frame) for frame in frames})
        self._change(to_label={**self._description.to_label, video: chosen})

    def set_place(self, video: str, box: Sequence[float], facing: str) -> None:
        """Note where a video is tracked, and where the face in that box looks."""
        self._follow()
        place = (Box(*(int(v) for v in box)), str(facing))
        places = self._description.places
        if places.get(video) != place:
            self._change(places={**places, video: place})

    def set_labels(
        self, video: str, frame: int, points: Mapping[str, Point], image: np.ndarray | None = None
    ) -> None:
        """Put down all labels of a frame, in place of those before.

        Keypoints of the frame that only another window labelled meanwhile keep their labels.

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
        known = self._labels.get(video, {}).get(int(frame), {})
        self._follow(video)
        now = self._labels.get(video, {}).get(int(frame), {})
        others = self._of_others.setdefault((video, int(frame)), set())
        others.update(now.keys() - known.keys())
        others.difference_update(points)
        points = {**{name: now[name] for name in others & now.keys()}, **points}
        odd = [name for name in points if name not in self.keypoints]
        if odd:
            raise ValueError(f"{self.folder}: the project has no keypoint {odd[0]!r}.")
        picture = self._folder_of(video) / picture_name(frame)
        if points and not picture.is_file():
            if image is None:
                raise ValueError(f"{picture}: expected the frame's picture with its first label.")
            write_picture(picture, image)
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
            All names, in order; what another window added meanwhile is kept behind them. Labels
            of those that are gone are put aside in the video's folder as ``removed-KEYPOINT.csv``.
        renamed : mapping of str to str
            From old names to new ones; their labels stay.
        """
        keypoints, before = checked_keypoints(keypoints), self.keypoints
        self._follow(*self._labels)
        keypoints += tuple(n for n in self.keypoints if n not in (*before, *keypoints))
        labels: dict[str, dict[int, dict[str, Point]]] = {}
        for video, frames in self._labels.items():
            labels[video] = {}
            gone: dict[str, dict[int, Point]] = {}
            for frame, points in frames.items():
                for name, point in points.items():
                    new = renamed.get(name, name)
                    if new in keypoints:
                        labels[video].setdefault(frame, {})[new] = point
                    else:
                        gone.setdefault(name, {})[frame] = point
            for name, points_of in gone.items():
                self._put_aside(video, name, points_of)
        origin = self.origin | {new: self.origin.get(old, old) for old, new in renamed.items()}
        self._change(
            keypoints=keypoints,
            origin={new: old for new, old in origin.items() if new in keypoints and new != old},
            before={new: old for old, new in renamed.items() if new in keypoints and new != old},
        )
        self._labels = labels
        for video in labels:
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
                place = self._description.places.get(video)
                found.append(LabelledFace(read_picture(picture), xy, source, hidden, place=place))
        return found

    # -- on disk ----------------------------------------------------------------------------------

    def _folder_of(self, video: str) -> Path:
        return self.folder / "labeled-data" / video

    def _tables(self, video: str) -> tuple[Path, Path]:
        folder = self._folder_of(video)
        return folder / "hidden.csv", folder / f"CollectedData_{SCORER}.csv"

    def _follow(self, *videos: str) -> None:
        """Take up what another window, or DeepLabCut, wrote in the meantime.

        Of the labels those of `videos`, or where the description is another now all: on the
        network, looking at the files of many videos with each click would take long.
        """
        stamp = _stamp(self._path)
        if stamp and stamp != self._described:
            self._description, self._described = read_description(self._path), stamp
            videos = tuple(self._description.videos)
        for video in videos:
            stamp = _stamp(*self._tables(video))
            if stamp and stamp != self._stamps.get(video):  # what is gone may only be unplugged
                self._labels[video], self._stamps[video] = self._read_labels(video), stamp

    def _change(self, **what: Any) -> None:
        self._describe(replace(self._description, **what))

    def _describe(self, description: Description) -> None:
        """Put down what the project is about; only then it is so."""
        write_description(description, self._path)
        # What DeepLabCut added to its file stays as long as it can.
        fits = self._described and description.keypoints == self.keypoints
        self._description, self._described = description, _stamp(self._path)
        if not fits:
            write_config(description.keypoints, self._config)

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
        self._stamps[video] = _stamp(*self._tables(video))

    def _put_aside(self, video: str, keypoint: str, points: Mapping[int, Point]) -> None:
        name = re.sub(r"[^\w.-]", "_", keypoint)
        path = unused_path(self._folder_of(video) / f"removed-{name}.csv")
        rows = [[frame, *map(_text, point)] for frame, point in sorted(points.items())]
        _write_rows(path, [["frame", "x", "y"], *rows])

    def _read_labels(self, video: str) -> dict[int, dict[str, Point]]:
        hidden, table = self._tables(video)
        # After a crash while keypoints were renamed the tables may still have the old names.
        known = self._description.known_as
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
                place = _place(table, number, x, y) if x and y and name in known else HIDDEN
                if np.isfinite(place).all():
                    points[known[name]] = place
        return {frame: points for frame, points in found.items() if points}


def _place(table: Path, number: int, x: str, y: str) -> Point:
    try:
        return float(x), float(y)
    except ValueError as error:
        raise ValueError(
            f"{table}, line {number}: expected numbers of pixels; found {x!r}, {y!r}. Mend the "
            "line, or empty both."
        ) from error


def _stamp(*paths: Path) -> _Stamp:
    found = [path.stat() for path in paths if path.is_file()]
    return tuple((file.st_mtime_ns, file.st_size) for file in found)


def _text(value: float) -> str:
    return f"{value:.3f}" if np.isfinite(value) else ""


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
