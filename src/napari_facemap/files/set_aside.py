"""Corrections that give way to others are kept in a table, so that nothing is lost."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from napari_facemap.files.atomic import atomic_path, unused_path


def set_aside(
    folder: str | Path, corrections: Mapping[int, Mapping[str, tuple[float, float]]]
) -> Path:
    """Write corrections into a table of their own.

    Parameters
    ----------
    folder : str or Path
        Where the table is to be.
    corrections : mapping of int to mapping of str to (x, y)
        By frame, then by keypoint; pixels, NaN where one is hidden.

    Returns
    -------
    Path
        ``replaced.csv``, or with a number where there is one: columns frame, keypoint, x, y, the
        last two empty where the keypoint is hidden.
    """
    path = unused_path(Path(folder) / "replaced.csv")
    with (
        atomic_path(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        table = csv.writer(file)
        table.writerow(["frame", "keypoint", "x", "y"])
        for frame, points in sorted(corrections.items()):
            for name, place in points.items():
                table.writerow([frame, name, *(f"{v:.3f}" if v == v else "" for v in place)])
    return path
