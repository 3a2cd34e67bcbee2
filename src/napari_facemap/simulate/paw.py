"""The near forepaw: a palm, four fingers and the arm down out of the frame."""

from __future__ import annotations

import numpy as np

# In palm radii about the palm's centre, x to the left negative and y down: ends and radius.
_FINGERS = (
    ((-0.3, -0.5), (-1.35, -0.65), 0.30),
    ((-0.4, -0.1), (-1.65, -0.05), 0.33),
    ((-0.4, 0.3), (-1.55, 0.55), 0.33),
    ((-0.2, 0.6), (-1.05, 1.05), 0.28),
)
_ARM = ((0.35, 0.3), (30.0, 30.0), 0.85)
_ARM_GROWS = 0.16  # palm radii a palm radius along the arm
REACH = 2.4
"""Palm radii from the palm's centre beyond which there is nothing of the hand."""


def hand_depth(xy: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Signed distance to the outline of palm and fingers.

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
        Pixels by which the nearest finger is nearer than the next, for the shade between them.
    """
    x, y = xy[..., 0] / radius, xy[..., 1] / radius
    first = second = np.full_like(x, -np.inf)
    for start, end, thick in _FINGERS:
        finger = thick - _distance(x, y, start, end)[0]
        second = np.maximum(second, np.minimum(first, finger))
        first = np.maximum(first, finger)
    palm = 1 - np.hypot(x, 1.1 * y)
    return np.maximum(palm, first) * radius, (first - second) * radius


def arm_depth(xy: np.ndarray, radius: float) -> np.ndarray:
    """Signed distance to the arm's outline, pixels, positive inside; see `hand_depth`."""
    x, y = xy[..., 0] / radius, xy[..., 1] / radius
    distance, along = _distance(x, y, *_ARM[:2])
    return (_ARM[2] + _ARM_GROWS * along - distance) * radius


def paw_depth(xy: np.ndarray, radius: float) -> np.ndarray:
    """Signed distance to hand and arm together, pixels, positive inside; see `hand_depth`."""
    return np.maximum(hand_depth(xy, radius)[0], arm_depth(xy, radius))


def _distance(
    x: np.ndarray, y: np.ndarray, start: tuple[float, float], end: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Distance to a line from start to end, and how far along it that is."""
    way_x, way_y = end[0] - start[0], end[1] - start[1]
    length = float(np.hypot(way_x, way_y))
    way_x, way_y = way_x / length, way_y / length
    along = np.clip((x - start[0]) * way_x + (y - start[1]) * way_y, 0, length)
    return np.hypot(x - start[0] - along * way_x, y - start[1] - along * way_y), along
