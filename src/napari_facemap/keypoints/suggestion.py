"""Which frames to label next: hard ones that are unlike each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
import xarray as xr
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.cluster.vq import ClusterError, kmeans2
from scipy.ndimage import median_filter

from napari_facemap.keypoints.box import Box
from napari_facemap.keypoints.cleaning import face_unit
from napari_facemap.keypoints.models import Model
from napari_facemap.keypoints.pointing import Pointer
from napari_facemap.keypoints.view import FACINGS
from napari_facemap.video.arrays import as_video

if TYPE_CHECKING:
    from napari_facemap.video.arrays import ArrayVideo
    from napari_facemap.video.video import Video

Progress = Callable[[int, int], bool | None]

_LOOKED_AT = 15  # frames for each one that is wanted
_FEWEST_LOOKED_AT = 60
_SIDE = 16  # pixels of the small pictures that tell frames apart
_DIRECTIONS = 20  # of those pictures
_SECOND = 0.5  # seconds between suggestions, at least
_JUMP = 0.05  # of the distance from eye to nose: what a point may move against its neighbours
_SURE = 0.05  # confidence of a point that is taken to be there
_MOST = 0.2  # of that distance; larger errors count no more


def difficulty(poses: xr.Dataset) -> np.ndarray:
    """How far the points of each frame are expected to be off, and how much they jump.

    Parameters
    ----------
    poses : Poses
        As tracked. Where there are no expected errors, confidence takes their place.

    Returns
    -------
    ndarray, shape (time,)
        0 is easy. The mean over keypoints of the expected error and of the distance from the
        median of five frames, both relative to the distance from eye to nose; each point counts
        as at most 0.2. Keypoints that are unsure in nearly all frames, as those that a camera
        never sees, do not count.
    """
    position = poses["position"].values.astype(float)
    size = face_unit(position, [str(name) for name in poses["keypoint"].values])
    if "expected_error" in poses:
        error = np.nan_to_num(poses["expected_error"].values / size, nan=_MOST)
    else:
        error = _MOST * (1 - np.nan_to_num(poses["confidence"].values))
    error = np.minimum(error, _MOST)
    # A keypoint that has no place in any frame does not jump.
    position = np.where(np.isfinite(position).any(axis=0), position, 0.0)
    filled = np.where(np.isfinite(position), position, np.nanmedian(position, axis=0))
    still = median_filter(filled, size=(min(5, len(filled)), 1, 1), mode="nearest")
    jump = np.hypot(*np.moveaxis(filled - still, 1, 0)) / size
    jump = np.where(jump > _JUMP, np.minimum(jump, _MOST), 0)
    usable = np.median(error, axis=0) < 0.75 * _MOST
    if not usable.any():
        usable[:] = True
    return (error + jump)[:, usable].mean(axis=1)


def suggest(
    video: Video | ArrayVideo | np.ndarray | str,
    poses: xr.Dataset,
    n: int,
    labelled: Iterable[int] = (),
    model: Model | None = None,
    min_gap: float = _SECOND,
    progress: Progress | None = None,
) -> list[int]:
    """Suggest frames to label.

    Candidates are the hardest frames that can be decoded and as many spread evenly, at least
    `min_gap` apart. They are read as small pictures of the face and parted into `n` kinds
    (k-means); the hardest frame of each kind is suggested.

    Parameters
    ----------
    video : Video, array or path
        The video.
    poses : Poses
        Its keypoints as tracked, with the box in ``attrs["box"]``, where there is one.
    n : int
        How many are wanted; fewer are given when the video is short.
    labelled : iterable of int
        Frames that have labels: none is suggested near them.
    model : Model, optional
        Candidates are tracked with it as they are and mirrored: where both disagree is hard.
    min_gap : float
        Seconds between suggestions, and from frames with labels, at least.
    progress : callable, optional
        Called with candidates read and in all; when it returns False those read so far count.

    Returns
    -------
    list of int
        Frames, increasing.

    Raises
    ------
    ValueError
        When `n` is below 1, or the poses are of another video.
    """
    if n < 1:
        raise ValueError(f"suggest: expected to suggest 1 frame or more; found n={n}.")
    source = as_video(video)
    try:
        return _suggested(source, poses, n, labelled, model, min_gap, progress)
    finally:
        if source is not video:
            source.close()


def _suggested(
    source: Video | ArrayVideo,
    poses: xr.Dataset,
    n: int,
    labelled: Iterable[int],
    model: Model | None,
    min_gap: float,
    progress: Progress | None,
) -> list[int]:
    times = poses["time"].values
    if len(times) != len(source):
        raise ValueError(
            f"suggest: expected keypoints of the video's {len(source)} frames; found {len(times)}."
        )
    hard = difficulty(poses)
    taken = [int(frame) for frame in labelled]
    candidates = _candidates(
        hard, times, max(_LOOKED_AT * n, _FEWEST_LOOKED_AT), min_gap, taken, source.bad_frames
    )
    known = poses.attrs.get("box")
    box = Box(*(int(v) for v in known)) if known is not None else None
    facing = str(poses.attrs.get("facing", FACINGS[0]))
    pointer = Pointer(model, device="cpu") if model is not None else None
    pictures, disagree, seen = [], [], []
    for k, frame in enumerate(candidates):
        image = source[frame]
        if frame not in source.bad_frames:  # that it is one may only be known now
            seen.append(frame)
            pictures.append(_small(image, box))
            if pointer is not None and box is not None:
                disagree.append(_disagreement(pointer, image, box, facing))
        if progress is not None and progress(k + 1, len(candidates)) is False:
            break
    score = hard[seen]
    if disagree:
        score = score + disagree
    return _of_each_kind(seen, np.array(pictures), score, times, n, min_gap)


def _candidates(
    hard: np.ndarray,
    times: np.ndarray,
    n: int,
    min_gap: float,
    taken: Sequence[int],
    bad: np.ndarray,
) -> list[int]:
    """Half of them the hardest, half evenly spread, all apart; increasing."""
    free = np.ones(len(times), bool)
    free[bad] = False
    for frame in taken:
        free &= np.abs(times - times[frame]) >= min_gap
    found: list[int] = []
    order = np.argsort(-hard, kind="stable")
    evenly = np.linspace(0, len(times) - 1, n).round().astype(int)
    for frames, most in ((order, n // 2), (evenly, n)):
        for frame in frames:
            if len(found) >= most:
                break
            if free[frame]:
                found.append(int(frame))
                free &= np.abs(times - times[frame]) >= min_gap
    return sorted(found)


def _small(image: np.ndarray, box: Box | None) -> np.ndarray:
    """A few numbers that say what the face looks like, whatever the light."""
    rows, columns = image.shape
    if box is not None:
        x0, y0 = max(box.x0, 0), max(box.y0, 0)
        part = image[y0 : max(min(box.y1, rows), y0 + 1), x0 : max(min(box.x1, columns), x0 + 1)]
        image = part if part.size else image
    grey = torch.from_numpy(np.ascontiguousarray(image))[None, None].float()
    small = F.interpolate(grey, (_SIDE, _SIDE), mode="bilinear", antialias=True).numpy().ravel()
    return (small - small.mean()) / max(float(small.std()), 1.0)


def _disagreement(pointer: Pointer, image: np.ndarray, box: Box, facing: str) -> float:
    """How far points of a frame lie apart when the network sees it as it is and mirrored."""
    other = FACINGS[1 - FACINGS.index(facing)]
    as_is, mirrored = (pointer(image[None], box, way) for way in (facing, other))
    apart = np.hypot(*(as_is.position[0] - mirrored.position[0])) / box.width
    sure = as_is.confidence[0] > _SURE
    return float(np.minimum(apart[sure], _MOST).mean()) if sure.any() else 0.0


def _kinds(pictures: np.ndarray, n: int) -> np.ndarray:
    """Part pictures by k-means, which begins at Ward's clusters and so needs no chance."""
    kind = fcluster(linkage(pictures, "ward"), n, "maxclust") - 1
    centres = np.stack([pictures[kind == k].mean(axis=0) for k in range(kind.max() + 1)])
    try:
        return np.asarray(kmeans2(pictures, centres, minit="matrix", missing="raise")[1])
    except ClusterError:
        return np.asarray(kind)


def _of_each_kind(
    candidates: Sequence[int],
    pictures: np.ndarray,
    score: np.ndarray,
    times: np.ndarray,
    n: int,
    min_gap: float,
) -> list[int]:
    """The hardest of each kind, then the hardest of all, apart from each other."""
    if not len(candidates):
        return []
    n = min(n, len(candidates))
    centred = pictures - pictures.mean(axis=0)
    directions = np.linalg.svd(centred, full_matrices=False)[2][:_DIRECTIONS]
    small = (centred @ directions.T).round(6)
    distinct, kind = np.unique(small, axis=0, return_inverse=True)
    if len(distinct) > n:  # k-means cannot part fewer pictures than kinds
        kind = _kinds(small, n)
    order = np.argsort(-score, kind="stable")
    first = {int(kind[k]): int(k) for k in order[::-1]}
    found: list[int] = []
    for k in [*first.values(), *order.tolist()]:
        near = any(abs(times[candidates[k]] - times[frame]) < min_gap for frame in found)
        if len(found) < n and not near:
            found.append(int(candidates[k]))
    return sorted(found)
