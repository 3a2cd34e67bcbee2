"""Keypoints of a whole video that a person may correct, with every correction undoable."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

from napari_facemap.keypoints.poses import check_poses, make_poses

Point = tuple[float, float]
HIDDEN: Point = (float("nan"), float("nan"))
_SCAN = 8192  # frames looked at together when searching by confidence


@dataclass(frozen=True)
class FramePoints:
    """Keypoints of one frame as they stand, corrections included.

    Attributes
    ----------
    position : ndarray, shape (keypoint, 2)
        x and y in pixels, NaN where hidden.
    confidence : ndarray, shape (keypoint,)
        Of the prediction; 1 where a person placed the keypoint, 0 where a person deleted it.
    edited : ndarray of bool, shape (keypoint,)
        True where a person placed or deleted the keypoint.
    expected_error : ndarray or None, shape (keypoint,)
        Of the prediction, pixels; NaN where a person was. None when it is not known.
    """

    position: np.ndarray
    confidence: np.ndarray
    edited: np.ndarray
    expected_error: np.ndarray | None = None


@dataclass(frozen=True)
class _Change:
    """One step of the log: a frame's corrections before and after, by keypoint index."""

    frame: int
    before: Mapping[int, Point | None]
    after: Mapping[int, Point | None]


class KeypointStore:
    """Predicted keypoints of every frame, and beside them what a person changed.

    Predictions are never written to. A correction is kept by frame and keypoint name and hides
    the prediction; deleting is a correction to "not visible". So any correction can be taken
    back, and a new prediction can slip in under the corrections.

    Parameters
    ----------
    poses : xarray.Dataset
        As made by `make_poses`. Where it has variables ``tracked_position`` and
        ``tracked_confidence`` they are what lies under its edited keypoints.

    Raises
    ------
    ValueError
        When `poses` is not poses.

    Attributes
    ----------
    keypoints : tuple of str
        Names, in the order of every array given back.
    times : ndarray, shape (time,)
        Seconds.
    attrs : dict
        Provenance.
    """

    def __init__(self, poses: xr.Dataset) -> None:
        check_poses(poses)
        self.keypoints: tuple[str, ...] = tuple(str(n) for n in poses["keypoint"].values)
        self.times: np.ndarray = poses["time"].values
        self.attrs: dict = dict(poses.attrs)
        self._position = poses["position"].values
        self._confidence = poses["confidence"].values
        known = poses.get("expected_error")
        self._expected_error = None if known is None else known.values
        self._edits: dict[int, dict[int, Point]] = {}
        self._edited_frames: list[int] = []  # sorted
        self._done: list[_Change] = []
        self._undone: list[_Change] = []
        self._adopt_edits(poses)

    def _adopt_edits(self, poses: xr.Dataset) -> None:
        frames, indices = np.nonzero(poses["edited"].values)
        if not len(frames):
            return
        x, y = self._position[frames, 0, indices], self._position[frames, 1, indices]
        for frame, index, *point in zip(
            frames.tolist(), indices.tolist(), x.tolist(), y.tolist(), strict=True
        ):
            self._edits.setdefault(frame, {})[index] = (point[0], point[1])
        self._edited_frames = sorted(self._edits)
        if "tracked_position" in poses and "tracked_confidence" in poses:
            self._position = poses["tracked_position"].values
            self._confidence = poses["tracked_confidence"].values
            return
        # What was predicted there is not known: say so, rather than call an edit a prediction.
        self._position, self._confidence = self._position.copy(), self._confidence.copy()
        self._position[frames, :, indices] = np.nan
        self._confidence[frames, indices] = 0

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return len(self.times)

    @property
    def n_edits(self) -> int:
        """Number of keypoints, over all frames, that a person placed or deleted."""
        return sum(len(points) for points in self._edits.values())

    @property
    def can_undo(self) -> bool:
        """Whether there is a correction to take back."""
        return bool(self._done)

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
        self._check_frame(frame)
        position = self._position[frame].T.copy()
        confidence = self._confidence[frame].copy()
        error = self._error_in(frame)
        edited = np.zeros(len(self.keypoints), bool)
        for index, point in self._edits.get(frame, {}).items():
            position[index] = point
            confidence[index] = float(np.isfinite(point[0]))
            edited[index] = True
        if error is not None:
            error[edited] = np.nan
        return FramePoints(position, confidence, edited, error)

    def _error_in(self, frame: int) -> np.ndarray | None:
        return None if self._expected_error is None else self._expected_error[frame].copy()

    def prediction(self, frame: int) -> FramePoints:
        """Keypoints of one frame as they were predicted, without corrections."""
        self._check_frame(frame)
        return FramePoints(
            self._position[frame].T.copy(),
            self._confidence[frame].copy(),
            np.zeros(len(self.keypoints), bool),
            self._error_in(frame),
        )

    def place(self, frame: int, points: Mapping[str, Point]) -> None:
        """Put keypoints of a frame where a person says they are.

        Parameters
        ----------
        frame : int
            From 0.
        points : mapping of str to (x, y)
            Pixels, by keypoint name.

        Raises
        ------
        ValueError
            When a name is unknown or a place is not finite.
        """
        for name, point in points.items():
            if not np.isfinite(point).all():
                raise ValueError(
                    f"Keypoint {name!r} needs a finite place; found {point}. Delete it to hide it."
                )
        self._apply(frame, {self._index(n): (float(p[0]), float(p[1])) for n, p in points.items()})

    def delete(self, frame: int, names: Iterable[str]) -> None:
        """Mark keypoints of a frame as not visible."""
        self._apply(frame, {self._index(name): HIDDEN for name in names})

    def restore(self, frame: int, names: Iterable[str] | None = None) -> None:
        """Bring back the predictions of a frame (of all keypoints when `names` is None)."""
        chosen = self.keypoints if names is None else tuple(names)
        edits = self._edits.get(frame, {})
        self._apply(frame, {i: None for i in map(self._index, chosen) if i in edits})

    def undo(self) -> int | None:
        """Take back the last correction.

        Returns
        -------
        int or None
            The frame it was on, or None when there was nothing to take back.
        """
        if not self._done:
            return None
        change = self._done.pop()
        self._write(change.frame, change.before)
        self._undone.append(change)
        return change.frame

    def redo(self) -> int | None:
        """Do again what was taken back last; returns its frame, or None."""
        if not self._undone:
            return None
        change = self._undone.pop()
        self._write(change.frame, change.after)
        self._done.append(change)
        return change.frame

    def next_edited(self, frame: int, step: int = 1) -> int | None:
        """Nearest frame after (`step` 1) or before (`step` -1) `frame` with a correction."""
        if step > 0:
            at = bisect.bisect_right(self._edited_frames, frame)
            return self._edited_frames[at] if at < len(self._edited_frames) else None
        at = bisect.bisect_left(self._edited_frames, frame) - 1
        return self._edited_frames[at] if at >= 0 else None

    def next_low_confidence(self, frame: int, step: int = 1, threshold: float = 0.5) -> int | None:
        """Nearest frame with an uncorrected keypoint predicted below a confidence.

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
            predicted place (frames not tracked) do not count.
        """
        if step > 0:
            blocks = ((a, a + _SCAN) for a in range(frame + 1, self.n_frames, _SCAN))
        else:
            blocks = ((max(0, b - _SCAN), b) for b in range(frame, 0, -_SCAN))
        for start, stop in blocks:
            low = self._confidence[start:stop] < threshold
            low &= np.isfinite(self._position[start:stop, 0])
            found = np.flatnonzero(low.any(axis=1))[:: 1 if step > 0 else -1]
            for at in found:
                edits = self._edits.get(start + int(at), {})
                if any(int(k) not in edits for k in np.flatnonzero(low[at])):
                    return start + int(at)
        return None

    def with_predictions(self, poses: xr.Dataset) -> KeypointStore:
        """Lay these corrections over new predictions.

        Parameters
        ----------
        poses : xarray.Dataset
            New predictions of the same video. Its own edits give way to ours.

        Returns
        -------
        KeypointStore
            The new predictions with our corrections, by keypoint name and frame. A keypoint
            that only our corrections know is added. The log starts empty.

        Raises
        ------
        ValueError
            When the number of frames differs.
        """
        if poses.sizes["time"] != self.n_frames:
            raise ValueError(
                f"New predictions have {poses.sizes['time']} frames, the corrected keypoints "
                f"{self.n_frames}: they are not of the same video. Make a new layer of them."
            )
        names = [str(name) for name in poses["keypoint"].values]
        corrected = {self.keypoints[i] for points in self._edits.values() for i in points}
        extra = [n for n in self.keypoints if n in corrected and n not in names]
        if extra:
            poses = poses.reindex(keypoint=names + extra)
            poses["confidence"] = poses["confidence"].fillna(0)
            poses["edited"] = poses["edited"].fillna(False).astype(bool)
        new = KeypointStore(poses)
        for frame in self._edited_frames:
            points = self._edits[frame].items()
            new._write(frame, {new._index(self.keypoints[i]): point for i, point in points})
        return new

    def copy(self) -> KeypointStore:
        """Give a store of its own with the same predictions and corrections, and no log."""
        return KeypointStore(self.to_poses(predictions=True))

    def to_poses(self, predictions: bool = True) -> xr.Dataset:
        """Give all frames as a dataset.

        Parameters
        ----------
        predictions : bool
            Where there are corrections, also give ``tracked_position`` and
            ``tracked_confidence``: what lies under them. ``expected_error`` is always the
            tracker's.

        Returns
        -------
        xarray.Dataset
            Poses, corrections included, on `times`.
        """
        if not self._edits:
            return self._dataset(self._position, self._confidence, None)
        position, confidence = self._position.copy(), self._confidence.copy()
        edited = np.zeros(confidence.shape, bool)
        for frame, points in self._edits.items():
            for index, point in points.items():
                position[frame, :, index] = point
                confidence[frame, index] = float(np.isfinite(point[0]))
                edited[frame, index] = True
        poses = self._dataset(position, confidence, edited)
        if predictions:
            poses["tracked_position"] = (("time", "space", "keypoint"), self._position)
            poses["tracked_confidence"] = (("time", "keypoint"), self._confidence)
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
            self._expected_error,
        )

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

    def _apply(self, frame: int, after: Mapping[int, Point | None]) -> None:
        self._check_frame(frame)
        if not after:
            return
        edits = self._edits.get(frame, {})
        change = _Change(frame, {index: edits.get(index) for index in after}, dict(after))
        self._write(frame, change.after)
        self._done.append(change)
        self._undone.clear()

    def _write(self, frame: int, points: Mapping[int, Point | None]) -> None:
        edits = self._edits.setdefault(frame, {})
        for index, point in points.items():
            if point is None:
                edits.pop(index, None)
            else:
                edits[index] = point
        at = bisect.bisect_left(self._edited_frames, frame)
        listed = at < len(self._edited_frames) and self._edited_frames[at] == frame
        if edits and not listed:
            self._edited_frames.insert(at, frame)
        elif not edits:
            del self._edits[frame]
            if listed:
                self._edited_frames.pop(at)
