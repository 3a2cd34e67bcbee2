"""Finding the face in whole frames: where it is and which way it looks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_facemap.keypoints.box import Box
from napari_facemap.keypoints.models import Model, load_model
from napari_facemap.keypoints.point_network import PointNetwork
from napari_facemap.keypoints.pointing import Pointer, TrackedPoints
from napari_facemap.keypoints.view import eye_and_nose, face_box, facing_of
from napari_facemap.video.arrays import as_video

if TYPE_CHECKING:
    from napari_facemap.video.arrays import ArrayVideo
    from napari_facemap.video.video import Video

ENOUGH = 0.33
"""Score of eye and nose tip (see `_Sight`) above which a face is a face."""

_SURE = 0.45  # score above which no smaller parts of the frame are looked at
_LEAST_SHARE = 0.25  # of the frames that must show the face
_LOOKS = 3  # times that the box is moved to where eye and nose were seen in it
_FOLLOWED = 2  # sights of each size of parts that are looked at again
_PARTS = (1.0, 0.6, 0.36)  # sides of the squares that are looked through, of the frame's longer
# Expected errors, of the distance from eye to nose, that divide the score by e. A nose is often
# blurred or before something bright; what looks like an eye and is none gives itself away.
_EYE_ERROR, _NOSE_ERROR = 0.05, 0.3
_LEAST_SIDE = 8  # pixels of the frame in a box that is worth looking at


Look = Callable[[np.ndarray, Box, str], TrackedPoints]
"""From a frame, a box and where the face in it looks to the points there."""


class NoFaceError(ValueError):
    """No face was found where one was looked for."""


class SearchStopped(Exception):
    """The search for a face was stopped by its `progress`."""


class Face(NamedTuple):
    """Where a face is.

    Attributes
    ----------
    box : Box
        A square in pixels of the frame, which may stick out of it.
    facing : str
        "left" or "right": where the nose points.
    share : float
        Share of the frames looked at in which the face was found.
    """

    box: Box
    facing: str
    share: float


class _Sight(NamedTuple):
    """Eye and nose tip in one frame, and how sure they are.

    The score falls from 1 with the chance that one of them is not to be seen, and with their
    expected error relative to the distance between them.
    """

    eye: np.ndarray
    nose: np.ndarray
    score: float


def find_face(
    video: str | Path | Video | ArrayVideo | np.ndarray,
    model: str | Path | Model | None = None,
    n_frames: int = 16,
    device: str = "auto",
    progress: Callable[[int, int], bool | None] | None = None,
) -> Face:
    """Find one steady box for the face in a video.

    In each of some frames spread over the video, the network looks where the face was in the
    frame before; where it is not there, at the whole frame, and as long as no face was found at
    ever smaller parts of it; then at the box that follows from the eye and the nose it saw. The
    box is that of the median eye and nose.

    Parameters
    ----------
    video : path, Video or array of shape (time, rows, columns)
        Frames of any size.
    model : str, Path or Model, optional
        A calibrated model of our own layout with eye and nose tip; any other leaves the search
        to the built-in model.
    n_frames : int
        Frames to look at.
    device : {"auto", "cpu", "cuda", "mps"}
        What to compute on.
    progress : callable, optional
        Called with the numbers of frames looked at and in all, several times for each. When it
        returns False the search stops.

    Returns
    -------
    Face

    Raises
    ------
    NoFaceError
        When less than a quarter of the frames show a face.
    SearchStopped
        When `progress` said so.
    """
    pointer = Pointer(_finding_model(model), device)
    source = as_video(video)
    try:
        numbers = np.unique(np.linspace(0, len(source) - 1, n_frames).round().astype(int))
        numbers = numbers[~np.isin(numbers, source.bad_frames)]
        sights: list[_Sight | None] = []

        def look(frame: np.ndarray, box: Box, facing: str) -> TrackedPoints:
            if progress is not None and progress(len(sights), len(numbers)) is False:
                raise SearchStopped
            return pointer(frame[None], box, facing)

        finder = _Finder(look, pointer.keypoints)
        for number in numbers:
            sights.append(finder.sight(source[int(number)]))
        name = getattr(source, "path", None) or source.name
    finally:
        if source is not video:
            source.close()
    return _steady([sight for sight in sights if sight is not None], len(sights), str(name))


def find_facing(pointer: Pointer, frames: np.ndarray, box: Box) -> str:
    """Say which way the face in a box looks: the way in which it is seen better.

    Parameters
    ----------
    pointer : Pointer
        The network.
    frames : ndarray of uint8, shape (n, rows, columns)
        Some frames.
    box : Box
        Where the face is.

    Returns
    -------
    str
        "left" or "right".
    """
    scores = {
        facing: float(pointer(frames, box, facing).confidence.mean())
        for facing in ("left", "right")
    }
    return max(scores, key=scores.__getitem__)


def _finding_model(model: str | Path | Model | None) -> Model:
    loaded = model if isinstance(model, Model) else load_model(model)
    finds = isinstance(loaded.network, PointNetwork) and loaded.calibration is not None
    eye = any(name.startswith(("eye(", "pupil(")) for name in loaded.keypoints)
    return loaded if finds and eye and "nose(tip)" in loaded.keypoints else load_model()


class _Finder:
    """Looks for eye and nose in one frame after another."""

    def __init__(self, look: Look, keypoints: Sequence[str]):
        self._points, self._names = look, list(keypoints)
        self._before: _Sight | None = None

    def sight(self, frame: np.ndarray) -> _Sight | None:
        """Eye and nose in the next frame, or None."""
        sight = self._nearer(frame, self._before)
        if sight is None or sight.score < ENOUGH:
            sight = self._search(frame, _PARTS if self._before is None else _PARTS[:1])
        found = sight if sight is not None and sight.score >= ENOUGH else None
        self._before = found or self._before
        return found

    def _search(self, frame: np.ndarray, parts: Sequence[float]) -> _Sight | None:
        """The best sight of eye and nose in squares of a frame, the largest squares first."""
        best = None
        for part in parts:
            first = [self._look(frame, box, "left") for box in _squares(frame.shape, part)]
            seen = sorted((s for s in first if s is not None), key=lambda s: s.score)
            for sight in seen[-_FOLLOWED:]:
                nearer = self._nearer(frame, sight)
                if nearer is not None and (best is None or nearer.score > best.score):
                    best = nearer
            if best is not None and best.score >= _SURE:
                break
        return best

    def _nearer(self, frame: np.ndarray, sight: _Sight | None) -> _Sight | None:
        """Look at the box that follows from what was seen, and so on."""
        for _ in range(_LOOKS):
            if sight is None:
                return None
            box, facing = face_box(sight.eye, sight.nose), facing_of(sight.eye, sight.nose)
            sight = self._look(frame, box, facing)
        return sight

    def _look(self, frame: np.ndarray, box: Box, facing: str) -> _Sight | None:
        """Eye and nose in a box, or None where the box shows next to nothing of the frame."""
        inside = box.inside(*frame.shape)
        if min(inside.width, inside.height) < _LEAST_SIDE or box.side > 4 * max(frame.shape):
            return None
        points, names = self._points(frame, box, facing), self._names
        eye, nose = eye_and_nose(points.position[0].astype(float), names)
        size = max(float(np.hypot(*(eye - nose))), 1e-3)
        eyes = [k for k, name in enumerate(names) if name.startswith(("eye(", "pupil("))]
        tip = names.index("nose(tip)")
        seen, error = points.seen[0], points.expected_error[0] / size
        odds = min(seen[eyes].mean(), seen[tip]) ** 3
        score = odds * np.exp(-error[eyes].mean() / _EYE_ERROR - error[tip] / _NOSE_ERROR)
        return _Sight(eye, nose, float(score))


def _squares(shape: tuple[int, ...], part: float) -> Iterator[Box]:
    """Squares that cover a frame, overlapping by half; the first is the whole frame's."""
    rows, columns = shape
    side = round(part * max(rows, columns))
    for y0 in _starts(rows, side):
        for x0 in _starts(columns, side):
            yield Box(x0, y0, x0 + side, y0 + side)


def _starts(length: int, side: int) -> list[int]:
    if side >= length:
        return [(length - side) // 2]
    n = 1 + int(np.ceil(2 * (length - side) / side))
    return [round(start) for start in np.linspace(0, length - side, n)]


def _steady(sights: list[_Sight], n_frames: int, name: str) -> Face:
    facings = [facing_of(sight.eye, sight.nose) for sight in sights]
    facing = max(("left", "right"), key=facings.count)
    kept = [sight for sight, way in zip(sights, facings, strict=True) if way == facing]
    share = len(kept) / max(n_frames, 1)
    if not kept or share < _LEAST_SHARE:
        raise NoFaceError(
            f"{name}: found a mouse's face in {len(kept)} of {n_frames} frames looked at, expected "
            "one seen from the side in most of them. Draw a box around the face, or pass one."
        )
    eye = np.median([sight.eye for sight in kept], axis=0)
    nose = np.median([sight.nose for sight in kept], axis=0)
    return Face(face_box(eye, nose), facing, share)
