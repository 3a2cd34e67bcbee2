"""Keypoints of a whole video as a person sees them: predictions, and what lies over them."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from napari_facemap.keypoints.changes import FrameValues
from napari_facemap.keypoints.poses import check_poses
from napari_facemap.keypoints.predictions import FramePoints, Predictions

Point = tuple[float, float]
_SCAN = 8192  # frames looked at together when searching by confidence


class Corrected:
    """Predicted keypoints of every frame under proposals and corrections, to be read.

    `KeypointStore` is this with all that changes it, and says what lies over what.

    Parameters
    ----------
    poses : xarray.Dataset
        As for `KeypointStore`.

    Raises
    ------
    ValueError
        When `poses` is not poses.

    Attributes
    ----------
    keypoints : tuple of str
        Names, in the order of every array given back.
    predicted : Predictions
        What lies under the corrections.
    """

    def __init__(self, poses: xr.Dataset) -> None:
        check_poses(poses)
        self.predicted = Predictions(poses)
        self.keypoints: tuple[str, ...] = self.predicted.keypoints
        self._edits: FrameValues[Point] = FrameValues()
        self._proposals: FrameValues[tuple[float, float, float]] = FrameValues()
        position = poses["position"].values
        for frame, index in np.argwhere(poses["edited"].values).tolist():
            x, y = position[frame, :, index].tolist()
            self._edits.write(frame, {index: (x, y)})

    @property
    def times(self) -> np.ndarray:
        """Seconds, shape (time,)."""
        return self.predicted.times

    @times.setter
    def times(self, times: np.ndarray) -> None:
        self.predicted.times = times

    @property
    def attrs(self) -> dict[str, Any]:
        """Provenance of the predictions."""
        return self.predicted.attrs

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return len(self.times)

    @property
    def n_edits(self) -> int:
        """Number of keypoints, over all frames, that a person placed or deleted."""
        return len(self._edits)

    @property
    def n_proposed(self) -> int:
        """Number of keypoints, over all frames, that are proposed and not yet accepted."""
        return len(self._proposals)

    @property
    def edited_frames(self) -> list[int]:
        """Frames with a correction, sorted."""
        return list(self._edits.frames)

    @property
    def proposed_frames(self) -> list[int]:
        """Frames with a proposal, sorted."""
        return list(self._proposals.frames)

    @property
    def is_cleaned(self) -> bool:
        """Whether cleaned positions lie over the predicted ones."""
        return self.predicted.cleaned is not None

    @property
    def cleaning(self) -> dict[str, Any] | None:
        """How positions were cleaned; None when they are not."""
        return self.predicted.cleaning

    def frame(self, frame: int) -> FramePoints:
        """Keypoints of one frame.

        Parameters
        ----------
        frame : int
            From 0.

        Returns
        -------
        FramePoints
            Fresh arrays.

        Raises
        ------
        IndexError
            When there is no such frame.
        """
        points = self.prediction(frame)
        points.position[:] = self.predicted.shown[frame].T
        for index, (x, y, confidence) in self._proposals.of(frame).items():
            points.position[index] = x, y
            points.confidence[index] = confidence
            points.proposed[index] = True
        for index, point in self._edits.of(frame).items():
            points.position[index] = point
            points.confidence[index] = float(np.isfinite(point[0]))
            points.edited[index] = True
        if points.expected_error is not None:
            points.expected_error[points.edited | points.proposed] = np.nan
        return points

    def corrections(self, frame: int) -> dict[str, Point]:
        """What a person says of one frame: places by keypoint, NaN where one is hidden.

        Much quicker than `frame`, for those who ask for many frames.
        """
        self._check_frame(frame)
        return {self.keypoints[i]: point for i, point in sorted(self._edits.of(frame).items())}

    def prediction(self, frame: int) -> FramePoints:
        """Keypoints of one frame as they were predicted: not cleaned, proposed or corrected."""
        self._check_frame(frame)
        return self.predicted.frame(frame)

    def next_edited(self, frame: int, step: int = 1) -> int | None:
        """Nearest frame after (`step` 1) or before (`step` -1) `frame` with a correction."""
        return self._edits.nearest(frame, step)

    def next_proposed(self, frame: int, step: int = 1) -> int | None:
        """Nearest frame after (`step` 1) or before (`step` -1) `frame` with a proposal."""
        return self._proposals.nearest(frame, step)

    def next_low_confidence(self, frame: int, step: int = 1, threshold: float = 0.5) -> int | None:
        """Nearest frame with an uncorrected keypoint below a confidence.

        Parameters
        ----------
        frame : int
            Where to start; this frame itself is not looked at.
        step : int
            1 forward, -1 backward.
        threshold : float
            Between 0 and 1.

        Returns
        -------
        int or None
            The frame, or None when there is none in that direction. Keypoints without a
            predicted or proposed place (frames not tracked) do not count.
        """
        if step > 0:
            blocks = ((a, a + _SCAN) for a in range(frame + 1, self.n_frames, _SCAN))
        else:
            blocks = ((max(0, b - _SCAN), b) for b in range(frame, 0, -_SCAN))
        for start, stop in blocks:
            low = self.predicted.confidence[start:stop] < threshold
            low &= np.isfinite(self.predicted.position[start:stop, 0])
            for at in self._proposals.between(start, stop):
                for index, (*_, confidence) in self._proposals.of(at).items():
                    low[at - start, index] = confidence < threshold
            for at in self._edits.between(start, stop):
                low[at - start, list(self._edits.of(at))] = False
            found = np.flatnonzero(low.any(axis=1))
            if len(found):
                return start + int(found[0 if step > 0 else -1])
        return None

    def to_poses(self, predictions: bool = True) -> xr.Dataset:
        """Give all frames as a dataset.

        Parameters
        ----------
        predictions : bool
            Where there are corrections or cleaned positions, also give ``tracked_position`` and
            ``tracked_confidence``: what lies under them, and ``cleaned_position`` where both
            are there. ``expected_error`` is always the tracker's.

        Returns
        -------
        xarray.Dataset
            Poses on `times`, cleaned and corrected, without proposals. How they were cleaned
            is in ``attrs["cleaning"]`` as JSON.
        """
        if not self._edits and not self.is_cleaned:
            return self.predicted.tracked_poses()
        position, confidence = self.predicted.shown.copy(), self.predicted.confidence.copy()
        edited = np.zeros(confidence.shape, bool)
        for frame, index, point in self._edits:
            position[frame, :, index] = point
            confidence[frame, index] = float(np.isfinite(point[0]))
            edited[frame, index] = True
        return self.predicted.poses(position, confidence, edited, predictions)

    def _check_frame(self, frame: int) -> None:
        if not 0 <= frame < self.n_frames:
            raise IndexError(f"Frame {frame} is not in 0 .. {self.n_frames - 1}.")

    def _index(self, name: str) -> int:
        try:
            return self.keypoints.index(name)
        except ValueError:
            raise ValueError(
                f"There is no keypoint {name!r}; there are {', '.join(self.keypoints)}."
            ) from None
