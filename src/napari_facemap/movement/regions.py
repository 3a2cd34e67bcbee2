"""Parts of the frame in which something is measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Self

import numpy as np
from matplotlib.path import Path as Outline

KINDS = ("motion", "pupil", "blink", "running", "glint")
"""What a region is for; a glint is left out of the pupils that it touches."""

SHAPES = ("rectangle", "ellipse", "polygon")

OPTIONS: Mapping[str, Mapping[str, float | bool | None]] = {
    "motion": {},
    "pupil": {"threshold": 60.0, "bright": False, "mm_per_pixel": None},
    "blink": {"threshold": 60.0},
    "running": {"cm_per_pixel": None},
    "glint": {},
}
"""Options of each kind and what they are unless said otherwise. Thresholds are grey levels from 0
to 255: pupils are darker than theirs, or brighter where ``bright``."""


class Window(NamedTuple):
    """Rows y0 to y1 and columns x0 to x1 of a frame, ends not included."""

    y0: int
    y1: int
    x0: int
    x1: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.y1 - self.y0, self.x1 - self.x0

    def of(self, frames: np.ndarray) -> np.ndarray:
        """The part of frames of shape (..., rows, columns) that lies in the window; a view."""
        return frames[..., self.y0 : self.y1, self.x0 : self.x1]


@dataclass(frozen=True, eq=False)
class Region:
    """A rectangle, ellipse or polygon of the frame, and what is measured there.

    Attributes
    ----------
    name : str
        Not empty; differs from those of the other regions.
    kind : str
        One of `KINDS`.
    vertices : ndarray of float, shape (n, 2)
        x and y in pixels of the full frame, pixel centres at integers. Of rectangles and ellipses
        the four corners in order, of the ellipse's bounding rectangle; either may be turned. Of
        polygons three corners or more.
    shape : str
        One of `SHAPES`.
    view : int
        Which camera, from 0.
    options : dict
        See `OPTIONS`.

    Raises
    ------
    ValueError
        When something of this is not so.
    """

    name: str
    kind: str
    vertices: np.ndarray
    shape: str = "rectangle"
    view: int = 0
    options: Mapping[str, float | bool | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        vertices = np.array(self.vertices, float)
        object.__setattr__(self, "vertices", vertices)
        if not self.name:
            raise ValueError("Expected a name for each region; found none.")
        _one_of(self.name, "kind", self.kind, KINDS)
        _one_of(self.name, "shape", self.shape, SHAPES)
        fits = vertices.ndim == 2 and vertices.shape[1:] == (2,) and np.isfinite(vertices).all()
        enough = len(vertices) >= 3 if self.shape == "polygon" else len(vertices) == 4
        if not (fits and enough):
            raise ValueError(
                f"Region {self.name!r}: expected {'3 or more' if self.shape == 'polygon' else 4} "
                f"corners of finite x and y for a {self.shape}; found shape {vertices.shape}."
            )
        unknown = set(self.options) - set(OPTIONS[self.kind])
        if unknown:
            raise ValueError(
                f"Region {self.name!r}: expected options of "
                f"{', '.join(OPTIONS[self.kind]) or 'none'} for {self.kind}; found "
                f"{', '.join(sorted(unknown))}."
            )
        object.__setattr__(self, "options", {**OPTIONS[self.kind], **self.options})
        for option, value in self.options.items():
            expected = _refused(option, value)
            if expected:
                raise ValueError(
                    f"Region {self.name!r}: expected {expected} as its {option}; found {value!r}."
                )

    @classmethod
    def rectangle(cls, name: str, kind: str, x0: float, y0: float, x1: float, y1: float) -> Self:
        """Make an upright rectangle that holds the pixels x0 to x1 and y0 to y1, ends included."""
        return cls(name, kind, _corners(x0, y0, x1, y1))

    @classmethod
    def ellipse(cls, name: str, kind: str, x: float, y: float, a: float, b: float) -> Self:
        """Make an upright ellipse about (x, y) with semi-axes a along x and b along y."""
        return cls(name, kind, _corners(x - a, y - b, x + a, y + b), "ellipse")

    def window(self, height: int, width: int) -> Window:
        """The smallest window of the frame that holds the region.

        Raises
        ------
        ValueError
            When no pixel of the frame lies in the region.
        """
        inside = self._inside(height, width)
        rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
        if not len(rows):
            raise ValueError(
                f"Region {self.name!r}: expected a part of the frame of {width} x {height} "
                "pixels; found nothing of it inside. Draw it over the video."
            )
        return Window(int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)

    def mask(self, height: int, width: int) -> np.ndarray:
        """Which pixels of `window` have their centre in the region, edges included.

        Returns
        -------
        ndarray of bool, shape (rows, columns) of the window
        """
        return self.window(height, width).of(self._inside(height, width))

    def scaled(self, x: float, y: float) -> Region:
        """The same region in frames that are `x` times as wide and `y` times as high."""
        # Frames reach half a pixel beyond the outer pixels' centres.
        moved = (self.vertices + 0.5) * [x, y] - 0.5
        return replace(self, vertices=moved)

    def _inside(self, height: int, width: int) -> np.ndarray:
        inside = np.zeros((height, width), bool)
        low = np.floor(self.vertices.min(0)).astype(int)
        high = np.ceil(self.vertices.max(0)).astype(int) + 1
        (x0, y0), (x1, y1) = np.maximum(low, 0), np.minimum(high, [width, height])
        if x0 >= x1 or y0 >= y1:
            return inside
        y, x = np.mgrid[y0:y1, x0:x1]
        points = np.stack([x.ravel(), y.ravel()], axis=1)
        holds = _in_polygon if self.shape == "polygon" else _in_frame
        found = holds(self.vertices, points, self.shape == "ellipse")
        inside[y0:y1, x0:x1] = found.reshape(x.shape)
        return inside


@dataclass(frozen=True, eq=False)
class Regions(Sequence[Region]):
    """Regions and the frames that they were drawn on.

    Attributes
    ----------
    regions : tuple of Region
        Of all views.
    sizes : tuple of (int, int)
        Rows and columns of each view's frames.

    Raises
    ------
    ValueError
        When names are not unique or a view is not there.
    """

    regions: tuple[Region, ...]
    sizes: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        names = [region.name for region in self.regions]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(
                f"Expected regions of different names; found several called {', '.join(twice)}."
            )
        for region in self.regions:
            if not 0 <= region.view < len(self.sizes):
                raise ValueError(
                    f"Region {region.name!r}: expected a view of 0 to {len(self.sizes) - 1}; "
                    f"found {region.view}."
                )

    def __getitem__(self, which):  # type: ignore[no-untyped-def]
        return self.regions[which]

    def __len__(self) -> int:
        return len(self.regions)

    def of(self, kind: str, view: int | None = None) -> list[Region]:
        """Those of a kind, of one view or all."""
        return [r for r in self.regions if r.kind == kind and view in (None, r.view)]

    def fitted_to(self, sizes: Sequence[tuple[int, int]]) -> Regions:
        """The same regions for videos whose frames have other sizes.

        Parameters
        ----------
        sizes : sequence of (int, int)
            Rows and columns of each view's frames.

        Returns
        -------
        Regions
            Stretched with the frames.

        Raises
        ------
        ValueError
            When there are fewer views than regions were drawn on.
        """
        needed = max((region.view + 1 for region in self.regions), default=0)
        if len(sizes) < needed:
            raise ValueError(
                f"Expected {needed} videos, one for each view of the regions; found {len(sizes)}."
            )
        moved = []
        for region in self.regions:
            (height, width), (old_height, old_width) = sizes[region.view], self.sizes[region.view]
            moved.append(region.scaled(width / old_width, height / old_height))
        return Regions(tuple(moved), tuple((int(h), int(w)) for h, w in sizes))


def _refused(option: str, value: object) -> str:
    """What is expected of an option, where a value is not it."""
    if option == "bright":
        return "" if isinstance(value, bool | np.bool_) else "true or false"
    number = np.nan
    if isinstance(value, int | float | np.number) and not isinstance(value, bool):
        number = float(value)
    if option.endswith("_per_pixel"):
        fits = value is None or 0 < number < np.inf
        return "" if fits else "a number above 0, or None where it is not known,"
    return "" if np.isfinite(number) else "a grey level"


def _one_of(name: str, what: str, found: str, known: Sequence[str]) -> None:
    if found not in known:
        raise ValueError(
            f"Region {name!r}: expected a {what} of {', '.join(known)}; found {found!r}."
        )


def _corners(x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], float)


def _in_polygon(vertices: np.ndarray, points: np.ndarray, _: bool) -> np.ndarray:
    # Its `radius` widens or narrows by the direction of the corners: edges belong to it here.
    outline = Outline(vertices)
    return outline.contains_points(points, radius=1e-9) | outline.contains_points(
        points, radius=-1e-9
    )


def _in_frame(vertices: np.ndarray, points: np.ndarray, round_: bool) -> np.ndarray:
    """Whether points lie in a rectangle, or the ellipse in it, that may be turned."""
    centre = vertices.mean(axis=0)
    # Half the sides; a side of length 0 holds what lies on it.
    sides = (vertices[1] - vertices[0]) / 2, (vertices[3] - vertices[0]) / 2
    along = []
    for side in sides:
        length = float(np.hypot(*side))
        direction = side / length if length else np.zeros(2)
        along.append((points - centre) @ direction / max(length, 1e-9))
    if round_:
        return along[0] ** 2 + along[1] ** 2 <= 1 + 1e-9
    return (np.abs(along[0]) <= 1 + 1e-9) & (np.abs(along[1]) <= 1 + 1e-9)
