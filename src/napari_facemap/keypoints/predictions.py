"""Keypoints as a tracker found them in every frame, and how they look cleaned."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from napari_facemap.keypoints.merging import with_stretch
from napari_facemap.keypoints.poses import make_poses

CLEANING = "cleaning"
"""Attribute that says, as JSON, how positions were cleaned."""

_PLACES = ("time", "space", "keypoint")


@dataclass(frozen=True)
class FramePoints:
    """Keypoints of one frame as they stand, corrections and proposals included.

    Attributes
    ----------
    position : ndarray, shape (keypoint, 2)
        x and y in pixels, NaN where hidden.
    confidence : ndarray, shape (keypoint,)
        Of the prediction, or of the proposal; 1 where a person placed the keypoint, 0 where a
        person deleted it.
    edited : ndarray of bool, shape (keypoint,)
        True where a person placed or deleted the keypoint.
    proposed : ndarray of bool, shape (keypoint,)
        True where the keypoint is proposed and a person has not accepted it yet.
    expected_error : ndarray or None, shape (keypoint,)
        Of the prediction, pixels; NaN where the keypoint is edited or proposed. None when it is
        not known.
    """

    position: np.ndarray
    confidence: np.ndarray
    edited: np.ndarray
    proposed: np.ndarray
    expected_error: np.ndarray | None = None


class Predictions:
    """What lies under a person's corrections. Its arrays are never written to.

    Parameters
    ----------
    poses : xarray.Dataset
        Where something is edited, only ``tracked_position`` and ``tracked_confidence`` tell what
        was predicted; without them it is hidden, with confidence 0.

    Attributes
    ----------
    keypoints : tuple of str
        Names.
    times : ndarray, shape (time,)
        Seconds.
    attrs : dict
        Provenance.
    position : ndarray, shape (time, 2, keypoint)
        As tracked, pixels.
    confidence : ndarray, shape (time, keypoint)
        As tracked.
    expected_error : ndarray or None, shape (time, keypoint)
        Pixels.
    cleaned : ndarray or None, shape (time, 2, keypoint)
        Positions after cleaning, NaN where hidden.
    cleaning : dict or None
        How they were cleaned.
    """

    def __init__(self, poses: xr.Dataset) -> None:
        self.keypoints: tuple[str, ...] = tuple(str(n) for n in poses["keypoint"].values)
        self.times: np.ndarray = poses["time"].values
        self.attrs: dict[str, Any] = dict(poses.attrs)
        self.position: np.ndarray = poses["position"].values
        self.confidence: np.ndarray = poses["confidence"].values
        known = poses.get("expected_error")
        self.expected_error: np.ndarray | None = None if known is None else known.values
        self.cleaned: np.ndarray | None = None
        self.cleaning: dict[str, Any] | None = None
        edited = np.nonzero(poses["edited"].values)
        if "tracked_position" in poses and "tracked_confidence" in poses:
            self.position = poses["tracked_position"].values
            self.confidence = poses["tracked_confidence"].values
            if CLEANING in self.attrs:
                how = _options(self.attrs.pop(CLEANING))
                if "cleaned_position" in poses:
                    self.cleaned, self.cleaning = poses["cleaned_position"].values, how
                else:
                    self.set_cleaned(poses["position"].values, how, *edited)
        elif len(edited[0]):
            # What was predicted there is not known: say so, rather than call an edit a prediction.
            frames, indices = edited
            self.position, self.confidence = self.position.copy(), self.confidence.copy()
            self.position[frames, :, indices] = np.nan
            self.confidence[frames, indices] = 0

    @property
    def shown(self) -> np.ndarray:
        """Positions, cleaned where they were cleaned; not to be written to."""
        return self.position if self.cleaned is None else self.cleaned

    def frame(self, frame: int) -> FramePoints:
        """Keypoints of one frame as they were tracked, in fresh arrays."""
        error = self.expected_error
        return FramePoints(
            self.position[frame].T.copy(),
            self.confidence[frame].copy(),
            np.zeros(len(self.keypoints), bool),
            np.zeros(len(self.keypoints), bool),
            None if error is None else error[frame].copy(),
        )

    def set_cleaned(
        self,
        position: np.ndarray | None,
        how: Mapping[str, Any] | None,
        frames: np.ndarray,
        indices: np.ndarray,
    ) -> None:
        """Take cleaned positions, but in `frames` those tracked of the keypoints `indices`."""
        if position is None:
            self.cleaned = self.cleaning = None
            return
        cleaned = np.array(position, np.float32)
        if cleaned.shape != self.position.shape:
            raise ValueError(
                f"Cleaned positions need the shape {self.position.shape} (time, 2, keypoint); "
                f"found {cleaned.shape}."
            )
        cleaned[frames, :, indices] = self.position[frames, :, indices]
        self.cleaned, self.cleaning = cleaned, dict(how or {})

    def with_stretch(self, fresh: Predictions, frames: range) -> xr.Dataset:
        """Give poses with `fresh` in a stretch, not cleaned there, and these elsewhere."""
        merged = with_stretch(self.tracked_poses(), fresh.tracked_poses(), frames)
        if self.cleaned is not None:
            cleaned = merged["position"].values.copy()
            kept = np.ones(len(cleaned), bool)
            kept[frames.start : frames.stop] = False
            cleaned[kept, :, : len(self.keypoints)] = self.cleaned[kept]
            merged["tracked_position"] = merged["position"]
            merged["tracked_confidence"] = merged["confidence"]
            merged["position"] = (_PLACES, cleaned)
            merged.attrs[CLEANING] = json.dumps(self.cleaning)
        return merged

    def tracked_poses(self) -> xr.Dataset:
        """Poses as they were tracked, and nothing else."""
        return self._dataset(self.position, self.confidence, None)

    def poses(
        self,
        position: np.ndarray,
        confidence: np.ndarray,
        edited: np.ndarray,
        predictions: bool,
    ) -> xr.Dataset:
        """Poses with these values, and with `predictions` what lies under them."""
        poses = self._dataset(position, confidence, edited)
        if self.cleaning is not None:
            poses.attrs[CLEANING] = json.dumps(self.cleaning)
        if predictions:
            poses["tracked_position"] = (_PLACES, self.position)
            poses["tracked_confidence"] = (("time", "keypoint"), self.confidence)
            if self.cleaned is not None and edited.any():
                poses["cleaned_position"] = (_PLACES, self.cleaned)
        return poses

    def _dataset(
        self, position: np.ndarray, confidence: np.ndarray, edited: np.ndarray | None
    ) -> xr.Dataset:
        return make_poses(
            position,
            confidence,
            self.keypoints,
            self.times,
            edited,
            self.attrs,
            self.expected_error,
        )


def _options(text: str) -> dict[str, Any]:
    try:
        return dict(json.loads(text))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"Poses need how they were cleaned as JSON in attrs[{CLEANING!r}]; found {text!r}."
        ) from error
