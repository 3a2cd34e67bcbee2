"""Ways to look at a prediction of all neurons together: a raster, and a map."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QFormLayout, QWidget

from napari_facemap.neural.order import known_orders
from napari_facemap.viewer.layers import bare
from napari_facemap.viewer.neuron_layer import NeuronMap
from napari_facemap.viewer.raster import RasterPlot
from napari_facemap.viewer.tasks import Task

if TYPE_CHECKING:
    import xarray as xr
    from napari.layers import Layer

    from napari_facemap.neural.recording import Recording
    from napari_facemap.viewer.linked_plot import LinkedPlot
    from napari_facemap.viewer.raster_math import Raster


class EncoderViews(QWidget):
    """Boxes for the raster of all neurons, measured above predicted, and for their map.

    Parameters
    ----------
    viewer : napari viewer
        Where they are shown.
    plot : LinkedPlot
        Of the viewer; the raster moves with it.
    """

    neuron_chosen = Signal(int)
    """A person clicked a neuron of the map."""
    said = Signal(str, bool)
    """Something to tell the person, and whether it is wrong."""

    def __init__(self, viewer: Any, plot: LinkedPlot, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.viewer, self.plot = bare(viewer), plot
        self.raster_box = QCheckBox("Raster of all neurons, sorted by")
        self.order = QComboBox()
        self.map_box = QCheckBox("Map of the neurons, coloured by score")
        self.raster = RasterPlot()
        self.map = NeuronMap(viewer)
        self._prediction: xr.Dataset | None = None
        self._recording: Recording | None = None
        self._video: Layer | None = None
        self._task: Task | None = None
        self.order.addItems(known_orders())
        self.map_box.setToolTip("Click a neuron to plot its trace")
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setVerticalSpacing(4)
        form.addRow(self.raster_box, self.order)
        form.addRow(self.map_box)
        self.raster_box.toggled.connect(self._on_raster)
        self.order.currentTextChanged.connect(self._on_raster)
        self.map_box.toggled.connect(self._on_map)
        self.map.chosen.connect(self.neuron_chosen.emit)
        plot.link(self.raster)
        self.setEnabled(False)

    def show_prediction(
        self, prediction: xr.Dataset, recording: Recording | None, video: Layer | None
    ) -> None:
        """Look at another prediction.

        Parameters
        ----------
        prediction : xarray.Dataset
            As of `predict_recording`.
        recording : Recording, optional
            That it is of: it says where the neurons lie.
        video : Image, optional
            The map is put beside it.
        """
        self._prediction, self._recording, self._video = prediction, recording, video
        placed = recording is not None and (
            recording.positions is not None or recording.footprints is not None
        )
        self.setEnabled(True)
        self.map_box.setEnabled(placed)
        self._on_raster()
        self._on_map()

    def close_views(self) -> None:
        """Take raster and map away."""
        self.map.hide()
        if hasattr(self.viewer, "window") and self.raster.parent() is not None:
            self.viewer.window.remove_dock_widget(self.raster)

    def _on_raster(self, _: Any = None) -> None:
        if self._prediction is None or self._task is not None:
            return
        if not self.raster_box.isChecked():
            self.raster.set_rasters([])
            if hasattr(self.viewer, "window") and self.raster.parent() is not None:
                self.viewer.window.remove_dock_widget(self.raster)
            return
        self._task = Task(partial(_rasters, self._prediction, self.order.currentText()), self)
        self._task.finished.connect(self._show_rasters)
        self._task.failed.connect(self._on_failed)
        self._task.start()

    def _show_rasters(self, rasters: list[tuple[str, Raster]]) -> None:
        self._task = None
        if not self.raster_box.isChecked():
            return
        self.raster.set_rasters(rasters)
        if hasattr(self.viewer, "window") and self.raster.parent() is None:
            self.viewer.window.add_dock_widget(self.raster, name="Raster", area="bottom")
        self.plot.follow()

    def _on_failed(self, text: str) -> None:
        self._task = None
        self.said.emit(text, True)

    def _on_map(self, _: Any = None) -> None:
        wanted = self.map_box.isChecked() and self.map_box.isEnabled()
        if not wanted or self._recording is None or self._prediction is None:
            self.map.hide()
            return
        scores = np.asarray(self._prediction["variance_explained"].values, float)
        self.map.show(self._recording, scores, self._video)


def _rasters(prediction: xr.Dataset, by: str, progress: Any) -> list[tuple[str, Raster]]:
    """Both rasters in one order and with one scale."""
    from napari_facemap.neural.order import neuron_order
    from napari_facemap.viewer.raster_math import raster_of, scale_of

    times, measured = prediction["time"].values, prediction["measured"].values
    like, order = scale_of(measured), neuron_order(measured, by)
    return [
        (name, raster_of(prediction[name].values, times, order, like))
        for name in ("measured", "predicted")
    ]
