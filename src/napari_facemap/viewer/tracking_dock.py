"""Dock "Track keypoints": choose a video and a model, run, and review what was found."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Layer, Shapes
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QFrame,
    QGroupBox,
    QHBoxLayout,
    QPushButton,
    QScrollArea,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_facemap.viewer.choices import LayerChoice
from napari_facemap.viewer.face_box import add_face_box, box_of
from napari_facemap.viewer.keypoint_layer import KeypointLayer, layer_data
from napari_facemap.viewer.layers import bare, is_video, video_of
from napari_facemap.viewer.review_panel import ReviewPanel
from napari_facemap.viewer.run_row import RunRow
from napari_facemap.viewer.session import session_of
from napari_facemap.viewer.tasks import Task

if TYPE_CHECKING:
    import napari
    import xarray as xr

DEVICES = ("auto", "cpu", "cuda", "mps")


class TrackingDock(QWidget):
    """Tracks keypoints of a video layer off the window's thread.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Given by napari.
    """

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.viewer = bare(viewer)
        self.session = session_of(viewer)
        self._video: Layer | None = None  # of the run that goes on
        self._models_task: Task | None = None
        self.video = LayerChoice(viewer, is_video)
        self.model = QComboBox()
        self.box = LayerChoice(viewer, _is_shapes, none="whole frame")
        self.device = QComboBox()
        self.keep_edits = QCheckBox("Keep corrections when tracking again")
        self.run_row = RunRow("Track", "frames")
        self.review = ReviewPanel(viewer, self.session)
        self._build()
        self._load_models()

    def _build(self) -> None:
        self.setMinimumWidth(340)
        self.device.addItems(DEVICES)
        self.keep_edits.setChecked(True)
        self.keep_edits.setToolTip(
            "On: new predictions go under your corrections.\n"
            "Off: they go to a layer of their own, and the corrected one stays."
        )
        self.draw_box = QPushButton("Draw box")
        self.draw_box.setToolTip("Add a rectangle to put around the face")
        self.draw_box.clicked.connect(self._on_draw_box)
        self.other_model = QToolButton()
        self.other_model.setText("…")
        self.other_model.setToolTip("Use a model file (.safetensors, or Facemap's .pt)")
        self.other_model.clicked.connect(self._on_other_model)

        group = QGroupBox("Track")
        form = QFormLayout(group)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Video", self.video)
        form.addRow("Model", _row(self.model, self.other_model))
        form.addRow("Face", _row(self.box, self.draw_box))
        form.addRow("Device", self.device)
        form.addRow(self.keep_edits)
        form.addRow(self.run_row)
        content = QWidget()
        column = QVBoxLayout(content)
        column.setAlignment(Qt.AlignmentFlag.AlignTop)
        column.addWidget(group)
        column.addWidget(self.review)
        scroll = QScrollArea()  # so that the dock never makes a small screen's window larger
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(content)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(scroll)
        self.run_row.run.clicked.connect(self.run)
        self.run_row.finished.connect(self._on_tracked)

    # -- models ---------------------------------------------------------------------------------

    def _load_models(self) -> None:
        """List the models beside the window: it imports PyTorch, which takes seconds."""
        self.model.addItem("looking …")
        self.model.setEnabled(False)
        self._models_task = Task(_list_models, self)
        self._models_task.finished.connect(self._on_models)
        self._models_task.failed.connect(self.run_row.show_error)
        self._models_task.start()

    def _on_models(self, names: list[str]) -> None:
        self.model.clear()
        self.model.addItems(names)
        self.model.setEnabled(True)
        if not names:
            self.run_row.show_error("No keypoint model found: choose a file with “…”.")

    def _on_other_model(self) -> None:
        path, _ = QFileDialog.getOpenFileName(
            self, "Keypoint model", "", "Keypoint models (*.safetensors *.pt *.pth)"
        )
        if path:
            self.model.addItem(path)
            self.model.setCurrentIndex(self.model.count() - 1)
            self.model.setEnabled(True)

    # -- running ----------------------------------------------------------------------------------

    def _on_draw_box(self) -> None:
        if not isinstance(self.video.layer, Image):
            self.run_row.show_error("Open a video first: drop the file on the window.")
            return
        self.box.choose(add_face_box(self.viewer, self.video.layer))

    def run(self) -> None:
        """Track the chosen video with what is chosen."""
        layer = self.video.layer
        if not isinstance(layer, Image):
            self.run_row.show_error("Open a video first: drop the file on the window.")
            return
        try:
            box = box_of(self.box.layer, layer)
        except ValueError as error:
            self.run_row.show_error(str(error))
            return
        self._video = layer
        model = self.model.currentText() if self.model.isEnabled() else None
        self.run_row.start(
            partial(_track, video_of(layer), model or None, box, self.device.currentText())
        )

    def _on_tracked(self, poses: xr.Dataset) -> None:
        video, self._video = self._video, None
        complete = bool(poses.attrs.get("complete", 1))
        done = int(poses.attrs.get("frames_tracked", poses.sizes["time"]))
        if not done:
            self.run_row.show_text("Cancelled before the first frames were done.")
            return
        keypoints = self._show(poses, video, complete)
        self.viewer.layers.selection.active = keypoints.layer
        keypoints.layer.mode = "select"
        what = f"Tracked {done:,} frames." if complete else f"Cancelled: {done:,} frames are done."
        kept = keypoints.store.n_edits
        self.run_row.show_text(what + (f" {kept:,} corrections kept." if kept else ""))

    def _show(self, poses: xr.Dataset, video: Layer | None, complete: bool) -> KeypointLayer:
        """Put new predictions under an earlier layer's corrections, or in a layer of their own.

        What a person corrected, and what an earlier run found, is never lost: a run that was
        cancelled does not take the place of one before.
        """
        from napari_facemap.keypoints.store import KeypointStore

        earlier = self._earlier(poses)
        if earlier is not None and complete and self.keep_edits.isChecked():
            earlier.set_store(earlier.store.with_predictions(poses))
            return earlier
        name = f"{video.name if video is not None else 'video'} keypoints"
        data, attributes, kind = layer_data(KeypointStore(poses), name)
        if video is not None:
            attributes |= {"scale": video.scale[-2:], "translate": video.translate[-2:]}
        return self.session.add_keypoints((data, attributes, kind))

    def _earlier(self, poses: xr.Dataset) -> KeypointLayer | None:
        """Keypoint layer that was tracked from the same video before."""
        for keypoints in reversed(self.session.keypoint_layers):
            attrs = keypoints.store.attrs
            same = attrs.get("video") == poses.attrs.get("video") is not None
            if same and keypoints.store.n_frames == poses.sizes["time"]:
                return keypoints
        return None

    def closeEvent(self, event: Any) -> None:
        """Stop what is running and let go of the viewer."""
        self.run_row.stop()
        for choice in (self.video, self.box):
            choice.disconnect_viewer()
        self.review.disconnect_viewer()
        super().closeEvent(event)


def _track(video: Any, model: str | None, box: Any, device: str, progress: Any) -> xr.Dataset:
    from napari_facemap.keypoints.tracking import track

    return track(video, model=model, box=box, device=device, progress=progress)


def _list_models(progress: Any) -> list[str]:
    from napari_facemap.keypoints.models import list_models

    return list_models()


def _is_shapes(layer: Layer) -> bool:
    return isinstance(layer, Shapes)


def _row(*widgets: QWidget) -> QWidget:
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.addWidget(widgets[0], stretch=1)
    for widget in widgets[1:]:
        layout.addWidget(widget)
    return row
