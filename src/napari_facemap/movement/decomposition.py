"""The components of one part of the video, found while its frames pass by."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import torch

from napari_facemap.movement.binning import Binning
from napari_facemap.movement.results import Components
from napari_facemap.movement.svd import ComponentFinder, turned

_PORTION = 512  # pictures that are turned into scores at once


class Decomposition:
    """Components of frames, or of differences between them, of all windows together.

    Parameters
    ----------
    source : {"motion", "movie"}
        What of: see `Components`.
    name : str
        The region; "" for whole frames.
    parts : sequence of (int, Binning)
        Which view, and what of its frames. All bins have one size.
    n_frames, n_components : int
        Of the video; wanted.
    device : torch.device
        Where to compute.

    Attributes
    ----------
    is_scored : bool
        Settling gives the scores too: frames need not be seen again.
    """

    def __init__(
        self,
        source: str,
        name: str,
        parts: Sequence[tuple[int, Binning]],
        n_frames: int,
        n_components: int,
        device: torch.device,
    ):
        self.source, self.name, self.parts = source, name, tuple(parts)
        self.n_frames, self.device = n_frames, device
        self._scale = 1 / parts[0][1].side ** 2
        n_pixels = sum(binning.n_pixels for _, binning in parts)
        n_pictures = n_frames - (source == "motion")
        self._n_components = min(n_components, n_pixels, max(1, n_pictures - 1))
        self._finder = ComponentFinder(n_pixels, n_pictures, self._n_components, device)
        self._basis: torch.Tensor | None = None
        self._good: list[np.ndarray] = []
        self.is_scored = self._finder.is_exact

    def take(self, before: np.ndarray, sums: np.ndarray, good: np.ndarray) -> None:
        """Learn from some frames.

        Parameters
        ----------
        before : ndarray of uint16, shape (pixel,)
            Of the frame before them; of the first frame that itself.
        sums : ndarray of uint16, shape (n, pixel)
            Of all windows.
        good : ndarray of bool, shape (n,)
            Which of them have a picture: see `is_good`.
        """
        self._good.append(good)
        pictures = self._pictures(before, sums)
        self._finder.add(pictures if good.all() else pictures[good])

    def settle(
        self,
        kept: Sums | None = None,
        good: np.ndarray | None = None,
        check: Callable[[], None] | None = None,
    ) -> None:
        """Choose the directions of what was learnt, or of sums that are kept.

        Parameters
        ----------
        kept : Sums, optional
            Of all frames that were seen, where nothing was taken; for exact components alone.
        good : ndarray of bool, shape (time,), optional
            Which of these frames have a picture.
        check : callable, optional
            Called every now and then; what it raises ends the work.
        """
        if kept is None or good is None:
            found = self._finder.directions()
        else:
            self._good = [good]
            rows = np.flatnonzero(good)
            found = None
            if len(rows):
                columns = partial(self._columns, kept, rows, check)
                found = self._finder.directions_of(columns, len(rows))
        del self._finder
        self.is_scored = found is None or found.scores is not None
        if found is None:
            return  # nothing moves: there are no components
        self._mean, self._variance, self._basis = found.mean, found.variance, found.basis
        self._scores = np.full((self.n_frames, self._basis.shape[1]), np.nan, np.float32)
        if found.scores is not None:
            there = np.flatnonzero(np.concatenate(self._good))
            self._scores[there] = found.scores.cpu().numpy()

    def score(self, start: int, before: np.ndarray, sums: np.ndarray, good: np.ndarray) -> None:
        """Find the scores of frames from `start` on; otherwise as `take`."""
        if self._basis is None:
            return
        pictures = torch.from_numpy(self._pictures(before, sums)).to(self.device)
        scores = ((pictures - self._mean.float()) @ self._basis).cpu().numpy()
        scores[~good] = np.nan
        self._scores[start : start + len(scores)] = scores

    @property
    def has_scores(self) -> bool:
        """Whether any frame has scores."""
        return self._basis is not None and bool(np.isfinite(self._scores[:, 0]).any())

    def components(self) -> Components:
        """All that was found."""
        assert self._basis is not None
        there = np.isfinite(self._scores[:, 0])
        scores = torch.from_numpy(self._scores[there]).to(self.device)
        basis, scores, lengths = turned(self._basis, scores)
        self._scores[there] = scores.cpu().numpy()
        masks, means = [], []
        at = 0
        for _, binning in self.parts:
            pixels = slice(at, at := at + binning.n_pixels)
            masks.append(binning.pictures(basis[pixels].T.cpu().numpy()))
            means.append(binning.pictures(self._mean[pixels].float().cpu().numpy()))
        return Components(
            self.source,
            self.name,
            tuple(masks),
            tuple((view, binning.window) for view, binning in self.parts),
            self.parts[0][1].side,
            self._scores,
            lengths.numpy(),
            self._variance,
            tuple(means),
        )

    def _columns(
        self, kept: Sums, rows: np.ndarray, check: Callable[[], None] | None, part: slice
    ) -> torch.Tensor:
        """Some pixels of the pictures of some frames."""
        if check is not None:
            check()
        sums = kept.columns(part)
        first, stop = int(rows[0]), int(rows[-1]) + 1
        whole = stop - first == len(rows)  # then nothing is copied first
        later = sums[first:stop] if whole else sums[rows]
        found = np.empty(later.shape, np.float32)
        if self.source == "motion":
            earlier = sums[first - 1 : stop - 1] if whole else sums[rows - 1]
            np.subtract(later, earlier, out=found, dtype=np.float32)
            np.abs(found, out=found)
        else:
            found[:] = later
        found *= self._scale
        return torch.from_numpy(found)

    def _pictures(self, before: np.ndarray, sums: np.ndarray) -> np.ndarray:
        # Whole numbers below 2**16 are exact in float32.
        found = torch.from_numpy(sums).float()
        if self.source == "motion":
            earlier = torch.cat([torch.from_numpy(before).float()[None], found[:-1]])
            found = earlier.sub_(found).abs_()
        return found.mul_(self._scale).numpy()

    def is_good(self, decoded: np.ndarray) -> np.ndarray:
        """Which frames have a picture, given which were decoded, both of shape (time,)."""
        if self.source == "movie":
            return decoded
        good = decoded.copy()
        good[1:] &= decoded[:-1]
        good[0] = False
        return good


class Sums:
    """Sums of squares of pixels of all frames, kept while they fit in memory.

    Parameters
    ----------
    n_frames, n_pixels : int
        Of the video.
    most : int
        Bytes.
    """

    def __init__(self, n_frames: int, n_pixels: int, most: int):
        fits = 2 * n_frames * n_pixels <= most
        self._kept = np.empty((n_frames, n_pixels), np.uint16) if fits else None

    @property
    def are_kept(self) -> bool:
        """Whether they are at hand again."""
        return self._kept is not None

    def put(self, start: int, sums: np.ndarray) -> None:
        """Keep those of some frames."""
        if self._kept is not None:
            self._kept[start : start + len(sums)] = sums

    def columns(self, part: slice) -> np.ndarray:
        """Some pixels of all frames."""
        assert self._kept is not None
        return self._kept[:, part]

    def portions(self) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """All again: the first frame, the sums before it, and those of some frames."""
        assert self._kept is not None
        for start in range(0, len(self._kept), _PORTION):
            before = self._kept[max(start - 1, 0)]
            yield start, before, self._kept[start : start + _PORTION]
