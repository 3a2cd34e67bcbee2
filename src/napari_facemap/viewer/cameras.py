"""A list of videos that other cameras took of the same frames."""

from __future__ import annotations

from typing import Any

from napari.layers import Image, Layer
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QListWidget, QListWidgetItem, QWidget

from napari_facemap.viewer.layers import OVERLAY, bare, is_video, n_frames_of

_CHECKED = Qt.CheckState.Checked


class CameraList(QListWidget):
    """Offers the videos with as many frames as a chosen one, to be checked.

    Parameters
    ----------
    viewer : napari viewer
        Whose layers.
    """

    def __init__(self, viewer: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = bare(viewer)
        self._layers: list[Image] = []
        self.setMaximumHeight(56)
        self.setToolTip("Videos of the same frames by other cameras, measured with it")

    @property
    def checked(self) -> list[Image]:
        """Those that a person chose."""
        layers = enumerate(self._layers)
        return [layer for k, layer in layers if self.item(k).checkState() == _CHECKED]

    def refresh(self, video: Layer | None) -> None:
        """List what goes with a video, and keep what is checked."""
        before = self.checked
        self._layers = [
            layer
            for layer in self._viewer.layers
            if video is not None
            and layer is not video
            and is_filmed(layer)
            and n_frames_of(layer) == n_frames_of(video)
        ]
        self.blockSignals(True)
        self.clear()
        for layer in self._layers:
            item = QListWidgetItem(layer.name)
            item.setCheckState(_CHECKED if layer in before else Qt.CheckState.Unchecked)
            self.addItem(item)
        self.blockSignals(False)


def is_filmed(layer: Layer) -> bool:
    """Whether a layer is a video and nothing that we computed."""
    return is_video(layer) and OVERLAY not in layer.metadata
