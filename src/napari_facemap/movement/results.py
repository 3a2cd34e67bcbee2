"""What is found in a video's regions: traces over time and components of pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import xarray as xr

from napari_facemap.movement.blink import Blink
from napari_facemap.movement.regions import Regions, Window

SOURCES = ("motion", "movie")
"""What components are of: differences between frames, or frames."""


class Measure(Protocol):
    """Something measured in the frames of one view, each frame beside the one before it."""

    def work(self, before: np.ndarray, frames: np.ndarray) -> np.ndarray:
        """Measure some frames; called by several threads at once.

        Parameters
        ----------
        before : ndarray of uint8, shape (rows, columns)
            The frame before them. Of a video's first frame that frame itself: what is measured
            between frames is set to NaN there afterwards.
        frames : ndarray of uint8, shape (n, rows, columns)
            Full frames.

        Returns
        -------
        ndarray of float64, shape (n, column)
            What is kept of each frame.
        """


@dataclass(frozen=True, eq=False)
class Components:
    """Pictures that together hold most of how a part of the video varies over time.

    Attributes
    ----------
    source : {"motion", "movie"}
        Of absolute differences between neighbouring frames, or of the frames themselves.
    name : str
        The region; "" for whole frames.
    masks : tuple of ndarray of float32, each shape (component, y, x)
        Of each window; pixels are `bin` x `bin` of the frame and those outside of the region 0.
        Over all windows together each component has length 1 and is orthogonal to the others.
    windows : tuple of (int, Window)
        Which view, and where in its frames.
    bin : int
        Side of the squares of pixels that were averaged.
    scores : ndarray of float32, shape (time, component)
        ``(picture - mean) @ mask``; NaN where there is no picture.
    singular_values : ndarray of float64, shape (component,)
        Falling; lengths of the scores.
    variance : float
        Sum of squares over time and pixels of ``picture - mean``, so that the components'
        share of it is ``(singular_values**2).sum() / variance``.
    means : tuple of ndarray of float32, each shape (y, x)
        Of each window over time.
    """

    source: str
    name: str
    masks: tuple[np.ndarray, ...]
    windows: tuple[tuple[int, Window], ...]
    bin: int
    scores: np.ndarray
    singular_values: np.ndarray
    variance: float
    means: tuple[np.ndarray, ...]

    @property
    def label(self) -> str:
        """Name for people and files, as in "motion of whisker pad"."""
        return f"{self.source} of {self.name or 'whole frames'}"


@dataclass(frozen=True, eq=False)
class MotionResult:
    """All that was found in one pass.

    Attributes
    ----------
    traces : xarray.Dataset
        Over ``time`` (seconds) and the names of each kind's regions: ``motion_energy`` and
        ``motion_mean (time, motion)``; ``pupil_x``, ``pupil_y``, ``pupil_major``,
        ``pupil_minor``, ``pupil_angle``, ``pupil_area``, ``pupil_diameter``, ``pupil_quality``
        and, given a scale, ``pupil_diameter_mm (time, pupil)``; ``blink_dark`` and
        ``blink_closed (time, blink)``, 1 during blinks; ``running_x``, ``running_y``,
        ``running_quality`` and, given a scale, ``running_speed (time, running)``. From keypoints
        ``eyelid_opening`` and ``eyelid_closed (time, eyelid)``, and pupils called "keypoints".
        Where lids are known, ``blink_event_start``, ``_stop`` and ``_depth (blink_event)`` list
        all blinks; see `blinks`. Attributes of each variable say its unit; those of the dataset
        where it comes from.
    components : tuple of Components
        Of whole frames and of each motion region, of those sources that were asked for.
    regions : Regions
        Where was measured.
    """

    traces: xr.Dataset
    components: tuple[Components, ...]
    regions: Regions

    @property
    def blinks(self) -> list[tuple[str, Blink]]:
        """All blinks, and which region or eyelids tell of them."""
        if "blink_event_start" not in self.traces:
            return []
        columns = [self.traces[f"blink_event_{field}"].values for field in Blink._fields]
        sources = self.traces["blink_event"].values
        return [
            (str(source), Blink(*map(float, one)))
            for source, *one in zip(sources, *columns, strict=True)
        ]
