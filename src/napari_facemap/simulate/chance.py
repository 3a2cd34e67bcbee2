"""Chance as a function of time: the same at a time however often or far one asks."""

from __future__ import annotations

import zlib

import numpy as np

_BLOCK = 256
_EARLIER = 64  # Knots and slots before time 0 that a value at time 0 may need.
# A sum of cubic B-splines with white weights has a mean variance of 151/315.
_TO_UNIT_VARIANCE = float(np.sqrt(315 / 151))


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """Make a source of chance of its own for a purpose.

    Parameters
    ----------
    seed : int
        Of the whole simulation, 0 or more.
    *names : str or int
        The purpose; another name is an independent source.

    Returns
    -------
    numpy.random.Generator
    """
    words = [name if isinstance(name, int) else zlib.crc32(name.encode()) for name in names]
    return np.random.default_rng([seed, *words])


class TimeChance:
    """Random signals over endless time, drawn in blocks that depend on the seed alone.

    A value depends on its own time and not on which other times are asked for, so that a longer
    simulation, or one at another frame rate, is the same mouse.

    Parameters
    ----------
    seed : int
        0 or more.
    """

    def __init__(self, seed: int):
        self._seed = seed
        self._blocks: dict[tuple[str, int], np.ndarray] = {}

    def smooth(self, name: str, times: np.ndarray, knot: float) -> np.ndarray:
        """Smooth Gaussian noise of mean 0 and variance 1, twice differentiable.

        Parameters
        ----------
        name : str
            Which signal.
        times : ndarray
            Seconds, 0 or more.
        knot : float
            Seconds between the knots; there is little power above 1 / (2 knot) Hz.

        Returns
        -------
        ndarray
            Same shape as `times`.
        """
        place = times / knot
        index = np.floor(place).astype(np.int64)
        x = place - index
        weights = (
            (1 - x) ** 3 / 6,
            (3 * x**3 - 6 * x**2 + 4) / 6,
            (-3 * x**3 + 3 * x**2 + 3 * x + 1) / 6,
            x**3 / 6,
        )
        normal = [self._values(name, index + shift)[:, 0] for shift in (-1, 0, 1, 2)]
        total = sum(weight * value for weight, value in zip(weights, normal, strict=True))
        return np.asarray(total) * _TO_UNIT_VARIANCE

    def events(
        self, name: str, times: np.ndarray, slot: float, chance: float, duration: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rare events: at most one begins in each slot of time.

        Parameters
        ----------
        name : str
            Which events.
        times : ndarray
            Seconds, 0 or more.
        slot : float
            Seconds; an event must fit in.
        chance : float
            That a slot has an event, 0 to 1.
        duration : float
            Mean length of an event in seconds; lengths are 0.7 to 1.3 of it.

        Returns
        -------
        phase : ndarray
            From 0 at the event's beginning to 1 at its end; NaN outside of events.
        length : ndarray
            Seconds that the event lasts; NaN outside of events.
        """
        phase = np.full(times.shape, np.nan)
        length = np.full(times.shape, np.nan)
        index = np.floor(times / slot).astype(np.int64)
        for earlier in (1, 0):
            happens, start, long, _ = self._values(name, index - earlier, uniform=True).T
            lasts = duration * (0.7 + 0.6 * long)
            at = (times - (index - earlier + start) * slot) / lasts
            inside = (happens < chance) & (at >= 0) & (at <= 1)
            phase[inside], length[inside] = at[inside], lasts[inside]
        return phase, length

    def steps(self, name: str, times: np.ndarray, slot: float, rise: float) -> np.ndarray:
        """Levels (mean 0, variance 1) that jump once a slot and rest in between.

        Parameters
        ----------
        name : str
            Which signal.
        times : ndarray
            Seconds, 0 or more.
        slot, rise : float
            Seconds from slot to slot, and that a jump takes.
        """
        index = np.floor(times / slot).astype(np.int64)
        start = self._values(name + " start", index, uniform=True)[:, 1]
        before = self._values(name, index - 1)[:, 0]
        after = self._values(name, index)[:, 0]
        # The jump ends inside its slot, wherever it begins.
        begin = start * (1 - rise / slot) * slot
        x = np.clip((times - index * slot - begin) / rise, 0, 1)
        return before + (after - before) * x * x * (3 - 2 * x)

    def _values(self, name: str, index: np.ndarray, uniform: bool = False) -> np.ndarray:
        """Draws of four numbers at each index, shape (index, 4)."""
        index = index + _EARLIER
        values = np.empty((len(index), 4))
        for block in np.unique(index // _BLOCK):
            here = index // _BLOCK == block
            values[here] = self._block(name, int(block), uniform)[index[here] % _BLOCK]
        return values

    def _block(self, name: str, block: int, uniform: bool) -> np.ndarray:
        key = (name, block)
        if key not in self._blocks:
            rng = generator(self._seed, "time", name, block)
            draw = rng.random if uniform else rng.standard_normal
            self._blocks[key] = draw((_BLOCK, 4))
        return self._blocks[key]
