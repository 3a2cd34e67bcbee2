"""The near forepaw: a palm, four fingers and the arm down out of the frame."""

from __future__ import annotations

import numpy as np

# In palm radii about the palm's centre, x forward (left) and y down: both ends and the radius.
_FINGERS = (
    ((-0.3, -0.5), (-1.35, -0.75), 0.30),
    ((-0.4, -0.1), (-1.65, -0.15), 0.32),
    ((-0.4, 0.3), (-1.55, 0.45), 0.32),
    ((-0.2, 0.6), (-1.15, 1.0), 0.28),
)
_ARM = ((0.1, 0.1), (4.5, 3.6), 0.95)
REACH = 4.6
"""Palm radii from the centre beyond which there is nothing of the paw, arm aside."""


def paw_depth(xy: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Signed distance to the paw's outline.

    Parameters
    ----------
    xy : ndarray, shape (..., 2)
        Pixels relative to the palm's centre, mouse facing left.
    radius : float
        Of the palm, pixels.

    Returns
    -------
    depth : ndarray
        Pixels, positive inside.
    crease : ndarray
        Depth between the two nearest fingers, for their shading.
    """
    x, y = xy[..., 0] / radius, xy[..., 1] / radius
    palm = 1 - np.hypot(x, y * 1.1)
    fingers = np.stack([_capsule(x, y, *finger) for finger in _FINGERS])
    fingers = np.sort(fingers, axis=0)
    hand = np.maximum(palm, fingers[-1])
    depth = np.maximum(hand, _capsule(x, y, *_ARM)) * radius
    return depth, (fingers[-1] - fingers[-2]) * radius


def _capsule(
    x: np.ndarray, y: np.ndarray, a: tuple[float, float], b: tuple[float, float], radius: float
) -> np.ndarray:
    bx, by = b[0] - a[0], b[1] - a[1]
    along = np.clip(((x - a[0]) * bx + (y - a[1]) * by) / (bx * bx + by * by), 0, 1)
    return radius - np.hypot(x - a[0] - along * bx, y - a[1] - along * by)
