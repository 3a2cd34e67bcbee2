"""Labelled faces from DeepLabCut projects.

Read are the tables ``CollectedData_<scorer>.csv``, never the .h5 beside them, which hold pickles.
The format: https://deeplabcut.github.io/DeepLabCut/docs/standardDeepLabCut_UserGuide.html
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

import numpy as np

from napari_facemap.keypoints.labels import LabelledFace
from napari_facemap.video.video import open_video

_ONE_ANIMAL = ["scorer", "bodyparts", "coords"]
_SEVERAL = ["scorer", "individuals", "bodyparts", "coords"]


def is_deeplabcut(folder: str | Path) -> bool:
    """Whether a folder is a DeepLabCut project or one video of its labelled data.

    Parameters
    ----------
    folder : str or Path
        Any path.

    Returns
    -------
    bool
        True where it holds ``config.yaml`` and ``labeled-data``, or a ``CollectedData_*`` table.
    """
    folder = Path(folder)
    if (folder / "config.yaml").is_file() and (folder / "labeled-data").is_dir():
        return True
    return any(file.suffix in (".csv", ".h5") for file in folder.glob("CollectedData_*"))


def read_deeplabcut(
    folder: str | Path, keypoints: Sequence[str], names: Mapping[str, str] | None = None
) -> list[LabelledFace]:
    """Read the labelled pictures of a DeepLabCut project.

    Coordinates are taken as they are: DeepLabCut's labels are clicks on pictures that napari or
    matplotlib draw with pixel centres at integers, as ours are. What DeepLabCut does not train on
    is no label here either: a place at 0 or less, or beyond the picture.

    Parameters
    ----------
    folder : str or Path
        A project, with ``labeled-data/<video>/CollectedData_<scorer>.csv`` and the pictures beside
        each table, or one of these video folders. Of several tables in a folder, the one of the
        scorer in the project's ``config.yaml`` counts. A folder ``<video>_cropped`` is left out
        where ``<video>`` is labelled.
    keypoints : sequence of str
        The keypoints wanted, in order.
    names : mapping of str to str, optional
        From the project's bodyparts to `keypoints`. Those not in it match the keypoint of the same
        name, or else the one that differs only in case, spaces, underscores and brackets:
        "nose_tip" is "nose(tip)". Bodyparts that match none are left out.

    Returns
    -------
    list of LabelledFace
        Sorted by source, which is ``<video>/<picture>``, so that each video is a dataset; pictures
        without any of `keypoints` are left out.

    Raises
    ------
    ValueError
        When there is no table or it is not one of DeepLabCut's, no bodypart matches or two match
        the same keypoint, several individuals are labelled on a picture, or a picture is missing.
    """
    folder = Path(folder)
    tables = [_read_table(path) for path in _find_tables(folder)]
    found = sorted({part for table in tables for _, part in table.columns})
    names = names or {}
    for theirs, ours in names.items():
        if theirs not in found or ours not in keypoints:
            raise ValueError(
                f"{folder}: expected names from its bodyparts ({', '.join(found)}) to keypoints "
                f"({', '.join(keypoints)}); found {theirs!r} to {ours!r}."
            )
    matches = [_match(table, keypoints, names) for table in tables]
    if not any(matches):
        raise ValueError(
            f"{folder}: expected bodyparts among {', '.join(keypoints)}; found "
            f"{', '.join(found)}. Say with names which is which."
        )
    places: dict[Path, np.ndarray] = {}
    for table, match in zip(tables, matches, strict=True):
        places |= _places(table, match, keypoints)
    missing = [picture for picture in sorted(places) if not picture.is_file()]
    if missing:
        raise ValueError(
            f"{missing[0]}: labelled but missing, as {len(missing)} of {len(places)} pictures; put "
            "them back, or run deeplabcut.dropannotationfileentriesduetodeletedimages(config)."
        )
    faces = [_face(picture, xy) for picture, xy in sorted(places.items())]
    return [face for face in faces if np.isfinite(face.xy).any()]


def deeplabcut_bodyparts(folder: str | Path) -> list[str]:
    """Names of what is labelled in a DeepLabCut project.

    Parameters
    ----------
    folder : str or Path
        As for `read_deeplabcut`.

    Returns
    -------
    list of str
        In the order of its tables, each once.

    Raises
    ------
    ValueError
        When there is no table, or it is not one of DeepLabCut's.
    """
    tables = [_read_table(path) for path in _find_tables(Path(folder))]
    return list(dict.fromkeys(part for table in tables for _, part in table.columns))


def alike(name: str) -> str:
    """Name without what tells spellings apart: case, spaces, underscores and brackets."""
    return re.sub(r"[\s_()\[\]{}]", "", name).casefold()


@dataclass(frozen=True)
class _Table:
    """One ``CollectedData_<scorer>.csv``, its lines numbered as in the file."""

    path: Path
    n_index: int
    columns: Mapping[tuple[str, str], Sequence[int]]  # (individual, bodypart): of x and y
    lines: Sequence[tuple[int, Sequence[str]]]


def _find_tables(folder: Path) -> list[Path]:
    folder = folder.resolve()  # whose name is a dataset's
    labelled = folder / "labeled-data"
    project = folder if labelled.is_dir() else folder.parent.parent
    videos = sorted(labelled.iterdir()) if labelled.is_dir() else [folder]
    scorer = _scorer(project / "config.yaml")
    tables = {video.name: table for video in videos if (table := _table_of(video, scorer))}
    if not tables:
        raise ValueError(
            f"{folder}: no labeled-data/<video>/CollectedData_<scorer>.csv, nor such a table here."
        )
    # The parts of a video cropped for training show the same faces again.
    again = {f"{name}_cropped" for name in tables}
    return [table for name, table in tables.items() if name not in again]


def _scorer(config: Path) -> str:
    text = config.read_text(encoding="utf-8", errors="replace") if config.is_file() else ""
    line = re.search(r"^scorer:[ \t]*([^#\r\n]*)", text, re.MULTILINE)
    return line[1].strip().strip("'\"") if line else ""


def _table_of(video: Path, scorer: str) -> Path | None:
    tables = sorted(video.glob("CollectedData_*.csv"))
    if not tables and (others := sorted(video.glob("CollectedData_*.h5"))):
        raise ValueError(
            f"{others[0]}: expected a .csv beside it, found none; open the folder in DeepLabCut's "
            "labelling window and save, which writes both."
        )
    if len(tables) > 1:
        tables = [table for table in tables if table.stem == f"CollectedData_{scorer}"]
        if not tables:
            raise ValueError(
                f"{video}: several tables, none by config.yaml's scorer {scorer!r}; keep one."
            )
    return tables[0] if tables else None


def _read_table(path: Path) -> _Table:
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            lines = [(reader.line_num, cells) for cells in reader if any(cells)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: expected a table of text in UTF-8; {error}.") from error
    n_header = 4 if len(lines) > 1 and lines[1][1][0] == "individuals" else 3
    header = {cells[0]: cells for _, cells in lines[:n_header]}
    if list(header) not in (_ONE_ANIMAL, _SEVERAL):
        raise ValueError(
            f"{path}: expected DeepLabCut's header (lines scorer, individuals if several, "
            f"bodyparts, coords; separated by commas), found {', '.join(map(repr, header))}."
        )
    parts, axes = header["bodyparts"], header["coords"]
    individuals = header.get("individuals", [""] * len(parts))
    columns: dict[tuple[str, str], list[int]] = {}
    for i, (individual, part, axis) in enumerate(zip(individuals, parts, axes, strict=False)):
        if axis in ("x", "y"):
            columns.setdefault((individual, part), []).append(i)
    for (_, part), pair in columns.items():
        found = ", ".join(axes[i] for i in pair)
        if found != "x, y":
            raise ValueError(f"{path}: expected columns x, y of {part!r}, found {found}.")
    n_index = min((pair[0] for pair in columns.values()), default=1)
    return _Table(path, n_index, columns, lines[n_header:])


def _match(table: _Table, keypoints: Sequence[str], names: Mapping[str, str]) -> dict[str, str]:
    """Keypoint of each bodypart that has one: by `names`, else the same name, else about it."""
    match: dict[str, str] = {}
    about = {alike(keypoint): keypoint for keypoint in keypoints}
    for rule, key in ((names, str), ({name: name for name in keypoints}, str), (about, alike)):
        taken = set(match.values())
        for part in dict.fromkeys(part for _, part in table.columns):
            keypoint = rule.get(key(part))
            if keypoint is None or keypoint in taken or part in match:
                continue
            if keypoint in match.values():
                raise ValueError(
                    f"{table.path}: {part!r} is the second bodypart that could be {keypoint!r}; "
                    "say with names which it is."
                )
            match[part] = keypoint
    return match


def _places(
    table: _Table, match: Mapping[str, str], keypoints: Sequence[str]
) -> dict[Path, np.ndarray]:
    """Labels (2, keypoint) of the pictures that have any."""
    places: dict[Path, np.ndarray] = {}
    for number, cells in table.lines:
        where = f"{table.path}, line {number}"
        # One column of labeled-data/video/picture or three, with any system's separators; the
        # picture is beside its table, also where somebody renamed the folder.
        picture = table.path.parent / PureWindowsPath(*cells[: table.n_index]).name
        labels: dict[str, np.ndarray] = {}
        for (individual, part), columns in table.columns.items():
            point = [_number(cells, i, where) for i in columns]
            if part in match and np.isfinite(point).all():
                xy = labels.setdefault(individual, np.full((2, len(keypoints)), np.nan))
                xy[:, keypoints.index(match[part])] = point
        if len(labels) > 1:
            raise ValueError(f"{where}: expected one face, found {', '.join(labels)}; keep one.")
        if labels and picture in places:
            raise ValueError(f"{where}: {picture.name} is labelled twice; keep one line.")
        for xy in labels.values():  # none or one
            places[picture] = xy
    return places


def _number(cells: Sequence[str], column: int, where: str) -> float:
    # Spreadsheets drop the empty cells at a line's end.
    cell = cells[column].strip() if column < len(cells) else ""
    try:
        value = float(cell or "nan")
    except ValueError:
        value = np.inf
    if np.isinf(value):
        raise ValueError(f"{where}: expected pixels in column {column + 1}, found {cell!r}.")
    return value


def _face(picture: Path, xy: np.ndarray) -> LabelledFace:
    # A picture is a video of one frame; reading both alike gives both the same grey.
    with open_video(picture) as video:
        image = video[0]
    inside = ((xy > 0) & (xy <= np.array(image.shape[::-1])[:, None] - 0.5)).all(axis=0)
    source = f"{picture.parent.name}/{picture.name}"
    return LabelledFace(image, np.where(inside, xy, np.nan), source)
