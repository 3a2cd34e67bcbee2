"""Random views of a labelled face, so that the network sees more cameras than the labels have."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from napari_facemap.keypoints.box import Box, check_box, frame_to_input
from napari_facemap.keypoints.degrade import Degradation, degrade
from napari_facemap.keypoints.labels import LabelledFace
from napari_facemap.keypoints.network import INPUT_SIZE
from napari_facemap.keypoints.normalize import grey_quantiles, prepare
from napari_facemap.keypoints.view import (
    BOX_SIDE,
    FACINGS,
    eye_and_nose,
    face_box,
    facing_of,
    square_box,
    view_of,
)

_MIDDLE = np.full(2, (INPUT_SIZE - 1) / 2)
_ROWS, _COLUMNS = np.mgrid[:INPUT_SIZE, :INPUT_SIZE].astype(np.float32)


class View(NamedTuple):
    """What the network sees and should say.

    Attributes
    ----------
    image : ndarray of float32, shape (256, 256)
        Normalised as in tracking.
    xy : ndarray, shape (2, keypoint)
        Pixels of the image.
    seen : ndarray of float32, shape (keypoint,)
        1 where the keypoint is at `xy`, 0 where it is known to be hidden or outside, NaN where
        nobody labelled it.
    """

    image: np.ndarray
    xy: np.ndarray
    seen: np.ndarray


@dataclass(frozen=True)
class Augmentation:
    """How far random views stray from the view of a face's own box.

    Attributes
    ----------
    rotation : float
        Largest angle, degrees.
    stretch : float
        Largest relative change of the picture's proportions.
    perspective : float
        Largest change of scale from the middle of the view to its edge, relative.
    scale : float
        Largest factor by which the face is larger or smaller than its box shows it.
    shift : float
        Largest shift along each axis, in sides of the view.
    mirrored : float
        Chance that the face looks right, where networks expect it to look left.
    far : float
        Chance of a view as the face finder has it: a face of any size and place, looking
        either way.
    far_size : (float, float)
        Distance from eye to nose in such a view, in sides of the view.
    empty : float
        Chance of a view without a face.
    backdrop : float
        Chance that what lies beyond the picture is a blurred something and not black.
    cut : float
        Chance that a side of the view is black, as where a box sticks out of the frame.
    degradation : Degradation
        How far grey levels stray.
    """

    rotation: float = 25.0
    stretch: float = 0.12
    perspective: float = 0.08
    scale: float = 1.35
    shift: float = 0.1
    mirrored: float = 0.1
    far: float = 0.2
    far_size: tuple[float, float] = (0.09, 0.8)
    empty: float = 0.03
    backdrop: float = 0.3
    cut: float = 0.12
    degradation: Degradation = field(default_factory=Degradation)


def plain_view(
    face: LabelledFace,
    keypoints: tuple[str, ...],
    box: Box | None = None,
    mirrors: bool = True,
) -> tuple[View, Box, str]:
    """The network's input for a labelled face as tracking would make it.

    Parameters
    ----------
    face : LabelledFace
        With any keypoint labelled.
    keypoints : tuple of str
        Names of the labels.
    box : Box, optional
        By default the box that follows from eye and nose tip; without them the one that tracking
        looks at, where it is known, or the square around all labels, with room beside them.
    mirrors : bool
        Whether the view of a face that looks right is mirrored, as networks of our layout are
        shown it; those of Facemap's layout see it as it is.

    Returns
    -------
    view : View
    box : Box
        What is shown.
    facing : str
        How to read the view: "right" when it is mirrored.
    """
    eye, nose = eye_and_nose(face.xy, keypoints)
    if np.isfinite([*eye, *nose]).all():
        facing = facing_of(eye, nose)
        own = face_box(eye, nose)
    elif face.place is not None:
        own, facing = face.place
    else:
        facing = FACINGS[0]
        own = square_box(*_around_labels(face))
    facing = facing if mirrors else FACINGS[0]
    box = own if box is None else check_box(box, *face.image.shape)
    image = prepare(face.image[None], box, facing=facing)[0, 0].numpy()
    xy = frame_to_input(face.known, box, facing)
    return View(image, xy, _seen(face, xy)), box, facing


def random_view(
    face: LabelledFace,
    keypoints: tuple[str, ...],
    rng: np.random.Generator,
    how: Augmentation | None = None,
) -> View:
    """Draw a random view of a labelled face.

    Parameters
    ----------
    face : LabelledFace
        With any keypoint labelled; its size is taken from eye and nose where they are.
    keypoints : tuple of str
        Names of the labels.
    rng : numpy.random.Generator
        Source of chance.
    how : Augmentation, optional
        How far the view may stray.

    Returns
    -------
    View
    """
    how = how or Augmentation()
    to_picture = _random_transform(face, keypoints, rng, how)
    grey, inside = _sample(face.image, to_picture)
    if rng.random() < how.backdrop and not inside.all():
        grey = np.where(inside, grey, _backdrop(rng))
        inside = np.ones_like(inside)
    if rng.random() < how.cut:
        inside &= ~_random_side(rng)
    xy = _apply(np.linalg.inv(to_picture), face.known)
    grey, covered = degrade(grey, inside, rng, how.degradation)
    seen = _seen(face, xy)
    seen[_at(covered | ~inside, xy) & (seen == 1)] = 0
    return View(_normalised(grey, inside), xy, seen)


def _seen(face: LabelledFace, xy: np.ndarray) -> np.ndarray:
    known = np.isfinite(face.known).all(axis=0)
    with np.errstate(invalid="ignore"):
        outside = ((xy < -0.5) | (xy > INPUT_SIZE - 0.5)).any(axis=0)
    seen = np.where(known, np.where(outside, 0.0, 1.0), np.nan).astype(np.float32)
    if face.hidden is not None:
        seen[face.hidden] = 0
    return seen


def _random_transform(
    face: LabelledFace, keypoints: tuple[str, ...], rng: np.random.Generator, how: Augmentation
) -> np.ndarray:
    """Homography (3, 3) from pixels of the view to pixels of the picture."""
    middle, side, facing = _own_view(face, keypoints, rng)
    draw, way = rng.random(), rng.uniform(-1, 1, 2)
    mirrored = 0.5
    if draw < how.empty:  # far enough away that neither eye nor nose is to be seen
        way /= max(float(np.abs(way).max()), 1e-3)
        middle = middle + way * rng.uniform(1.2, 3.0) * side
        side *= rng.uniform(0.5, 1.2)
    elif draw < how.empty + how.far:
        size = float(np.exp(rng.uniform(*np.log(how.far_size))))
        side /= BOX_SIDE * size
        middle = middle + way * max(0.5 - 0.55 * size, 0.03) * side
    else:
        side *= how.scale ** rng.uniform(-1, 1)
        middle = middle + way * how.shift * side
        mirrored = how.mirrored
    flip = facing == "right"
    if rng.random() < mirrored:
        flip = not flip
    return _homography(middle, side, flip, rng, how)


def _own_view(
    face: LabelledFace, keypoints: tuple[str, ...], rng: np.random.Generator
) -> tuple[np.ndarray, float, str]:
    eye, nose = eye_and_nose(face.xy, keypoints)
    if np.isfinite(eye).all() and np.isfinite(nose).all():
        return *view_of(eye, nose), facing_of(eye, nose)
    if face.place is not None:
        box, facing = face.place
        middle = np.array([box.x0 + box.x1, box.y0 + box.y1]) / 2 - 0.5
        return middle, float(max(box.width, box.height)), facing
    return *_around_labels(face), FACINGS[rng.integers(2)]


def _around_labels(face: LabelledFace) -> tuple[np.ndarray, float]:
    """Middle and side of a square with all labels and room beside them."""
    labelled = face.xy[:, np.isfinite(face.xy).all(axis=0)]
    low, high = labelled.min(axis=1), labelled.max(axis=1)
    return (low + high) / 2, max(1.5 * float((high - low).max()), 0.3 * max(face.image.shape))


def _homography(
    middle: np.ndarray, side: float, flip: bool, rng: np.random.Generator, how: Augmentation
) -> np.ndarray:
    angle = np.deg2rad(rng.uniform(-how.rotation, how.rotation))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    stretch = np.exp(rng.uniform(-how.stretch, how.stretch) / 2)
    linear = turn @ np.diag([stretch, 1 / stretch]) * (side / INPUT_SIZE)
    if flip:
        linear = linear @ np.diag([-1.0, 1.0])
    to_middle, bend, to_picture = np.eye(3), np.eye(3), np.eye(3)
    to_middle[:2, 2] = -_MIDDLE
    bend[2, :2] = rng.uniform(-how.perspective, how.perspective, 2) / (INPUT_SIZE / 2)
    to_picture[:2, :2], to_picture[:2, 2] = linear, middle
    return np.asarray(to_picture @ bend @ to_middle)


def _apply(homography: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Carry points of shape (2, ...) through a homography."""
    flat = xy.reshape(2, -1)
    carried = homography[:, :2] @ flat + homography[:, 2:]
    return np.asarray((carried[:2] / carried[2]).reshape(xy.shape))


def _sample(image: np.ndarray, to_picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Look up the picture (0 to 1, shape (256, 256)), and where the view lies inside of it."""
    shrink = float(np.sqrt(abs(np.linalg.det(to_picture[:2, :2]))))
    grey = torch.from_numpy(image)[None, None].float() / 255
    x, y = _apply(to_picture.astype(np.float32), np.stack([_COLUMNS, _ROWS]))
    rows, columns = image.shape
    inside = (x > -0.5) & (x < columns - 0.5) & (y > -0.5) & (y < rows - 0.5)
    if shrink > 1.25:  # antialiased by averaging before bilinear look-up
        size = (max(round(rows / shrink), 4), max(round(columns / shrink), 4))
        grey = F.interpolate(grey, size, mode="bilinear", antialias=True)
    grid = torch.from_numpy(
        np.stack([(x + 0.5) * (2 / columns) - 1, (y + 0.5) * (2 / rows) - 1], -1)
    )
    found = F.grid_sample(grey, grid[None], padding_mode="border", align_corners=False)
    return found[0, 0].numpy(), inside


def _backdrop(rng: np.random.Generator) -> np.ndarray:
    """Blurred light and dark, from broad to fine."""
    n = int(rng.integers(2, 12))
    coarse = torch.from_numpy(rng.uniform(0, rng.uniform(0.1, 1), (1, 1, n, n)).astype(np.float32))
    size = (INPUT_SIZE, INPUT_SIZE)
    return F.interpolate(coarse, size, mode="bicubic")[0, 0].clamp(0, 1).numpy()


def _random_side(rng: np.random.Generator) -> np.ndarray:
    """Up to a third of the view along one of its sides."""
    across = _ROWS if rng.random() < 0.5 else _COLUMNS
    across = across if rng.random() < 0.5 else INPUT_SIZE - 1 - across
    return np.asarray(across < rng.uniform(0, INPUT_SIZE / 3))


def _at(mask: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Whether each point of the view lies where a mask is true."""
    pixel = np.clip(np.round(np.nan_to_num(xy)), 0, INPUT_SIZE - 1).astype(int)
    return np.asarray(mask[pixel[1], pixel[0]])


def _normalised(grey: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Normalise as tracking does: by the picture's own quantiles, and 0 beyond its edge."""
    if not inside.any():
        return np.zeros_like(grey)
    levels = np.clip(np.round(grey * 255), 0, 255).astype(np.uint8)
    low, high = grey_quantiles(np.bincount(levels[inside], minlength=256))
    stretched = (levels - low) / max(high - low, 1.0)
    return np.where(inside, stretched, 0).astype(np.float32)
