"""Pictures made small by adding up squares of pixels."""

from __future__ import annotations

import numpy as np

from napari_facemap.movement.regions import Region, Window

_LARGEST = 16  # side of a square whose sum of grey levels fits 16 bits


class Binning:
    """Squares of pixels of whole frames or of one region.

    Parameters
    ----------
    region : Region or None
        None is the whole frame.
    height, width : int
        The frame's size.
    side : int
        Of the squares, 1 to 16 pixels. Rows and columns that do not fill a square are left
        out. A square belongs to a region when at least half of its pixels do.

    Attributes
    ----------
    window : Window
        What of the frame is covered.
    shape : (int, int)
        Squares along y and x in the window.
    inside : ndarray of bool, shape (y, x)
        Which squares count.

    Raises
    ------
    ValueError
        When `side` is out of range or no square fits.
    """

    def __init__(self, region: Region | None, height: int, width: int, side: int):
        if not 1 <= side <= _LARGEST:
            raise ValueError(f"Expected a bin of 1 to {_LARGEST} pixels; found {side}.")
        whole = Window(0, height, 0, width)
        window = whole if region is None else region.window(height, width)
        self.shape = (window.shape[0] // side, window.shape[1] // side)
        if 0 in self.shape:
            name = "The frame" if region is None else f"Region {region.name!r}"
            raise ValueError(
                f"{name}: expected room for a bin of {side} x {side} pixels; found "
                f"{window.shape[1]} x {window.shape[0]}. Take a smaller bin."
            )
        rows, columns = self.shape[0] * side, self.shape[1] * side
        self.side = side
        self.window = Window(window.y0, window.y0 + rows, window.x0, window.x0 + columns)
        if region is None:
            self.inside = np.ones(self.shape, bool)
        else:
            mask = region.mask(height, width)[:rows, :columns]
            share = mask.reshape(self.shape[0], side, self.shape[1], side).mean(axis=(1, 3))
            self.inside = share >= 0.5
        if region is not None and not self.inside.any():
            raise ValueError(f"Region {region.name!r}: too thin for a bin of {side} pixels.")
        self._all = bool(self.inside.all())

    @property
    def n_pixels(self) -> int:
        """Squares that count."""
        return int(self.inside.sum())

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """Add up squares.

        Parameters
        ----------
        frames : ndarray of uint8, shape (n, rows, columns)
            Full frames.

        Returns
        -------
        ndarray of uint16, shape (n, n_pixels)
            Sums of grey levels, row by row.
        """
        part, side = self.window.of(frames), self.side
        # Whole rows first: neighbours in memory are added many at once.
        rows = part[:, ::side].astype(np.uint16)
        for k in range(1, side):
            rows += part[:, k::side]
        sums = rows[..., ::side].copy()
        for k in range(1, side):
            sums += rows[..., k::side]
        flat = sums.reshape(len(frames), -1)
        return flat if self._all else flat[:, self.inside.ravel()]

    def pictures(self, values: np.ndarray) -> np.ndarray:
        """Lay values of shape (..., n_pixels) out as (..., y, x), 0 outside of the region."""
        laid = np.zeros((*values.shape[:-1], *self.shape), values.dtype)
        laid[..., self.inside] = values
        return laid
