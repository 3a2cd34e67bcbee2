"""Dock "Neural encoder": predict neural activity from the face, and see it beside the data."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.layers import Layer
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_facemap.neural.behavior import TRACES, groups_there
from napari_facemap.viewer import encoder_work
from napari_facemap.viewer.choices import LayerChoice
from napari_facemap.viewer.dock_tab import DockTab
from napari_facemap.viewer.encoder_choice import EncoderChoice
from napari_facemap.viewer.encoder_views import EncoderViews
from napari_facemap.viewer.feature_choice import FeatureChoice
from napari_facemap.viewer.fit_curve import FitCurve
from napari_facemap.viewer.layers import bare, recordings_of, store_of
from napari_facemap.viewer.movie_clock import add_on_clock, is_movie
from napari_facemap.viewer.recording_dialog import RecordingDialog
from napari_facemap.viewer.rows import beside
from napari_facemap.viewer.run_row import RunRow
from napari_facemap.viewer.session import session_of
from napari_facemap.viewer.tasks import one_line
from napari_facemap.viewer.trace_list import TraceList

if TYPE_CHECKING:
    import napari
    import xarray as xr

    from napari_facemap.neural.recording import Recording

_SOURCE = "neurons"  # of lanes in the plot
_ENCODER_FILES = "Neural encoders (*.safetensors)"
_TRACE_FILES = "Traces (*.csv *.tsv)"
_PREDICTION_FILES = "Predictions (*.nc)"


class EncoderDock(QWidget):
    """Fits an encoder from a keypoint layer to a recording and plots what it predicts.

    The plot has a dock of its own below the video.

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
        self.encoder: Any = None
        self.other_traces: xr.Dataset | None = None
        self.prediction: xr.Dataset | None = None
        self._opened: list[Recording] = []
        self._recordings: list[Recording] = []
        self.activity = QComboBox()
        self.behavior = LayerChoice(viewer, _has_keypoints)
        self.features = FeatureChoice()
        self.model = EncoderChoice()
        self.run_row = RunRow("Fit", "steps")
        self.report_row = RunRow("Save report…", "parts")
        self.curve = FitCurve()
        self.listed = TraceList()
        self.half_window = QDoubleSpinBox()
        self.traces = self.session.plot
        self.plot = self.traces.widget
        self.views = EncoderViews(viewer, self.traces)
        self.movie = LayerChoice(viewer, is_movie)
        self._build()
        self._connect()
        self._refresh_recordings()
        self._refresh_buttons()

    # -- building ---------------------------------------------------------------------------------

    def _build(self) -> None:
        self.half_window.setRange(0.5, 36_000)
        self.half_window.setValue(15)
        self.half_window.setPrefix("± ")
        self.half_window.setSuffix(" s")
        self.open_activity = QPushButton("Open…")
        self.open_traces = QPushButton("Traces…")
        self.open_traces.setToolTip(
            "Open other behaviour: a table (.csv, .tsv) with a column of seconds named time"
        )
        self.save_encoder = QPushButton("Save encoder…")
        self.load_encoder = QPushButton("Load encoder…")
        self.save_predictions = QPushButton("Save predictions…")
        self.show_movie = QPushButton("On the video's clock")
        self.movie.setToolTip(
            "The imaging movie that the recording comes from, one frame a sample; "
            "shown beside the video, it steps with the slider"
        )
        form = QFormLayout()
        form.setVerticalSpacing(4)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("Activity", beside(self.activity, self.open_activity))
        form.addRow("Behaviour", self.behavior)
        form.addRow("Features", beside(self.features, self.open_traces))
        self.model.add_to(form)
        form.addRow(self.run_row)
        form.addRow(self.curve)
        form.addRow("Traces", self.listed)
        form.addRow("Window", self.half_window)
        form.addRow(self.views)
        form.addRow("Movie", beside(self.movie, self.show_movie))
        form.addRow(beside(self.load_encoder, self.save_encoder, self.save_predictions))
        form.addRow(self.report_row)
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        if not hasattr(self.viewer, "window"):
            layout.addWidget(self.plot)

    def _connect(self) -> None:
        self.open_activity.clicked.connect(self._on_open)
        self.open_traces.clicked.connect(
            partial(self._open, "Open traces", _TRACE_FILES, self._open_traces)
        )
        self.run_row.run.clicked.connect(self.fit)
        self.run_row.finished.connect(self._on_done)
        self.load_encoder.clicked.connect(
            partial(self._open, "Load encoder", _ENCODER_FILES, self._load)
        )
        self.save_encoder.clicked.connect(
            partial(
                self._save,
                "Save encoder",
                "encoder.safetensors",
                _ENCODER_FILES,
                self._save_encoder,
            )
        )
        self.save_predictions.clicked.connect(
            partial(
                self._save,
                "Save predictions",
                "predictions.nc",
                _PREDICTION_FILES,
                self._save_predictions,
            )
        )
        self.report_row.run.clicked.connect(self._on_report)
        self.report_row.finished.connect(self._on_reported)
        self.run_row.busy.connect(self._refresh_buttons)
        self.report_row.busy.connect(self._refresh_buttons)
        self.show_movie.clicked.connect(partial(self._try, self._show_movie))
        self.listed.chosen.connect(self._show_selected)
        self.listed.failed.connect(partial(self._say, wrong=True))
        self.half_window.valueChanged.connect(self.plot.set_half_window)
        self.plot.window_changed.connect(self._on_window)
        self.behavior.chosen.connect(self._on_behavior)
        self.session.measured.connect(self._offer_features)
        self.views.neuron_chosen.connect(self.listed.choose_neuron)
        self.views.said.connect(self._say)
        for event in ("inserted", "removed"):
            emitter = getattr(self.viewer.layers.events, event)
            emitter.connect(self._refresh_recordings, position="last")
        self._on_behavior()

    # -- time ---------------------------------------------------------------------------------------

    def _on_behavior(self) -> None:
        keypoints = self.session.keypoints_of(self.behavior.layer)
        if keypoints is not None:
            self.traces.set_clock(keypoints.clock)
        self._offer_features()

    def _offer_features(self) -> None:
        has_keypoints = store_of(self.behavior.layer) is not None
        others = [] if self.other_traces is None else [TRACES]
        self.features.offer([*groups_there(has_keypoints, self.session.motion), *others])

    def _open_traces(self, path: str) -> None:
        from napari_facemap.files.traces import read_traces

        self.other_traces = read_traces(path)
        self._offer_features()
        self.run_row.show_text(f"Opened {', '.join(map(str, self.other_traces))}.")

    def _on_window(self, half: float) -> None:
        self.half_window.blockSignals(True)
        self.half_window.setValue(half)
        self.half_window.blockSignals(False)

    # -- activity -------------------------------------------------------------------------------------

    @property
    def recording(self) -> Recording | None:
        """Activity that is chosen."""
        index = self.activity.currentIndex()
        return self._recordings[index] if 0 <= index < len(self._recordings) else None

    def add_recording(self, recording: Recording) -> None:
        """Offer a recording, and choose it."""
        self._opened.append(recording)
        self._refresh_recordings()
        self.activity.setCurrentIndex(len(self._recordings) - 1)
        self.run_row.show_text(" ".join(recording.warnings))

    def _on_open(self) -> None:
        dialog = RecordingDialog(self)
        if dialog.exec() and dialog.recording is not None:
            self.add_recording(dialog.recording)

    def _refresh_recordings(self, event: Any = None) -> None:
        before = self.recording
        self._recordings = [*recordings_of(self.viewer.layers), *self._opened]
        self.activity.clear()
        for recording in self._recordings:
            count = len(recording.activity)
            self.activity.addItem(f"{recording.name or 'activity'} ({count:,} neurons)")
        for index, recording in enumerate(self._recordings):
            if recording is before:
                self.activity.setCurrentIndex(index)

    # -- fitting --------------------------------------------------------------------------------------

    def fit(self) -> None:
        """Fit the chosen model to the chosen activity."""
        chosen = self._chosen()
        if chosen is not None:
            self.curve.clear()
            work = partial(encoder_work.fit, chosen, *self.model.chosen, self.curve.watch)
            self.run_row.start(work)

    def use_encoder(self, encoder: Any) -> None:
        """Predict the chosen activity with an encoder that was fitted before."""
        chosen = self._chosen()
        if chosen is not None:
            self.curve.clear()
            self.run_row.start(partial(encoder_work.predict, chosen, encoder))

    def _chosen(self) -> encoder_work.Material | None:
        store, motion = store_of(self.behavior.layer), self.session.motion
        if store is None and motion is None and self.other_traces is None:
            self.run_row.show_error("Track a video or open a keypoint file first.")
            return None
        if not self.features.checked:
            self.run_row.show_error("Choose features to predict from.")
            return None
        if self.recording is None:
            self.run_row.show_error("Open the neural activity first.")
            return None
        poses = store.to_poses(predictions=False) if store is not None else None
        return encoder_work.Material(
            poses, motion, self.other_traces, self.features.checked, self.recording
        )

    def _on_done(self, outcome: encoder_work.Outcome | None) -> None:
        if outcome is None:
            self.run_row.show_text("Cancelled; the encoder from before stays.")
            return
        self.encoder = outcome.encoder
        self.show_prediction(outcome.prediction, outcome.recording)
        warning = getattr(self.encoder, "attrs", {}).get("clock_warning")
        if warning:
            self.run_row.show_error(f"{outcome.said()} But {warning}")
        else:
            self.run_row.show_text(outcome.said())

    # -- plotting -------------------------------------------------------------------------------------

    def show_prediction(self, prediction: xr.Dataset, recording: Recording | None = None) -> None:
        """Plot a prediction, the best explained neurons first.

        Parameters
        ----------
        prediction : xarray.Dataset
            As of `predict_recording`.
        recording : Recording, optional
            That it is of; by default the chosen one.
        """
        self.prediction = prediction
        self._refresh_buttons()
        self._on_behavior()
        self.listed.show_prediction(
            prediction, partial(encoder_work.components, prediction, self.encoder)
        )
        self.views.show_prediction(prediction, recording or self.recording, self._video())

    def _video(self) -> Layer | None:
        clock = self.traces.clock
        return clock.video_layer() if clock is not None else None

    def _show_movie(self) -> None:
        movie, video = self.movie.layer, self._video()
        if movie is None or video is None or movie is video:
            self.run_row.show_error(
                "Open the video with its keypoints and the imaging movie, and choose the movie."
            )
            return
        add_on_clock(self.viewer, movie, video, self.recording)

    def _show_selected(self) -> None:
        self.traces.show(_SOURCE, self.listed.lanes, self.listed.tested)

    def _say(self, text: str, wrong: bool) -> None:
        (self.run_row.show_error if wrong else self.run_row.show_text)(text)

    # -- files ----------------------------------------------------------------------------------------

    def _refresh_buttons(self, _: Any = None) -> None:
        idle = not (self.run_row.running or self.report_row.running)
        self.save_encoder.setEnabled(self.encoder is not None)
        self.save_predictions.setEnabled(self.prediction is not None)
        self.run_row.run.setEnabled(idle)
        self.report_row.run.setEnabled(self.encoder is not None and idle)

    def _open(self, title: str, kinds: str, read: Callable[[str], None], *_: Any) -> None:
        path, _kind = QFileDialog.getOpenFileName(self, title, "", kinds)
        if path:
            self._try(partial(read, path))

    def _save(
        self, title: str, name: str, kinds: str, write: Callable[[str], None], *_: Any
    ) -> None:
        path, _kind = QFileDialog.getSaveFileName(self, title, name, kinds)
        if path:
            self._try(partial(write, path))

    def _load(self, path: str) -> None:
        from napari_facemap.files.encoders import read_encoder

        self.use_encoder(read_encoder(path))

    def _save_encoder(self, path: str) -> None:
        from napari_facemap.files.encoders import write_encoder

        write_encoder(self.encoder, path)
        self.run_row.show_text(f"Saved {path}.")

    def _save_predictions(self, path: str) -> None:
        from napari_facemap.files.predictions import write_predictions

        assert self.prediction is not None  # the button is off without one
        write_predictions(self.prediction, path)
        self.run_row.show_text(f"Saved {path}.")

    def _on_report(self) -> None:
        chosen = self._chosen()
        if chosen is not None:
            folder = QFileDialog.getExistingDirectory(self, "Folder for the report")
            if folder:
                work = partial(encoder_work.save_report, chosen, self.encoder, folder)
                self.report_row.start(work)

    def _on_reported(self, said: str | None) -> None:
        self.report_row.show_text(said or "Cancelled; nothing was written.")

    def _try(self, action: Any, *_: Any) -> None:
        try:
            action()
        except (ValueError, OSError) as error:
            self.run_row.show_error(one_line(error))

    def event(self, event: Any) -> bool:
        """Take the plot along when napari takes this widget out of its dock."""
        done = super().event(event)
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.traces.clear(_SOURCE)
            self.views.close_views()
        return done

    def closeEvent(self, event: Any) -> None:
        """Stop what is running and let go of the viewer."""
        self.run_row.stop()
        self.report_row.stop()
        self.behavior.disconnect_viewer()
        self.movie.disconnect_viewer()
        for name in ("inserted", "removed"):
            getattr(self.viewer.layers.events, name).disconnect(self._refresh_recordings)
        self.session.measured.disconnect(self._offer_features)
        super().closeEvent(event)


def _has_keypoints(layer: Layer) -> bool:
    return store_of(layer) is not None
