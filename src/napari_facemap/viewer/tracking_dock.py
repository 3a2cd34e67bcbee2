"""Dock "Track keypoints": choose a video and a model, run, and review what was found."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Layer, Shapes
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QFrame,
    QGroupBox,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_facemap.viewer.choices import LayerChoice
from napari_facemap.viewer.dock_tab import DockTab
from napari_facemap.viewer.face_box import (
    add_face_box,
    box_of,
    face_box_of,
    found_face,
    show_face,
)
from napari_facemap.viewer.keypoint_layer import KeypointLayer, layer_data
from napari_facemap.viewer.layers import BOX_OF, OVERLAY, REGIONS_OF, bare, is_video, video_of
from napari_facemap.viewer.model_choice import ModelChoice
from napari_facemap.viewer.review_panel import ReviewPanel
from napari_facemap.viewer.rows import beside
from napari_facemap.viewer.run_row import RunRow
from napari_facemap.viewer.session import session_of

if TYPE_CHECKING:
    import napari
    import xarray as xr

    from napari_facemap.keypoints.finder import Face

DEVICES = ("auto", "cpu", "cuda", "mps")
AUTOMATIC, WHOLE_FRAME = "automatic", "whole frame"
EIGHT_BIT = "8-bit"
LOOKING = "Looking for the face …"


class TrackingDock(QWidget):
    """Tracks keypoints of a video layer off the window's thread.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Given by napari.
    """

    _face_found = Signal(object)  # by a run that goes on to track it

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.viewer = bare(viewer)
        DockTab(self)
        self.session = session_of(viewer)
        self._video: Layer | None = None  # of the run that goes on
        self.video = LayerChoice(viewer, is_video)
        self.model = ModelChoice(self.session)
        self.box = LayerChoice(viewer, _is_shapes, (AUTOMATIC, WHOLE_FRAME))
        self.device = QComboBox()
        self.precision = QComboBox()
        self.keep_edits = QCheckBox("Keep corrections when tracking again")
        self.run_row = RunRow("Track", "frames")
        self.review = ReviewPanel(viewer, self.session)
        self._build()
        self._on_video()

    def _build(self) -> None:
        self.setMinimumWidth(340)
        self.device.addItems(DEVICES)
        self.precision.addItems((AUTOMATIC, EIGHT_BIT))
        self.precision.setToolTip(
            "For models in Facemap's layout. 8-bit is about four times as fast without a GPU, and\n"
            "moves points a little: how much is said when it is done. Automatic takes it where\n"
            "they move by 0.1 pixels at most. The built-in model has 8 bits already."
        )
        self.keep_edits.setChecked(True)
        self.keep_edits.setToolTip(
            "On: new predictions go under your corrections.\n"
            "Off: they go to a layer of their own, and the corrected one stays."
        )
        self.draw_box = QPushButton("Draw box")
        self.draw_box.setToolTip("Add a rectangle to put around the face")
        self.draw_box.clicked.connect(self._on_draw_box)
        self.find_face = QPushButton("Find face")
        self.find_face.setToolTip("Find the face and put a rectangle around it, to look at first")
        self.find_face.clicked.connect(self._on_find_face)
        self.box.setToolTip(
            "Where to look: a rectangle of a Shapes layer, the whole frame,\n"
            "or around the face that is found when tracking starts."
        )

        group = QGroupBox("Track")
        form = QFormLayout(group)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Video", self.video)
        form.addRow("Model", self.model.with_button())
        form.addRow("Face", self.box)
        form.addRow("", beside(self.find_face, self.draw_box))
        form.addRow("Device", self.device)
        form.addRow("Precision", self.precision)
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
        self.run_row.finished.connect(self._on_finished)
        for button in (self.draw_box, self.find_face):
            self.run_row.busy.connect(button.setDisabled)
        self._face_found.connect(self._show_face)
        self.video.chosen.connect(self._on_video)
        self.model.listed.connect(self._on_models)
        self.model.failed.connect(self.run_row.show_error)

    # -- running ----------------------------------------------------------------------------------

    def _on_video(self) -> None:
        """Take the box of the video; that of another video is of no use."""
        own, chosen = face_box_of(self.viewer, self.video.layer), self.box.layer
        if own is not None:
            self.box.choose(own)
        elif chosen is not None and BOX_OF in chosen.metadata:
            self.box.choose(AUTOMATIC)

    def _chosen_video(self) -> Image | None:
        if isinstance(self.video.layer, Image):
            return self.video.layer
        self.run_row.show_error("Open a video first: drop the file on the window.")
        return None

    def _on_draw_box(self) -> None:
        layer = self._chosen_video()
        if layer is not None:
            self.box.choose(add_face_box(self.viewer, layer))

    def _on_find_face(self) -> None:
        self._video = layer = self._chosen_video()
        if layer is not None:
            self.run_row.start(partial(_find, video_of(layer), self._settings()), LOOKING)

    def _on_models(self, names: list[str]) -> None:
        if not names:
            self.run_row.show_error("No keypoint model found: choose a file with “…”.")

    def run(self) -> None:
        """Track the chosen video with what is chosen; find the face first where no box is."""
        layer = self._chosen_video()
        if layer is None:
            return
        shapes = self.box.layer
        try:
            box = box_of(shapes, layer)
        except ValueError as error:
            self.run_row.show_error(str(error))
            return
        self._video = layer
        run = (video_of(layer), self._settings())
        if box is not None:
            self.run_row.start(partial(_track, *run, box, found_face(shapes, layer)))
        elif self.box.choice == WHOLE_FRAME:
            self.run_row.start(partial(_track, *run, "whole", None))
        else:
            found = self._face_found.emit
            self.run_row.start(partial(_find_and_track, *run, found), LOOKING)

    def _settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = {
            "model": self.model.choice,
            "device": self.device.currentText(),
        }
        if self.precision.currentText() == EIGHT_BIT:
            settings["precision"] = EIGHT_BIT
        return settings

    def _show_face(self, face: Face) -> None:
        if self._video in self.viewer.layers:
            self.box.choose(show_face(self.viewer, self._video, face))

    def _on_finished(self, result: Face | xr.Dataset | None) -> None:
        if result is None:
            self.run_row.show_text("Cancelled while looking for the face.")
        elif isinstance(result, tuple):
            self._show_face(result)
            self.run_row.show_text(
                f"Face found in {result.share:.0%} of the frames looked at, facing "
                f"{result.facing}. Change the box if it is off, then Track."
            )
        else:
            self._on_tracked(result)

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
        what += f" {kept:,} corrections kept." if kept else ""
        self.run_row.show_text(what + _how(poses.attrs))

    def _show(self, poses: xr.Dataset, video: Layer | None, complete: bool) -> KeypointLayer:
        """Put new predictions under an earlier layer's corrections, or in a layer of their own.

        What a person corrected, and what an earlier run found, is never lost: a run that was
        cancelled does not take the place of one before.
        """
        from napari_facemap.keypoints.store import KeypointStore

        earlier = self._earlier(poses, video)
        if earlier is not None and complete and self.keep_edits.isChecked():
            earlier.set_store(earlier.store.with_predictions(poses))
            return earlier
        name = f"{video.name if video is not None else 'video'} keypoints"
        data, attributes, kind = layer_data(KeypointStore(poses), name)
        if video is not None:
            attributes |= {"scale": video.scale[-2:], "translate": video.translate[-2:]}
        keypoints = self.session.add_keypoints((data, attributes, kind))
        if video is not None:
            keypoints.clock.follow(video)
            keypoints.refresh(force=True)
        return keypoints

    def _earlier(self, poses: xr.Dataset, video: Layer | None) -> KeypointLayer | None:
        """Keypoint layer that was tracked from the same video before.

        Videos of two cameras may have one name and be as long.
        """
        for keypoints in reversed(self.session.keypoint_layers):
            attrs = keypoints.store.attrs
            same = attrs.get("video") == poses.attrs.get("video") is not None
            same &= keypoints.clock.followed in (None, video)
            if same and keypoints.store.n_frames == poses.sizes["time"]:
                return keypoints
        return None

    def closeEvent(self, event: Any) -> None:
        """Stop what is running and let go of the viewer."""
        self.run_row.stop()
        for choice in (self.video, self.box, self.model):
            choice.disconnect_viewer()
        self.review.disconnect_viewer()
        super().closeEvent(event)


# Work, off the window's thread. It imports PyTorch, which takes seconds.


def _track(
    video: Any, settings: dict[str, Any], box: Any, face: Face | None, progress: Any
) -> xr.Dataset:
    from napari_facemap.keypoints.tracking import track

    facing = face.facing if face is not None else None
    poses = track(video, box=box, facing=facing, progress=progress, **settings)
    if face is not None:
        poses.attrs |= {"box_found": 1, "face_found_in_share_of_frames": face.share}
    return poses


def _find(video: Any, settings: dict[str, Any], progress: Any) -> Face | None:
    """Find the face; None when the run was cancelled meanwhile."""
    from napari_facemap.keypoints.finder import NoFaceError, SearchStopped, find_face

    def go_on(*_looked: int) -> bool:
        return progress(0, video.shape[0])

    try:
        face = find_face(video, settings["model"], device=settings["device"], progress=go_on)
        return face if go_on() else None  # somebody may have cancelled at the last moment
    except SearchStopped:
        return None
    except NoFaceError as error:
        hint = "Here: “Draw box”, then drag the rectangle around the face."
        raise NoFaceError(f"{error} {hint}") from error


def _find_and_track(
    video: Any, settings: dict[str, Any], found: Callable[[Face], None], progress: Any
) -> xr.Dataset | None:
    face = _find(video, settings, progress)
    if face is None:
        return None
    found(face)
    return _track(video, settings, face.box, face, progress)


def _how(attrs: dict[str, Any]) -> str:
    """What computed the points, in words."""
    if "runtime" not in attrs:
        return ""
    how = f" Computed by {attrs['runtime']} on {attrs['device']} in {attrs['precision']}"
    if "deviation_p95" in attrs:
        how += f", which moves 95 % of points by less than {attrs['deviation_p95']:.2f} pixels"
    return f"{how}."


def _is_shapes(layer: Layer) -> bool:
    own = {REGIONS_OF, OVERLAY} & set(layer.metadata)
    return isinstance(layer, Shapes) and not own
