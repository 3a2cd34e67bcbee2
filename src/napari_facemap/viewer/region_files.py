"""Regions from files and from other videos, and to files."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Layer
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QMenu, QPushButton, QWidget

from napari_facemap.movement.alignment import TRUSTED
from napari_facemap.movement.regions import Regions
from napari_facemap.viewer.cameras import is_filmed
from napari_facemap.viewer.layers import frame_size, video_of
from napari_facemap.viewer.region_layer import has_regions, region_layer_of, regions_in
from napari_facemap.viewer.tasks import Task

if TYPE_CHECKING:
    from napari_facemap.viewer.region_panel import RegionPanel

_FILES = "Regions (*.json *.csv)"
_SAVED = "Regions (*.json)"


class RegionFiles(QWidget):
    """Buttons that bring regions to a panel's video, and save them.

    Parameters
    ----------
    panel : RegionPanel
        Whose regions.
    """

    def __init__(self, panel: RegionPanel) -> None:
        super().__init__(panel)
        self.panel = panel
        self.load = QPushButton("Load…")
        self.align = QPushButton("From video…")
        self.save = QPushButton("Save…")
        self._task: Task | None = None
        self.align.setToolTip("Take another video's regions, moved as the camera was")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for button, clicked in (
            (self.load, self._on_load),
            (self.align, self._on_align),
            (self.save, self._on_save),
        ):
            button.clicked.connect(clicked)
            layout.addWidget(button)

    def _on_load(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Load regions", "", _FILES)
        if path:
            self.load_file(path)

    def load_file(self, path: str) -> None:
        """Add the regions of a file, stretched to the frames of the video and its other views."""
        from napari_facemap.files.regions import read_regions

        if self.panel.video is None:
            self.panel.said.emit("Open the video first that the regions are for.", True)
            return
        sizes = [frame_size(video) for video in self.panel.views]
        try:
            found = read_regions(path, sizes[0])
            usable = [r for r in found if r.view < len(sizes)]
            fitted = Regions(tuple(usable), found.sizes).fitted_to(sizes)
        except (ValueError, OSError) as error:
            self.panel.said.emit(" ".join(str(error).split()), True)
            return
        for view, video in enumerate(self.panel.views):
            own = [region for region in fitted if region.view == view]
            if own:
                self.panel.add(video, own)
        text = f"{len(fitted)} regions of {Path(path).name}."
        if found.sizes[: len(sizes)] != tuple(sizes[: len(found.sizes)]):
            text += " They were drawn on frames of another size and are stretched: look at them."
        if len(found) > len(usable):
            text += f" {len(found) - len(usable)} of other cameras are left out."
        self.panel.said.emit(text, False)

    def _on_align(self) -> None:
        """Let the person choose among the other videos with regions."""
        menu = QMenu(self)
        for layer in self.panel.viewer.layers:
            if (
                is_filmed(layer)
                and layer is not self.panel.video
                and has_regions(self.panel.viewer, layer)
            ):
                menu.addAction(layer.name, partial(self.align_to, layer))
        if menu.isEmpty() or self.panel.video is None:
            self.panel.said.emit("Open another video with regions first, beside this one.", True)
            return
        menu.exec(self.align.mapToGlobal(self.align.rect().bottomLeft()))

    def align_to(self, other: Layer) -> None:
        """Add the regions of another video, moved to where their places are in this one."""
        if self.panel.video is None or self._task is not None:
            return
        shapes = region_layer_of(self.panel.viewer, other)
        regions = regions_in([shapes], [frame_size(other)])
        work = partial(_aligned, regions, video_of(other), video_of(self.panel.video))
        self.panel.said.emit("Looking where the regions are in this video …", False)
        self._task = Task(work, self)
        self._task.finished.connect(partial(self._on_aligned, self.panel.video))
        self._task.failed.connect(self._on_not_aligned)
        self._task.start()

    def _on_aligned(self, video: Image, found: tuple[Regions, list[float]]) -> None:
        self._task = None
        regions, (quality,) = found
        if video not in self.panel.viewer.layers:
            return
        self.panel.add(video, tuple(regions))
        text = f"{len(regions)} regions, moved as the camera was (agreement {quality:.2f})."
        if quality < TRUSTED:
            text = "The two videos look too different: the regions are only stretched. Move them."
        self.panel.said.emit(text, quality < TRUSTED)

    def _on_not_aligned(self, text: str) -> None:
        self._task = None
        self.panel.said.emit(text, True)

    def _on_save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save regions", "regions.json", _SAVED)
        if path:
            self.save_file(path)

    def save_file(self, path: str) -> None:
        """Write the regions of all views as JSON."""
        from napari_facemap.files.regions import write_regions

        try:
            written = write_regions(self.panel.found(), Path(path).with_suffix(".json"))
        except (ValueError, OSError) as error:
            self.panel.said.emit(" ".join(str(error).split()), True)
            return
        self.panel.said.emit(f"Saved {written}.", False)


def _aligned(regions: Regions, old: Any, new: Any, progress: Any) -> Any:
    from napari_facemap.movement.alignment import align_regions

    return align_regions(regions, old, new)
