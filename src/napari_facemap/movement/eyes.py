"""What keypoints tell of the eye: how far it is open, its blinks, and the pupil."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import xarray as xr

from napari_facemap.keypoints.poses import check_poses
from napari_facemap.keypoints.skeleton import PUPIL_KEYPOINTS
from napari_facemap.movement.blink import EYE_KEYPOINTS, Blink, blink_events, eyelid_opening
from napari_facemap.movement.pupil_traces import pupil_from_keypoints


class Eyes:
    """Eyes of each view, as far as keypoints show them.

    Parameters
    ----------
    poses : xarray.Dataset, sequence of them or None, or None
        Of one view, or of each. Views without are None.
    n_views, n_frames : int
        Of the videos.

    Raises
    ------
    ValueError
        When these are no poses, or of other numbers of views or frames.
    """

    def __init__(
        self, poses: xr.Dataset | Sequence[xr.Dataset | None] | None, n_views: int, n_frames: int
    ):
        given = [poses] if poses is None or isinstance(poses, xr.Dataset) else list(poses)
        if len(given) > n_views:
            raise ValueError(f"Expected keypoints of {n_views} views at most; found {len(given)}.")
        self.poses = given + [None] * (n_views - len(given))
        for one in self.poses:
            if one is None:
                continue
            check_poses(one)
            if one.sizes["time"] != n_frames:
                raise ValueError(
                    f"Expected keypoints of the video's {n_frames} frames; found those of "
                    f"{one.sizes['time']}. Track this video, or leave the keypoints out."
                )
            if not tell_of_eyes(one["keypoint"].values):
                raise ValueError(
                    "Expected keypoints of the eye or of the pupil; found "
                    f"{', '.join(map(str, one['keypoint'].values))}."
                )

    def __bool__(self) -> bool:
        return any(one is not None for one in self.poses)

    def opening(self, view: int) -> np.ndarray | None:
        """How far the eye is open, shape (time,); None where that is not tracked."""
        one = self.poses[view]
        if one is None or not _has(one, EYE_KEYPOINTS):
            return None
        return eyelid_opening(one)

    def blinks(self, view: int, times: np.ndarray) -> list[Blink]:
        """Blinks that the lids tell of, none where they are not tracked."""
        opening = self.opening(view)
        return [] if opening is None else blink_events(opening, times)

    def pupil(
        self, view: int, shut: np.ndarray, mm_per_pixel: float | None
    ) -> dict[str, np.ndarray] | None:
        """Traces as of `pupil_traces`; None where the pupil is not tracked."""
        one = self.poses[view]
        if one is None or not _has(one, PUPIL_KEYPOINTS):
            return None
        return pupil_from_keypoints(one, shut, mm_per_pixel)


def tell_of_eyes(keypoints: Iterable[object]) -> bool:
    """Whether keypoints of these names are enough to know lids or pupil."""
    names = set(map(str, keypoints))
    return names >= set(EYE_KEYPOINTS) or names >= set(PUPIL_KEYPOINTS)


def _has(poses: xr.Dataset, keypoints: Sequence[str]) -> bool:
    return set(keypoints) <= set(map(str, poses["keypoint"].values))
