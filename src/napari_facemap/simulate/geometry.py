"""From anatomy and movements to exact places in the frame."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from napari_facemap.simulate.anatomy import Anatomy
from napari_facemap.simulate.whiskers import Whiskers

# Patches of skin that move: name, centre and radius in the middling mouse's head units, and the
# displacement (forward, down) at the centre for an amplitude of 1.
_PATCHES = (
    ("sniff", (97.0, 12.0), 46.0, (-1.2, -3.4)),
    ("lift", (90.0, 14.0), 52.0, (0.2, -1.2)),
    ("pad", (64.0, 27.0), 58.0, (3.4, 0.5)),
    ("jaw", (44.0, 74.0), 40.0, (-2.5, 7.0)),
)
_MARGIN = 0.05


class Head:
    """The head in the frame, seen from its left side (facing left).

    The skin moves by smooth patches: what is seen at a place of the steady head comes from the
    place less the patches' displacements there. The whole head then shifts and turns a little.
    Both are one-to-one, so that every keypoint's place is known exactly.

    Parameters
    ----------
    anatomy : Anatomy
        Sizes and view.
    size : (int, int)
        Rows and columns of the frame.
    """

    def __init__(self, anatomy: Anatomy, size: tuple[int, int]):
        self.anatomy, self.size = anatomy, size
        tilt = np.deg2rad(anatomy.tilt)
        cos, sin = np.cos(tilt), np.sin(tilt)
        # Columns: forward and down. A reflection or turn, so its transpose undoes it.
        self.axes = np.array([[-cos, sin], [sin, cos]])
        self.unit, self._origin = self._fit()
        self.patches = [
            (
                self.rest(anatomy.skin(*center))[0],
                radius * self.unit,
                self.axes @ np.array(move) * self.unit,
            )
            for _, center, radius, move in _PATCHES
        ]
        self.pivot = self.rest(np.array([-60.0, -60.0]))[0]
        self.whiskers = Whiskers(anatomy)

    def rest(self, uv: np.ndarray) -> np.ndarray:
        """Carry head units (..., 2) to pixels of the resting head, (point, 2)."""
        return self._origin + np.atleast_2d(uv) @ self.axes.T * self.unit

    def direction(self, uv: np.ndarray) -> np.ndarray:
        """Carry directions (..., 2) of head units, forward and down, to the frame's x and y."""
        return uv @ self.axes.T

    def amplitudes(self, behavior: Mapping[str, np.ndarray]) -> np.ndarray:
        """How far each patch of skin is displaced, shape (time, patch)."""
        return np.stack(
            [
                behavior["sniff"],
                behavior["nose_lift"],
                np.asarray(behavior["whisk_angle"]) / 30.0,
                behavior["mouth"],
            ],
            axis=-1,
        )

    def displacement(self, xy: np.ndarray, amplitudes: np.ndarray) -> np.ndarray:
        """Displacement of the skin that is seen at places of the steady head.

        Parameters
        ----------
        xy : ndarray, shape (..., 2)
            Pixels.
        amplitudes : ndarray, shape (..., patch)
            See `amplitudes`; broadcasts against `xy`.

        Returns
        -------
        ndarray, shape (..., 2)
        """
        total = np.zeros(xy.shape)
        for number, (center, radius, move) in enumerate(self.patches):
            square = ((xy - center) ** 2).sum(axis=-1) / radius**2
            bump = np.maximum(1 - square, 0) ** 3 * amplitudes[..., number]
            total += bump[..., None] * move
        return total

    def moved(self, rest: np.ndarray, amplitudes: np.ndarray) -> np.ndarray:
        """Where points of the skin are seen on the steady head, shape (time, 2)."""
        reach = [np.hypot(*(rest - c)) < r + 1.5 * np.hypot(*m) for c, r, m in self.patches]
        seen = np.broadcast_to(rest, (len(amplitudes), 2)).astype(float)
        # The displacement is a contraction (slopes below 0.4): 16 rounds leave < 1e-5 px.
        for _ in range(16 if any(reach) else 0):
            seen = rest + self.displacement(seen, amplitudes)
        return seen

    def jitter(self, xy: np.ndarray, turn: np.ndarray, shift: np.ndarray) -> np.ndarray:
        """Carry places of the steady head (time, 2) to the frame; see `jitter_of`."""
        cos, sin = np.cos(turn), np.sin(turn)
        x, y = (xy - self.pivot).T
        turned = np.stack([cos * x - sin * y, sin * x + cos * y], axis=-1)
        return turned + self.pivot + shift

    def jitter_of(self, behavior: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Turn (radians) and shift (pixels) of the head, shapes (time,) and (time, 2)."""
        uv = np.stack([behavior["head_x"], behavior["head_y"]], axis=-1)
        return np.deg2rad(behavior["head_angle"]), self.direction(uv) * self.unit

    def eye(self, behavior: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Shape of the eye on the steady head, in pixels about its centre.

        Returns
        -------
        dict of ndarray
            ``top``, ``bottom``: the lids' middles along the eye's own down axis, (time,);
            ``radius`` of the pupil, (time,); ``gaze``: the pupil's centre (forward, down),
            (time, 2).
        """
        anatomy, openness = self.anatomy, np.maximum(behavior["openness"], 0.04)
        height = anatomy.eye_height
        gaze = np.stack([behavior["gaze_x"], behavior["gaze_y"]], axis=-1) * [0.075, 0.05]
        radius = anatomy.pupil * np.asarray(behavior["pupil_radius"])
        return {
            "top": -openness * height * self.unit,
            "bottom": 0.95 * openness * height * self.unit,
            "radius": radius * self.unit,
            "gaze": (gaze * anatomy.eye_width + [1.0, 0.5]) * self.unit,
        }

    @property
    def eye_axes(self) -> np.ndarray:
        """The eye's forward and down axes in the frame, columns of a (2, 2) matrix."""
        tilt = np.deg2rad(self.anatomy.eye_tilt)
        cos, sin = np.cos(tilt), np.sin(tilt)
        return self.axes @ np.array([[cos, -sin], [sin, cos]])

    def paw(self, behavior: Mapping[str, np.ndarray]) -> np.ndarray:
        """Centre of the palm in the frame, shape (time, 2); the paw is not part of the head."""
        size = np.array(self.size[::-1], float)
        resting = np.array(self.anatomy.paw) * size
        at_mouth = self.rest(self.anatomy.skin(80.0, 58.0))[0]
        groom = np.asarray(behavior["groom"])[:, None]
        sway = np.stack([-np.asarray(behavior["paw_x"]), behavior["paw_y"]], axis=-1)
        return resting + (at_mouth - resting) * groom + sway * 11.0 * self.unit

    def _fit(self) -> tuple[float, np.ndarray]:
        """Pixels per head unit, and where the eye is, so that the whole face is in the frame."""
        anatomy = self.anatomy
        size = np.array(self.size[::-1], float)
        lids = np.array(
            [[anatomy.eye_width, 0], [-anatomy.eye_width, 0], [0, -anatomy.eye_height]]
        )
        face = np.concatenate([np.stack(list(anatomy.points().values())), lids]) @ self.axes.T
        low, high = face.min(axis=0), face.max(axis=0)
        room = size * (1 - 2 * _MARGIN) - 1
        # A square view of the same mouse is no tighter than the 4:3 view.
        wanted = anatomy.scale * min(size[0], size[1] * 4 / 3)
        unit = min(wanted, float((room / (high - low)).min()))
        origin = np.array(anatomy.center) * size - unit * (low + high) / 2
        first, last = size * _MARGIN, size * (1 - _MARGIN) - 1
        return unit, np.clip(origin, first - unit * low, last - unit * high)
