"""What can follow points through frames."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np


class Origin(NamedTuple):
    """Where points come from that are followed through a later clip.

    Attributes
    ----------
    frame : ndarray of uint8, shape (rows, columns)
        The frame that a person labelled.
    xy : ndarray, shape (2, k)
        Column and row of the points in it.
    confidence : ndarray, shape (k,)
        Of the points in the first frame of the clip, reached on the way there from `frame`.
    """

    frame: np.ndarray
    xy: np.ndarray
    confidence: np.ndarray


class PointTracker(Protocol):
    """Follows points through a clip: ours is `LucasKanade`, a network can take its place."""

    def __call__(
        self, frames: np.ndarray, xy: np.ndarray, origin: Origin | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Follow points through a clip.

        Parameters
        ----------
        frames : ndarray of uint8, shape (n, rows, columns)
            Grey, in the order in which they are to be gone through, which may be backward.
        xy : ndarray, shape (2, k)
            Column and row in the first frame; NaN is not to be followed.
        origin : Origin, optional
            Where the points were labelled, when not in the first frame: a long way is given as
            several clips, each beginning with the last frame of the one before. Confidence goes
            on from ``origin.confidence``.

        Returns
        -------
        xy : ndarray, shape (n, 2, k)
            Column and row in each frame, the first included; NaN where a point is lost.
        confidence : ndarray, shape (n, k)
            Between 0 and 1, and 0 where a point is lost.
        """
        ...
