"""Labelled faces: pictures with hand-placed keypoints, as training reads them."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from napari_facemap.keypoints.box import Box
from napari_facemap.keypoints.view import face_size
from napari_facemap.video.video import open_video

LARGEST_FACE = 160
"""Pixels from eye to nose that training keeps; its views show up to about that many."""


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
    hidden : ndarray of bool, shape (keypoint,), optional
        Keypoints that are known to be covered or outside the picture; simulations know.
    guessed : ndarray, shape (2, keypoint), optional
        Where a model sees keypoints that nobody labelled; NaN where it is not sure.
    place : (Box, str), optional
        Where tracking looks in this recording, and where the face looks there.
    """

    image: np.ndarray
    xy: np.ndarray
    source: str
    hidden: np.ndarray | None = None
    guessed: np.ndarray | None = None
    place: tuple[Box, str] | None = None

    @property
    def known(self) -> np.ndarray:
        """Labels, and guesses where there are none, shape (2, keypoint)."""
        if self.guessed is None:
            return self.xy
        return np.where(np.isfinite(self.xy), self.xy, self.guessed)

    @property
    def dataset(self) -> str:
        """First folder of the source; "pictures" for one that lies beside the table."""
        folder, *rest = Path(self.source).parts
        return folder if rest else "pictures"

    @property
    def recording(self) -> str:
        """The source without the picture's number: pictures of one recording look alike."""
        return re.sub(r"[_-]?(img|frame)?\d+$", "", str(Path(self.source).with_suffix("")))


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


def shrunk(face: LabelledFace, keypoints: Sequence[str]) -> LabelledFace:
    """Make a picture no larger than views of it need, so that drawing many is fast.

    Parameters
    ----------
    face : LabelledFace
        With or without eye and nose tip labelled; without, it is left as it is.
    keypoints : sequence of str
        Names of the labels.

    Returns
    -------
    LabelledFace
        The same face, with at most `LARGEST_FACE` pixels from eye to nose.
    """
    factor = float(face_size(face.xy, keypoints)) / LARGEST_FACE
    if not factor > 1:
        return face
    rows, columns = (max(round(n / factor), 1) for n in face.image.shape)
    grey = torch.from_numpy(face.image)[None, None].float()
    small = F.interpolate(grey, (rows, columns), mode="bilinear", antialias=True)
    image = small[0, 0].round().clamp(0, 255).to(torch.uint8).numpy()
    scale = np.array([columns, rows])[:, None] / np.array(face.image.shape[::-1])[:, None]
    guessed = None if face.guessed is None else (face.guessed + 0.5) * scale - 0.5
    return replace(
        face, image=image, xy=(face.xy + 0.5) * scale - 0.5, guessed=guessed, place=None
    )


def _picture(table: Path, name: str) -> np.ndarray:
    # A picture is a video of one frame; reading both alike gives both the same grey.
    with open_video(table.parent / name) as video:
        return video[0]
