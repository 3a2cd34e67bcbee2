"""Regions on disk: our own JSON, the .csv that napari saves shapes as, and masks of pixels."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_facemap.files.atomic import atomic_path
from napari_facemap.movement.regions import SHAPES, Region, Regions

FORMAT = "napari-facemap regions"
VERSION = 1
_NOTE = "vertices are x and y in pixels of the full frame, pixel centres at integers"


class RegionsFileError(ValueError):
    """A file of regions that is missing, damaged or something else."""


def write_regions(regions: Regions, path: str | Path) -> Path:
    """Write regions as JSON that people can read and change.

    Parameters
    ----------
    regions : Regions
        Of all views.
    path : str or Path
        Where the file is to be, best ending in .json. It appears whole or not at all.

    Returns
    -------
    Path
        Where it is.

    Raises
    ------
    ValueError
        When an option is neither a finite number, true or false, nor None.
    """
    path = Path(path)
    text = regions_to_text(regions)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def read_regions(path: str | Path, size: tuple[int, int] | None = None) -> Regions:
    """Read what `write_regions` wrote, or the shapes that napari saved.

    Parameters
    ----------
    path : str or Path
        Our .json, or the .csv that napari saves a layer of shapes as: its rectangles, ellipses
        and polygons become motion regions of the first view, called "region 1" and so on.
    size : (int, int), optional
        Rows and columns of the frames; needed for .csv, which does not say it.

    Returns
    -------
    Regions
        With the sizes of the frames.

    Raises
    ------
    RegionsFileError
        When the file is missing, damaged or holds something else, or a .csv comes without a size.
    """
    path = Path(path)
    if not path.is_file():
        raise RegionsFileError(f"{path}: no such file of regions.")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise RegionsFileError(
            f"{path}: expected regions as text (.json, or .csv of napari's shapes), found other "
            "bytes; draw the regions again and save them."
        ) from error
    if path.suffix.lower() == ".csv":
        return _from_csv(text, path, size)
    return regions_from_text(text, path)


def regions_to_text(regions: Regions) -> str:
    """Regions as JSON: format and version, then sizes of frames, then the regions.

    Raises
    ------
    ValueError
        When an option is neither a finite number, true or false, nor None.
    """
    for region in regions:
        for option, value in region.options.items():
            if not _is_option(value):
                raise ValueError(
                    f"Region {region.name!r}: expected a finite number, true or false, or None "
                    f"as its {option}; found {value!r}."
                )
    frames = ", ".join(
        f'{{"rows": {rows}, "columns": {columns}}}' for rows, columns in regions.sizes
    )
    written = [_region_to_text(region) for region in regions]
    listed = "[\n" + ",\n".join(written) + "\n  ]" if written else "[]"
    return (
        f'{{\n  "format": "{FORMAT}",\n  "version": {VERSION},\n  "note": "{_NOTE}",\n'
        f'  "frames": [{frames}],\n  "regions": {listed}\n}}\n'
    )


def regions_from_text(text: str, where: str | Path) -> Regions:
    """Read what `regions_to_text` made.

    Parameters
    ----------
    text : str
        JSON.
    where : str or Path
        The file that it is from, for messages.

    Returns
    -------
    Regions
        With the sizes of the frames.

    Raises
    ------
    RegionsFileError
        When it is damaged or something else.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RegionsFileError(
            f"{where}: expected regions as JSON, found a damaged or another file ({error}); draw "
            "the regions again and save them."
        ) from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise RegionsFileError(
            f'{where}: expected JSON with "format": "{FORMAT}", found other JSON; choose a file '
            "that regions were saved in."
        )
    if found.get("version") != VERSION:
        raise RegionsFileError(
            f"{where}: expected version {VERSION} of regions, found "
            f"{found.get('version')!r:.40}; update napari-facemap or save them again."
        )
    try:
        sizes = tuple((_whole(f["rows"]), _whole(f["columns"])) for f in found["frames"])
        if any(n < 1 for size in sizes for n in size):
            raise ValueError("frames without pixels")
        return Regions(tuple(_region(one) for one in found["regions"]), sizes)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise RegionsFileError(
            f"{where}: its regions are damaged or incomplete: {reason.rstrip('.')}. Mend the "
            "file, or draw the regions again and save them."
        ) from error


def _region_to_text(region: Region) -> str:
    corners = ", ".join(json.dumps([float(x), float(y)]) for x, y in region.vertices)
    options = {
        name: value if value is None or isinstance(value, bool) else _number(value)
        for name, value in region.options.items()
    }
    fields = {
        "name": json.dumps(region.name, ensure_ascii=False),
        "kind": json.dumps(region.kind),
        "shape": json.dumps(region.shape),
        "view": str(int(region.view)),
        "vertices": f"[{corners}]",
        "options": json.dumps(options),
    }
    return "    {\n" + ",\n".join(f'      "{k}": {v}' for k, v in fields.items()) + "\n    }"


def _region(found: dict[str, Any]) -> Region:
    name, options = found["name"], found["options"]
    if not isinstance(name, str) or not isinstance(options, dict):
        raise ValueError("a name that is no text, or options without names")
    for option, value in options.items():
        if not _is_option(value):
            raise ValueError(f"region {name!r}: {value!r:.40} as its {option}")
    vertices = np.array(found["vertices"], float)
    return Region(name, found["kind"], vertices, found["shape"], _whole(found["view"]), options)


def _is_option(value: Any) -> bool:
    number = isinstance(value, int | float | np.integer | np.floating)
    return value is None or isinstance(value, bool) or (number and math.isfinite(value))


def _number(value: Any) -> int | float:
    return int(value) if isinstance(value, int | np.integer) else float(value)


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{value!r:.40} where a whole number should be")
    return value


def _from_csv(text: str, path: Path, size: tuple[int, int] | None) -> Regions:
    try:
        rows = list(csv.reader(text.splitlines()))
        header, rows = rows[0], rows[1:]
    except (csv.Error, IndexError):
        header, rows = [], []
    axes = [column for column in header if column.startswith("axis-")]
    if header[:3] != ["index", "shape-type", "vertex-index"] or len(axes) < 2:
        raise RegionsFileError(
            f"{path}: expected the columns index, shape-type, vertex-index, axis-0 and axis-1 "
            f"of shapes that napari saved, found {', '.join(header)[:120] or 'none'}; save the "
            "layer of shapes again."
        )
    if size is None:
        raise RegionsFileError(
            f"{path}: expected the size of the frames beside shapes of napari, which do not say "
            "it; give size=(rows, columns)."
        )
    try:
        return Regions(_shapes(rows, len(header)), ((int(size[0]), int(size[1])),))
    except (ValueError, OverflowError) as error:
        raise RegionsFileError(
            f"{path}: expected rectangles, ellipses and polygons, found otherwise: "
            f"{str(error).rstrip('.')}. Save the layer again with these shapes alone."
        ) from error


def _shapes(rows: Sequence[list[str]], columns: int) -> tuple[Region, ...]:
    """Regions of a table's rows, one row a corner; time and such come before y and x."""
    corners: dict[int, list[tuple[float, float]]] = {}
    kinds: dict[int, str] = {}
    for line, row in enumerate(rows, start=2):
        if len(row) != columns:
            raise ValueError(f"{len(row)} columns in line {line} instead of {columns}")
        shape = int(float(row[0]))
        if kinds.setdefault(shape, row[1]) != row[1] or row[1] not in SHAPES:
            raise ValueError(f"a {row[1]!r:.40} in line {line}")
        y, x = float(row[-2]), float(row[-1])
        corners.setdefault(shape, []).append((x, y))
    return tuple(
        Region(f"region {n}", "motion", np.array(corners[shape]), kinds[shape])
        for n, shape in enumerate(sorted(corners), start=1)
    )


def outline_of_mask(
    y: np.ndarray, x: np.ndarray, mask: np.ndarray | None
) -> tuple[str, np.ndarray]:
    """Shape and vertices of a region that is given as pixels.

    Parameters
    ----------
    y, x : ndarray of int, shapes (row,), (column,)
        Rows and columns of the frame that hold it, rising by 1.
    mask : ndarray of bool, shape (row, column), optional
        Which of these pixels belong to it; all unless given.

    Returns
    -------
    shape : str
        An ellipse where one holds the pixels but for 3 in 100, else a rectangle or polygon. A
        polygon holds all between the first and the last pixel of each row.
    vertices : ndarray of float, shape (n, 2)
        x and y, as in `Region`.

    Raises
    ------
    ValueError
        When there are no pixels, or the mask is of another size.
    """
    if not y.size or not x.size:
        raise ValueError("a region without pixels")
    box = Region.rectangle("box", "motion", x[0], y[0], x[-1], y[-1])
    if mask is None or np.asarray(mask).all() or not np.asarray(mask).any():
        return box.shape, box.vertices
    mask = np.asarray(mask, bool)
    if mask.shape != (y.size, x.size):
        raise ValueError(f"a mask of {mask.shape} for a region of {(y.size, x.size)} pixels")
    ellipse = _ellipse(mask)
    if ellipse is not None:
        return "ellipse", ellipse.vertices + box.vertices[0]
    rows = np.flatnonzero(mask.any(1))
    left = mask[rows].argmax(1)
    right = mask.shape[1] - 1 - mask[rows, ::-1].argmax(1)
    corners = np.concatenate([np.stack([left, rows], 1), np.stack([right, rows], 1)[::-1]])
    if len(rows) < 2:
        return box.shape, box.vertices
    return "polygon", corners + box.vertices[0]


def _ellipse(mask: np.ndarray) -> Region | None:
    """The upright ellipse of a mask, which may cut it off; None when it is of another shape."""
    height, width = mask.shape
    fitted = _fitted_ellipse(mask)
    tried = [
        ((width - 1) / 2, (height - 1) / 2, width / 2 - cut, height / 2 - cut)
        for cut in (0, 0.25, 0.5, 1)
    ]
    tried += [] if fitted is None else [fitted]
    best, wrong = None, 0.03 * mask.sum()
    y, x = np.mgrid[:height, :width]
    for cx, cy, a, b in tried:
        if min(a, b) <= 0:
            continue
        inside = ((x - cx) / a) ** 2 + ((y - cy) / b) ** 2 <= 1 + 1e-9
        differing = (inside != mask).sum()
        if differing <= wrong and (best is None or differing < wrong):
            best, wrong = Region.ellipse("mask", "motion", cx, cy, a, b), differing
    return best


def _fitted_ellipse(mask: np.ndarray) -> tuple[float, float, float, float] | None:
    """Centre and semi-axes by least squares, midway between pixels in and out of the mask."""
    down, right = np.argwhere(mask[1:] != mask[:-1]), np.argwhere(mask[:, 1:] != mask[:, :-1])
    points = np.concatenate([down + np.array([0.5, 0]), right + np.array([0, 0.5])])[:, ::-1]
    if len(points) < 8:
        return None
    middle, size = points.mean(0), points.std() + 1e-9
    x, y = ((points - middle) / size).T
    p, q, r, s = np.linalg.lstsq(
        np.stack([x**2, y**2, x, y], 1), np.ones(len(points)), rcond=None
    )[0]
    if p <= 0 or q <= 0:
        return None
    level = 1 + r**2 / (4 * p) + s**2 / (4 * q)
    centre = middle - size * np.array([r / (2 * p), s / (2 * q)])
    return (*centre.tolist(), size * float(np.sqrt(level / p)), size * float(np.sqrt(level / q)))
