"""What cleaning changed: in words, and as traces before and after."""

from __future__ import annotations

import numpy as np

from napari_facemap.keypoints.store import KeypointStore
from napari_facemap.viewer.trace_math import Lane

_MOVED = 0.5  # pixels: less is not seen


def outcome_in_words(store: KeypointStore) -> str:
    """What cleaning did to a store that is cleaned: taken out, put into gaps, moved."""
    how, predicted = store.cleaning or {}, store.predicted
    assert predicted.cleaned is not None
    apart = np.hypot(*np.moveaxis(predicted.cleaned - predicted.position, 1, 0))
    n_moved = int((apart > _MOVED).sum())  # hidden ones are NaN, which is not larger
    return (
        f"Outliers taken out: {how.get('removed', 0):,}. Points put into gaps: "
        f"{how.get('filled', 0):,}. Moved by more than {_MOVED:g} px: {n_moved:,}. Corrections "
        "stay where they are."
    )


def lanes(store: KeypointStore, keypoint: int) -> list[Lane]:
    """Traces of x and y of a keypoint: as tracked in grey, cleaned in colour.

    Parameters
    ----------
    store : KeypointStore
        Where it is not cleaned, points as tracked are in colour. Corrections are in both.
    keypoint : int
        Which.
    """
    tables = [store.predicted.position]
    if store.predicted.cleaned is not None:
        tables.append(store.predicted.cleaned)
    traces = [table[:, :, keypoint].copy() for table in tables]
    name = store.keypoints[keypoint]
    for frame in store.edited_frames:
        corrected = store.corrections(frame)
        if name in corrected:
            for trace in traces:
                trace[frame] = corrected[name]
    return [
        Lane(label, store.times, tuple(trace[:, axis] for trace in traces))
        for axis, label in enumerate("xy")
    ]
