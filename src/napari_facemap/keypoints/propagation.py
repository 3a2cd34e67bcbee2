"""Labels of some frames carried to the frames between and around them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_facemap.keypoints.following import Origin, PointTracker
from napari_facemap.keypoints.lucas_kanade import LucasKanade
from napari_facemap.keypoints.view import face_size
from napari_facemap.video.arrays import as_video

if TYPE_CHECKING:
    from napari_facemap.video.arrays import ArrayVideo
    from napari_facemap.video.video import Video

Progress = Callable[[int, int], bool | None]
Labels = Mapping[int, Mapping[str, tuple[float, float]]]

_WINDOW = 1 / 12  # of the distance from eye to nose: radius of what is compared
_WINDOW_OF_SPAN = 1 / 24  # the same, of the width of all points, when eye or nose are unknown
_WINDOW_OF_FRAME = 1 / 40  # the same, of the frame's shorter side, when there is one point
_STRETCH_BYTES = 32 * 2**20
_SHORTEST, _LONGEST = 8, 64  # frames read at once
_UNSURE = 0.1  # confidence below which nothing is proposed


@dataclass(frozen=True, eq=False)
class Propagated:
    """Points that were carried from labelled frames, as `KeypointStore.propose` takes them.

    Attributes
    ----------
    frames : ndarray of int, shape (frame,)
        Frame numbers.
    keypoints : tuple of str
        Names.
    position : ndarray of float32, shape (frame, 2, keypoint)
        x and y in pixels; NaN where a point is hidden, lost or not reached. In labelled frames
        the labels.
    confidence : ndarray of float32, shape (frame, keypoint)
        Between 0 and 1; 0 where there is no position.
    complete : bool
        False when it was cancelled.
    """

    frames: np.ndarray
    keypoints: tuple[str, ...]
    position: np.ndarray
    confidence: np.ndarray
    complete: bool


def propagate(
    video: Video | ArrayVideo | np.ndarray | str | Path,
    labels: Labels,
    start: int,
    stop: int,
    tracker: PointTracker | None = None,
    progress: Progress | None = None,
) -> Propagated:
    """Follow labelled points through the frames between and around the labelled ones.

    Each point is followed from each frame it is labelled in, forward to the next such frame and
    backward to the one before, or to the end of the range. Between two labels, at the share
    ``u`` of the time from the first to the second, the ways from both have the weights
    ``(1 - u) c`` and ``u c`` by their confidences c. With these normed to 1, position and
    confidence are weighted means; the confidence is lowered by the factor
    ``exp(-v / (R/2)^2)`` where both disagree: v is the weighted variance of the two positions, R
    the radius of what is compared about a point.

    Parameters
    ----------
    video : Video, ArrayVideo, array or path
        The video.
    labels : mapping of int to mapping of str to (x, y)
        Labelled points by frame and keypoint name, pixels; NaN is hidden there, and a point that
        a frame does not name passes through it. Frames may lie outside the range.
    start, stop : int
        Range of frames, `stop` not included.
    tracker : PointTracker, optional
        By default `LucasKanade` with a radius of a twelfth of the distance from eye to nose.
    progress : callable, optional
        Called with numbers of steps from frame to frame, done and in all. When it returns False,
        what is done is given.

    Returns
    -------
    Propagated
        Of all frames of the range. Frames that cannot be decoded are NaN and are stepped over.

    Raises
    ------
    ValueError
        When there is no label, a frame is not in the video or a labelled one cannot be decoded,
        or a tracker gives something else than was asked for.
    """
    source = as_video(video)
    try:
        work = _Work(source, labels, start, stop, tracker, progress)
        work.run()
        return work.result()
    finally:
        if source is not video:
            source.close()


def point_radius(labels: Labels, frame_shape: tuple[int, int]) -> float:
    """Radius of the windows in which points of these labels are compared.

    Parameters
    ----------
    labels : mapping of int to mapping of str to (x, y)
        Labels.
    frame_shape : (int, int)
        Rows and columns of the video.

    Returns
    -------
    float
        Pixels: a twelfth of the distance from eye to nose; where that is unknown, of half the
        width of all points; of a single point a fortieth of the frame's shorter side.
    """
    sizes, spans = [], []
    for points in labels.values():
        xy = np.array(list(points.values()), float).reshape(-1, 2).T
        sizes.append(float(face_size(xy, list(points))))
        known = xy[:, np.isfinite(xy).all(axis=0)]
        spans.append(float(np.ptp(known, axis=1).max()) if known.shape[1] > 1 else np.nan)
    for share, found in ((_WINDOW, sizes), (_WINDOW_OF_SPAN, spans)):
        if np.isfinite(found).any():
            return share * float(np.nanmedian(found))
    return _WINDOW_OF_FRAME * min(frame_shape)


@dataclass(frozen=True, eq=False)
class _Way:
    """Points that are followed from one labelled frame in one direction.

    reach says up to which frame each of `points` (keypoint indices) is followed, this included.
    """

    frame: int
    step: int
    points: np.ndarray
    reach: np.ndarray

    @property
    def last(self) -> int:
        return int(self.reach.max() if self.step > 0 else self.reach.min())

    @property
    def n_steps(self) -> int:
        return abs(self.last - self.frame)


class _Work:
    """Follows all points of all labelled frames and keeps both directions apart."""

    def __init__(
        self,
        source: Video | ArrayVideo,
        labels: Labels,
        start: int,
        stop: int,
        tracker: PointTracker | None,
        progress: Progress | None,
    ):
        self.source, self.start, self.stop = source, int(start), int(stop)
        self.labels = {int(frame): labels[frame] for frame in sorted(labels)}
        self._check()
        self.names = tuple(dict.fromkeys(name for one in self.labels.values() for name in one))
        self.radius = point_radius(self.labels, source.shape[1:])
        self.tracker = tracker or LucasKanade(self.radius)
        self.progress = progress
        n, k = self.stop - self.start, len(self.names)
        # Index 0: followed forward, 1: backward.
        self.position = np.full((2, n, 2, k), np.nan, np.float32)
        self.confidence = np.zeros((2, n, k), np.float32)
        self.complete = True

    def _check(self) -> None:
        name, n = self.source.name, len(self.source)
        if not 0 <= self.start < self.stop <= n:
            raise ValueError(
                f"{name}: expected a range of its {n} frames; found {self.start} to {self.stop}."
            )
        if not self.labels or not any(np.isfinite(p).all() for _, p in self._all_labels()):
            raise ValueError(
                f"{name}: expected a labelled point to start from, found none; label a frame first."
            )
        for frame, points in self.labels.items():
            if not 0 <= frame < n:
                raise ValueError(f"{name}: a label is on frame {frame}, but there are {n} frames.")
            for keypoint, point in points.items():
                if np.shape(point) != (2,):
                    raise ValueError(
                        f"{name}, frame {frame}: expected (x, y) for {keypoint!r}; found {point}."
                    )

    def _all_labels(self) -> Iterator[tuple[int, tuple[float, float]]]:
        for frame, points in self.labels.items():
            for point in points.values():
                yield frame, point

    def label_frames(self, name: str) -> list[int]:
        """Frames that say where a point is, or that it is hidden."""
        return [frame for frame, points in self.labels.items() if name in points]

    def ways(self) -> Iterator[_Way]:
        """All ways that lead into the range, those of a frame together."""
        for frame, points in self.labels.items():
            for step in (1, -1):
                reach = {}
                for name, point in points.items():
                    if np.isfinite(point).all():
                        last = self._reach(name, frame, step)
                        if last is not None:
                            reach[self.names.index(name)] = last
                if reach:
                    yield _Way(frame, step, np.array(list(reach)), np.array(list(reach.values())))

    def _reach(self, name: str, frame: int, step: int) -> int | None:
        """Last frame up to which a point is followed, or None when that leads nowhere."""
        others = [f for f in self.label_frames(name) if (f - frame) * step > 0]
        if step > 0:
            last = min([f - 1 for f in others] + [self.stop - 1])
            return last if last > frame and last >= self.start else None
        last = max([f + 1 for f in others] + [self.start])
        return last if last < frame and last < self.stop else None

    def run(self) -> None:
        """Go all ways, until there are no more or nobody wants them."""
        ways = list(self.ways())
        total, done = sum(way.n_steps for way in ways), 0
        for way in ways:
            for steps in self._go(way):
                done += steps
                if self.progress is not None and self.progress(done, total) is False:
                    self.complete = False
                    return

    def _go(self, way: _Way) -> Iterator[int]:
        """Follow the points of one way; yields the number of steps just done."""
        names = [self.names[k] for k in way.points]
        xy = np.array([self.labels[way.frame][name] for name in names], np.float32).T
        (_, picture), *_ = self.source.batches(1, way.frame, way.frame + 1)
        if way.frame in self.source.bad_frames:
            raise ValueError(
                f"{self.source.name}: its labelled frame {way.frame} cannot be decoded; label "
                "another one."
            )
        labelled = here = picture[0].copy()
        confidence, labelled_xy = np.ones(xy.shape[1], np.float32), xy
        for numbers, frames in self._stretches(way):
            good = ~np.isin(numbers, self.source.bad_frames)
            if good.any():
                clip = np.concatenate([here[None], frames[good]])
                origin = Origin(labelled, labelled_xy, confidence)
                followed, sure = self._follow(clip, xy, origin)
                self._keep(way, numbers[good], followed[1:], sure[1:])
                here, xy, confidence = clip[-1], followed[-1], sure[-1]
            yield len(numbers)

    def _stretches(self, way: _Way) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Frame numbers and frames after the labelled one, in the order of the way."""
        size = int(np.prod(self.source.shape[1:]))
        length = int(np.clip(_STRETCH_BYTES // size, _SHORTEST, _LONGEST))
        if way.step > 0:
            for first, frames in self.source.batches(length, way.frame + 1, way.last + 1):
                yield np.arange(first, first + len(frames)), frames
            return
        for end in range(way.frame, way.last, -length):
            first = max(end - length, way.last)
            (_, frames), *_ = self.source.batches(end - first, first, end)
            yield np.arange(end - 1, first - 1, -1), frames[::-1]

    def _follow(
        self, clip: np.ndarray, xy: np.ndarray, origin: Origin
    ) -> tuple[np.ndarray, np.ndarray]:
        if not np.isfinite(xy).any():
            return np.full((len(clip), *xy.shape), np.nan), np.zeros((len(clip), xy.shape[1]))
        followed, sure = (np.asarray(a) for a in self.tracker(clip, xy, origin))
        expected = (len(clip), *xy.shape), (len(clip), xy.shape[1])
        if (followed.shape, sure.shape) != expected:
            raise ValueError(
                f"{type(self.tracker).__name__}: expected places and confidences of shapes "
                f"{expected[0]} and {expected[1]}; found {followed.shape} and {sure.shape}."
            )
        return followed, np.clip(np.nan_to_num(sure), 0, 1)

    def _keep(self, way: _Way, numbers: np.ndarray, xy: np.ndarray, sure: np.ndarray) -> None:
        """Note what lies in the range, of each point as far as it is followed."""
        wanted = (numbers >= self.start) & (numbers < self.stop)
        at, direction = numbers[wanted] - self.start, 0 if way.step > 0 else 1
        beyond = (numbers[wanted][:, None] - way.reach) * way.step > 0
        rows, columns = np.nonzero(~beyond)
        self.position[direction, at[rows], :, way.points[columns]] = xy[wanted][rows, :, columns]
        self.confidence[direction, at[rows], way.points[columns]] = sure[wanted][rows, columns]

    def result(self) -> Propagated:
        """Both directions blended, labels put in."""
        frames = np.arange(self.start, self.stop)
        share = np.stack([self._share(name, frames) for name in self.names], axis=1)
        position, confidence = blend(self.position, self.confidence, share, self.radius)
        for frame, points in self.labels.items():
            if not self.start <= frame < self.stop or frame in self.source.bad_frames:
                continue
            for name, point in points.items():
                k, known = self.names.index(name), bool(np.isfinite(point).all())
                position[frame - self.start, :, k] = point if known else np.nan
                confidence[frame - self.start, k] = known
        return Propagated(frames, self.names, position, confidence, self.complete)

    def _share(self, name: str, frames: np.ndarray) -> np.ndarray:
        """How far each frame lies from the label before (0) to that after (1), in time."""
        labels = np.array(self.label_frames(name))
        times = self.source.times
        after = np.searchsorted(labels, frames, side="right")
        first = labels[np.clip(after - 1, 0, len(labels) - 1)]
        second = labels[np.clip(after, 0, len(labels) - 1)]
        length = np.maximum(times[second] - times[first], 1e-12)
        return np.clip((times[frames] - times[first]) / length, 0, 1)


def blend(
    position: np.ndarray, confidence: np.ndarray, share: np.ndarray, radius: float
) -> tuple[np.ndarray, np.ndarray]:
    """Blend points followed forward and backward, see `propagate`.

    Parameters
    ----------
    position : ndarray, shape (2, frame, 2, keypoint)
        Forward and backward; NaN where unknown.
    confidence : ndarray, shape (2, frame, keypoint)
        Of both.
    share : ndarray, shape (frame, keypoint)
        From 0 at the label before to 1 at the label after.
    radius : float
        Pixels in which a disagreement is measured.

    Returns
    -------
    position : ndarray of float32, shape (frame, 2, keypoint)
    confidence : ndarray of float32, shape (frame, keypoint)
    """
    known = np.isfinite(position).all(axis=2)
    sure = np.where(known, confidence, 0)
    # Never quite 0: beside one label the other way may be all there is.
    weight = sure * np.clip(np.stack([1 - share, share]), 1e-6, 1)
    total = weight.sum(axis=0)
    weight = np.divide(weight, total, out=np.zeros_like(weight), where=total > 0)
    places = np.nan_to_num(position)
    mean = (weight[:, :, None] * places).sum(axis=0)
    apart = ((places[0] - places[1]) ** 2).sum(axis=1)
    variance = weight[0] * weight[1] * apart
    agreed = (weight * sure).sum(axis=0) * np.exp(-variance / (radius / 2) ** 2)
    gone = agreed < _UNSURE
    mean[np.broadcast_to(gone[:, None], mean.shape)] = np.nan
    return mean.astype(np.float32), np.where(gone, 0, agreed).astype(np.float32)
