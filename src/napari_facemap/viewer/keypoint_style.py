"""How keypoints look: colours, rings, sizes and names of the rows of a Points layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from napari_facemap.keypoints.skeleton import color_of
from napari_facemap.keypoints.store import FramePoints, KeypointStore

EDITED_BORDER = (1.0, 1.0, 1.0, 1.0)
PROPOSED_BORDER = (1.0, 0.85, 0.1, 1.0)
CURRENT_BORDER = (0.3, 0.9, 1.0, 1.0)
PLAIN_BORDER = (0.0, 0.0, 0.0, 0.6)
BORDER_WIDTH, CURRENT_WIDTH = 0.14, 0.3  # of the size
ERROR = "expected error (px)"
HIDDEN_SIZE = 0.01  # pixels: too small for the mouse
_FAINTEST = 0.25  # alpha of a keypoint of no confidence: dim, but still to be found


def marker_size(store: KeypointStore) -> float:
    """Diameter in pixels at which keypoints stay apart: 3 % of what the face spans."""
    some = np.linspace(0, store.n_frames - 1, min(store.n_frames, 50)).astype(int)
    places = np.concatenate([store.frame(int(i)).position for i in some])
    places = places[np.isfinite(places).all(axis=1)]
    span = float(np.ptp(places, axis=0).max()) if len(places) else 0.0
    return float(np.clip(0.03 * span, 3, 25)) if span else 8.0


def expected_error(points: FramePoints) -> np.ndarray | None:
    """Expected errors of one frame's predictions.

    Parameters
    ----------
    points : FramePoints
        Of the frame.

    Returns
    -------
    ndarray of float64, shape (keypoint,), or None
        Pixels, NaN where a keypoint is hidden or a person placed it; None for keypoints that
        came without expected errors.
    """
    error = getattr(points, "expected_error", None)
    if error is None:
        return None
    predicted = np.isfinite(points.position[:, 0]) & ~points.edited
    return np.where(predicted, np.asarray(error, np.float64), np.nan)


def rows_of(position: np.ndarray) -> np.ndarray:
    """(y, x) as napari wants them; it cannot hold NaN, so what is hidden lies in a corner.

    Not at 0 sharp: there the mouse is thought to be before it has moved, and would hit it.
    """
    return np.nan_to_num(position[:, ::-1].astype(np.float64), nan=0.25)


def style_of(
    store: KeypointStore, points: FramePoints, current: str | None = None
) -> dict[str, np.ndarray]:
    """Colours of faces and rings, and which rows are shown.

    Faces are as faint as their keypoint is unsure; rings are white where a person placed it,
    yellow where it waits to be accepted, blue and broad where a click would put it elsewhere.
    """
    shown = np.isfinite(points.position[:, 0])
    color = np.array([rgb_of(name) for name in store.keypoints], np.float32)
    alpha = _FAINTEST + (1 - _FAINTEST) * np.clip(points.confidence, 0, 1)
    border = np.where(points.proposed[:, None], PROPOSED_BORDER, PLAIN_BORDER)
    is_current = np.array([name == current for name in store.keypoints])
    border = np.where((is_current & ~points.proposed)[:, None], CURRENT_BORDER, border)
    border = np.where(points.edited[:, None], EDITED_BORDER, border).astype(np.float32)
    border[:, 3] *= shown
    # napari 0.9 draws rows that are not `shown` all the same in a layer without a hidden axis,
    # so they are transparent, and too small to be hit, as well.
    face = np.column_stack([color, alpha * shown]).astype(np.float32)
    width = np.where(is_current, CURRENT_WIDTH, BORDER_WIDTH)
    return {"face_color": face, "border_color": border, "border_width": width, "shown": shown}


def sizes_of(sizes: np.ndarray, shown: np.ndarray, usual: float) -> np.ndarray:
    """Sizes with hidden rows shrunk, and rows that came back as large as the others."""
    return np.where(shown, np.where(sizes > 2 * HIDDEN_SIZE, sizes, usual), HIDDEN_SIZE)


def usual_size(sizes: np.ndarray, otherwise: float = 8.0) -> float:
    """Size that most visible rows have, or `otherwise` when none is visible."""
    large = sizes[sizes > 2 * HIDDEN_SIZE]
    return float(np.median(large)) if len(large) else otherwise


def features_of(store: KeypointStore, points: FramePoints) -> pd.DataFrame:
    """Table that napari's status bar reads."""
    names = pd.Categorical(store.keypoints, categories=store.keypoints)
    return pd.DataFrame({"keypoint": names, **values_of(points)})


def values_of(points: FramePoints) -> dict[str, np.ndarray]:
    """Columns of the table that change from frame to frame."""
    error = expected_error(points)
    errors = {} if error is None else {ERROR: np.round(error, 1)}
    return {"confidence": np.round(points.confidence, 2), **errors, "edited": points.edited}


def names_beside(store: KeypointStore, shown: np.ndarray, size: float) -> dict[str, Any]:
    """Text of a layer as napari takes it: names in the keypoints' colours, none of hidden ones."""
    names = [name if seen else "" for name, seen in zip(store.keypoints, shown, strict=True)]
    colors = np.array([(*rgb_of(name), 1.0) for name in store.keypoints], np.float32)
    return {
        "string": names,
        "color": colors,
        "size": 9,
        "anchor": "upper_left",
        "translation": (-0.2 * size, 0.7 * size),  # so that it hides neither point nor picture
    }


def rgb_of(keypoint: str) -> tuple[float, float, float]:
    """Colour of a keypoint as red, green and blue from 0 to 1."""
    code = color_of(keypoint)
    return tuple(int(code[i : i + 2], 16) / 255 for i in (1, 3, 5))  # type: ignore[return-value]
