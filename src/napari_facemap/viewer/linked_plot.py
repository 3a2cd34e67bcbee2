"""The one plot of a viewer: traces of all docks over the same seconds as the slider."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from napari.utils.theme import get_theme

from napari_facemap.viewer.clock import FrameClock
from napari_facemap.viewer.trace_math import Lane
from napari_facemap.viewer.traces import TracesPlot


class _Shown(NamedTuple):
    lanes: Sequence[Lane]
    shades: Sequence[tuple[float, float]]


class LinkedPlot:
    """Shows what docks give it below the video, and moves with the time slider both ways.

    Use the ``plot`` of a viewer's session.

    Parameters
    ----------
    viewer : napari viewer
        A bare one. One without a window gets no dock: what holds the plot is up to others.

    Attributes
    ----------
    widget : TracesPlot
        The plot itself.
    clock : FrameClock or None
        Of the frames that the traces belong to.
    """

    def __init__(self, viewer: Any) -> None:
        self.viewer = viewer
        self.widget = TracesPlot()
        self.clock: FrameClock | None = None
        self._shown: dict[str, _Shown] = {}
        self._linked: list[Any] = []
        self.link(self.widget)
        viewer.dims.events.current_step.connect(self.follow, position="last")
        viewer.events.theme.connect(self._take_theme)

    def link(self, plot: Any) -> None:
        """Have another plot move with the slider: one with `set_time` and `time_chosen`."""
        self._linked.append(plot)
        plot.time_chosen.connect(self._go_to_time)
        self._take_theme()
        self.follow()

    def unlink(self, plot: Any) -> None:
        """Let go of a plot."""
        self._linked.remove(plot)
        plot.time_chosen.disconnect(self._go_to_time)

    def show(
        self,
        source: str,
        lanes: Sequence[Lane],
        shades: Sequence[tuple[float, float]] = (),
    ) -> None:
        """Show the lanes of a dock, instead of its earlier ones and below those of others.

        Parameters
        ----------
        source : str
            Whose lanes.
        lanes : sequence of Lane
            From top to bottom; none takes the dock's part away.
        shades : sequence of (start, stop)
            Seconds that are shaded.
        """
        self._shown[source] = _Shown(list(lanes), list(shades))
        self._draw()
        self._open()
        self.follow()

    def clear(self, source: str) -> None:
        """Take away what a dock showed; the plot closes when nothing is left."""
        if self._shown.pop(source, None) is None:
            return
        self._draw()
        if not self._shown and hasattr(self.viewer, "window") and self.widget.parent() is not None:
            self.viewer.window.remove_dock_widget(self.widget)

    def set_clock(self, clock: FrameClock | None) -> None:
        """Follow the frames of another video."""
        self.clock = clock
        self.follow()

    def follow(self, event: Any = None) -> None:
        """Put the cursor where the slider is."""
        if self.clock is not None:
            for plot in self._linked:
                plot.set_time(self.clock.time())

    def _go_to_time(self, seconds: float) -> None:
        if self.clock is not None:
            self.clock.go_to_time(seconds)

    def _draw(self) -> None:
        lanes = [lane for shown in self._shown.values() for lane in shown.lanes]
        shades = [shade for shown in self._shown.values() for shade in shown.shades]
        self.widget.set_lanes(lanes, shades)

    def _open(self) -> None:
        """Give the plot a dock of its own below the video, also after it was closed."""
        if hasattr(self.viewer, "window") and self.widget.parent() is None:
            self.viewer.window.add_dock_widget(self.widget, name="Traces", area="bottom")

    def _take_theme(self, event: Any = None) -> None:
        theme = get_theme(self.viewer.theme)
        for plot in self._linked:
            plot.set_colors(theme.canvas.as_hex(), theme.text.as_hex())
