"""How far a network's points lie from labels, in percent of the distance from eye to nose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from napari_facemap.keypoints.augment import plain_view
from napari_facemap.keypoints.box import input_to_frame
from napari_facemap.keypoints.calibration import NEAR, log_excess
from napari_facemap.keypoints.labels import LabelledFace
from napari_facemap.keypoints.point_network import PointNetwork
from napari_facemap.keypoints.reading import read_network
from napari_facemap.keypoints.skeleton import GROUPS, group_of
from napari_facemap.keypoints.view import BOX_SIDE, face_size

NEAR_PERCENT = 100 * NEAR

_LARGE = 10.0  # percent; errors count for no more than this in the score


class Readings(NamedTuple):
    """What a network says of labelled faces; each array is (face, keypoint).

    Attributes
    ----------
    errors : ndarray
        Percent of the distance from eye to nose tip in that picture, or where these are not
        labelled of what that is in a box of its size; NaN without a label.
    log_excess : ndarray
        See `napari_facemap.keypoints.calibration.log_excess`; NaN for Facemap's layout.
    seen : ndarray
        See `read_network`.
    """

    errors: np.ndarray
    log_excess: np.ndarray
    seen: np.ndarray


def read_faces(
    network: nn.Module,
    faces: Sequence[LabelledFace],
    keypoints: Sequence[str],
    device: torch.device | str = "cpu",
) -> Readings:
    """Show a network each face in the box that follows from its labels.

    Parameters
    ----------
    network : PointNetwork or KeypointNetwork
        In evaluation mode.
    faces : sequence of LabelledFace
        With any keypoint labelled.
    keypoints : sequence of str
        Names of the labels and of the network's keypoints.
    device : torch.device or str
        Where the network is.

    Returns
    -------
    Readings
    """
    rows = []
    mirrors = isinstance(network, PointNetwork)
    for face in faces:
        view, box, facing = plain_view(face, tuple(keypoints), mirrors=mirrors)
        with torch.inference_mode():
            reading = read_network(network, torch.from_numpy(view.image)[None, None].to(device))
        xy, spread, seen = (part[0].cpu().numpy().astype(float) for part in reading)
        points = input_to_frame(xy, box, facing)
        unit = float(face_size(face.known, keypoints))
        unit = unit if np.isfinite(unit) else (box.x1 - box.x0) / BOX_SIDE
        errors = 100 * np.hypot(*(points - face.xy)) / unit
        rows.append((errors, log_excess(spread, face_size(xy, keypoints)), seen))
    return Readings(*(np.array(column) for column in zip(*rows, strict=True)))


def summary(errors: np.ndarray, keypoints: Sequence[str]) -> dict[str, Any]:
    """Sum up a table of errors.

    Parameters
    ----------
    errors : ndarray, shape (face, keypoint)
        Percent, see `read_faces`.
    keypoints : sequence of str
        Names of the columns.

    Returns
    -------
    dict
        ``median``, ``p95`` and ``within_5`` over all labels, ``score`` (mean of errors cut at
        10 %, by which epochs are compared), the median of each group and of each keypoint.
    """
    every = errors[np.isfinite(errors)]
    names = list(keypoints)
    groups = np.array([group_of(name) for name in names])
    own = [group for group in dict.fromkeys(groups.tolist()) if group not in GROUPS]
    by_group = {group: _median(errors[:, groups == group]) for group in (*GROUPS, *own)}
    by_keypoint = {name: _median(errors[:, k]) for k, name in enumerate(names)}
    return {
        "score": float(np.minimum(every, _LARGE).mean()),
        "median": float(np.median(every)),
        "p95": float(np.percentile(every, 95)),
        "within_5": float((every <= 5).mean()),
        "groups": {name: value for name, value in by_group.items() if value is not None},
        "per_keypoint": {name: v for name, v in by_keypoint.items() if v is not None},
    }


def _median(errors: np.ndarray) -> float | None:
    found = errors[np.isfinite(errors)]
    return float(np.median(found)) if len(found) else None
