"""The pupil: an ellipse fitted to the rim of a dark or bright spot, in every frame."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from napari_facemap.movement.pupil_rim import (
    agreed_ellipse,
    along_rays,
    first_ellipse,
    median,
    overlap,
    profiles_of,
    rim_of,
    root,
    unevenness,
)
from napari_facemap.movement.regions import Region

_TOGETHER = 350_000  # pixels of frames measured together: they stay near the processor
_SMALLEST = 20  # pixels; fewer tell nothing about an ellipse
_LONGEST = 2.5  # ratio of axes
_LEAST_QUALITY = 0.4
_LEAST_RIM = 0.4  # share of the rim that must be seen and agree
_REACH = np.linspace(0.05, 2.0, 40)  # places along a ray; the rim is near 1
_IN_PLANE = np.zeros((3, 3, 3), bool)
_IN_PLANE[1] = True  # neighbours in the same frame, corners too


class PupilFit(NamedTuple):
    """An ellipse; NaN throughout where no pupil is seen.

    Attributes
    ----------
    x, y : float
        Centre in pixels of the full frame, pixel centres at integers.
    major, minor : float
        Semi-axes in pixels.
    angle : float
        Of the major axis in radians, from x towards y, at least -pi/2 and below pi/2.
    quality : float
        Intersection over union, 0 to 1, of the pupil's pixels and the ellipse. The pixels are
        those darker than the threshold (brighter, of a bright pupil) that hang together, with
        what they enclose; directions in which they leave the region or meet a glint that was
        drawn do not count.
    """

    x: float
    y: float
    major: float
    minor: float
    angle: float
    quality: float


class PupilMeasure:
    """Fits an ellipse to the pupil in each frame.

    The largest compact spot of pixels beyond the threshold says where the pupil is. The rim is
    then found along rays from its centre, halfway from the pupil's grey level to that of the
    surroundings next to it, from all grey levels across the rim: it hardly moves with the
    threshold, and blur does not change the area. The ellipse through these points leaves out
    those that do not agree with the others, as where a lid or a reflection hides the rim.

    There is no pupil (NaN) where no spot has 20 pixels, less than about half of a rim is seen,
    the quality is below 0.4, the axes differ more than 2.5 times, or the rim is too uneven in
    form and contrast to be other than a dark patch of fur.

    Parameters
    ----------
    region : Region
        Where to look. Its options are ``threshold`` (grey level) and ``bright``.
    glints : iterable of Region
        Pixels in them count as unknown. Those of other views are passed over.
    height, width : int
        The frames' size.

    Raises
    ------
    ValueError
        When the region, or a glint, lies outside of the frame.
    """

    def __init__(self, region: Region, glints: Iterable[Region], height: int, width: int):
        self._size = (height, width)
        self._name = region.name
        self._window = region.window(height, width)
        counted = np.zeros((height, width), bool)
        self._window.of(counted)[:] = region.mask(height, width)
        for glint in glints:
            if glint.view == region.view:
                drawn = glint.window(height, width).of(counted)
                drawn &= ~glint.mask(height, width)
        # One pixel more on each side, which does not count: rays may end there.
        self._counted = np.pad(self._window.of(counted), 1)
        self._neighbours = _around(self._counted)
        self._bright = bool(region.options["bright"])
        threshold = float(region.options["threshold"] or 0.0)
        self._threshold = 255.0 - threshold if self._bright else threshold

    def fit(self, frame: np.ndarray) -> PupilFit:
        """Fit one frame.

        Parameters
        ----------
        frame : ndarray of uint8, shape (rows, columns)
            A full frame.

        Returns
        -------
        PupilFit
        """
        return PupilFit(*self.work(frame, frame[np.newaxis])[0].tolist())

    def work(self, before: np.ndarray, frames: np.ndarray) -> np.ndarray:
        """Fit some frames, each by itself; threads may call this at once.

        Parameters
        ----------
        before : ndarray of uint8, shape (rows, columns)
            Not used.
        frames : ndarray of uint8, shape (n, rows, columns)
            Full frames.

        Returns
        -------
        ndarray of float64, shape (n, 6)
            As in `PupilFit`.

        Raises
        ------
        ValueError
            When frames have another size than was told.
        """
        if frames.shape[1:] != self._size:
            raise ValueError(
                f"Region {self._name!r}: expected frames of shape {self._size}; "
                f"found {frames.shape[1:]}."
            )
        found = np.full((len(frames), len(PupilFit._fields)), np.nan)
        block = max(1, _TOGETHER // self._counted.size)
        for start in range(0, len(frames), block):
            part = self._window.of(frames[start : start + block])
            found[start : start + block] = self._fit(np.pad(part, ((0, 0), (1, 1), (1, 1))))
        return found

    def _fit(self, grey: np.ndarray) -> np.ndarray:
        found = np.full((len(grey), len(PupilFit._fields)), np.nan)
        if self._bright:
            grey = 255 - grey
        dark = (grey < self._threshold) & self._counted
        # A pixel is what most of the pixels around it are: hairs and noise go.
        spots = (2 * _around(dark) > self._neighbours) & self._counted
        largest = _largest(spots)
        which, start = largest.which, (largest.centre, largest.shape)
        if not len(which):
            return found
        grey = grey[which]
        reach, seen = _reach(largest, self._counted)
        profiles = profiles_of(grey, self._counted, *start, reach)
        level = median(profiles.low, profiles.known)
        edge, sharp, _ = rim_of(profiles, level)
        ellipse = first_ellipse(edge, seen & sharp, *start)
        for _ in range(2):
            profiles = profiles_of(grey, self._counted, *ellipse, np.ones_like(reach))
            edge, sharp, rise = rim_of(profiles, level)
            centre, shape, weights = agreed_ellipse(edge, sharp, *ellipse)
            ellipse = (centre, shape)
        fits = _describe(*ellipse, overlap(reach, seen, start, ellipse))
        enough = (fits[:, 5] >= _LEAST_QUALITY) & (weights.mean(axis=1) >= _LEAST_RIM)
        enough &= fits[:, 2] <= _LONGEST * fits[:, 3]
        enough &= unevenness(edge, rise, weights) <= 1
        fits[:, :2] += (self._window.x0 - 1, self._window.y0 - 1)
        found[which[enough]] = fits[enough]
        return found


def _around(mask: np.ndarray) -> np.ndarray:
    """How many pixels of each pixel's 5 x 5 neighbourhood are set, in (..., rows, columns)."""
    rows, columns = mask.shape[-2:]
    wide = np.zeros((*mask.shape[:-2], rows + 4, columns + 4), np.uint8)
    wide[..., 2:-2, 2:-2] = mask
    tall = sum((wide[..., k : k + rows, :] for k in range(1, 5)), wide[..., :rows, :])
    return sum((tall[..., k : k + columns] for k in range(1, 5)), tall[..., :columns])


class _Spots(NamedTuple):
    """One spot of each frame that has one.

    Attributes
    ----------
    which : ndarray of int, shape (m,)
        The frames.
    centre : ndarray, shape (m, 2)
        Mean x and y.
    shape : ndarray, shape (m, 2, 2)
        Symmetric; leads from the unit circle to the ellipse of the spot's second moments.
    labels : ndarray of int, shape (n, rows, columns)
        Of all frames' spots.
    label : ndarray of int, shape (m,)
        Of these spots.
    """

    which: np.ndarray
    centre: np.ndarray
    shape: np.ndarray
    labels: np.ndarray
    label: np.ndarray


def _largest(spots: np.ndarray) -> _Spots:
    """The more compact of the two largest spots of each frame; no spot has pixels at the edge."""
    labels, n = ndimage.label(spots, _IN_PLANE)
    runs = _Runs.of(spots, labels)
    count = np.bincount(runs.label, runs.length, minlength=n + 1)
    owner = np.full(n + 1, -1)
    owner[runs.label] = runs.frame
    order = np.lexsort((count, owner))[1:]
    rank = np.searchsorted(owner[order], owner[order], side="right") - np.arange(len(order))
    two = order[(rank <= 2) & (count[order] >= _SMALLEST)]
    mean, moments = runs.moments(count)
    # 1 for an ellipse, less for any other form of that area.
    full = count[two] / (4 * np.pi * np.sqrt(np.linalg.det(moments[two])))
    order = np.lexsort((count[two] * full**2, owner[two]))
    last = two[order[np.flatnonzero(np.diff(owner[two][order], append=len(spots)))]]
    return _Spots(owner[last], mean[last], root(4 * moments[last]), labels, last)


class _Runs(NamedTuple):
    """Neighbouring pixels of a row that belong to the same spot: far fewer than pixels.

    Attributes
    ----------
    label, frame, length : ndarray of int, shape (run,)
    x, y : ndarray, shape (run,)
        Of the middle.
    """

    label: np.ndarray
    frame: np.ndarray
    length: np.ndarray
    x: np.ndarray
    y: np.ndarray

    @classmethod
    def of(cls, spots: np.ndarray, labels: np.ndarray) -> _Runs:
        """Find those of a picture without spots at its left and right edges."""
        _, rows, columns = spots.shape
        flat = spots.ravel()
        ends = np.flatnonzero(flat[1:] != flat[:-1])
        first, last = ends[::2] + 1, ends[1::2]
        line, x = np.divmod(first, columns)
        frame, y = np.divmod(line, rows)
        length = last - first + 1
        return cls(labels.ravel()[first], frame, length, x + (length - 1) / 2, y.astype(float))

    def moments(self, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean x and y, shape (label, 2), and covariances, shape (label, 2, 2), of labels."""
        count = np.maximum(count, 1.0)

        def mean_of(values: np.ndarray) -> np.ndarray:
            return np.bincount(self.label, self.length * values, minlength=len(count)) / count

        mean = np.stack([mean_of(self.x), mean_of(self.y)], axis=1)
        x, y = self.x - mean[self.label, 0], self.y - mean[self.label, 1]
        # Pixels are squares, not points; those of a run are (length^2) / 12 from its middle.
        xx, xy, yy = mean_of(x * x + self.length**2 / 12), mean_of(x * y), mean_of(y * y + 1 / 12)
        return mean, np.stack([xx, xy, xy, yy], axis=1).reshape(-1, 2, 2)


def _reach(spots: _Spots, counted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far out the spot's last pixel lies along each ray, in lengths of `along`.

    Returns
    -------
    reach : ndarray, shape (n, ray)
    seen : ndarray of bool, shape (n, ray)
        Whether that is an end of the spot, not of what counts.
    """
    _, rows, columns = spots.labels.shape
    along = along_rays(spots.shape)
    # Towards 0 is down here: what lies beyond the picture is moved into its margin.
    x, y = (spots.centre[:, None, None, k] + 0.5 + along[..., k, None] * _REACH for k in (0, 1))
    place = np.clip(y, 0, rows - 1).astype(np.intp) * columns
    place += np.clip(x, 0, columns - 1).astype(np.intp)
    known = counted.ravel()[place]
    place += (spots.which * rows * columns)[:, None, None]
    inside = spots.labels.ravel()[place] == spots.label[:, None, None]
    last = len(_REACH) - 1 - inside[..., ::-1].argmax(axis=2)
    after = np.minimum(last + 1, len(_REACH) - 1)
    seen = inside.any(axis=2) & (last < after)
    seen &= np.take_along_axis(known, after[..., None], 2)[..., 0]
    return _REACH[last] + (_REACH[1] - _REACH[0]) / 2, seen


def _describe(centre: np.ndarray, shape: np.ndarray, quality: np.ndarray) -> np.ndarray:
    """Columns of `PupilFit`."""
    xx, xy, yy = shape[:, 0, 0], shape[:, 0, 1], shape[:, 1, 1]
    mean, differ = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    angle = np.arctan2(2 * xy, xx - yy) / 2
    angle = np.where(angle >= np.pi / 2, -np.pi / 2, angle)
    columns = [centre[:, 0], centre[:, 1], mean + differ, mean - differ, angle, quality]
    return np.stack(columns, axis=1)
