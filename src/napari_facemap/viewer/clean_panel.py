"""Cleaning tracked points, and looking at what it changes before it stays."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QGroupBox,
    QLabel,
    QPushButton,
    QWidget,
)

from napari_facemap.viewer.cleaning_view import lanes, outcome_in_words
from napari_facemap.viewer.keypoint_layer import KeypointLayer
from napari_facemap.viewer.run_row import RunRow
from napari_facemap.viewer.session import Session
from napari_facemap.viewer.target import keypoints_to_refine
from napari_facemap.viewer.traces import TracesPlot

if TYPE_CHECKING:
    import xarray as xr

    from napari_facemap.keypoints.store import KeypointStore

GAP, SMOOTHING = 0.2, 0.01  # seconds; as `Cleaning` has them
_HALF_WINDOW = 2.0  # seconds before and after the frame shown
_PLOT_HEIGHT = 220


class CleanPanel(QGroupBox):
    """Takes out outliers, fills gaps and smooths, beside the predictions and never over them.

    Parameters
    ----------
    viewer : napari viewer
        To follow.
    session : Session
        Of that viewer.
    """

    def __init__(self, viewer: Any, session: Session, parent: QWidget | None = None) -> None:
        super().__init__("Clean", parent)
        self.session = session
        self.viewer = session.viewer
        self._run: tuple[KeypointLayer, KeypointStore] | None = None  # that goes on
        self._drawn: KeypointLayer | None = None  # whose traces are plotted
        self.outliers = QCheckBox("take out outliers")
        self.gap = QDoubleSpinBox()
        self.smooth = QCheckBox("smooth")
        self.smoothing = QDoubleSpinBox()
        self.run_row = RunRow("Clean", "keypoints")
        self.take_off = QPushButton("Take off")
        self.keypoint = QComboBox()
        self.plot = TracesPlot()
        self.legend = QLabel("grey: as tracked; colour: cleaned")
        self._build()
        self._connect()
        self.refresh()

    def _build(self) -> None:
        self.outliers.setChecked(True)
        self.outliers.setToolTip(
            "Points that jump away and back, or of which the model was not sure at all"
        )
        self.gap.setRange(0, 10)
        self.gap.setSingleStep(0.05)
        self.gap.setValue(GAP)
        self.gap.setSuffix(" s")
        self.gap.setSpecialValueText("none")
        self.gap.setToolTip("Gaps of hidden points up to this long are filled; longer ones stay")
        self.smooth.setChecked(True)
        self.smoothing.setDecimals(3)
        self.smoothing.setRange(0.001, 1)
        self.smoothing.setSingleStep(0.005)
        self.smoothing.setValue(SMOOTHING)
        self.smoothing.setSuffix(" s")
        self.smoothing.setToolTip(
            "Movements much faster than this are smoothed away, most where the model was unsure"
        )
        self.take_off.setToolTip("Show the points as they were tracked; corrections stay")
        self.keypoint.setToolTip("Whose x and y are plotted")
        self.plot.setFixedHeight(_PLOT_HEIGHT)
        self.plot.set_half_window(_HALF_WINDOW)
        form = QFormLayout(self)
        form.setVerticalSpacing(4)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow(self.outliers)
        form.addRow("Fill gaps up to", self.gap)
        form.addRow(self.smooth, self.smoothing)
        form.addRow(self.run_row)
        form.addRow(self.take_off)
        form.addRow("Plot", self.keypoint)
        form.addRow(self.plot)
        form.addRow(self.legend)

    def _connect(self) -> None:
        self.smooth.toggled.connect(self.smoothing.setEnabled)
        self.run_row.run.clicked.connect(self.run)
        self.run_row.finished.connect(self._on_finished)
        self.take_off.clicked.connect(self._on_take_off)
        self.keypoint.currentIndexChanged.connect(self._draw)
        self.session.edited.connect(self.refresh)
        self.session.labelling.changed.connect(self.refresh)
        self.session.layers_changed.connect(self.refresh)
        self.viewer.layers.selection.events.active.connect(self.refresh)
        self.session.plot.link(self.plot)

    # -- running ----------------------------------------------------------------------------------

    def run(self) -> None:
        """Clean the points of the layer with the chosen options."""
        keypoints = keypoints_to_refine(self.session)
        if keypoints is None:
            self.run_row.show_error("Track a video or open a keypoint file first.")
            return
        self._run = keypoints, keypoints.store
        self.run_row.start(partial(_clean, keypoints.store.to_poses(), self._options()))

    def _options(self) -> dict[str, Any]:
        return {
            "outliers": self.outliers.isChecked(),
            "largest_gap": self.gap.value(),
            "smoothing": self.smoothing.value() if self.smooth.isChecked() else 0.0,
        }

    def _on_finished(self, cleaned: xr.Dataset | None) -> None:
        run, self._run = self._run, None
        if run is None or run[0].layer not in self.viewer.layers:
            return
        keypoints, store = run
        if cleaned is None:
            self.run_row.show_text("Cancelled: the points are as they were.")
            return
        if keypoints.store is not store:
            self.run_row.show_error(
                "The points were tracked or named anew meanwhile: clean again."
            )
            return
        store.set_cleaned(cleaned["position"].values, json.loads(cleaned.attrs["cleaning"]))
        self._changed(keypoints)
        self.run_row.show_text(outcome_in_words(store))

    def _on_take_off(self) -> None:
        keypoints = keypoints_to_refine(self.session)
        if keypoints is not None:
            keypoints.store.set_cleaned(None)
            self._changed(keypoints)
            self.run_row.show_text("Points are as they were tracked again.")

    def _changed(self, keypoints: KeypointLayer) -> None:
        keypoints.refresh(force=True)
        keypoints.edited.emit()

    # -- plot -------------------------------------------------------------------------------------

    def refresh(self, event: Any = None) -> None:
        """Show the points of the layer in use."""
        keypoints = keypoints_to_refine(self.session)
        self.take_off.setEnabled(keypoints is not None and keypoints.store.is_cleaned)
        names = list(keypoints.names) if keypoints is not None else []
        if names != [self.keypoint.itemText(k) for k in range(self.keypoint.count())]:
            before = self.keypoint.currentText()
            self.keypoint.blockSignals(True)
            self.keypoint.clear()
            self.keypoint.addItems(names)
            self.keypoint.setCurrentIndex(max(self.keypoint.findText(before), 0))
            self.keypoint.blockSignals(False)
        for widget in (self.keypoint, self.plot):
            widget.setVisible(keypoints is not None)
        self._draw()

    def _draw(self, event: Any = None) -> None:
        if not self.isVisible():
            return  # every correction comes here, and a long trace costs time
        keypoints = keypoints_to_refine(self.session)
        self.legend.setVisible(keypoints is not None and keypoints.store.is_cleaned)
        if keypoints is None or self.keypoint.currentIndex() < 0:
            self.plot.set_lanes([])
            return
        if keypoints is not self._drawn:
            self._drawn = keypoints
            self.session.plot.set_clock(keypoints.clock)
        self.plot.set_lanes(lanes(keypoints.store, self.keypoint.currentIndex()))

    def showEvent(self, event: Any) -> None:
        """Draw what changed while nobody saw it."""
        super().showEvent(event)
        self._draw()

    def disconnect_viewer(self) -> None:
        """Stop what is running and let go of the viewer."""
        self.run_row.stop()
        self.session.edited.disconnect(self.refresh)
        self.session.labelling.changed.disconnect(self.refresh)
        self.session.layers_changed.disconnect(self.refresh)
        self.viewer.layers.selection.events.active.disconnect(self.refresh)
        self.session.plot.unlink(self.plot)


def _clean(poses: xr.Dataset, options: dict[str, Any], progress: Any) -> xr.Dataset | None:
    """Clean; None when somebody cancelled meanwhile."""
    from napari_facemap.keypoints.cleaning import clean

    cleaned = clean(poses, **options)
    return cleaned if progress(0, 1) else None
