"""What the mouse does, as numbers over time that a model can take in."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from napari_facemap.keypoints.poses import check_poses
from napari_facemap.neural.recording import check_times

KEYPOINTS = "keypoints"
"""Group of keypoints' places."""

MAX_MISSING = 0.9
"""A keypoint hidden in more than this fraction of the frames says nothing and is left out."""


@dataclass(frozen=True, eq=False)
class Features:
    """Behavioural features on the camera's clock.

    Attributes
    ----------
    values : ndarray, shape (time, feature)
        float32, finite.
    times : ndarray, shape (time,)
        Seconds, strictly increasing.
    names : tuple of str
        One a feature, each once.
    dropped : tuple of str
        Keypoints that were left out because they are nearly always hidden.
    groups : tuple of str
        What each feature belongs to, such as "keypoints" or "pupil"; by default "behaviour".

    Raises
    ------
    ValueError
        When shapes disagree, a value is not finite, times do not increase or a name repeats.
    """

    values: np.ndarray
    times: np.ndarray
    names: Sequence[str]
    dropped: Sequence[str] = ()
    groups: Sequence[str] = ()

    def __post_init__(self) -> None:
        values = np.asarray(self.values, np.float32)
        times = check_times(self.times, "behaviour")
        names = tuple(str(name) for name in self.names)
        if values.shape != (len(times), len(names)):
            raise ValueError(
                f"behaviour: expected features of shape (time, feature) = {len(times), len(names)} "
                f"after its times and names, found {values.shape}"
            )
        if len(set(names)) != len(names) or not names:
            raise ValueError(f"behaviour: expected features with a name each, found {names}")
        if not np.isfinite(values).all():
            time, feature = np.argwhere(~np.isfinite(values))[0]
            raise ValueError(
                f"behaviour: feature {names[feature]!r} is {values[time, feature]} at sample "
                f"{time}; fill such samples first"
            )
        for name, value in (("values", values), ("times", times), ("names", names)):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "dropped", tuple(self.dropped))
        groups = tuple(map(str, self.groups)) or ("behaviour",) * len(names)
        if len(groups) != len(names):
            raise ValueError(
                f"behaviour: expected a group for each of {len(names)} features, found "
                f"{len(groups)}"
            )
        object.__setattr__(self, "groups", groups)

    @property
    def group_names(self) -> tuple[str, ...]:
        """Groups in their order, each once."""
        return tuple(dict.fromkeys(self.groups))

    def only(self, *groups: str) -> Features:
        """Take the features of some groups.

        Raises
        ------
        ValueError
            When none is left.
        """
        return self._kept([group in groups for group in self.groups])

    def without(self, *groups: str) -> Features:
        """Leave the features of some groups out.

        Raises
        ------
        ValueError
            When none is left.
        """
        return self._kept([group not in groups for group in self.groups])

    def _kept(self, which: Sequence[bool]) -> Features:
        if not any(which):
            raise ValueError(
                f"behaviour: no feature is left; there are groups {', '.join(self.group_names)}"
            )
        return self.select([n for n, keep in zip(self.names, which, strict=True) if keep])

    def select(self, names: Sequence[str]) -> Features:
        """Pick features by name, in the order given.

        Raises
        ------
        ValueError
            When one is not there.
        """
        missing = [name for name in names if name not in self.names]
        if missing:
            raise ValueError(
                f"behaviour: the encoder needs {len(names)} features, and {', '.join(missing)} "
                f"{'is' if len(missing) == 1 else 'are'} missing; use keypoints with the same "
                "names as those it was fitted on"
            )
        columns = [self.names.index(name) for name in names]
        groups = [self.groups[column] for column in columns]
        values = self.values[:, columns]
        return Features(values, self.times, tuple(names), self.dropped, groups)


def keypoint_features(poses: xr.Dataset, keep: Collection[str] | None = None) -> Features:
    """Turn keypoints into features: x and y of each, in pixels.

    Where a keypoint is hidden, its place is interpolated linearly in time, and held before the
    first and after the last frame that shows it. Keypoints hidden in more than `MAX_MISSING` of
    the frames are left out. Frames in which all keypoints are missing (a camera that saw nothing,
    tracking that was stopped) are left out as if the camera had paused: a long pause is never
    filled with made-up behaviour. Places are taken as they are: jumps and noise are for
    `keypoints.cleaning.clean` to take out, before this.

    Parameters
    ----------
    poses : xarray.Dataset
        Poses, with times in seconds.
    keep : collection of str, optional
        Features that are wanted even if their keypoint is mostly hidden; others are left out.

    Returns
    -------
    Features
        Named like "whisker(I) x".

    Raises
    ------
    ValueError
        When `poses` is not poses, its times are not seconds or no keypoint can be used.
    """
    check_poses(poses)
    times = np.asarray(poses["time"].values, float)
    if poses.attrs.get("times_known", 1) == 0 and np.array_equal(times, np.arange(len(times))):
        raise ValueError(
            "behaviour: these keypoints come without times; assign the frames' times in seconds, "
            "as in poses.assign_coords(time=times)"
        )
    keypoints = [str(name) for name in poses["keypoint"].values]
    position = poses["position"].values
    seen = np.isfinite(position).all(axis=1)
    watched = seen.any(axis=1)
    position, seen = position[watched], seen[watched]
    if keep is None:
        used = (
            seen.mean(axis=0) >= 1 - MAX_MISSING if len(seen) else np.zeros(len(keypoints), bool)
        )
    else:
        used = seen.any(axis=0) & [any(f"{k} {c}" in keep for c in "xy") for k in keypoints]
    if not used.any():
        raise ValueError(
            f"behaviour: none of {len(keypoints)} keypoints is seen often enough in "
            f"{len(watched)} frames; track the video again"
        )
    times = times[watched]
    columns = [
        np.interp(times, times[seen[:, k]], position[seen[:, k], axis, k])
        for k in np.flatnonzero(used)
        for axis in (0, 1)
    ]
    names = [f"{keypoints[k]} {axis}" for k in np.flatnonzero(used) for axis in ("x", "y")]
    dropped = [name for name, is_used in zip(keypoints, used, strict=True) if not is_used]
    groups = [KEYPOINTS] * len(names)
    return Features(np.stack(columns, axis=1), times, names, dropped, groups)


def as_features(behavior: xr.Dataset | Features, keep: Collection[str] | None = None) -> Features:
    """Take features as they are and turn keypoints into them; see `keypoint_features`."""
    return behavior if isinstance(behavior, Features) else keypoint_features(behavior, keep)


@dataclass(frozen=True, eq=False)
class Scaler:
    """Takes each feature to mean 0 and standard deviation 1 over the times it was fitted on.

    Attributes
    ----------
    mean, scale : ndarray, shape (feature,)
        float32. A feature that did not move has scale 1.
    """

    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def fit(cls, values: np.ndarray) -> Scaler:
        """Measure values of shape (time, feature): those of training times, and no others."""
        mean = values.mean(axis=0, dtype=float)
        scale = values.std(axis=0, dtype=float)
        still = scale <= 1e-6 * np.maximum(1, np.abs(mean))
        return cls(mean.astype(np.float32), np.where(still, 1, scale).astype(np.float32))

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Scale values of shape (time, feature)."""
        return (values - self.mean) / self.scale
