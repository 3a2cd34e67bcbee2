"""A list of layers to choose from, which follows the viewer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    others : sequence of str
        First choices that are no layer.
    parent : QWidget, optional
        Qt parent.
    """

    chosen = Signal()
    """Something else is chosen now."""

    def __init__(
        self,
        viewer: Any,
        accepts: Callable[[Layer], bool],
        others: Sequence[str] = (),
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._accepts, self._others = bare(viewer), accepts, tuple(others)
        self._choices: list[Layer | str] = []
        # A long file name shall not widen the dock.
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(12)
        for event in ("inserted", "removed", "reordered"):
            getattr(self._viewer.layers.events, event).connect(self.refresh, position="last")
        self.currentIndexChanged.connect(self._on_index)
        self.refresh()

    @property
    def choice(self) -> Layer | str | None:
        """The chosen layer, the chosen one of `others`, or None in an empty list."""
        index = self.currentIndex()
        return self._choices[index] if 0 <= index < len(self._choices) else None

    @property
    def layer(self) -> Layer | None:
        """The chosen layer."""
        choice = self.choice
        return None if isinstance(choice, str) else choice

    def choose(self, choice: Layer | str) -> None:
        """Choose a layer of the viewer, or one of `others`."""
        if bare(choice) not in self._choices:
            self.refresh()  # a dock that was closed no longer follows the viewer
        self.setCurrentIndex(self._choices.index(bare(choice)))

    def refresh(self, event: Any = None) -> None:
        """Take the layers anew and keep the choice, if it is still there."""
        before = self.choice
        found = [layer for layer in self._viewer.layers if self._accepts(layer)]
        self.blockSignals(True)
        self.clear()
        self._choices = [*self._others, *found]
        self.addItems([*self._others, *(layer.name for layer in found)])
        if before in self._choices:
            self.setCurrentIndex(self._choices.index(before))
        self.blockSignals(False)
        if self.choice is not before:
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
