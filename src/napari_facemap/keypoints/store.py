"""Keypoints of a whole video that a person may correct, with every correction undoable."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from napari_facemap.keypoints.changes import FrameValues, History
from napari_facemap.keypoints.corrected import Corrected, Point
from napari_facemap.keypoints.merging import check_stretch, with_keypoints
from napari_facemap.keypoints.poses import check_poses
from napari_facemap.keypoints.predictions import FramePoints, Predictions

__all__ = ["HIDDEN", "FramePoints", "KeypointStore", "Point"]

HIDDEN: Point = (float("nan"), float("nan"))


class KeypointStore(Corrected):
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
    predicted : Predictions
        What lies under the corrections.
    """

    def __init__(self, poses: xr.Dataset) -> None:
        super().__init__(poses)
        self._history = History()

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

    def correct(self, frame: int, points: Mapping[str, Point]) -> None:
        """Place keypoints of a frame, and hide those whose place is NaN, as one step."""
        self._edit(frame, {self._index(n): (float(p[0]), float(p[1])) for n, p in points.items()})

    def restore(self, frame: int, names: Iterable[str] | None = None) -> None:
        """Bring back the predictions of a frame (of all keypoints when `names` is None)."""
        chosen = self.keypoints if names is None else tuple(names)
        known = {*self._edits.of(frame), *self._proposals.of(frame)}
        self._edit(frame, {i: None for i in map(self._index, chosen) if i in known})

    def restore_frames(self, frames: Iterable[int]) -> None:
        """Bring back the predictions of some frames, as one step."""
        changes: list[tuple[FrameValues[Any], int, dict[int, Any]]] = []
        for frame in frames:
            self._check_frame(frame)
            changes += [
                (v, frame, dict.fromkeys(v.of(frame))) for v in (self._edits, self._proposals)
            ]
        self._history.apply(changes)

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
        edited = np.array([(frame, index) for frame, index, _ in self._edits], int).reshape(-1, 2)
        self.predicted.set_cleaned(position, how, *edited.T)

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
            check_poses(poses)
            stretch = check_stretch(frames, self.n_frames)
            new = KeypointStore(self.predicted.with_stretch(Predictions(poses), stretch))
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

    def _edit(self, frame: int, after: Mapping[int, Point | None]) -> None:
        """Change corrections of a frame; proposals of the same keypoints are settled by that."""
        self._check_frame(frame)
        settled = dict.fromkeys(i for i in after if i in self._proposals.of(frame))
        self._history.apply([(self._edits, frame, after), (self._proposals, frame, settled)])
