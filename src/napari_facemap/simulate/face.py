"""A simulated video of a mouse's face whose keypoints are known exactly."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from napari_facemap.keypoints.poses import make_poses
from napari_facemap.keypoints.skeleton import KEYPOINTS
from napari_facemap.provenance import software
from napari_facemap.simulate.anatomy import Anatomy, draw_anatomy
from napari_facemap.simulate.appearance import Appearance, draw_appearance
from napari_facemap.simulate.behavior import blink_intervals, simulate_behavior
from napari_facemap.simulate.chance import generator
from napari_facemap.simulate.geometry import Head
from napari_facemap.simulate.movement import keypoint_places, move, pupil_circle
from napari_facemap.simulate.render import Renderer
from napari_facemap.simulate.treadmill import belt_steps, largest_rectangle

if TYPE_CHECKING:
    from napari_facemap.video.arrays import ArrayVideo

_MIN_SIDE = 32


class SimulatedFace:
    """A face video made of code; see `simulate_face`.

    Attributes
    ----------
    seed : int
        What everything is drawn from.
    times : ndarray, shape (time,)
        Seconds.
    fps : float
        Frames per second.
    size : (int, int)
        Rows and columns of a frame.
    facing : str
        "left" or "right".
    anatomy : Anatomy
        Sizes and view.
    appearance : Appearance
        Looks.
    behavior : dict of ndarray, each shape (time,)
        What drives the movements; see `simulate_behavior`.
    treadmill : bool
        Whether there is a belt below the mouse.
    """

    def __init__(
        self,
        n_frames: int,
        fps: float,
        size: tuple[int, int],
        seed: int,
        facing: str,
        anatomy: Anatomy,
        appearance: Appearance,
        treadmill: bool = False,
    ):
        self.seed, self.fps, self.size, self.facing = seed, fps, size, facing
        self.anatomy, self.appearance, self.treadmill = anatomy, appearance, treadmill
        self.times = np.arange(n_frames) / fps
        self.behavior = simulate_behavior(self.times, seed)
        self._head = Head(anatomy, size)
        self._movement = move(self._head, self.behavior)

    @cached_property
    def _renderer(self) -> Renderer:
        return Renderer(self._head, self.appearance, self.seed, self._belt_steps)

    @cached_property
    def _belt_steps(self) -> np.ndarray | None:
        if not self.treadmill:
            return None
        return belt_steps(self.times, self.behavior["running"], self.seed)

    @cached_property
    def poses(self) -> xr.Dataset:
        """The true places of all 19 keypoints; hidden ones are NaN with confidence 0."""
        places, visible = keypoint_places(self._head, self._movement)
        if self.facing == "right":
            places[:, 0] = self.size[1] - 1 - places[:, 0]
        places[~np.broadcast_to(visible[:, None], places.shape)] = np.nan
        attrs = {
            "source": "simulation",
            "software": software(),
            "seed": self.seed,
            "fps": self.fps,
            "frame_height": self.size[0],
            "frame_width": self.size[1],
            "facing": self.facing,
        }
        return make_poses(places, visible, KEYPOINTS, self.times, attrs=attrs)

    @cached_property
    def pupil(self) -> dict[str, np.ndarray]:
        """The true pupil, each of shape (time,): the whole of it, also where lids cover it.

        ``x``, ``y`` (px), ``major``, ``minor`` (semi-axes, px) and ``area`` (px^2). It is a
        circle, so that both axes are its radius.
        """
        center, radius = pupil_circle(self._head, self._movement)
        x, y = center.T
        if self.facing == "right":
            x = self.size[1] - 1 - x
        return {"x": x, "y": y, "major": radius, "minor": radius, "area": np.pi * radius**2}

    @cached_property
    def blinks(self) -> np.ndarray:
        """The true blinks, shape (blink, 2); see `blink_intervals`."""
        return blink_intervals(self.times, self.seed)

    @cached_property
    def treadmill_speed(self) -> np.ndarray | None:
        """How far the belt truly moved since the frame before, shape (time,); None without one.

        Pixels to the right; the first is NaN.
        """
        if self._belt_steps is None:
            return None
        speed = self._belt_steps * self._head.unit * (1 if self.facing == "left" else -1)
        speed[0] = np.nan
        return speed

    @cached_property
    def treadmill_region(self) -> tuple[int, int, int, int] | None:
        """Where the belt is seen in all frames, but for whiskers before it.

        The largest rectangle (x0, y0, x1, y1) in pixels, x1 and y1 not included. None where
        there is no belt, or head and paw leave no 24 rows and columns of it free.
        """
        belt = self._renderer.belt if self.treadmill else None
        if belt is None:
            return None
        free = belt.free(self._movement.paw)
        return largest_rectangle(free[:, ::-1] if self.facing == "right" else free)

    @property
    def frames(self) -> SimulatedFrames:
        """The frames as an array that draws what is asked for, shape (time, rows, columns)."""
        return SimulatedFrames(self)

    def frame(self, index: int) -> np.ndarray:
        """Draw one frame, always the same.

        Parameters
        ----------
        index : int
            From 0; negative counts from the end.

        Returns
        -------
        ndarray of uint8, shape (rows, columns)

        Raises
        ------
        IndexError
            When there is no such frame.
        """
        n_frames = len(self.times)
        if not -n_frames <= index < n_frames:
            raise IndexError(f"Frame {index} of a simulation of {n_frames} frames.")
        picture = self._renderer.draw(self._movement, int(index) % n_frames)
        return picture[:, ::-1].copy() if self.facing == "right" else picture

    def video(self) -> ArrayVideo:
        """The frames as a video with times, drawn when they are read."""
        from napari_facemap.video.arrays import ArrayVideo

        return ArrayVideo(self.frames, times=self.times, name=f"simulated face {self.seed}")

    def write(self, path: str | Path, **options: Any) -> None:
        """Write the frames as a video file.

        Parameters
        ----------
        path : str or Path
            Its suffix says which container.
        **options
            For `napari_facemap.video.write.write_video`.
        """
        from napari_facemap.video.write import write_video

        frames: Iterable[np.ndarray] = (self.frame(index) for index in range(len(self.times)))
        write_video(path, frames, self.fps, **options)


class SimulatedFrames:
    """Frames of a simulation behind numpy's indexing along time; nothing is kept.

    Attributes
    ----------
    shape : (int, int, int)
        Time, rows, columns.
    """

    dtype = np.dtype(np.uint8)
    ndim = 3

    def __init__(self, face: SimulatedFace):
        self._face = face
        self.shape = (len(face.times), *face.size)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> np.ndarray:
        first, *rest = key if isinstance(key, tuple) else (key,)
        if first is Ellipsis:
            first, rest = slice(None), [Ellipsis, *rest]
        if isinstance(first, int | np.integer):
            return self._face.frame(int(first))[tuple(rest)]
        numbers = np.arange(len(self))[first]
        picked = np.empty((len(numbers), *self.shape[1:]), np.uint8)
        for place, number in enumerate(numbers):
            picked[place] = self._face.frame(int(number))
        return picked[(slice(None), *rest)]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        frames = self[:]
        return frames if dtype is None else frames.astype(dtype)


def simulate_face(
    n_frames: int,
    fps: float = 50.0,
    size: tuple[int, int] = (240, 320),
    seed: int = 0,
    *,
    facing: str | None = None,
    anatomy: Anatomy | None = None,
    appearance: Appearance | None = None,
    treadmill: bool = False,
) -> SimulatedFace:
    """Simulate a video of a head-fixed mouse's face under infrared light.

    Eye with lids and pupil, whiskers, nose, mouth and a forepaw move as `simulate_behavior` says,
    and the true place of every keypoint is known to a fraction of a pixel. Everything follows
    from the seed; the first frames of a longer simulation are those of a shorter one.

    Parameters
    ----------
    n_frames : int
        1 or more. Nothing is drawn until it is asked for.
    fps : float
        Frames per second.
    size : (int, int)
        Rows and columns, 32 or more each.
    seed : int
        Which mouse, rig and behaviour, 0 or more.
    facing : {"left", "right"}, optional
        Where the nose points; by default drawn from the seed. The other way is the exact mirror.
    anatomy : Anatomy, optional
        Sizes and view instead of those that the seed draws.
    appearance : Appearance, optional
        Looks instead of those that the seed draws.
    treadmill : bool
        Draw a belt below the mouse that moves when the mouse runs. Nothing else changes.

    Returns
    -------
    SimulatedFace

    Raises
    ------
    ValueError
        When a parameter is out of its range.
    """
    if n_frames < 1 or not (np.isfinite(fps) and fps > 0):
        raise ValueError(
            f"Expected 1 or more frames at more than 0 frames/s; found {n_frames} at {fps}."
        )
    if len(size) != 2 or min(size) < _MIN_SIDE:
        raise ValueError(
            f"Expected a size of (rows, columns), {_MIN_SIDE} or more each; found {size}."
        )
    if seed < 0:
        raise ValueError(f"Expected a seed of 0 or more; found {seed}.")
    if facing is None:
        facing = "left" if generator(seed, "facing").random() < 0.5 else "right"
    if facing not in ("left", "right"):
        raise ValueError(f"Expected facing to be 'left' or 'right'; found {facing!r}.")
    return SimulatedFace(
        int(n_frames),
        float(fps),
        (int(size[0]), int(size[1])),
        int(seed),
        facing,
        anatomy or draw_anatomy(seed),
        appearance or draw_appearance(seed),
        bool(treadmill),
    )
