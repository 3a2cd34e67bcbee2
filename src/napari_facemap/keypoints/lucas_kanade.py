"""Points followed from frame to frame by what surrounds them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from napari_facemap.keypoints.following import Origin

SMALLEST_RADIUS = 4.0
"""Pixels; smaller windows hold too little."""

_LARGEST_SIDE = (
    12  # samples from a window's middle to its edge; larger windows are sampled coarser
)
_COARSER = 3  # levels of the pyramid above the finest
_ITERATIONS = 12
_STILL = 0.01  # samples; smaller steps end the search
_FLAT = 1.0  # grey levels; less contrast than that is noise
_TOLERANCE = 0.25  # of the radius: an error that leaves a confidence of 1/e
_ALIKE = (0.3, 0.8)  # correlation of two windows: of another place, and of the same
_ANCHORED = (0.8, 0.95)  # the same, with the labelled window, to be pulled to its place
_LOST = 0.1  # confidence at which a point is given up


class LucasKanade:
    """Follows points by the pyramidal method of Lucas and Kanade.

    A square window about each point is found again in the next frame by the shift that makes
    both most alike, from coarse to fine, with brightness and contrast left out. Three things say
    whether it was:

    - the *forward-backward error* ``d``: followed back, the point should come to where it was;
    - the *spread* ``v`` of the shift, ``s^2 / (n l)``, from what differs between the windows
      (mean square s^2 over n samples) and the smaller eigenvalue l of their gradients' mean
      outer product: along an edge, or where nothing is to be seen, it is large;
    - the *likeness* of both windows, their correlation r.

    With the radius R, ``fit = w exp(-(d^2 + v) / (R/4)^2)``, where w is the share of the window
    inside the picture. Let ``a(r)`` rise from 0 to 1 between correlations 0.3 and 0.8, let r be
    that with the frame before and q that with the labelled frame. Then the confidence is
    ``c[t] = fit max(a(q), c[t-1] a(r))``: what still looks as it was labelled is sure however
    long ago that was; else doubt adds up. Below 0.1, or outside the picture, a point is lost,
    and never found again.

    Against drift a point is pulled to where the labelled window fits best, when that is near
    (half a radius) and alike (fully from a correlation of 0.95, not at all below 0.8).

    Parameters
    ----------
    radius : float
        From a window's middle to its edge, pixels.

    Raises
    ------
    ValueError
        When the radius is not above 0.

    References
    ----------
    .. [1] Lucas, Kanade (1981), An iterative image registration technique with an application
       to stereo vision. IJCAI.
    .. [2] Bouguet (2000), Pyramidal implementation of the Lucas Kanade feature tracker. Intel.
    .. [3] Baker, Matthews (2004), Lucas-Kanade 20 years on: a unifying framework. IJCV 56.
       The template's gradients are computed once (inverse compositional).
    .. [4] Matthews, Ishikawa, Baker (2004), The template update problem. IEEE PAMI 26.
    .. [5] Kalal, Mikolajczyk, Matas (2010), Forward-backward error: automatic detection of
       tracking failures. ICPR.
    """

    def __init__(self, radius: float = 8.0) -> None:
        if not radius > 0:
            raise ValueError(f"Expected a radius above 0 pixels; found {radius}.")
        self.radius = max(float(radius), SMALLEST_RADIUS)
        self._finest = max(0, int(np.ceil(np.log2(self.radius / _LARGEST_SIDE))))
        side = round(self.radius / 2**self._finest)
        along = torch.arange(-side, side + 1, dtype=torch.float32)
        self._grid = torch.stack(torch.meshgrid(along, along, indexing="xy"), dim=-1)
        # Less weight towards the edge: what comes into a window changes it little at first.
        weight = torch.exp(-((self._grid / side) ** 2).sum(-1))
        self._weight = weight / weight.sum()
        self._samples = float(1 / (self._weight**2).sum())

    def __call__(
        self, frames: np.ndarray, xy: np.ndarray, origin: Origin | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Follow points through a clip.

        Parameters
        ----------
        frames : ndarray of uint8, shape (n, rows, columns)
            In the order in which they are to be gone through.
        xy : ndarray, shape (2, k)
            Column and row in the first frame; NaN is not followed.
        origin : Origin, optional
            Where the points were labelled; by default in the first frame.

        Returns
        -------
        xy : ndarray of float32, shape (n, 2, k)
            NaN where a point is lost.
        confidence : ndarray of float32, shape (n, k)
            Between 0 and 1.
        """
        if origin is None:
            origin = Origin(frames[0], xy, np.ones(xy.shape[1]))
        labelled = self._windows(self._pyramid(origin.frame), _points(origin.xy))
        before, now = self._pyramid(frames[0]), None
        place, confidence = _points(xy), torch.from_numpy(origin.confidence.astype(np.float32))
        confidence = torch.where(torch.isfinite(place).all(1), confidence, 0)
        places, confidences = [place], [confidence]
        for frame in frames[1:]:
            now = self._pyramid(frame)
            place, confidence = self._step(before, now, labelled, place, confidence)
            places.append(place)
            confidences.append(confidence)
            before = now
        return (
            torch.stack(places).swapaxes(1, 2).numpy(),
            torch.stack(confidences).numpy(),
        )

    def _step(
        self,
        before: list[torch.Tensor],
        now: list[torch.Tensor],
        labelled: list[_Windows],
        place: torch.Tensor,
        confidence: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Places and confidences in the next frame."""
        start = torch.nan_to_num(place)
        windows = self._windows(before, start)
        found = self._find(windows, now, start)
        likeness = self._likeness(windows[0], now[0], found)
        back = self._find(self._windows(now, found), before, found)
        error = ((back - start) ** 2).sum(1) + self._spread(windows[0], likeness)

        settled = self._find(labelled[:2], now, found)
        as_labelled = self._likeness(labelled[0], now[0], settled)
        near = (settled - found).norm(dim=1) < self.radius / 2
        pull = _rise(as_labelled, *_ANCHORED) * near
        found = found + pull[:, None] * (settled - found)
        as_labelled = self._likeness(labelled[0], now[0], found)

        fit = torch.exp(-error / (_TOLERANCE * self.radius) ** 2) * self._inside(now[0], found)
        chain = confidence * _rise(likeness, *_ALIKE)
        after = fit * torch.maximum(_rise(as_labelled, *_ALIKE), chain)
        rows, columns = now[0].shape[-2:]
        size = torch.tensor([columns, rows]) * 2**self._finest
        outside = ((found < -0.5) | (found > size - 0.5)).any(1)
        lost = (confidence <= 0) | (after < _LOST) | outside
        return (
            torch.where(lost[:, None], torch.nan, found),
            torch.where(lost, 0, after),
        )

    def _pyramid(self, frame: np.ndarray) -> list[torch.Tensor]:
        """The frame at each level, finest first; pixel i of a level is pixel 2i of the finer."""
        image = torch.from_numpy(np.ascontiguousarray(frame)).float()[None, None]
        levels = [image]
        for level in range(self._finest + _COARSER):
            # Up to the finest however small the picture is: windows are sampled at that level.
            if level >= self._finest and min(levels[-1].shape[-2:]) < 2 * len(self._grid):
                break
            levels.append(_halved(levels[-1]))
        return levels[self._finest :]

    def _windows(self, pyramid: list[torch.Tensor], place: torch.Tensor) -> list[_Windows]:
        """Windows about places of the finest picture, at each level."""
        return [
            self._window(image, torch.nan_to_num(place) / 2 ** (self._finest + level))
            for level, image in enumerate(pyramid)
        ]

    def _window(self, image: torch.Tensor, place: torch.Tensor) -> _Windows:
        values = self._sample(image, place, margin=1)
        grey, scale = self._even(values[:, 1:-1, 1:-1])
        # Scharr's gradients, of the window as it was sampled.
        along_x = (values[..., 2:] - values[..., :-2]) / 2
        along_y = (values[:, 2:] - values[:, :-2]) / 2
        slope = torch.stack([_smooth_rows(along_x), _smooth_columns(along_y)], 1) / scale[:, None]
        # What a change of brightness or contrast does to the window is no motion.
        slope = slope - self._mean(slope)[..., None, None]
        slope = slope - self._mean(slope * grey[:, None])[..., None, None] * grey[:, None]
        gram = self._mean(slope[:, :, None] * slope[:, None])
        damping = (0.1 * _FLAT / scale[:, 0, 0]) ** 2
        gram = gram + damping[:, None, None] * torch.eye(2)
        return _Windows(grey, slope, gram)

    def _find(
        self, windows: list[_Windows], pyramid: list[torch.Tensor], place: torch.Tensor
    ) -> torch.Tensor:
        """Where windows lie in another frame, from the coarsest level given to the finest."""
        levels = min(len(windows), len(pyramid))
        for level in reversed(range(levels)):
            window, unit = windows[level], 2 ** (self._finest + level)
            begin = at = place / unit
            for _ in range(_ITERATIONS):
                differs = self._even(self._sample(pyramid[level], at))[0] - window.grey
                push = self._mean(window.slope * differs[:, None])
                shift = torch.linalg.solve(window.gram, push)
                at = at - shift
                if float(shift.abs().max()) < _STILL:
                    break
            # A search that leaves its window has lost its way: go on from where it began.
            astray = (at - begin).norm(dim=1) > len(self._grid) / 2
            place = torch.where(astray[:, None], begin, at) * unit
        return place

    def _sample(self, image: torch.Tensor, place: torch.Tensor, margin: int = 0) -> torch.Tensor:
        """Grey levels about places of a level, between pixels too, shape (k, side, side)."""
        grid = self._grid
        if margin:
            half = len(grid) // 2 + margin
            along = torch.arange(-half, half + 1, dtype=torch.float32)
            grid = torch.stack(torch.meshgrid(along, along, indexing="xy"), dim=-1)
        rows, columns = image.shape[-2:]
        at = place[:, None, None] + grid
        at = 2 * at / torch.tensor([max(columns - 1, 1), max(rows - 1, 1)]) - 1
        k, side = len(place), len(grid)
        values = F.grid_sample(
            image, at.reshape(1, k, side * side, 2), padding_mode="border", align_corners=True
        )
        return values.reshape(k, side, side)

    def _even(self, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Windows with mean 0 and deviation 1, and what they were divided by."""
        centred = values - self._mean(values)[:, None, None]
        scale = self._mean(centred**2).sqrt()[:, None, None]
        # Flat windows have no deviation to speak of and are like no other.
        scale = torch.sqrt(scale**2 + _FLAT**2)
        return centred / scale, scale

    def _mean(self, values: torch.Tensor) -> torch.Tensor:
        return (values * self._weight).sum((-2, -1))

    def _likeness(
        self, window: _Windows, image: torch.Tensor, place: torch.Tensor
    ) -> torch.Tensor:
        """Correlation of windows with those about places of the finest level, shape (k,)."""
        other, _ = self._even(self._sample(image, place / 2**self._finest))
        return self._mean(window.grey * other)

    def _spread(self, window: _Windows, likeness: torch.Tensor) -> torch.Tensor:
        """Variance of a shift, square pixels of the frame, along the direction known least."""
        smallest = torch.linalg.eigvalsh(window.gram)[:, 0]
        differing = 2 * (1 - likeness).clamp(min=0.01)
        return differing / (self._samples * smallest) * 4**self._finest

    def _inside(self, image: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
        """Share of each window that lies in the picture."""
        rows, columns = image.shape[-2:]
        at = (place / 2**self._finest)[:, None, None] + self._grid
        size = torch.tensor([columns, rows])
        return self._mean(((at > -0.5) & (at < size - 0.5)).all(-1).float())


class _Windows(NamedTuple):
    """Windows about points at one level.

    grey (k, side, side) has mean 0 and deviation 1; slope (k, 2, side, side) are its gradients
    along x and y; gram (k, 2, 2) their mean outer product.
    """

    grey: torch.Tensor
    slope: torch.Tensor
    gram: torch.Tensor


def _points(xy: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(xy.T, np.float32))


def _rise(value: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """0 up to `low`, 1 from `high`, and straight between."""
    return ((value - low) / (high - low)).clamp(0, 1)


def _halved(image: torch.Tensor) -> torch.Tensor:
    """Every other pixel of a picture blurred by the binomial of width 5."""
    taps = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    image = F.pad(image, (2, 2, 2, 2), mode="replicate")
    image = F.conv2d(image, taps.reshape(1, 1, 5, 1), stride=(2, 1))
    return F.conv2d(image, taps.reshape(1, 1, 1, 5), stride=(1, 2))


def _smooth_rows(values: torch.Tensor) -> torch.Tensor:
    return (3 * values[:, :-2] + 10 * values[:, 1:-1] + 3 * values[:, 2:]) / 16


def _smooth_columns(values: torch.Tensor) -> torch.Tensor:
    return (3 * values[..., :-2] + 10 * values[..., 1:-1] + 3 * values[..., 2:]) / 16
