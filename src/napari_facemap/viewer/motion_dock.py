"""Dock "Motion and pupil": draw regions, measure in one pass over the video, look at the traces."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Layer
from qtpy.QtCore import QEvent, Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QFrame,
    QGroupBox,
    QPushButton,
    QScrollArea,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_facemap.movement.eyes import tell_of_eyes
from napari_facemap.viewer.cameras import CameraList, is_filmed
from napari_facemap.viewer.choices import LayerChoice
from napari_facemap.viewer.clock import FrameClock
from napari_facemap.viewer.dock_tab import DockTab
from napari_facemap.viewer.layers import (
    MOTION,
    OVERLAY,
    bare,
    frame_size,
    n_frames_of,
    store_of,
    times_of,
    video_of,
)
from napari_facemap.viewer.motion_layers import add_motion_energy
from napari_facemap.viewer.motion_results import MotionResults
from napari_facemap.viewer.pupil_overlay import (
    MEASURED,
    PREVIEW,
    PupilOverlay,
    PupilPreview,
    in_words,
    measured_at,
)
from napari_facemap.viewer.region_panel import RegionPanel
from napari_facemap.viewer.rows import beside
from napari_facemap.viewer.run_row import RunRow
from napari_facemap.viewer.session import session_of

if TYPE_CHECKING:
    import napari

    from napari_facemap.movement.results import MotionResult

NONE = "none"  # no keypoints
DEVICES = ("auto", "cpu", "cuda", "mps")


class MotionDock(QWidget):
    """Measures motion, pupils, blinks and running of a video layer off the window's thread.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Given by napari.
    """

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.viewer = bare(viewer)
        DockTab(self)
        self.session = session_of(viewer)
        self.video = LayerChoice(viewer, is_filmed)
        self.cameras = CameraList(viewer)
        self.keypoints = LayerChoice(viewer, _has_eyes, (NONE,))
        self.regions = RegionPanel(viewer)
        self.whole = QCheckBox("whole frame too")
        self.of_motion = QCheckBox("motion")
        self.of_movie = QCheckBox("movie")
        self.number = QSpinBox()
        self.bin = QSpinBox()
        self.device = QComboBox()
        self.energy = QPushButton("Motion energy layer")
        self.run_row = RunRow("Measure", "frames", after="Finding the components …")
        self.results = MotionResults(self.viewer, self.session.plot)
        self.pupil = PupilOverlay(viewer)
        self._preview: PupilPreview | None = None
        self._is_live = True  # pupils are fitted anew in the frame shown, not looked up
        self._adopted: tuple[MotionResult | None, Layer | None] = (None, None)
        self._measured: Layer | None = None  # the video of the run that goes on
        self._build()
        self._connect()
        self._on_video()
        self._adopt_results()

    # -- building ---------------------------------------------------------------------------------

    def _build(self) -> None:
        self.setMinimumWidth(340)
        self.keypoints.setToolTip("Tracked keypoints give eyelids, blinks and the pupil too")
        self.whole.setChecked(True)
        self.of_motion.setChecked(True)
        self.of_motion.setToolTip("Components of how much grey levels change")
        self.of_movie.setToolTip("Components of the frames themselves")
        self.number.setRange(1, 5000)
        self.number.setValue(500)
        self.bin.setRange(1, 16)
        self.bin.setValue(4)
        self.bin.setSuffix(" px")
        self.bin.setToolTip("Components are made of squares of so many pixels, averaged")
        self.device.addItems(DEVICES)
        self.energy.setToolTip("See each frame's change from the one before, as you step")
        what = QGroupBox("Video")
        form = QFormLayout(what)
        form.setVerticalSpacing(4)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Video", self.video)
        form.addRow("Other views", self.cameras)
        form.addRow("Keypoints", self.keypoints)
        form.addRow(self.energy)
        self._what = form
        how = QGroupBox("Measure")
        form = QFormLayout(how)
        form.setVerticalSpacing(4)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Motion of", self.whole)
        form.addRow("Components of", beside(self.of_motion, self.of_movie))
        form.addRow("How many", self.number)
        form.addRow("Bin", self.bin)
        form.addRow("Device", self.device)
        form.addRow(self.run_row)
        content = QWidget()
        column = QVBoxLayout(content)
        column.setAlignment(Qt.AlignmentFlag.AlignTop)
        for part in (what, self.regions, how, self.results):
            column.addWidget(part)
        scroll = QScrollArea()  # so that the dock never makes a small screen's window larger
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(content)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(scroll)
        if not hasattr(self.viewer, "window"):
            layout.addWidget(self.session.plot.widget)

    def _connect(self) -> None:
        self.video.chosen.connect(self._on_video)
        self.cameras.itemChanged.connect(self._on_cameras)
        self.energy.clicked.connect(self._on_energy)
        self.regions.changed.connect(self._on_regions)
        for panel in (self.regions, self.results):
            panel.said.connect(self._say)
        self.run_row.run.clicked.connect(self.run)
        self.run_row.finished.connect(self._on_finished)
        for box in (self.of_motion, self.of_movie):
            box.toggled.connect(self._on_components)
        self._follow_viewer()

    def _follow_viewer(self) -> None:
        for name in ("inserted", "removed"):
            events = self.viewer.layers.events
            getattr(events, name).connect(self._on_layers, position="last")
        self.viewer.dims.events.current_step.connect(self.follow, position="last")

    def _say(self, text: str, wrong: bool) -> None:
        (self.run_row.show_error if wrong else self.run_row.show_text)(text)

    def _on_components(self, _: bool = False) -> None:
        wanted = self.of_motion.isChecked() or self.of_movie.isChecked()
        self.number.setEnabled(wanted)
        self.bin.setEnabled(wanted)

    # -- videos -------------------------------------------------------------------------------------

    @property
    def chosen(self) -> Image | None:
        """The video layer that is chosen."""
        layer = self.video.layer
        return layer if isinstance(layer, Image) else None

    def _on_video(self) -> None:
        self._list_cameras()
        video = self.chosen
        self.regions.set_video(video)
        self.energy.setEnabled(video is not None)
        if video is not None:
            self._choose_keypoints(video)
            self.session.plot.set_clock(FrameClock(self.viewer, times_of(video), video))

    def _choose_keypoints(self, video: Image) -> None:
        """Take keypoints of this video, where there are some."""
        found = [self.session.keypoints_of(x) for x in self.viewer.layers if _has_eyes(x)]
        fitting = [k.layer for k in found if k is not None and k.clock.may_be_of(video)]
        if self.keypoints.layer not in fitting:
            self.keypoints.choose(fitting[-1] if fitting else NONE)

    def _on_cameras(self, _: Any = None) -> None:
        self.regions.others = self.cameras.checked

    def _list_cameras(self) -> None:
        self.cameras.refresh(self.chosen)
        self._what.setRowVisible(self.cameras, self.cameras.count() > 0)
        self._on_cameras()

    def _on_layers(self, event: Any) -> None:
        if OVERLAY in event.value.metadata:  # our own, of what is known already
            return
        self._list_cameras()
        self.regions.refresh()
        if self.chosen is not None and self.keypoints.layer is None:
            self._choose_keypoints(self.chosen)
        self._adopt_results()

    def _on_energy(self) -> None:
        if self.chosen is not None:
            add_motion_energy(self.viewer, self.chosen)

    # -- pupils -------------------------------------------------------------------------------------

    def _on_regions(self) -> None:
        """Fit pupils anew in the frame that is shown: a person looks for the right threshold."""
        self._preview, self._is_live = None, True
        self.follow()

    def follow(self, event: Any = None) -> None:
        """Draw the pupils of the frame that is shown."""
        video = self.chosen
        if video is None:
            return
        try:
            fits = self._fits(video)
        except ValueError as error:
            self.regions.fit.setText(" ".join(str(error).split()))
            self.pupil.clear()
            return
        self.pupil.show(list(fits.values()), video, PREVIEW if self._is_live else MEASURED)
        how = "" if self._is_live else "  (measured)"
        self.regions.fit.setText("\n".join(in_words(n, fit) + how for n, fit in fits.items()))

    def _fits(self, video: Image) -> dict[str, Any]:
        frame = FrameClock(self.viewer, times_of(video), video).frame()
        if not self._is_live and self.results.result is not None:
            return measured_at(self.results.result.traces, frame)
        if self._preview is None:
            own = [region for region in self.regions.found() if region.view == 0]
            self._preview = PupilPreview(own, frame_size(video))
        if not self._preview.measures:
            return {}
        return self._preview.fit(np.asarray(video_of(video)[frame]))

    # -- running ------------------------------------------------------------------------------------

    def run(self) -> None:
        """Measure the chosen video in what is drawn."""
        video = self.chosen
        if video is None:
            self.run_row.show_error("Open a video first: drop the file on the window.")
            return
        try:
            regions = self.regions.found()
        except ValueError as error:
            self.run_row.show_error(" ".join(str(error).split()))
            return
        sources = [
            name for name, box in (("motion", self.of_motion), ("movie", self.of_movie))
            if box.isChecked()
        ]  # fmt: skip
        store = store_of(self.keypoints.layer)
        settings = {
            "components": self.number.value() if sources else 0,
            "sources": sources or ["motion"],
            "bin": self.bin.value(),
            "whole": self.whole.isChecked(),
            "device": self.device.currentText(),
        }
        if store is not None:
            settings["poses"] = store.to_poses()
        self._measured = video
        videos = [video_of(view) for view in self.regions.views]
        self.run_row.start(partial(_measure, videos, regions, settings))

    def _on_finished(self, result: MotionResult) -> None:
        attrs = result.traces.attrs
        if not attrs["frames_measured"]:
            self.run_row.show_text("Cancelled before the first frames were measured.")
            return
        self.show_result(result, self._measured)
        n = attrs["frames_measured"]
        if attrs["complete"]:
            self.run_row.show_text(f"Measured {n:,} frames{_blinks_in_words(result)}.")
        else:
            self.run_row.show_text(
                f"Cancelled: {n:,} of {attrs['video_frames']:,} frames are done."
            )

    def show_result(self, result: MotionResult, video: Layer | None = None) -> None:
        """Plot a result, and draw its pupils on its video.

        Parameters
        ----------
        result : MotionResult
            What was measured or read.
        video : Image, optional
            Its video layer; one of as many frames is taken where it is not given.
        """
        n = result.traces.sizes.get("time", 0)
        if video is None or video not in self.viewer.layers:
            video = self._video_of_length(n)
        if video is not None:
            self.video.choose(video)
            if not result.traces.attrs.get("times_known", 1):  # Facemap keeps none
                timed = result.traces.assign_coords(time=times_of(video))
                result = replace(result, traces=timed.assign_attrs(times_known=1))
        self._is_live = video is None
        if n:
            self.session.motion = result
            times = result.traces["time"].values
            self.session.plot.set_clock(FrameClock(self.viewer, times, video))
            self.results.show_result(result, self.regions.views if video is not None else [])
        self.follow()

    def _video_of_length(self, n: int) -> Layer | None:
        for layer in self.viewer.layers:
            if is_filmed(layer) and n_frames_of(layer) == n:
                return layer
        return None

    def _adopt_results(self) -> None:
        """Show what a file brought along in a layer, once its video is there or without it."""
        for layer in reversed(self.viewer.layers):
            result = layer.metadata.get(MOTION)
            if result is None:
                continue
            video = self._video_of_length(result.traces.sizes.get("time", 0))
            if self._adopted != (result, video):
                self._adopted = (result, video)
                self.show_result(result)
            return

    # -- leaving ------------------------------------------------------------------------------------

    def event(self, event: Any) -> bool:
        """Take the plot along, and stop listening, when napari takes this out of its dock."""
        done = super().event(event)
        if event.type() == QEvent.Type.ParentChange:
            self._leave_viewer()
            if self.parent() is None:
                self.results.clear()
                self.pupil.clear()
            else:
                self._follow_viewer()
        return done

    def _leave_viewer(self) -> None:
        for name in ("inserted", "removed"):
            getattr(self.viewer.layers.events, name).disconnect(self._on_layers)
        self.viewer.dims.events.current_step.disconnect(self.follow)

    def closeEvent(self, event: Any) -> None:
        """Stop what is running and let go of the viewer."""
        self.run_row.stop()
        for choice in (self.video, self.keypoints):
            choice.disconnect_viewer()
        self.regions.disconnect_layer()
        self._leave_viewer()
        super().closeEvent(event)


def _blinks_in_words(result: MotionResult) -> str:
    """How many blinks were found, where something tells of them."""
    if "blink_event_start" not in result.traces:
        return ""
    n = len(result.blinks)
    return f", {n} blink{'' if n == 1 else 's'}"


def _measure(videos: list[Any], regions: Any, settings: dict[str, Any], progress: Any) -> Any:
    from napari_facemap.movement.analysis import motion

    return motion(videos, regions, progress=progress, **settings)


def _has_eyes(layer: Layer) -> bool:
    store = store_of(layer)
    return store is not None and tell_of_eyes(store.keypoints)
