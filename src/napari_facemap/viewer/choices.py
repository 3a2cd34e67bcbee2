"""A list of layers to choose from, which follows the viewer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari.layers import Layer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QWidget

from napari_facemap.viewer.layers import bare


class LayerChoice(QComboBox):
    """Combo box of the layers that pass a test.

    Parameters
    ----------
    viewer : napari viewer
        Whose layers.
    accepts : callable
        Called with a layer; whether it can be chosen.
    none : str, optional
        Text of a first choice that is no layer. Without it the list is all layers.
    parent : QWidget, optional
        Qt parent.
    """

    chosen = Signal()
    """Another layer, or none, is chosen now."""

    def __init__(
        self,
        viewer: Any,
        accepts: Callable[[Layer], bool],
        none: str | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._accepts, self._none = bare(viewer), accepts, none
        self._layers: list[Layer | None] = []
        # A long file name shall not widen the dock.
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(12)
        for event in ("inserted", "removed", "reordered"):
            getattr(self._viewer.layers.events, event).connect(self.refresh, position="last")
        self.currentIndexChanged.connect(self._on_index)
        self.refresh()

    @property
    def layer(self) -> Layer | None:
        """The chosen layer."""
        index = self.currentIndex()
        return self._layers[index] if 0 <= index < len(self._layers) else None

    def choose(self, layer: Layer | None) -> None:
        """Choose a layer of the list."""
        self.setCurrentIndex(self._layers.index(bare(layer)))

    def refresh(self, event: Any = None) -> None:
        """Take the layers anew and keep the choice, if it is still there."""
        before = self.layer
        found = [layer for layer in self._viewer.layers if self._accepts(layer)]
        first = [] if self._none is None else [None]
        self.blockSignals(True)
        self.clear()
        self._layers = [*first, *found]
        self.addItems([self._none or ""] * len(first) + [layer.name for layer in found])
        if before in self._layers:
            self.setCurrentIndex(self._layers.index(before))
        self.blockSignals(False)
        if self.layer is not before:
            self.chosen.emit()

    def showPopup(self) -> None:
        """Open the list, with the names as they are now."""
        self.refresh()
        super().showPopup()

    def disconnect_viewer(self) -> None:
        """Let go of the viewer."""
        for event in ("inserted", "removed", "reordered"):
            getattr(self._viewer.layers.events, event).disconnect(self.refresh)

    def _on_index(self, index: int) -> None:
        self.chosen.emit()
