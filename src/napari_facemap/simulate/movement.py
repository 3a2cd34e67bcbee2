"""The movements of one simulation, as the renderer and the keypoints need them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from napari_facemap.keypoints.skeleton import KEYPOINTS
from napari_facemap.simulate.geometry import Head
from napari_facemap.simulate.paw import paw_depth
from napari_facemap.simulate.whiskers import TRACED, TRACED_AT


@dataclass(frozen=True)
class Movement:
    """Everything that moves, in pixels of a frame in which the mouse faces left.

    Attributes
    ----------
    patches : ndarray, shape (time, patch)
        See `Head.amplitudes`.
    turn, shift : ndarray, shapes (time,) and (time, 2)
        Of the head, radians and pixels.
    top, bottom, radius : ndarray, shape (time,)
        The lids' middles and the pupil, see `Head.eye`.
    gaze, paw : ndarray, shape (time, 2)
        Centre of the pupil in the eye; of the palm in the frame.
    whisk, mouth, tongue : ndarray, shape (time,)
        Degrees; 0 to 1.
    """

    patches: np.ndarray
    turn: np.ndarray
    shift: np.ndarray
    top: np.ndarray
    bottom: np.ndarray
    radius: np.ndarray
    gaze: np.ndarray
    paw: np.ndarray
    whisk: np.ndarray
    mouth: np.ndarray
    tongue: np.ndarray


def move(head: Head, behavior: Mapping[str, np.ndarray]) -> Movement:
    """Carry behaviour (see `simulate_behavior`) to the movements of a head."""
    turn, shift = head.jitter_of(behavior)
    return Movement(
        patches=head.amplitudes(behavior),
        turn=turn,
        shift=shift,
        paw=head.paw(behavior),
        whisk=np.asarray(behavior["whisk_angle"]),
        mouth=np.asarray(behavior["mouth"]),
        tongue=np.asarray(behavior["tongue"]),
        **head.eye(behavior),
    )


def keypoint_places(head: Head, movement: Movement) -> tuple[np.ndarray, np.ndarray]:
    """Where the keypoints are, and which can be seen.

    Parameters
    ----------
    head : Head
        Geometry.
    movement : Movement
        Of all times.

    Returns
    -------
    places : ndarray, shape (time, 2, 19)
        Pixels, hidden points included.
    visible : ndarray of bool, shape (time, 19)
        False out of the frame, for the pupil's points behind the lids, for what the paw covers,
        and for the far nostril where the view does not show it.
    """
    places = _skin_places(head, movement)
    eye, seen = _eye_places(head, movement)
    steady = {**places, **eye}
    at = {name: head.jitter(xy, movement.turn, movement.shift) for name, xy in steady.items()}
    at["paw"] = movement.paw
    seen["nose(r)"] = np.full(len(movement.turn), head.anatomy.far_nostril)
    radius = head.anatomy.paw_size * head.unit
    rows, columns = head.size
    visible = np.ones((len(movement.turn), len(KEYPOINTS)), bool)
    for number, name in enumerate(KEYPOINTS):
        x, y = at[name].T
        visible[:, number] = (x >= 0) & (x <= columns - 1) & (y >= 0) & (y <= rows - 1)
        visible[:, number] &= seen.get(name, True)
        if name != "paw":
            visible[:, number] &= paw_depth(at[name] - movement.paw, radius) < 0
    return np.stack([at[name] for name in KEYPOINTS], axis=-1), visible


def pupil_circle(head: Head, movement: Movement) -> tuple[np.ndarray, np.ndarray]:
    """Centre (time, 2) and radius (time,) of the pupil in the frame, pixels."""
    center = head.rest(np.zeros(2))[0] + movement.gaze @ head.eye_axes.T
    return head.jitter(center, movement.turn, movement.shift), movement.radius


def _skin_places(head: Head, movement: Movement) -> dict[str, np.ndarray]:
    rest = {name: head.rest(uv)[0] for name, uv in head.anatomy.points().items()}
    places = {name: head.moved(xy, movement.patches) for name, xy in rest.items()}
    for number, name in enumerate(TRACED):
        root = head.moved(head.rest(head.whiskers.root[number])[0], movement.patches)
        shaft = head.whiskers.shaft(number, TRACED_AT, movement.whisk)
        places[name] = root + head.direction(shaft) * head.unit
    return places


def _eye_places(
    head: Head, movement: Movement
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Places on the steady head, and when the pupil's points lie between the lids."""
    width = head.anatomy.eye_width * head.unit
    top, bottom, radius = movement.top, movement.bottom, movement.radius
    zero = np.zeros(len(top))
    inner = {
        "eye(back)": np.stack([zero - width, zero], axis=-1),
        "eye(bottom)": np.stack([zero, bottom], axis=-1),
        "eye(front)": np.stack([zero + width, zero], axis=-1),
        "eye(top)": np.stack([zero, top], axis=-1),
    }
    seen = {}
    sides = {"back": (-1, 0), "bottom": (0, 1), "front": (1, 0), "top": (0, -1)}
    for side, way in sides.items():
        name = f"pupil({side})"
        inner[name] = movement.gaze + radius[:, None] * np.array(way)
        forward, down = inner[name].T
        arch = np.sqrt(np.maximum(1 - (forward / width) ** 2, 0))
        seen[name] = (down > top * arch) & (down < bottom * arch)
    center = head.rest(np.zeros(2))[0]
    return {name: center + uv @ head.eye_axes.T for name, uv in inner.items()}, seen
