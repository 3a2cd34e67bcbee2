"""Labelled faces: pictures with hand-placed keypoints, as training reads them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_facemap.video.video import open_video


@dataclass(frozen=True)
class LabelledFace:
    """One picture and its labels.

    Attributes
    ----------
    image : ndarray of uint8, shape (rows, columns)
        Grey.
    xy : ndarray, shape (2, keypoint)
        Column and row; NaN where nobody labelled, which does not mean that it is hidden.
    source : str
        The picture's file, relative to the labels.
    """

    image: np.ndarray
    xy: np.ndarray
    source: str

    @property
    def dataset(self) -> str:
        """First folder of the source."""
        return Path(self.source).parts[0]


def read_labelled_faces(folder: str | Path, keypoints: Sequence[str]) -> list[LabelledFace]:
    """Read the pictures that a folder's ``labels.csv`` names.

    Parameters
    ----------
    folder : str or Path
        Holds ``labels.csv`` with columns file, keypoint, x, y (pixels, centres at integers), and
        the files it names.
    keypoints : sequence of str
        The keypoints wanted, in order; labels of others are left out.

    Returns
    -------
    list of LabelledFace
        Sorted by file; pictures without any of `keypoints` are left out.

    Raises
    ------
    ValueError
        When the table is missing or a row is not a label.
    """
    table = Path(folder) / "labels.csv"
    if not table.is_file():
        raise ValueError(f"{table}: no such table of labels (columns file, keypoint, x, y).")
    places: dict[str, np.ndarray] = {}
    with open(table, newline="", encoding="utf-8") as file:
        for number, row in enumerate(csv.DictReader(file), start=2):
            try:
                name, keypoint, x, y = row["file"], row["keypoint"], row["x"], row["y"]
                if keypoint in keypoints:
                    xy = places.setdefault(name, np.full((2, len(keypoints)), np.nan))
                    xy[:, keypoints.index(keypoint)] = float(x), float(y)
                    if not np.isfinite(xy[:, keypoints.index(keypoint)]).all():
                        raise ValueError("not finite")
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(
                    f"{table}, line {number}: expected file, keypoint, x, y; found {row}."
                ) from error
    return [LabelledFace(_picture(table, name), places[name], name) for name in sorted(places)]


def _picture(table: Path, name: str) -> np.ndarray:
    # A picture is a video of one frame; reading both alike gives both the same grey.
    with open_video(table.parent / name) as video:
        return video[0]
