"""Dock "Label and refine": frames to label, their labels, the skeleton, and what follows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import QFrame, QScrollArea, QTabWidget, QVBoxLayout, QWidget

from napari_facemap.viewer.clean_panel import CleanPanel
from napari_facemap.viewer.dock_tab import DockTab
from napari_facemap.viewer.focus import leave_keys_to_picture
from napari_facemap.viewer.keypoint_panel import KeypointPanel
from napari_facemap.viewer.label_project_panel import LabelProjectPanel
from napari_facemap.viewer.layers import bare
from napari_facemap.viewer.models_panel import ModelsPanel
from napari_facemap.viewer.propagate_panel import PropagatePanel
from napari_facemap.viewer.refine_panel import RefinePanel
from napari_facemap.viewer.review_panel import ReviewPanel
from napari_facemap.viewer.session import session_of
from napari_facemap.viewer.skeleton_panel import SkeletonPanel
from napari_facemap.viewer.suggestion_panel import SuggestionPanel

if TYPE_CHECKING:
    import napari


class LabelDock(QWidget):
    """Labels frames of videos into a project, and makes a tracker of them.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Given by napari.
    """

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.viewer = bare(viewer)
        DockTab(self)
        self.session = session = session_of(viewer)
        self.project = LabelProjectPanel(self.viewer, session)
        self.frames = SuggestionPanel(self.viewer, session)
        self.keypoints = KeypointPanel(self.viewer, session)
        self.review = ReviewPanel(self.viewer, session)
        self.skeleton = SkeletonPanel(self.viewer, session)
        self.propagate = PropagatePanel(self.viewer, session)
        self.clean = CleanPanel(self.viewer, session)
        self.refine = RefinePanel(self.viewer, session)
        self.models = ModelsPanel(self.viewer, session)
        self.tabs = QTabWidget()
        self._following = True
        self._build()

    def _build(self) -> None:
        self.tabs.addTab(_Scrolled(self.frames, self.keypoints, self.review), "Label")
        self.tabs.addTab(_Scrolled(self.skeleton), "Skeleton")
        self.tabs.addTab(_Scrolled(self.propagate, self.clean), "Propagate")
        self.tabs.addTab(_Scrolled(self.refine, self.models), "Fine-tune")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 6, 0, 0)
        layout.addWidget(self.project)
        layout.addWidget(self.tabs, stretch=1)
        for panel in (self.frames, self.keypoints):
            leave_keys_to_picture(panel)

    @property
    def panels(self) -> tuple[Any, ...]:
        """All panels, each of which follows the viewer."""
        label = (self.project, self.frames, self.keypoints, self.review, self.skeleton)
        return (*label, self.propagate, self.clean, self.refine, self.models)

    def closeEvent(self, event: Any) -> None:
        """Stop what is running and let go of the viewer; the project stays open."""
        if self._following:  # napari may close a dock twice
            self._following = False
            for panel in self.panels:
                panel.disconnect_viewer()
        super().closeEvent(event)


class _Scrolled(QScrollArea):
    """Panels below each other: as narrow as they can be, and as high as there is room.

    So the dock never makes a small screen's window higher, and leaves its width to the picture.
    """

    def __init__(self, *panels: QWidget) -> None:
        super().__init__()
        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(2, 8, 2, 2)
        column.setAlignment(Qt.AlignmentFlag.AlignTop)
        for panel in panels:
            column.addWidget(panel)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWidget(content)

    def minimumSizeHint(self) -> QSize:
        """Width of the widest panel."""
        content, bar = self.widget(), self.verticalScrollBar()
        width = (content.minimumSizeHint().width() if content is not None else 0) + (
            bar.sizeHint().width() if bar is not None else 0
        )
        return QSize(width, super().minimumSizeHint().height())

    def sizeHint(self) -> QSize:
        """No wider than it must be."""
        return QSize(self.minimumSizeHint().width(), super().sizeHint().height())
