"""What a model already knows of labelled frames: it shall not unlearn what nobody labelled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from napari_facemap.keypoints.box import Box, check_box
from napari_facemap.keypoints.finder import NoFaceError, find_face
from napari_facemap.keypoints.labels import LabelledFace
from napari_facemap.keypoints.models import Model
from napari_facemap.keypoints.pointing import Pointer
from napari_facemap.keypoints.view import FACINGS, eye_and_nose, face_box, facing_of

SURE = 0.5
"""Confidence from which a model's own point stands in for a label."""


def with_guesses(
    faces: Sequence[LabelledFace], keypoints: Sequence[str], model: Model, device: str = "auto"
) -> list[LabelledFace]:
    """Fill in where tracking looks, and where a model is sure of keypoints without a label.

    Whoever corrects a frame labels what was wrong in it. Learning from these labels alone would
    let the network forget the rest, so its own sure points are taught as well ("learning without
    forgetting", Li & Hoiem, IEEE TPAMI 2018).

    Parameters
    ----------
    faces : sequence of LabelledFace
        Of any recordings.
    keypoints : sequence of str
        Of the labels.
    model : Model
        That is to be fine-tuned.
    device : {"auto", "cpu", "cuda", "mps"}
        What to compute on.

    Returns
    -------
    list of LabelledFace
        With `place` and `guessed`. Where a recording's `place` is not known it follows from the
        labels of eye and nose tip, else from the face that is found in its pictures, else it is
        the whole picture.
    """
    names = list(keypoints)
    shared = [name for name in model.keypoints if name in names]
    columns = [names.index(name) for name in shared]
    rows = [model.keypoints.index(name) for name in shared]
    pointer = Pointer(model, device)
    places: dict[tuple[str, tuple[int, ...]], tuple[Box, str]] = {}
    filled = []
    for face in faces:
        key = (face.recording, face.image.shape)
        if key not in places:
            alike = [f for f in faces if (f.recording, f.image.shape) == key]
            places[key] = face.place or _place(alike, keypoints, device)
        box, facing = places[key]
        points = pointer(face.image[None], box, facing)
        guessed = np.full(face.xy.shape, np.nan)
        sure = points.confidence[0, rows] >= SURE
        guessed[:, columns] = np.where(sure, points.position[0][:, rows], np.nan)
        if face.hidden is not None:
            guessed[:, face.hidden] = np.nan
        filled.append(replace(face, guessed=guessed, place=(box, facing)))
    return filled


def _place(
    faces: Sequence[LabelledFace], keypoints: Sequence[str], device: str
) -> tuple[Box, str]:
    """Where the face is in the pictures of one recording."""
    eye, nose = eye_and_nose(np.stack([face.xy for face in faces]), keypoints)
    known = np.isfinite(eye).all(axis=1) & np.isfinite(nose).all(axis=1)
    if known.any():
        middle = np.median(eye[known], axis=0), np.median(nose[known], axis=0)
        return face_box(*middle), facing_of(*middle)
    try:
        found = find_face(np.stack([face.image for face in faces]), device=device)
    except NoFaceError:
        return check_box(None, *faces[0].image.shape), FACINGS[0]
    return found.box, found.facing
