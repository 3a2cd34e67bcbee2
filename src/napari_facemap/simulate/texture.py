"""What does not move by itself: the fur of the resting head, and what is behind it."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from scipy import ndimage
from scipy.interpolate import CubicSpline
from scipy.spatial import cKDTree

from napari_facemap.simulate.appearance import Appearance
from napari_facemap.simulate.chance import generator
from napari_facemap.simulate.geometry import Head

MARGIN = 24
"""Pixels of the resting head that are kept beyond each edge of the frame."""


class HeadTexture:
    """The resting head, `MARGIN` pixels larger than the frame on each side.

    Parameters
    ----------
    head : Head
        Shape and place.
    appearance : Appearance
        Looks.
    """

    def __init__(self, head: Head, appearance: Appearance):
        self.head, self.look = head, appearance
        rows, columns = head.size
        y, x = np.mgrid[-MARGIN : rows + MARGIN, -MARGIN : columns + MARGIN].astype(np.float32)
        self._xy = np.stack([x, y], axis=-1)
        self._uv = (self._xy - head.rest(np.zeros(2))[0]) @ head.axes / head.unit
        self._rng = generator(appearance.texture_seed, "head")

    def paint(self) -> np.ndarray:
        """Grey times opacity (real part) and opacity (imaginary part), complex64."""
        hairs = self._hairs()
        inside = self._depth
        u = self._uv[..., 0]
        # Hair makes the edge ragged, except at the bare nose.
        ragged = np.clip((80 - u) / 40, 0, 1) * 0.11 * self.look.fur_length
        edge = inside * self.head.unit + ragged * self.head.unit * np.clip(hairs - 0.2, -0.8, 2.0)
        opacity = np.clip(0.5 + edge, 0, 1)
        grey = self._skin() * self._shading() * (1 + self._contrast * hairs)
        grey = grey + self.look.rim * self._rim() * (0.7 + 0.3 * hairs)
        grey = self._marks(np.maximum(grey, 0.01))
        if self.look.plate:
            grey, opacity = self._plate(grey, opacity)
        return (grey * opacity + 1j * opacity).astype(np.complex64)

    @cached_property
    def _depth(self) -> np.ndarray:
        """Head units to the silhouette, positive inside."""
        dense = _curve(self.head.anatomy.outline)
        # Every second pixel will do: the distance is smooth wherever the edge is near.
        coarse = self._uv[::2, ::2]
        distance, nearest = cKDTree(dense).query(coarse.reshape(-1, 2))
        along = np.gradient(dense, axis=0)[nearest]
        away = coarse.reshape(-1, 2) - dense[nearest]
        # The silhouette runs from the back round the nose, with the head on its right.
        side = np.sign(along[:, 0] * away[:, 1] - along[:, 1] * away[:, 0])
        signed = (side * distance).reshape(coarse.shape[:2])
        rows, columns = self._uv.shape[:2]
        at = np.mgrid[:rows, :columns] / 2
        return ndimage.map_coordinates(signed, at, order=3, mode="nearest")

    @cached_property
    def _flow(self) -> np.ndarray:
        """The way hairs lie, unit vectors (x, y): from the nose backward, down on the cheek."""
        away = self.head.anatomy.skin(112.0, 12.0) - self._uv
        cheek = np.clip((60 - self._uv[..., 0]) / 150, 0, 0.6)
        uv = np.stack([-away[..., 0], -away[..., 1] + 40 * cheek], axis=-1)
        xy = self.head.direction(uv)
        wobble = 0.18 * _smooth_noise(self._rng, xy.shape[:2], 9 * self.head.unit)
        cos, sin = np.cos(wobble), np.sin(wobble)
        x, y = xy[..., 0] * cos - xy[..., 1] * sin, xy[..., 0] * sin + xy[..., 1] * cos
        return np.stack([x, y], axis=-1) / np.maximum(np.hypot(x, y), 1e-6)[..., None]

    def _hairs(self) -> np.ndarray:
        """Fur of unit variance: noise smeared along the hairs (line integral convolution)."""
        length = max(self.look.fur_length * self.head.unit, 2.0)
        total = np.zeros(self._xy.shape[:2], np.float32)
        for share, smear, grain in (
            (1.0, 0.7 * length, 0.0),
            (0.8, 0.35 * length, 0.6),
            (0.5, 1.3 * length, 1.4),
        ):
            noise = self._rng.standard_normal(total.shape).astype(np.float32)
            noise = ndimage.gaussian_filter(noise, grain) if grain else noise
            smeared = self._smear(noise, smear)
            total += share * smeared / smeared.std()
        return np.clip(total / total.std(), -2.5, 3.5)

    def _smear(self, noise: np.ndarray, length: float) -> np.ndarray:
        total = noise.copy()
        for sign in (-1, 1):
            place = self._xy + MARGIN
            for _ in range(int(np.ceil(length / 2))):
                at = np.round(place).astype(int)
                row = np.clip(at[..., 1], 0, noise.shape[0] - 1)
                column = np.clip(at[..., 0], 0, noise.shape[1] - 1)
                place = place + sign * self._flow[row, column]
                total += ndimage.map_coordinates(
                    noise, [place[..., 1], place[..., 0]], order=1, mode="nearest"
                )
        return total

    @property
    def _contrast(self) -> np.ndarray:
        """Fur is smoothest on the nose, and hairs finer than a pixel average out."""
        coarse = 0.35 + 0.65 * np.clip((95 - self._uv[..., 0]) / 60, 0, 1)
        return self.look.fur_contrast * min(1.0, self.head.unit / 1.3) * coarse

    def _skin(self) -> np.ndarray:
        u, v = self._uv[..., 0], self._uv[..., 1]
        anatomy, look = self.head.anatomy, self.look
        muzzle = _blob(self._uv, anatomy.skin(84.0, 28.0), 30)
        pad = _blob(self._uv, anatomy.skin(66.0, 26.0), 20)
        below = np.clip((v - 40 * anatomy.depth - 0.25 * np.maximum(-u, 0)) / 35, 0, 1)
        brow = _blob(self._uv, (3.0, -2.0), 1.9 * anatomy.eye_width)
        cloud = _smooth_noise(self._rng, u.shape, 22 * self.head.unit)
        grey = look.fur * (1 + 0.12 * cloud)
        return (
            grey + look.muzzle * (muzzle + 0.4 * pad) + look.belly * below - 0.25 * look.fur * brow
        )

    def _shading(self) -> np.ndarray:
        """Lambert's law on a head that bulges towards the camera."""
        bulge = 34 * (1 - np.exp(-np.maximum(self._depth, 0) / 26))
        bulge = ndimage.gaussian_filter(bulge * self.head.unit, 4.5 * self.head.unit)
        down_y, across_x = np.gradient(bulge)
        normal = np.stack([-across_x, -down_y, np.ones_like(bulge)], axis=-1)
        normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
        lamp = np.append(self.head.direction(np.array(self.look.light)), 0.75)
        lit = np.maximum(normal @ (lamp / np.linalg.norm(lamp)), 0)
        contrast = self.look.light_contrast
        # Fur scatters, so that no side is ever black.
        return (1 - contrast) + contrast * 1.25 * lit

    def _rim(self) -> np.ndarray:
        out_y, out_x = np.gradient(ndimage.gaussian_filter(-self._depth, 7.0 * self.head.unit))
        lamp = self.head.direction(np.array(self.look.light))
        facing = (out_x * lamp[0] + out_y * lamp[1]) / np.maximum(np.hypot(out_x, out_y), 1e-6)
        return np.exp(-np.abs(self._depth) / 5.0) * np.maximum(facing, 0)

    def _marks(self, grey: np.ndarray) -> np.ndarray:
        """Nostril, mouth, follicles and ear."""
        anatomy = self.head.anatomy
        nostril = [anatomy.skin(*p) for p in ((95.5, 15.0), (92.5, 16.5), (91.0, 19.5))]
        grey = grey * (1 - 0.7 * _stroke(self._uv, nostril, 2.0))
        if anatomy.far_nostril:
            other = [anatomy.skin(*p) for p in ((98.6, 19.0), (98.0, 21.5))]
            grey = grey * (1 - 0.65 * _stroke(self._uv, other, 1.3))
        philtrum = [anatomy.skin(*p) for p in ((97.0, 24.0), (93.0, 28.0), (88.5, 31.5))]
        grey = grey * (1 - 0.4 * _stroke(self._uv, philtrum, 1.3))
        lips = [anatomy.skin(*p) for p in ((62.0, 62.5), (58.5, 61.0), (50.0, 62.5), (38.0, 66.5))]
        grey = grey * (1 - 0.55 * _stroke(self._uv, lips, 1.5))
        lip = _blob(self._uv, anatomy.skin(46.0, 67.5), 6)
        grey = grey * (1 + 0.5 * lip)
        roots = cKDTree(self.head.whiskers.root[: self.head.whiskers.n_near])
        away = roots.query(self._uv.reshape(-1, 2), distance_upper_bound=6.0)[0]
        grey = grey * (1 - 0.3 * np.exp(-((away / 1.3) ** 2)).reshape(grey.shape))
        return self._ear(grey) if self.look.ear else grey

    def _ear(self, grey: np.ndarray) -> np.ndarray:
        u, v = (self._uv - [-98.0, -8.0]).transpose(2, 0, 1)
        tilt = 0.5
        along, across = u * np.cos(tilt) + v * np.sin(tilt), v * np.cos(tilt) - u * np.sin(tilt)
        radius = np.hypot(along / 32, across / 21)
        cover = np.clip((1 - radius) * 20 * self.head.unit + 0.5, 0, 1)
        hollow = np.exp(-(((along - 9) / 17) ** 2) - ((across - 3) / 11) ** 2)
        veins = 1 + 0.1 * _smooth_noise(self._rng, u.shape, 3 * self.head.unit)
        ear = (1.25 * self.look.fur + 0.14 - 0.5 * self.look.fur * hollow) * veins + 0.08 * np.exp(
            -(((radius - 0.95) / 0.06) ** 2)
        )
        shadow = 1 - 0.4 * np.exp(-(((radius - 1.0) / 0.2) ** 2))
        # Fur hides the ear's root, in front and below.
        cover = cover * np.clip(0.9 - 0.9 * along / 32 - 0.5 * across / 21, 0, 1)
        return grey * shadow * (1 - cover) + ear * cover

    def _plate(self, grey: np.ndarray, opacity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A steel head plate above and behind the eye."""
        u, v = self._uv[..., 0], self._uv[..., 1]
        top = (-58.0 - 0.06 * (u + 30)) * self.head.anatomy.depth
        inside = np.minimum(np.minimum(v - (top - 26), top + 4 - v), -26 - u) * self.head.unit
        cover = np.clip(inside + 0.5, 0, 1)
        band = np.clip((v - top + 26) / 30, 0, 1)
        shine = 0.25 + 0.55 * np.exp(-(((band - 0.25) / 0.12) ** 2)) + 0.15 * band
        grain = ndimage.gaussian_filter1d(self._rng.standard_normal(u.shape), 8, axis=1)
        metal = shine * (1 + 0.25 * grain / grain.std() * 0.4)
        screw = np.hypot(u + 52, v - top + 11) / 7
        metal = np.where(screw < 1, 0.15 + 0.6 * np.exp(-(((screw - 0.8) / 0.15) ** 2)), metal)
        return grey * (1 - cover) + metal * cover, np.maximum(opacity, cover)


def paint_background(head: Head, look: Appearance) -> np.ndarray:
    """What is behind the mouse, out of focus; float32, shape of the frame."""
    rng = generator(look.texture_seed, "background")
    rows, columns = head.size
    y, x = np.mgrid[:rows, :columns] / columns
    grey = look.background * (1 + 0.5 * _smooth_noise(rng, head.size, 0.12 * columns))
    for _ in range(3):
        angle, place, width = rng.uniform(0, np.pi), rng.uniform(0, 1), rng.uniform(0.02, 0.12)
        across = np.cos(angle) * (x - place) + np.sin(angle) * (y - rng.uniform(0, 0.75))
        grey += look.clutter * rng.uniform(0, 1) * np.exp(-((across / width) ** 2))
    wheel = np.hypot(x - rng.uniform(0.3, 0.9), y - 1.6) - rng.uniform(0.85, 1.0)
    grey += look.clutter * rng.uniform(0, 0.8) / (1 + np.exp(np.clip(wheel / 0.008, -40, 40)))
    grey = ndimage.gaussian_filter(np.maximum(grey, 0), 0.008 * columns)
    if look.spout:
        grey = _spout(grey, head)
    return grey.astype(np.float32)


def spout_cover(head: Head) -> np.ndarray:
    """How far the water spout covers each pixel of the frame, 0 to 1."""
    return _on_spout(head)[1]


def _on_spout(head: Head) -> tuple[np.ndarray, np.ndarray]:
    """Head units across the spout from its middle, and how far it covers each pixel."""
    tip = head.rest(head.anatomy.skin(88.0, 62.0))[0]
    away = np.array([-0.85, 0.53])
    y, x = np.mgrid[: head.size[0], : head.size[1]]
    along = ((x - tip[0]) * away[0] + (y - tip[1]) * away[1]) / head.unit
    across = ((y - tip[1]) * away[0] - (x - tip[0]) * away[1]) / head.unit
    inside = np.minimum(4.5 - np.abs(across), along) * head.unit
    return across, np.clip(inside + 0.5, 0, 1)


def _spout(grey: np.ndarray, head: Head) -> np.ndarray:
    across, cover = _on_spout(head)
    steel = (
        0.12
        + 0.5 * np.exp(-(((across - 1.5) / 1.0) ** 2))
        + 0.12 * np.exp(-(((across + 3) / 1) ** 2))
    )
    return ndimage.gaussian_filter(grey * (1 - cover) + steel * cover, 0.7)


def _smooth_noise(rng: np.random.Generator, shape: tuple[int, int], scale: float) -> np.ndarray:
    noise = ndimage.gaussian_filter(rng.standard_normal(shape), scale, mode="wrap")
    return noise / noise.std()


def _blob(uv: np.ndarray, center: np.ndarray | tuple[float, float], radius: float) -> np.ndarray:
    return np.exp(-((uv - np.asarray(center)) ** 2).sum(axis=-1) / radius**2)


def _stroke(uv: np.ndarray, points: list[np.ndarray], width: float) -> np.ndarray:
    """A soft line through points, 1 in its middle."""
    steps = np.linspace(0, 1, len(points))
    dense = CubicSpline(steps, np.stack(points))(np.linspace(0, 1, 60))
    distance = cKDTree(dense).query(uv.reshape(-1, 2), distance_upper_bound=4 * width)[0]
    return np.exp(-((distance / width) ** 2)).reshape(uv.shape[:2])


def _curve(points: np.ndarray) -> np.ndarray:
    """A smooth line through points, and straight on for ever behind the head."""
    steps = np.concatenate([[0], np.hypot(*np.diff(points, axis=0).T)]).cumsum()
    smooth = CubicSpline(steps, points)(np.linspace(0, steps[-1], 4000))
    far = np.linspace(0, 1, 500)[:, None]
    before = points[0] + (1 - far[:-1]) * [-3000.0, 0.0]
    after = points[-1] + far[1:] * [-3000.0, 900.0]
    return np.concatenate([before, smooth, after])
