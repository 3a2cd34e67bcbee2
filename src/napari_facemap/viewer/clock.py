"""Which frame the viewer shows, and how to show another."""

from __future__ import annotations

from typing import Any
from weakref import ref

import numpy as np
from napari.layers import Layer

from napari_facemap.viewer.layers import bare, is_video, n_frames_of, name_of, time_axis


class FrameClock:
    """Turns the viewer's time slider into frame numbers and seconds of one video, and back.

    The slider may be laid out by another layer (a finer clock, an offset, a fourth axis), so
    frames are found through the video's own place in the world: its scale and translation on
    the third axis from the end.

    Parameters
    ----------
    viewer : napari viewer
        The viewer to follow.
    times : ndarray, shape (time,)
        Seconds of the frames. Need not be regular.
    video : Layer, optional
        Whose frames these are.
    name : str
        Of the video, to know it by where `video` is not given: several cameras often have as
        many frames and start at other times.
    """

    def __init__(
        self, viewer: Any, times: np.ndarray, video: Layer | None = None, name: str = ""
    ) -> None:
        self.viewer = bare(viewer)
        self.times = np.asarray(times, np.float64)
        self.name = name
        self._video: ref[Layer] | None = None
        if video is not None:
            self.follow(video)

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return len(self.times)

    def follow(self, video: Layer) -> None:
        """Take these frames for those of a video layer, whatever its name is."""
        self._video = ref(bare(video))

    @property
    def followed(self) -> Layer | None:
        """Video layer that is known to be the one, while it is in the viewer."""
        video = self._video() if self._video is not None else None
        return video if video is not None and video in self.viewer.layers else None

    def may_be_of(self, video: Layer) -> bool:
        """Whether these may be a video layer's frames: as many, and of no other that is open."""
        if n_frames_of(video) != self.n_frames or self.followed not in (None, video):
            return False
        others = {name_of(layer) for layer in self.viewer.layers} - {name_of(video)}
        return self.name not in others

    def video_layer(self) -> Layer | None:
        """Video layer whose frames these are, or None.

        The one that is known, else the one of that name, else the first with as many frames.
        """
        video = self.followed
        if video is not None and n_frames_of(video) == self.n_frames:
            return video
        layers = (layer for layer in self.viewer.layers if is_video(layer))
        fitting = [layer for layer in layers if n_frames_of(layer) == self.n_frames]
        named = [layer for layer in fitting if name_of(layer) == self.name]
        if len(named) == 1:
            self.follow(named[0])  # also when it has another name one day
        return next(iter(named or fitting), None)

    def frame(self) -> int:
        """Frame that is shown; the nearest one where the slider stands beside the video."""
        dims = self.viewer.dims
        if dims.ndim < 3:
            return 0
        frame = np.round((dims.point[-3] - self._start()) / self._step())
        return int(np.clip(frame, 0, self.n_frames - 1))

    def time(self) -> float:
        """Seconds of the frame that is shown."""
        return float(self.times[self.frame()])

    def go_to_frame(self, frame: int) -> None:
        """Show a frame; numbers outside the video give its first or last."""
        dims = self.viewer.dims
        if dims.ndim < 3:
            return
        frame = int(np.clip(frame, 0, self.n_frames - 1))
        dims.set_point(dims.ndim - 3, self._start() + frame * self._step())

    def go_to_time(self, seconds: float) -> None:
        """Show the frame nearest in time."""
        after = int(np.clip(np.searchsorted(self.times, seconds), 1, max(self.n_frames - 1, 1)))
        if self.n_frames < 2:
            self.go_to_frame(0)
            return
        earlier = seconds - self.times[after - 1] < self.times[after] - seconds
        self.go_to_frame(after - 1 if earlier else after)

    def _step(self) -> float:
        layer = self.video_layer()
        if layer is not None:
            return float(layer.scale[time_axis(layer)])
        return float(self.viewer.dims.range[-3].step) or 1.0

    def _start(self) -> float:
        layer = self.video_layer()
        return 0.0 if layer is None else float(layer.translate[time_axis(layer)])
