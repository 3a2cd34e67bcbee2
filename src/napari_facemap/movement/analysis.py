"""Everything that is measured in a video's regions, in one pass over its frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_facemap.keypoints.device import choose_device
from napari_facemap.movement.binning import Binning
from napari_facemap.movement.decomposition import Decomposition, Sums
from napari_facemap.movement.eyes import Eyes
from napari_facemap.movement.passing import Found, batch_size_for, pass_by
from napari_facemap.movement.regions import Region, Regions
from napari_facemap.movement.results import SOURCES, Components, MotionResult
from napari_facemap.movement.traces import Gauges
from napari_facemap.provenance import software
from napari_facemap.video.arrays import as_video

if TYPE_CHECKING:
    import xarray as xr

    from napari_facemap.video.arrays import ArrayVideo
    from napari_facemap.video.video import Video

Progress = Callable[[int, int], bool | None]

_KEPT_BYTES = 1 << 30  # of sums of pixels that are kept, so that the video is read once


def motion(
    video: Any,
    regions: Regions | Sequence[Region] | None = None,
    components: int = 500,
    sources: Sequence[str] = ("motion",),
    bin: int = 4,  # noqa: A002  the field's own word
    whole: bool = True,
    device: str = "auto",
    progress: Progress | None = None,
    batch_size: int | None = None,
    poses: xr.Dataset | Sequence[xr.Dataset | None] | None = None,
) -> MotionResult:
    """Measure motion, its components, pupils, blinks and running in a video.

    The video is read once. Only where components are wanted of more pixels and frames than
    memory holds (1 GB) is it read a second time, for their scores.

    Parameters
    ----------
    video : path, Video, array of shape (time, rows, columns), or list of them
        A list holds views of several cameras with as many frames each.
    regions : Regions or sequence of Region, optional
        Where to measure; `Regions` are stretched to the videos' frames.
    components : int
        How many of each source and region; 0 for none.
    sources : sequence of {"motion", "movie"}
        What components are of.
    bin : int
        Side of the squares of pixels that components are made of, 1 to 16.
    whole : bool
        Measure motion and components of whole frames too, of all views together.
    device : {"auto", "cpu", "cuda", "mps"}
        Where components are computed.
    progress : callable, optional
        Called with the numbers of frames read and to be read, also while components are found.
        When it returns False the work stops: traces of the frames that were read are given, and
        the components that were found of all frames, with ``attrs["complete"]`` 0.
    batch_size : int, optional
        Frames read at once. It changes no result.
    poses : xarray.Dataset, or sequence of them or None, optional
        Tracked keypoints of the first view, or of each: they give the eyelids' opening, blinks
        and the pupil by its four points. Pupils are NaN during these blinks too.

    Returns
    -------
    MotionResult

    Raises
    ------
    ValueError
        When videos, regions, components, sources, bin, device or poses are not usable.
    """
    given = list(video) if isinstance(video, list | tuple) else [video]
    opened = [as_video(one) for one in given]
    try:
        eyes = Eyes(poses, len(opened), opened[0].shape[0] if opened else 0)
        run = _Run(opened, regions, components, sources, bin, whole, device, progress, eyes)
        run.read(batch_size or batch_size_for(opened))
        return run.result()
    finally:
        for one, source in zip(given, opened, strict=True):
            if source is not one:
                source.close()


class _Run:
    """Videos on their way through all measures."""

    def __init__(
        self,
        videos: Sequence[Video | ArrayVideo],
        regions: Regions | Sequence[Region] | None,
        n_components: int,
        sources: Sequence[str],
        side: int,
        whole: bool,
        device: str,
        progress: Progress | None,
        eyes: Eyes,
    ):
        _check(videos, n_components, sources)
        self.videos, self.progress = videos, progress
        self.n_frames = videos[0].shape[0]
        sizes = tuple((int(video.shape[1]), int(video.shape[2])) for video in videos)
        if not isinstance(regions, Regions):
            regions = Regions(tuple(regions or ()), sizes)
        self.regions = regions.fitted_to(sizes)
        self.side, self.n_components = side, n_components
        self.device = choose_device(device)
        self.gauges = Gauges(self.regions, whole, self.n_frames, eyes)
        self.measures = self.gauges.measures
        self._plan_components(sources, whole, sizes)
        if not self.measures and not self.binnings and not eyes:
            raise ValueError(
                "Expected regions to measure in, the whole frame, or keypoints; found none."
            )
        self.done, self.passes, self.stopped = 0, 1, False

    def _plan_components(
        self, sources: Sequence[str], whole: bool, sizes: Sequence[tuple[int, int]]
    ) -> None:
        """Which pixels are added up, and which components are found of which of them."""
        self.binnings: list[tuple[int, Binning]] = []
        self.targets: list[tuple[slice, list[Decomposition], Sums]] = []
        if not self.n_components:
            return
        wanted = [
            (region.name, [(region.view, Binning(region, *sizes[region.view], self.side))])
            for region in self.regions.of("motion")
        ]
        if whole:
            parts = [(view, Binning(None, *size, self.side)) for view, size in enumerate(sizes)]
            wanted.insert(0, ("", parts))
        pixels = [sum(binning.n_pixels for _, binning in parts) for _, parts in wanted]
        for (name, parts), n_pixels in zip(wanted, pixels, strict=True):
            which = slice(len(self.binnings), len(self.binnings) + len(parts))
            self.binnings += parts
            found = [
                Decomposition(source, name, parts, self.n_frames, self.n_components, self.device)
                for source in sources
            ]
            share = _KEPT_BYTES * n_pixels // sum(pixels)
            self.targets.append((which, found, Sums(self.n_frames, n_pixels, share)))

    def read(self, n: int) -> None:
        """Go through the videos, a second time where scores need it."""
        if not self.measures and not self.binnings:  # keypoints tell all that is asked
            self.done = self.gauges.done = self.n_frames
            return
        again = self._to_be_scored()
        self.passes = 2 if again else 1
        learning = [self._beside(which) for which, _, _ in self.targets]

        def learn(start: int, found: Found) -> bool:
            self.gauges.take(start, found.values)
            for beside, (which, decompositions, kept) in zip(learning, self.targets, strict=True):
                before, sums = beside.next(found.sums[which])
                if kept.are_kept:
                    kept.put(start, sums)
                else:
                    self._learn(decompositions, start, before, sums)
            self.done = start + self._length(found)
            return self._go_on(self.done)

        pass_by(self.videos, self.measures, self.binnings, n, learn)
        if self.done < self.n_frames:
            return  # stopped: of a part of the video there are traces, but no components
        try:
            for _, decompositions, kept in self.targets:
                for one in decompositions:
                    self._settle(one, kept)
        except _StoppedError:
            self.stopped = True
            return
        if again:
            self._score_again(n)

    def _learn(
        self, ones: Sequence[Decomposition], start: int, before: np.ndarray, sums: np.ndarray
    ) -> None:
        for one in ones:
            one.take(before, sums, self._good(one, start, start + len(sums)))

    def _score(
        self, ones: Sequence[Decomposition], start: int, before: np.ndarray, sums: np.ndarray
    ) -> None:
        for one in ones:
            one.score(start, before, sums, self._good(one, start, start + len(sums)))

    def _settle(self, one: Decomposition, kept: Sums) -> None:
        """Choose directions, and find the scores of what is at hand."""
        self._check()
        if kept.are_kept and one.is_scored:  # exact
            one.settle(kept, self._good(one, 0, self.n_frames), self._check)
            return
        if kept.are_kept:
            self._each(kept, partial(self._learn, [one]))
        one.settle()
        if kept.are_kept and not one.is_scored:
            self._each(kept, partial(self._score, [one]))

    def _each(self, kept: Sums, give: Callable[[int, np.ndarray, np.ndarray], None]) -> None:
        for portion in kept.portions():
            self._check()
            give(*portion)

    def _check(self) -> None:
        """Raise when somebody asks to stop, all frames having been read."""
        if not self._go_on(self.done):
            raise _StoppedError

    def _to_be_scored(self) -> list[tuple[slice, list[Decomposition]]]:
        """Which decompositions have to see the video again."""
        found = []
        for which, ones, kept in self.targets:
            waiting = [one for one in ones if not (kept.are_kept or one.is_scored)]
            if waiting:
                found.append((which, waiting))
        return found

    def _beside(self, which: slice) -> _Beside:
        return _Beside(sum(binning.n_pixels for _, binning in self.binnings[which]))

    def _length(self, found: Found) -> int:
        parts = found.values or found.sums
        return len(parts[0])

    def _go_on(self, done: int) -> bool:
        total = self.passes * self.n_frames
        return self.progress is None or self.progress(done, total) is not False

    def _decoded(self, start: int, stop: int) -> np.ndarray:
        decoded = np.ones(stop - start, bool)
        for video in self.videos:
            bad = np.asarray(video.bad_frames)
            decoded[bad[(bad >= start) & (bad < stop)] - start] = False
        return decoded

    def _good(self, one: Decomposition, start: int, stop: int) -> np.ndarray:
        before = max(start - 1, 0)
        good = one.is_good(self._decoded(before, stop))
        return good[start - before :]

    def _score_again(self, n: int) -> None:
        """Read the videos once more, for what was not kept."""
        chosen = self._to_be_scored()
        besides = [self._beside(which) for which, _ in chosen]

        def score(start: int, found: Found) -> bool:
            for beside, (which, ones) in zip(besides, chosen, strict=True):
                before, sums = beside.next(found.sums[which])
                self._score(ones, start, before, sums)
            self.done = start + self._length(found)
            return self._go_on(self.n_frames + self.done)

        pass_by(self.videos, [], self.binnings, n, score)

    def result(self) -> MotionResult:
        """All that was found."""
        times = np.asarray(self.videos[0].times, float)
        traces = self.gauges.traces(times, self._decoded(0, self.n_frames))
        traces.attrs = self._provenance()
        found: tuple[Components, ...] = tuple(
            one.components() for _, ones, _ in self.targets for one in ones if one.has_scores
        )
        return MotionResult(traces, found, self.regions)

    def _provenance(self) -> dict[str, Any]:
        paths = [getattr(video, "path", None) for video in self.videos]
        names = [Path(p).name if p else v.name for p, v in zip(paths, self.videos, strict=True)]
        attrs = {
            "software": software(),
            "video": names[0] if len(names) == 1 else names,
            "video_bytes": [p.stat().st_size if p else 0 for p in paths],
            "video_frames": self.n_frames,
            "frame_sizes": [int(s) for size in self.regions.sizes for s in size],
            "complete": int(self.done == self.gauges.done == self.n_frames and not self.stopped),
            "frames_measured": self.gauges.done,
            "bin": self.side,
            "components": self.n_components,
            "device": self.device.type,
        }
        return attrs


class _StoppedError(Exception):
    """Components are not wanted any more."""


class _Beside:
    """The sums of neighbouring portions, each beside the last one before it."""

    def __init__(self, n_pixels: int):
        self._before = np.empty((0, n_pixels), np.uint16)

    def next(self, parts: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """The sums before a portion, and the portion's of all windows together."""
        sums = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        before = self._before[-1] if len(self._before) else sums[0]
        self._before = sums[-1:].copy()
        return before, sums


def _check(
    videos: Sequence[Video | ArrayVideo], n_components: int, sources: Sequence[str]
) -> None:
    if not videos:
        raise ValueError("Expected a video; found none.")
    lengths = [video.shape[0] for video in videos]
    if len(set(lengths)) > 1:
        names = ", ".join(f"{v.name} {n}" for v, n in zip(videos, lengths, strict=True))
        raise ValueError(
            f"Expected as many frames in each view; found {names}. Measure them one by one."
        )
    if n_components < 0:
        raise ValueError(f"Expected 0 or more components; found {n_components}.")
    unknown = [source for source in sources if source not in SOURCES]
    if unknown or not sources:
        raise ValueError(f"Expected sources of {', '.join(SOURCES)}; found {list(sources)}.")
