"""The belt that the mouse runs on: how it moves, how it looks and where it is free to see."""

from __future__ import annotations

import numpy as np
from scipy import fft, ndimage

from napari_facemap.simulate.appearance import Appearance
from napari_facemap.simulate.chance import TimeChance, generator
from napari_facemap.simulate.geometry import Head
from napari_facemap.simulate.paw import paw_depth
from napari_facemap.simulate.texture import MARGIN, spout_cover

_TOP = (0.68, 0.76)  # of the frame's height, where the belt begins
_FASTEST = 220.0  # head units a second: some centimetres
_SKIN = 8.0  # head units that the jaw and the whole head move at the most, and more
_PAW_STEP = 3.0  # pixels between the places of the paw that are tried
_LEAST = 24  # rows and columns that are enough to see movement in


def belt_steps(times: np.ndarray, running: np.ndarray, seed: int) -> np.ndarray:
    """How far the belt moves from frame to frame.

    It stands still but for bouts of running, in which its speed changes smoothly. The beginning
    of a longer simulation is the same.

    Parameters
    ----------
    times : ndarray, shape (time,)
        Seconds, 0 or more.
    running : ndarray, shape (time,)
        0 to 1, see `simulate_behavior`.
    seed : int
        Which mouse and day, 0 or more.

    Returns
    -------
    ndarray, shape (time,)
        Head units toward the tail since the frame before; 0 for the first.
    """
    chance = TimeChance(seed)
    bout = np.clip((running - 0.15) / 0.5, 0, 1)
    pace = 1 + 0.3 * np.tanh(chance.smooth("belt pace", times, 0.3))
    slow = 0.6 + 0.4 * np.tanh(chance.smooth("belt", times, 1.5))
    speed = _FASTEST * bout * bout * (3 - 2 * bout) * pace * slow
    steps = np.zeros(len(times))
    steps[1:] = (speed[1:] + speed[:-1]) / 2 * np.diff(times)
    return steps


class Belt:
    """A running surface in the lower part of the frame, behind a mouse that faces left.

    Its texture repeats after more than two widths of the frame and is moved in Fourier space, so
    that every shift is exact.

    Parameters
    ----------
    head : Head
        The mouse and the frame.
    appearance : Appearance
        Looks of the rest.
    steps : ndarray, shape (time,)
        Head units since the frame before, see `belt_steps`.
    opacity : ndarray, shape (row, column)
        Of the resting head, 0 to 1, with `MARGIN` pixels around the frame.
    seed : int
        Of the belt's looks.
    """

    def __init__(
        self,
        head: Head,
        appearance: Appearance,
        steps: np.ndarray,
        opacity: np.ndarray,
        seed: int,
    ):
        self._head, self._opacity = head, opacity
        rows, columns = head.size
        rng = generator(seed, "belt")
        self._position = np.cumsum(steps) * head.unit
        self._top = rng.uniform(*_TOP) * rows
        self._rows = slice(int(self._top), rows)
        grey, self._contrast = rng.uniform(0.1, 0.26), rng.uniform(0.15, 0.3)
        self._period = fft.next_fast_len(2 * columns, real=True)
        self._waves = fft.rfft(self._texture(rng)).astype(np.complex64)
        self._light = (grey * self._shading()).astype(np.float32)
        self._spout = spout_cover(head) if appearance.spout else np.zeros(head.size)
        begins = np.clip(self._below() + 0.5, 0, 1)
        self._cover = (begins * (1 - self._spout[self._rows])).astype(np.float32)

    def draw(self, grey: np.ndarray, index: int) -> None:
        """Draw frame number `index` on a picture of the background, float32."""
        moved = self._position[index] % self._period
        turn = np.exp(-2j * np.pi * fft.rfftfreq(self._period) * moved).astype(np.complex64)
        texture = fft.irfft(self._waves * turn, self._period)[:, : grey.shape[1]]
        patch = grey[self._rows]
        # Never below black, whatever the shift.
        patch += self._cover * (self._light * np.exp(self._contrast * texture) - patch)

    def free(self, paws: np.ndarray) -> np.ndarray:
        """Which pixels show the belt in all frames; whiskers may lie before it.

        Parameters
        ----------
        paws : ndarray, shape (time, 2)
            Centre of the palm.

        Returns
        -------
        ndarray of bool, shape (rows, columns)
        """
        head = self._head
        away = ndimage.distance_transform_edt(self._opacity < 0.02)
        free = away[MARGIN:-MARGIN, MARGIN:-MARGIN] > _SKIN * head.unit
        free &= self._spout < 0.01
        first = int(np.ceil(self._top + 3 * head.unit))  # below its edge
        free[:first] = False
        y, x = np.mgrid[first : head.size[0], : head.size[1]]
        xy, radius = np.stack([x, y], axis=-1), head.anatomy.paw_size * head.unit
        for paw in np.unique(np.round(paws / _PAW_STEP), axis=0) * _PAW_STEP:
            free[first:] &= paw_depth(xy - paw, radius) < -_PAW_STEP
        return free

    def _below(self) -> np.ndarray:
        """Pixels from the belt's edge down, shape (row, 1)."""
        return (np.arange(self._rows.start, self._rows.stop) - self._top)[:, None]

    def _shading(self) -> np.ndarray:
        """Light on the belt, about 1; it lies still while the belt moves."""
        unit, below = self._head.unit, self._below()
        # The worn edge catches the light; toward the camera the belt bends away from the lamp.
        down = below / (self._rows.stop - self._top)
        light = 1.15 - 0.5 * down**2 + 0.5 * np.exp(-(((below / unit - 1) / 1.5) ** 2))
        shadow = ndimage.gaussian_filter(self._opacity, 12 * unit, mode="nearest")
        shadow = ndimage.shift(shadow, (8 * unit, 0), order=1, mode="nearest")
        return light * (1 - 0.6 * shadow[MARGIN:-MARGIN, MARGIN:-MARGIN][self._rows])

    def _texture(self, rng: np.random.Generator) -> np.ndarray:
        """Rough cloth seen at a slant, of unit variance, shape (row, period)."""
        rows = self._rows.stop - self._rows.start
        total = np.zeros((rows, self._period))
        for size, share in ((1.2, 0.6), (2.5, 1.0), (6.0, 0.7), (18.0, 0.5)):
            # What is finer than the lens resolves would not move smoothly over the pixels.
            along = max(size * self._head.unit, 1.1)
            noise = rng.standard_normal((rows + 64, self._period))
            noise = ndimage.gaussian_filter(noise, (max(0.5 * along, 0.7), along), mode="wrap")
            total += share * noise[32:-32] / noise.std()
        return total / total.std()


def largest_rectangle(free: np.ndarray) -> tuple[int, int, int, int] | None:
    """Find the upright rectangle of most pixels in a mask.

    Parameters
    ----------
    free : ndarray of bool, shape (rows, columns)
        What it may hold.

    Returns
    -------
    (x0, y0, x1, y1) or None
        Pixels, x1 and y1 not included; None where none has 24 rows and columns.
    """
    most, best = 0, None
    height = np.zeros(free.shape[1] + 1, int)
    for bottom, row in enumerate(free):
        height[:-1] = np.where(row, height[:-1] + 1, 0)
        rising: list[tuple[int, int]] = []  # where columns of rising height begin
        for right, tall in enumerate(height.tolist()):
            left = right
            while rising and rising[-1][1] >= tall:
                left, lower = rising.pop()
                size = (right - left) * lower
                if size > most and min(right - left, lower) >= _LEAST:
                    most, best = size, (left, bottom + 1 - lower, right, bottom + 1)
            rising.append((left, tall))
    return best
