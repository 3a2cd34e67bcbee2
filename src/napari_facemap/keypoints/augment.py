"""Random views of a labelled face, so that the network sees more cameras than the labels have."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from napari_facemap.keypoints.box import Box, frame_to_input
from napari_facemap.keypoints.labels import LabelledFace
from napari_facemap.keypoints.network import INPUT_SIZE
from napari_facemap.keypoints.normalize import grey_quantiles, prepare


@dataclass(frozen=True)
class Augmentation:
    """How far random views stray from the labelled picture.

    Attributes
    ----------
    rotation : float
        Largest angle, degrees.
    stretch : float
        Largest relative change of the picture's proportions.
    tightness : (float, float)
        Side of the network's square relative to the size of the labelled face, smallest and
        largest; the largest lies near what a whole frame shows.
    whole_frame : float
        Chance that the whole frame is shown instead.
    gamma, contrast, brightness, noise, blur : float
        Largest changes of grey: exponent (as a factor), factor, shift (fraction of the range),
        standard deviation of noise (same), width of a Gaussian blur (pixels of the input).
    """

    rotation: float = 20.0
    stretch: float = 0.12
    tightness: tuple[float, float] = (1.35, 4.0)
    whole_frame: float = 0.25
    gamma: float = 1.7
    contrast: float = 1.4
    brightness: float = 0.15
    noise: float = 0.06
    blur: float = 1.5


def plain_view(face: LabelledFace, box: Box | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The network's input for a labelled face as tracking would make it.

    Returns
    -------
    image : ndarray of float32, shape (256, 256)
    xy : ndarray, shape (2, keypoint)
        Pixels of the input.
    """
    box = box or Box(0, 0, face.image.shape[1], face.image.shape[0])
    image = prepare(face.image[None], box)[0, 0].numpy()
    return image, frame_to_input(face.xy, box)


def random_view(
    face: LabelledFace, rng: np.random.Generator, how: Augmentation | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a random view of a labelled face.

    Parameters
    ----------
    face : LabelledFace
        At least two labelled keypoints.
    rng : numpy.random.Generator
        Source of chance.
    how : Augmentation, optional
        How far the view may stray.

    Returns
    -------
    image : ndarray of float32, shape (256, 256)
        Normalised as in tracking.
    xy : ndarray, shape (2, keypoint)
        Pixels of the input; NaN where unlabelled or outside of it.
    """
    how = how or Augmentation()
    to_frame, offset = _random_transform(face, rng, how)
    grey = _sample(face.image, to_frame, offset)
    inside = _inside(face.image.shape, to_frame, offset)
    grey = _random_grey(grey, inside, rng, how)
    if rng.random() < 0.5:
        # Front and back are the face's own, so that names stay in the mirrored picture.
        grey, inside = grey[:, ::-1], inside[:, ::-1]
        mirror = np.array([[-1.0, 0.0], [0.0, 1.0]])
        offset = offset + to_frame @ np.array([INPUT_SIZE - 1.0, 0.0])
        to_frame = to_frame @ mirror
    image = _stretched(grey, inside)
    xy = np.linalg.solve(to_frame, face.xy - offset[:, None])
    outside = ((xy < -0.5) | (xy > INPUT_SIZE - 0.5)).any(axis=0)
    xy[:, outside] = np.nan
    return image, xy


def _random_transform(
    face: LabelledFace, rng: np.random.Generator, how: Augmentation
) -> tuple[np.ndarray, np.ndarray]:
    """Matrix and offset that carry input pixels (x, y) to pixels of the picture."""
    rows, columns = face.image.shape
    labelled = face.xy[:, np.isfinite(face.xy).all(axis=0)]
    low, high = labelled.min(axis=1), labelled.max(axis=1)
    extent = max(float((high - low).max()), 0.1 * max(rows, columns))
    if rng.random() < how.whole_frame:
        side = max(rows, columns) * rng.uniform(0.9, 1.1)
        center = np.array([columns, rows]) / 2 + rng.uniform(-0.08, 0.08, 2) * side
    else:
        side = extent * np.exp(rng.uniform(*np.log(how.tightness)))
        slack = np.maximum(side - (high - low), 0) / 2
        center = (low + high) / 2 + rng.uniform(-0.9, 0.9, 2) * slack
    angle = np.deg2rad(rng.uniform(-how.rotation, how.rotation))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    stretch = np.exp(rng.uniform(-how.stretch, how.stretch))
    to_frame = turn @ np.diag([stretch, 1 / stretch]) * (side / INPUT_SIZE)
    middle = np.full(2, (INPUT_SIZE - 1) / 2)
    return to_frame, center - to_frame @ middle


def _sample(image: np.ndarray, to_frame: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Look up the picture (0 to 1) under an affine map, blurred first where it shrinks."""
    shrink = float(np.sqrt(abs(np.linalg.det(to_frame))))
    grey = image.astype(np.float32) / 255
    if shrink > 1:
        grey = ndimage.gaussian_filter(grey, 0.45 * np.sqrt(shrink**2 - 1), truncate=2.5)
    # scipy works in (row, column).
    return ndimage.affine_transform(
        grey, to_frame[::-1, ::-1], offset[::-1], (INPUT_SIZE, INPUT_SIZE), order=1, mode="nearest"
    )


def _inside(shape: tuple[int, ...], to_frame: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Where the view shows the picture, and not what lies beyond its edge."""
    rows, columns = np.mgrid[:INPUT_SIZE, :INPUT_SIZE]
    x, y = np.tensordot(to_frame, np.stack([columns, rows]), axes=1) + offset[:, None, None]
    return (x > -0.5) & (x < shape[1] - 0.5) & (y > -0.5) & (y < shape[0] - 0.5)


def _stretched(grey: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Normalise as tracking does: by the picture's own quantiles, and 0 beyond its edge."""
    levels = np.clip(np.round(grey * 255), 0, 255).astype(np.uint8)
    low, high = grey_quantiles(np.bincount(levels[inside], minlength=256))
    stretched = (levels - low) / max(high - low, 1.0)
    return np.where(inside, stretched, 0).astype(np.float32)


def _random_grey(
    grey: np.ndarray, inside: np.ndarray, rng: np.random.Generator, how: Augmentation
) -> np.ndarray:
    if rng.random() < 0.3:
        grey = ndimage.gaussian_filter(grey, rng.uniform(0.3, how.blur))
    grey = np.clip(grey, 0, 1) ** np.exp(rng.uniform(-1, 1) * np.log(how.gamma))
    factor = np.exp(rng.uniform(-1, 1) * np.log(how.contrast))
    middle = grey[inside].mean()
    grey = (grey - middle) * factor + middle + rng.uniform(-1, 1) * how.brightness
    if rng.random() < 0.5:
        grey = grey * _shade(rng)
    grey = grey + rng.normal(0, rng.uniform(0, how.noise), grey.shape)
    return np.clip(grey, 0, 1).astype(np.float32)


def _shade(rng: np.random.Generator) -> np.ndarray:
    """Uneven light: brighter towards one side."""
    axis = np.linspace(-1, 1, INPUT_SIZE)
    angle, depth = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.4)
    return 1 + depth * (np.cos(angle) * axis[:, None] + np.sin(angle) * axis[None])
