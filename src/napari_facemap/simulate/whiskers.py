"""Whiskers: where they grow and how they bend and swing."""

from __future__ import annotations

import numpy as np

from napari_facemap.simulate.anatomy import Anatomy
from napari_facemap.simulate.chance import generator

TRACED = ("whisker(I)", "whisker(II)", "whisker(III)")
TRACED_AT = 7.0
"""Head units along the shaft from the skin to the keypoint."""

# Root (forward, down), angle of the shaft (0 points back, 90 down), length relative to longest.
_TRACED_ROOTS = ((59.5, 20.5, -14.0, 0.9), (58.0, 26.0, 22.0, 1.0), (66.0, 25.0, 30.0, 0.85))
_ROWS = 5
_PER_ROW = 6


class Whiskers:
    """The whiskers at rest, in head units; the three traced ones come first.

    Those of the far side, seen beyond the muzzle, come last. Each is a parabola: root, direction,
    and a bend that grows with the square of the length.

    Attributes
    ----------
    root : ndarray, shape (whisker, 2)
        On the resting skin, forward and down.
    angle : ndarray, shape (whisker,)
        Radians; 0 points back and pi / 2 down.
    length, bend, gain, weight : ndarray, shape (whisker,)
        Head units; curvature times length, radians; swing relative to the whisking angle;
        thickness of the shaft at its root.
    n_near : int
        Number of whiskers of the near side.
    """

    def __init__(self, anatomy: Anatomy):
        rng = generator(anatomy.whisker_seed, "whiskers")
        n_traced, n_more = len(_TRACED_ROOTS), _ROWS * _PER_ROW
        row, column = np.divmod(np.arange(n_more), _PER_ROW)
        forward = column / (_PER_ROW - 1)
        root = np.stack([57 + 27 * forward - 2.0 * row, 9 + 7.2 * row + 8 * forward], axis=1)
        root += rng.normal(0, 1.1, root.shape)
        # Those in front stand off to the front and down, those behind point back.
        angle = -35 + 28 * row + 55 * forward + rng.normal(0, 9, n_more)
        relative = (0.85 - 0.62 * forward) * rng.uniform(0.75, 1.1, n_more)

        far_root, far_angle, far_length = _far_side(rng)

        traced = np.array(_TRACED_ROOTS)
        # Mice differ in where the pad lies, and a little in where its whiskers do.
        traced[:, :2] += rng.normal(0, 2.5, 2) + rng.normal(0, 1.2, (n_traced, 2))
        places = np.concatenate([traced[:, :2], root, far_root])
        self.root = np.stack([anatomy.skin(u, v) for u, v in places])
        self.angle = np.deg2rad(np.concatenate([traced[:, 2], angle, far_angle]))
        self.length = anatomy.whisker_length * np.concatenate([traced[:, 3], relative, far_length])
        self.n_near = n_traced + n_more
        n = len(self.root)
        self.bend = anatomy.whisker_bend * rng.normal(0.35, 0.25, n) * np.sign(np.cos(self.angle))
        self.gain = np.concatenate([[1.0, 1.0, 1.0], rng.uniform(0.7, 1.1, n - n_traced)])
        self.weight = np.concatenate([np.full(n_traced, 1.0), rng.uniform(0.4, 0.8, n - n_traced)])

    def shaft(
        self, number: int | np.ndarray, along: float | np.ndarray, whisk: np.ndarray
    ) -> np.ndarray:
        """Places on shafts relative to their roots.

        Parameters
        ----------
        number : int or ndarray of int
            Which whiskers.
        along : float or ndarray
            Head units from the root; broadcasts against `whisk` and the whiskers.
        whisk : ndarray
            Whisking angle, degrees.

        Returns
        -------
        ndarray, shape (..., 2)
            Forward and down, head units.
        """
        angle = self.angle[number] + np.deg2rad(whisk) * self.gain[number]
        aside = 0.5 * self.bend[number] / self.length[number] * along**2
        cos, sin = np.cos(angle), np.sin(angle)
        return np.stack([-cos * along + sin * aside, sin * along + cos * aside], axis=-1)


def _far_side(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Roots, angles (degrees) and relative lengths of the far side's whiskers."""
    n = 14
    root = np.stack([rng.uniform(70, 94, n), rng.uniform(8, 40, n)], axis=1)
    # Fanned from down through forward to up.
    angle = np.linspace(80, 255, n) + rng.normal(0, 10, n)
    return root, angle, rng.uniform(0.4, 1.0, n)
