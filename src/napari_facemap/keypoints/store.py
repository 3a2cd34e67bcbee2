"""Keypoints of a whole video that a person may correct, with every correction undoable."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from napari_facemap.keypoints.changes import FrameValues, History
from napari_facemap.keypoints.merging import check_stretch, with_keypoints, with_stretch
from napari_facemap.keypoints.poses import check_poses, make_poses

Point = tuple[float, float]
HIDDEN: Point = (float("nan"), float("nan"))
CLEANING = "cleaning"
"""Attribute that says, as JSON, how positions were cleaned."""

_SCAN = 8192  # frames looked at together when searching by confidence
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


class KeypointStore:
    """Predicted keypoints of every frame, and beside them what a person changed.

    Predictions are never written to. Over them lie, each hiding what is below:

    1. cleaned positions, where predictions were cleaned (`set_cleaned`);
    2. proposals, points that wait for a person to accept them (`propose`); they are not saved;
    3. corrections, by frame and keypoint name. Deleting is a correction to "not visible".

    So any correction can be taken back, cleaning can be taken off, and new predictions can slip
    in under the corrections.

    Parameters
    ----------
    poses : xarray.Dataset
        As made by `make_poses`. Where it has variables ``tracked_position`` and
        ``tracked_confidence`` they are what lies under its edited keypoints, and under all
        where ``attrs["cleaning"]`` says that they were cleaned.

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
        Provenance of the predictions.
    cleaning : dict or None
        How positions were cleaned; None when they are not.
    """

    def __init__(self, poses: xr.Dataset) -> None:
        check_poses(poses)
        self.keypoints: tuple[str, ...] = tuple(str(n) for n in poses["keypoint"].values)
        self.times: np.ndarray = poses["time"].values
        self.attrs: dict = dict(poses.attrs)
        self.cleaning: dict[str, Any] | None = None
        self._position = poses["position"].values
        self._confidence = poses["confidence"].values
        known = poses.get("expected_error")
        self._expected_error = None if known is None else known.values
        self._cleaned: np.ndarray | None = None
        self._edits: FrameValues[Point] = FrameValues()
        self._proposals: FrameValues[tuple[float, float, float]] = FrameValues()
        self._history = History()
        self._adopt(poses)

    def _adopt(self, poses: xr.Dataset) -> None:
        """Take apart what was predicted, cleaned and corrected."""
        frames, indices = np.nonzero(poses["edited"].values)
        x, y = self._position[frames, 0, indices], self._position[frames, 1, indices]
        for frame, index, *point in zip(
            frames.tolist(), indices.tolist(), x.tolist(), y.tolist(), strict=True
        ):
            self._edits.write(frame, {index: (point[0], point[1])})
        if "tracked_position" in poses and "tracked_confidence" in poses:
            if CLEANING in self.attrs:
                self.cleaning = json.loads(self.attrs.pop(CLEANING))
                known = poses.get("cleaned_position")
                self._cleaned = self._position if known is None else known.values
            self._position = poses["tracked_position"].values
            self._confidence = poses["tracked_confidence"].values
            if self._cleaned is not None and "cleaned_position" not in poses:
                self.set_cleaned(self._cleaned, self.cleaning)
        elif len(frames):
            # What was predicted there is not known: say so, rather than call an edit a prediction.
            self._position, self._confidence = self._position.copy(), self._confidence.copy()
            self._position[frames, :, indices] = np.nan
            self._confidence[frames, indices] = 0

    # -- what there is ------------------------------------------------------------------------

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
        return self._cleaned is not None

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
        if self._cleaned is not None:
            points.position[:] = self._cleaned[frame].T
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

    def prediction(self, frame: int) -> FramePoints:
        """Keypoints of one frame as they were predicted: not cleaned, proposed or corrected."""
        self._check_frame(frame)
        error = self._expected_error
        return FramePoints(
            self._position[frame].T.copy(),
            self._confidence[frame].copy(),
            np.zeros(len(self.keypoints), bool),
            np.zeros(len(self.keypoints), bool),
            None if error is None else error[frame].copy(),
        )

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
            low = self._confidence[start:stop] < threshold
            low &= np.isfinite(self._position[start:stop, 0])
            for at in self._proposals.between(start, stop):
                for index, (*_, confidence) in self._proposals.of(at).items():
                    low[at - start, index] = confidence < threshold
            for at in self._edits.between(start, stop):
                low[at - start, list(self._edits.of(at))] = False
            found = np.flatnonzero(low.any(axis=1))
            if len(found):
                return start + int(found[0 if step > 0 else -1])
        return None

    # -- what a person changes ----------------------------------------------------------------

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
        self._edit(frame, {self._index(n): (float(p[0]), float(p[1])) for n, p in points.items()})

    def delete(self, frame: int, names: Iterable[str]) -> None:
        """Mark keypoints of a frame as not visible."""
        self._edit(frame, {self._index(name): HIDDEN for name in names})

    def restore(self, frame: int, names: Iterable[str] | None = None) -> None:
        """Bring back the predictions of a frame (of all keypoints when `names` is None)."""
        chosen = self.keypoints if names is None else tuple(names)
        known = {*self._edits.of(frame), *self._proposals.of(frame)}
        self._edit(frame, {i: None for i in map(self._index, chosen) if i in known})

    def accept_frame(self, frame: int) -> int:
        """Confirm all that is visible in a frame, as if a person had placed it there.

        Returns
        -------
        int
            How many keypoints became corrections: predicted, cleaned or proposed ones. Hidden
            ones stay hidden without being corrections.
        """
        points = self.frame(frame)
        free = np.flatnonzero(np.isfinite(points.position).all(axis=1) & ~points.edited)
        places = points.position.tolist()
        self._edit(frame, {int(i): (places[i][0], places[i][1]) for i in free})
        return len(free)

    # -- proposals ----------------------------------------------------------------------------

    def propose(
        self,
        frames: Sequence[int] | np.ndarray,
        names: Sequence[str],
        position: np.ndarray,
        confidence: np.ndarray,
    ) -> int:
        """Show points that a person may accept, as one step.

        Earlier proposals of these keypoints in these frames are replaced, or go where nothing
        is proposed now. Corrected keypoints are left alone.

        Parameters
        ----------
        frames : sequence of int, length frame
            From 0, each once.
        names : sequence of str, length keypoint
            Keypoints.
        position : ndarray, shape (frame, 2, keypoint)
            x and y in pixels; NaN where nothing is proposed.
        confidence : ndarray, shape (frame, keypoint)
            Between 0 and 1.

        Returns
        -------
        int
            How many points are proposed.

        Raises
        ------
        ValueError
            When shapes do not fit or a name is unknown.
        IndexError
            When there is no such frame.
        """
        position, confidence = np.asarray(position, float), np.asarray(confidence, float)
        shape = (len(frames), len(names))
        if position.shape != (shape[0], 2, shape[1]) or confidence.shape != shape:
            raise ValueError(
                f"Proposals of {shape[0]} frames and {shape[1]} keypoints need positions of shape "
                f"{(shape[0], 2, shape[1])} and confidence of shape {shape}; found "
                f"{position.shape} and {confidence.shape}."
            )
        indices = [self._index(name) for name in names]
        values = np.stack([position[:, 0], position[:, 1], confidence], axis=-1)
        known = np.isfinite(values).all(axis=-1)
        changes: list[tuple[FrameValues[Any], int, dict[int, Any]]] = []
        n_proposed = 0
        for at, frame in enumerate(int(f) for f in frames):
            self._check_frame(frame)
            before, fixed = self._proposals.of(frame), self._edits.of(frame)
            after = {
                index: tuple(values[at, k].tolist()) if known[at, k] else None
                for k, index in enumerate(indices)
                if index not in fixed and (known[at, k] or index in before)
            }
            n_proposed += sum(value is not None for value in after.values())
            changes.append((self._proposals, frame, after))
        self._history.apply(changes)
        return n_proposed

    def accept(self, frames: Iterable[int] | None = None) -> int:
        """Turn proposals of some frames (of all when `frames` is None) into corrections.

        Returns
        -------
        int
            How many points; they are one step for undo.
        """
        accepted = list(self._proposed_in(frames))
        self._history.apply(
            change
            for frame, points in accepted
            for change in (
                (self._edits, frame, {i: (x, y) for i, (x, y, _) in points.items()}),
                (self._proposals, frame, dict.fromkeys(points)),
            )
        )
        return sum(len(points) for _, points in accepted)

    def reject(self, frames: Iterable[int] | None = None) -> int:
        """Drop proposals of some frames (of all when `frames` is None).

        Returns
        -------
        int
            How many points; they are one step for undo.
        """
        rejected = list(self._proposed_in(frames))
        self._history.apply((self._proposals, f, dict.fromkeys(points)) for f, points in rejected)
        return sum(len(points) for _, points in rejected)

    def _proposed_in(
        self, frames: Iterable[int] | None
    ) -> Iterator[tuple[int, Mapping[int, tuple[float, float, float]]]]:
        chosen = self._proposals.frames if frames is None else sorted({int(f) for f in frames})
        for frame in list(chosen):
            if points := self._proposals.of(frame):
                yield frame, dict(points)

    # -- undo ---------------------------------------------------------------------------------

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to take back."""
        return self._history.can_undo

    @property
    def can_redo(self) -> bool:
        """Whether there is a step to do again."""
        return self._history.can_redo

    @property
    def last_changed(self) -> tuple[int, ...]:
        """Frames that the last step changed, done, undone or done again; empty when none."""
        return self._history.last_changed

    def undo(self) -> int | None:
        """Take back the last step.

        Returns
        -------
        int or None
            The first frame it was on, or None when there was nothing to take back.
        """
        return self._history.undo()

    def redo(self) -> int | None:
        """Do again what was taken back last; returns its first frame, or None."""
        return self._history.redo()

    # -- other predictions under the corrections ----------------------------------------------

    def set_cleaned(
        self, position: np.ndarray | None, how: Mapping[str, Any] | None = None
    ) -> None:
        """Lay cleaned positions over the predicted ones, or take them off.

        Parameters
        ----------
        position : ndarray or None, shape (time, 2, keypoint)
            x and y in pixels, NaN where hidden; None takes cleaning off. Where a keypoint is
            corrected, what was predicted is shown once the correction is taken back.
        how : mapping, optional
            What was done, of strings and numbers, for `cleaning` and the file.

        Raises
        ------
        ValueError
            When the shape is another.
        """
        if position is None:
            self._cleaned = self.cleaning = None
            return
        cleaned = np.array(position, np.float32)
        if cleaned.shape != self._position.shape:
            raise ValueError(
                f"Cleaned positions need the shape {self._position.shape} (time, 2, keypoint); "
                f"found {cleaned.shape}."
            )
        for frame, index, _ in self._edits:
            cleaned[frame, :, index] = self._position[frame, :, index]
        self._cleaned, self.cleaning = cleaned, dict(how or {})

    def with_predictions(
        self, poses: xr.Dataset, frames: range | slice | None = None
    ) -> KeypointStore:
        """Lay these corrections, and what is proposed, over new predictions.

        Parameters
        ----------
        poses : xarray.Dataset
            New predictions of the same video, or of the stretch `frames` alone. Their own edits
            give way to ours.
        frames : range or slice, optional
            The stretch that was tracked anew: elsewhere the earlier predictions are kept, and
            cleaned as they were. By default all.

        Returns
        -------
        KeypointStore
            The new predictions with our corrections, by keypoint name and frame. A keypoint
            that only our corrections know is added; with `frames` all of ours are kept. The log
            starts empty.

        Raises
        ------
        ValueError
            When the number of frames differs, or `frames` is not a stretch of the video.
        """
        if frames is not None:
            new = self._with_stretch(KeypointStore(poses), check_stretch(frames, self.n_frames))
        elif poses.sizes["time"] != self.n_frames:
            raise ValueError(
                f"New predictions have {poses.sizes['time']} frames, the corrected keypoints "
                f"{self.n_frames}: they are not of the same video. Make a new layer of them."
            )
        else:
            used = {index for _, index, _ in [*self._edits, *self._proposals]}
            names = [str(name) for name in poses["keypoint"].values]
            extra = [n for i, n in enumerate(self.keypoints) if i in used and n not in names]
            new = KeypointStore(with_keypoints(poses, names + extra) if extra else poses)
        self._hand_over(new)
        return new

    def _with_stretch(self, fresh: KeypointStore, frames: range) -> KeypointStore:
        merged = with_stretch(self._tracked(), fresh._tracked(), frames)
        new = KeypointStore(merged)
        if self._cleaned is not None:
            cleaned = new._position.copy()
            kept = np.ones(self.n_frames, bool)
            kept[frames.start : frames.stop] = False
            cleaned[kept, :, : len(self.keypoints)] = self._cleaned[kept]
            new._cleaned, new.cleaning = cleaned, self.cleaning
        return new

    def _hand_over(self, other: KeypointStore) -> None:
        """Give corrections and proposals to a store that has these keypoints by name."""
        index = {i: other._index(n) for i, n in enumerate(self.keypoints) if n in other.keypoints}
        for frame in self._proposals.frames:
            points = self._proposals.of(frame).items()
            other._proposals.write(frame, {index[i]: point for i, point in points})
        for frame in self._edits.frames:
            corrected = {index[i]: point for i, point in self._edits.of(frame).items()}
            other._edits.write(frame, corrected)
            other._proposals.write(frame, dict.fromkeys(corrected))

    def copy(self) -> KeypointStore:
        """Give a store of its own that shows the same, and no log."""
        other = KeypointStore(self.to_poses(predictions=True))
        self._hand_over(other)
        return other

    # -- all frames as a dataset --------------------------------------------------------------

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
        if not self._edits and self._cleaned is None:
            return self._tracked()
        below = self._position if self._cleaned is None else self._cleaned
        position, confidence = below.copy(), self._confidence.copy()
        edited = np.zeros(confidence.shape, bool)
        for frame, index, point in self._edits:
            position[frame, :, index] = point
            confidence[frame, index] = float(np.isfinite(point[0]))
            edited[frame, index] = True
        poses = self._dataset(position, confidence, edited)
        if self.cleaning is not None:
            poses.attrs[CLEANING] = json.dumps(self.cleaning)
        if predictions:
            poses["tracked_position"] = (_PLACES, self._position)
            poses["tracked_confidence"] = (("time", "keypoint"), self._confidence)
            if self._edits and self._cleaned is not None:
                poses["cleaned_position"] = (_PLACES, self._cleaned)
        return poses

    def _tracked(self) -> xr.Dataset:
        """What was predicted, and nothing else."""
        return self._dataset(self._position, self._confidence, None)

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

    def _edit(self, frame: int, after: Mapping[int, Point | None]) -> None:
        """Change corrections of a frame; proposals of the same keypoints are settled by that."""
        self._check_frame(frame)
        settled = dict.fromkeys(i for i in after if i in self._proposals.of(frame))
        self._history.apply([(self._edits, frame, after), (self._proposals, frame, settled)])
