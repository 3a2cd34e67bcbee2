"""Running: how a treadmill's or a wheel's texture moves from frame to frame."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import fft, ndimage

from napari_facemap.movement.common_shift import CommonShift, evened
from napari_facemap.movement.regions import Region

_LARGEST = 0.4  # of the window's sides: a larger step is not told from a step backwards
_BLUR = 1.0  # pixels, of the correlation peak: what is finer is mostly noise
_FINE = 0.35  # waves a pixel from which on there is taken to be noise alone
_COUNTS = 0.3  # waves a pixel up to which the refinement goes
_TRUST = 3.0  # times the noise, at which a wave's phase counts half
_STEPS = 2  # of the refinement, after which `CommonShift` goes on
_EDGE = 0.15  # of the window's sides, on which pictures fade out
_CHANCE = 5.0  # standard deviations of a correlation of pictures that have nothing in common


class _Look(NamedTuple):
    """What is kept of a frame.

    Attributes
    ----------
    phases : ndarray of complex64
        Of the picture's waves, of length 1 where they stand far out of the noise.
    length : ndarray of float32
        Theirs.
    even : ndarray of float32
        The picture without its finest detail.
    """

    phases: np.ndarray
    length: np.ndarray
    even: np.ndarray


class RunningMeasure:
    """Shifts of the texture in a region by phase correlation; a `Measure`.

    The phases of two neighbouring frames' spectra differ by a plane whose slope is the shift
    (Kuglin and Hines 1975). Turned back into a picture they make a peak at the shift, to the
    pixel; from there the slope is fitted to the phases. A wave counts as far as it stands out of
    the noise, which is seen in the finest ones.

    Parameters
    ----------
    region : Region
        Where texture is seen that moves as a whole.
    height, width : int
        The frames' size.
    """

    def __init__(self, region: Region, height: int, width: int):
        self._window = region.window(height, width)
        rows, columns = self._window.shape
        mask = region.mask(height, width)
        self._taper = (_fade(rows)[:, None] * _fade(columns) * _inward(mask)).astype(np.float32)
        self._common = CommonShift(self._taper)
        self._size = (fft.next_fast_len(rows, real=True), fft.next_fast_len(columns, real=True))
        self._y = fft.fftfreq(self._size[0])[:, None].astype(np.float32)
        self._x = fft.rfftfreq(self._size[1]).astype(np.float32)
        radius = np.hypot(self._y, self._x)
        # Enough of the finest waves for a median.
        self._fine = np.flatnonzero(radius > _FINE)[::3]
        # Of the half of the waves that is computed, all but two columns stand for two.
        twice = np.where((self._x == 0) | (self._x == 0.5), 1, 2).astype(np.float32)
        self._smooth = twice * np.exp(-2 * (np.pi * _BLUR * radius) ** 2).astype(np.float32)
        self._smooth[0, 0] = 0  # brightness has no place
        self._once, self._squared = self._smooth / twice, self._smooth**2 / twice
        # The refinement leaves out what hardly counts.
        counts = radius < _COUNTS
        self._rows, self._columns = np.flatnonzero(counts.any(1)), int(counts.any(0).sum())
        self._coarse = self._smooth[self._rows, : self._columns]
        powers = np.arange(3)[:, None]
        self._by_y = self._y[self._rows, 0].astype(np.complex64) ** powers
        self._by_x = self._x[: self._columns].astype(np.complex64) ** powers
        # The taper mixes neighbouring waves, so that fewer of them are independent.
        full = float(self._taper.sum()) ** 2 / float((self._taper**2).sum())
        self._independent = full / float(np.prod(self._size))
        self._reach = max(1, int(_LARGEST * rows)), max(1, int(_LARGEST * columns))
        far = [
            np.minimum(np.arange(n), n - np.arange(n)) > reach
            for n, reach in zip(self._size, self._reach, strict=True)
        ]
        self._too_far = np.where(far[0][:, None] | far[1], -np.inf, 0).astype(np.float32)

    def work(self, before: np.ndarray, frames: np.ndarray) -> np.ndarray:
        """Find shifts from each frame to the next.

        Parameters and result are those of `Measure.work`, with columns x and y (pixels that the
        texture moved, to the right and down) and quality: 1 when the two pictures are the same
        but for the shift, near 0 when they have nothing in common; the shift is NaN then.
        """
        found = np.empty((len(frames), 3))
        earlier = self._look(before)
        for k, frame in enumerate(frames):
            look = self._look(frame)
            found[k] = self._shift(earlier, look)
            earlier = look
        return found

    def _look(self, frame: np.ndarray) -> _Look:
        part = self._window.of(frame)
        grey = part.astype(np.float32)
        grey -= float((grey * self._taper).sum() / self._taper.sum())
        waves = fft.rfft2(grey * self._taper, self._size)
        size = np.abs(waves)
        fine = size.ravel()[self._fine]
        noise = _TRUST * float(np.partition(fine, len(fine) // 2)[len(fine) // 2])
        # Rounding errors of a picture of one grey level are no waves.
        least = max(noise, 1e-3 * float(np.prod(self._size)) ** 0.5)
        trust = 1 / (size + np.float32(least))
        waves *= trust
        size *= trust
        return _Look(waves, size, evened(part))

    def _shift(self, earlier: _Look, later: _Look) -> tuple[float, float, float]:
        cross = later.phases * earlier.phases.conj()
        length = later.length * earlier.length
        total = float((length[self._rows, : self._columns] * self._coarse).sum())
        chance = float(((length * length) * self._squared).sum()) ** 0.5
        if not total > 0:
            return np.nan, np.nan, 0.0
        match = fft.irfft2(cross * self._once, self._size)
        match += self._too_far
        row, column = divmod(int(match.argmax()), self._size[1])
        y = row if row <= self._reach[0] else row - self._size[0]
        x = column if column <= self._reach[1] else column - self._size[1]
        waves = cross[self._rows, : self._columns] * self._coarse
        x, y, quality = self._refined(waves, float(x), float(y), total)
        least = _CHANCE * chance / total / self._independent**0.5
        if quality < least:
            return np.nan, np.nan, quality
        return *self._common.near(earlier.even, later.even, x, y), quality

    def _refined(
        self, waves: np.ndarray, x: float, y: float, total: float
    ) -> tuple[float, float, float]:
        """The slope that fits the phases best, from one that is right to the pixel."""
        for _ in range(_STEPS):
            turned_y = self._by_y * np.exp(np.complex64(2j * np.pi * y) * self._by_y[1])
            turned_x = self._by_x * np.exp(np.complex64(2j * np.pi * x) * self._by_x[1])
            # Sums over all waves, turned by the slope, of powers of fy times powers of fx.
            sums = (turned_y @ waves @ turned_x.T).astype(complex)
            even, odd = sums.real, sums.imag
            xx, xy, yy = even[0, 2], even[1, 1], even[2, 0]
            area = xx * yy - xy * xy
            if area <= 0 or xx <= 0:
                break
            step_x = (xy * odd[1, 0] - yy * odd[0, 1]) / area / (2 * np.pi)
            step_y = (xy * odd[0, 1] - xx * odd[1, 0]) / area / (2 * np.pi)
            x += min(max(step_x, -0.5), 0.5)
            y += min(max(step_y, -0.5), 0.5)
        return float(x), float(y), min(max(float(even[0, 0]) / total, 0.0), 1.0)


def running_traces(
    found: np.ndarray, times: np.ndarray, cm_per_pixel: float | None = None
) -> dict[str, np.ndarray]:
    """Traces of what `RunningMeasure` found in a whole video.

    Parameters
    ----------
    found : ndarray, shape (time, 3)
        Of all frames.
    times : ndarray, shape (time,)
        Seconds.
    cm_per_pixel : float, optional
        The scale.

    Returns
    -------
    dict of ndarray, each shape (time,)
        ``x``, ``y`` (pixels since the frame before, the first NaN), ``quality`` and, given a
        scale, ``speed`` (cm/s along the line on which the texture moves most; the direction in
        which it went further in all is positive).
    """
    x, y, quality = np.array(found, float).T
    x[:1] = y[:1] = quality[:1] = np.nan
    traces = {"x": x, "y": y, "quality": quality}
    if cm_per_pixel is not None:
        steps = np.stack([x, y], axis=1)
        there = steps[np.isfinite(steps).all(axis=1)]
        line = np.linalg.svd(there, full_matrices=False)[2][0] if len(there) else np.zeros(2)
        along = steps @ (line if np.sum(there @ line) >= 0 else -line)
        seconds = np.diff(times, prepend=np.nan)
        seconds[~(seconds > 0)] = np.nan
        traces["speed"] = along * cm_per_pixel / seconds
    return traces


def _fade(n: int) -> np.ndarray:
    """1 in the middle, falling to nearly 0 at both ends."""
    edge = max(1.0, _EDGE * n)
    from_end = np.minimum(np.arange(n), np.arange(n)[::-1]) + 0.5
    return 0.5 - 0.5 * np.cos(np.pi * np.clip(from_end / edge, 0, 1))


def _inward(mask: np.ndarray) -> np.ndarray:
    """1 well inside of a mask, falling to 0 at its edge."""
    if mask.all():
        return np.ones(mask.shape)
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    edge = max(1.0, _EDGE * min(mask.shape))
    return 0.5 - 0.5 * np.cos(np.pi * np.clip(depth / edge, 0, 1))
