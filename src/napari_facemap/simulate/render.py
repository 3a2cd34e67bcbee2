"""Drawing one frame: the head's texture warped, and on it what moves faster than skin."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from napari_facemap.simulate.appearance import Appearance
from napari_facemap.simulate.chance import generator
from napari_facemap.simulate.geometry import Head
from napari_facemap.simulate.movement import Movement
from napari_facemap.simulate.paw import REACH, arm_depth, hand_depth
from napari_facemap.simulate.texture import MARGIN, HeadTexture, paint_background
from napari_facemap.simulate.treadmill import Belt

_SHAFT_STEP = 0.7  # Pixels between the drops that a whisker is drawn with.


class Renderer:
    """Draws frames of a mouse that faces left.

    Edges are anti-aliased and pixel centres lie at integers, so that what is drawn is where the
    keypoints say to a fraction of a pixel.

    Parameters
    ----------
    head : Head
        Geometry.
    appearance : Appearance
        Looks.
    seed : int
        Of the sensor's noise.
    belt_steps : ndarray, shape (time,), optional
        How the belt below the mouse moves, see `belt_steps`; there is none by default.

    Attributes
    ----------
    belt : Belt or None
        What the mouse runs on.
    """

    def __init__(
        self,
        head: Head,
        appearance: Appearance,
        seed: int,
        belt_steps: np.ndarray | None = None,
    ):
        self.head, self.look, self.seed = head, appearance, seed
        self._texture = HeadTexture(head, appearance).paint()
        self._background = paint_background(head, appearance)
        rows, columns = head.size
        self._x = np.arange(columns, dtype=np.float32)
        self._y = np.arange(rows, dtype=np.float32)[:, None]
        radius = np.hypot(self._x / columns - 0.5, self._y / columns - 0.5 * rows / columns)
        fall = 1 - appearance.vignette * (radius / 0.625) ** 2
        self._vignette = (appearance.exposure * fall).astype(np.float32)
        noise = generator(appearance.texture_seed, "arm").standard_normal((128, 128))
        grain = ndimage.gaussian_filter(noise, (2.0, 0.5), mode="wrap")
        self._fur = (1 + appearance.fur_contrast * grain / grain.std()).astype(np.float32)
        self.belt = None
        if belt_steps is not None:
            self.belt = Belt(head, appearance, belt_steps, self._texture.imag, seed)
        self._along, self._drop, self._owner, self._strand = self._drops()

    def draw(self, movement: Movement, index: int) -> np.ndarray:
        """Frame number `index` of a movement.

        Returns
        -------
        ndarray of uint8, shape (rows, columns)
        """
        skin = self._warp(movement, index)
        opacity = skin.imag
        grey = self._behind(index) * (1 - opacity) + skin.real
        self._draw_mouth(grey, movement, index)
        self._draw_eye(grey, movement, index)
        self._draw_whiskers(grey, opacity, movement, index)
        self._draw_paw(grey, movement, index)
        return self._expose(grey, index)

    def _behind(self, index: int) -> np.ndarray:
        """What is behind the mouse."""
        if self.belt is None:
            return self._background
        grey = self._background.copy()
        self.belt.draw(grey, index)
        return grey

    def _warp(self, movement: Movement, index: int) -> np.ndarray:
        """The head's texture as it lies in this frame, bilinear."""
        x, y = self._steady(movement, index)
        away_x, away_y = np.zeros_like(x), np.zeros_like(y)
        for (center, radius, way), size in zip(
            self.head.patches, movement.patches[index], strict=True
        ):
            # A patch's reach in the frame, with room for the head's own movement.
            area = self._area(center, radius + 12)
            square = ((x[area] - center[0]) ** 2 + (y[area] - center[1]) ** 2) / radius**2
            bump = np.maximum(1 - square, 0) ** 3
            away_x[area] += bump * np.float32(size * way[0])
            away_y[area] += bump * np.float32(size * way[1])
        return _bilinear(self._texture, x - away_x + MARGIN, y - away_y + MARGIN)

    def _steady(
        self, movement: Movement, index: int, area: tuple[slice, slice] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Pixels of the frame (or an area of it) carried to the steady head."""
        rows, columns = area or (slice(None), slice(None))
        cos, sin = np.cos(movement.turn[index]), np.sin(movement.turn[index])
        pivot_x, pivot_y = self.head.pivot
        shift_x, shift_y = movement.shift[index]
        x = self._x[columns] - np.float32(pivot_x + shift_x)
        y = self._y[rows] - np.float32(pivot_y + shift_y)
        cos, sin = np.float32(cos), np.float32(sin)
        return (
            (cos * x + np.float32(pivot_x)) + sin * y,
            (cos * y + np.float32(pivot_y)) - sin * x,
        )

    def _area(self, center: np.ndarray, reach: float) -> tuple[slice, slice]:
        """Rows and columns of the frame within `reach` pixels of a place."""
        rows, columns = self.head.size
        x0, y0 = np.floor(np.asarray(center) - reach).astype(int)
        x1, y1 = np.ceil(np.asarray(center) + reach).astype(int) + 1
        return slice(max(y0, 0), max(min(y1, rows), 0)), slice(
            max(x0, 0), max(min(x1, columns), 0)
        )

    def _draw_eye(self, grey: np.ndarray, movement: Movement, index: int) -> None:
        head, look = self.head, self.look
        width = head.anatomy.eye_width * head.unit
        center = head.rest(np.zeros(2))[0]
        area = self._area(center + movement.shift[index], 1.6 * width + 6)
        x, y = self._steady(movement, index, area)
        axes = head.eye_axes
        forward = axes[0, 0] * (x - center[0]) + axes[1, 0] * (y - center[1])
        down = axes[0, 1] * (x - center[0]) + axes[1, 1] * (y - center[1])

        depth = self._lid_depth(forward, down, movement.top[index], movement.bottom[index])
        fine = max(head.unit, 0.7)
        patch = grey[area]
        # The rim is hairy and lit as the fur around it is.
        ring = np.exp(-(((depth + 2.2 * fine) / (1.3 * fine)) ** 2))
        patch += look.lid_ring * ring * (0.25 + patch / look.fur * 0.6)
        patch *= 1 - 0.6 * np.exp(-(((depth + 0.3 * fine) / (0.9 * fine)) ** 2))
        opening = np.clip(depth + 0.5, 0, 1)
        patch += opening * (self._eyeball(forward, down, depth, movement, index) - patch)

    def _lid_depth(
        self, forward: np.ndarray, down: np.ndarray, top: float, bottom: float
    ) -> np.ndarray:
        """About the distance to the lids' edge, pixels, positive in the eye's opening."""
        # The opening is half an ellipse above and half one below: first-order distance.
        width = self.head.anatomy.eye_width * self.head.unit
        height = np.where(down < 0, -top, bottom)
        across, along = down / height, forward / width
        level = np.maximum(np.hypot(along, across), 1e-3)
        return level * (1 - level) / np.hypot(along / width, across / height)

    def _eyeball(
        self,
        forward: np.ndarray,
        down: np.ndarray,
        depth: np.ndarray,
        movement: Movement,
        index: int,
    ) -> np.ndarray:
        look, width = self.look, self.head.anatomy.eye_width * self.head.unit
        gaze, radius = movement.gaze[index], movement.radius[index]
        distance = np.hypot(forward - gaze[0], down - gaze[1])
        iris = look.iris * (0.75 + 0.35 * np.clip(distance / width, 0, 1))
        ball = iris + (look.pupil - iris) * np.clip(radius - distance + 0.5, 0, 1)
        # The lids shade the eye's edge; above all the upper lid.
        ball = ball * (1 - 0.45 * np.exp(-np.maximum(depth, 0) / (0.13 * width)))
        if look.glint:
            place = np.array(look.glint_place) * width + 0.15 * gaze
            away = np.hypot(forward - place[0], down - place[1]) / max(
                look.glint_size * width, 0.6
            )
            ball = ball + look.glint * np.exp(-(away**4))
            low = np.hypot((forward + 0.2 * width) / 3.5, down - 0.75 * width) / (0.05 * width)
            ball = ball + 0.12 * look.glint * np.exp(-(low**2))
        return ball

    def _draw_mouth(self, grey: np.ndarray, movement: Movement, index: int) -> None:
        """The gap between the lips, and the tongue when it is out."""
        opening, tongue = movement.mouth[index], movement.tongue[index]
        if opening < 0.05:
            return
        head = self.head
        anatomy, unit = head.anatomy, head.unit
        lips = np.stack([anatomy.skin(56.0, 63.0), anatomy.skin(45.0, 66.0 + 2.0 * opening)])
        near = head.jitter(
            head.rest(lips), np.repeat(movement.turn[index], 2), movement.shift[index][None]
        )
        area = self._area(near.mean(axis=0), 26 * unit)
        patch, thick = grey[area], 2.6 * opening * unit
        gap = _capsule_depth(self._x[area[1]], self._y[area[0]], near[0], near[1], thick)
        patch *= 1 - 0.8 * min(1.0, 2 * thick) * np.clip(gap + 0.5, 0, 1)
        if tongue > 0.02:
            out = near[0] + head.direction(np.array([5.0, 7.0])) * unit * tongue
            cover = np.clip(
                _capsule_depth(self._x[area[1]], self._y[area[0]], near[0], out, 2.4 * unit) / 1.5
                + 0.5,
                0,
                1,
            )
            patch += cover * (0.6 * (self.look.fur + self.look.muzzle) + 0.05 - patch)

    def _drops(self) -> tuple[np.ndarray, ...]:
        """Places along all whiskers, and how much each darkens or lights the frame."""
        whiskers, unit = self.head.whiskers, self.head.unit
        n_strands = max(1, round(1.1 * unit))
        along, drop, owner, strand = [], [], [], []
        for number, length in enumerate(whiskers.length):
            s = np.arange(0, length, _SHAFT_STEP / unit)
            taper = 1 - (s / length) ** 1.5
            thickness = min(1.0, unit / 1.2) / n_strands**0.5
            for k in range(n_strands):
                along.append(s)
                drop.append(_SHAFT_STEP * whiskers.weight[number] * taper * thickness)
                owner.append(np.full(len(s), number))
                strand.append(np.full(len(s), (k - (n_strands - 1) / 2) * 0.8))
        return tuple(np.concatenate(part) for part in (along, drop, owner, strand))

    def _draw_whiskers(
        self, grey: np.ndarray, opacity: np.ndarray, movement: Movement, index: int
    ) -> None:
        head, look = self.head, self.look
        whiskers, amplitudes = head.whiskers, movement.patches[index]
        roots = head.rest(whiskers.root)
        seen = roots
        for _ in range(8):
            seen = roots + head.displacement(seen, amplitudes[None])
        shaft = whiskers.shaft(self._owner, self._along, movement.whisk[index])
        angle = whiskers.angle + np.deg2rad(movement.whisk[index]) * whiskers.gain
        aside = head.direction(np.stack([np.sin(angle), np.cos(angle)], axis=-1))
        places = seen[self._owner] + head.direction(shaft) * head.unit
        places += self._strand[:, None] * aside[self._owner]
        places = head.jitter(places, movement.turn[index], movement.shift[index])
        near = self._owner < whiskers.n_near
        cover = 1 - np.exp(-1.2 * _splat(places[near], self._drop[near], head.size))
        behind = 1 - np.exp(-1.2 * _splat(places[~near], self._drop[~near], head.size))
        # On the fur a shaft is a dark line, before the dark it is lit.
        lit = look.whisker_light * (1 - opacity) * np.maximum(cover, behind)
        grey += lit * (1 - grey) - look.whisker_dark * opacity * cover * grey

    def _draw_paw(self, grey: np.ndarray, movement: Movement, index: int) -> None:
        """The arm, furry and a little out of focus, and on it the bare hand."""
        radius = self.head.anatomy.paw_size * self.head.unit
        center, (rows, columns) = movement.paw[index], self.head.size
        hand = self._area(center, REACH * radius)
        for area in ((slice(hand[0].start, rows), slice(hand[1].start, columns)), hand):
            if area[0].start >= area[0].stop or area[1].start >= area[1].stop:
                return
            x, y = np.broadcast_arrays(self._x[area[1]], self._y[area[0]])
            xy = np.stack([x, y], axis=-1) - center.astype(np.float32)
            if area is hand:
                depth, crease = hand_depth(xy, radius)
                round_off = np.clip(depth / (0.45 * radius), 0, 1)
                skin = self.look.paw * (0.6 + 0.4 * np.sqrt(round_off))
                skin *= 1 - 0.35 * np.exp(-crease / (0.08 * radius)) * (round_off < 0.95)
                cover = np.clip(depth + 0.5, 0, 1)
            else:
                depth = arm_depth(xy, radius)
                skin = self._arm_fur(xy, np.clip(depth / radius, 0, 1))
                cover = np.clip(depth / 2 + 0.5, 0, 1)
            grey[area] += cover * (skin - grey[area])

    def _arm_fur(self, xy: np.ndarray, inside: np.ndarray) -> np.ndarray:
        rows, columns = self._fur.shape
        at = np.rint(xy).astype(np.int32) % np.array([columns, rows], np.int32)
        fur = self._fur.ravel().take(at[..., 1] * columns + at[..., 0])
        return 0.8 * self.look.fur * (0.4 + 0.8 * np.sqrt(inside)) * fur

    def _expose(self, grey: np.ndarray, index: int) -> np.ndarray:
        """Lens, sensor curve and noise."""
        look = self.look
        grey = np.clip(grey * self._vignette, 0, 1)
        if look.gamma != 1:
            grey **= np.float32(look.gamma)
        noise = generator(self.seed, "sensor", index).standard_normal(grey.shape, np.float32)
        noise *= np.float32(look.read_noise) + np.float32(look.shot_noise) * np.sqrt(grey)
        return np.clip(np.rint((grey + noise) * 255), 0, 255).astype(np.uint8)


def _bilinear(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    rows, columns = image.shape
    x = np.clip(x, 0, columns - 1.001)
    y = np.clip(y, 0, rows - 1.001)
    column, row = x.astype(np.int32), y.astype(np.int32)
    x -= column
    y -= row
    at = row * columns + column
    flat = image.ravel()
    left, right = flat.take(at), flat.take(at + 1)
    above = left + x * (right - left)
    at += columns
    left, right = flat.take(at), flat.take(at + 1)
    below = left + x * (right - left)
    return above + y * (below - above)


def _splat(places: np.ndarray, weight: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Spread drops over the four pixels around each, so that their centroids stay exact."""
    rows, columns = size
    corner = np.floor(places).astype(np.int64)
    part = places - corner
    total = np.zeros(rows * columns)
    for down in (0, 1):
        for right in (0, 1):
            x, y = corner[:, 0] + right, corner[:, 1] + down
            share = np.abs(1 - right - part[:, 0]) * np.abs(1 - down - part[:, 1])
            inside = (x >= 0) & (x < columns) & (y >= 0) & (y < rows)
            total += np.bincount(
                (y * columns + x)[inside], (weight * share)[inside], minlength=rows * columns
            )
    return total.reshape(size).astype(np.float32)


def _capsule_depth(
    x: np.ndarray, y: np.ndarray, a: np.ndarray, b: np.ndarray, radius: float
) -> np.ndarray:
    way = b - a
    along = np.clip(((x - a[0]) * way[0] + (y - a[1]) * way[1]) / max(way @ way, 1e-9), 0, 1)
    return radius - np.hypot(x - a[0] - along * way[0], y - a[1] - along * way[1])
