from __future__ import annotations

import numpy as np
import pytest

from napari_facemap.neural.order import known_orders, neuron_order
from napari_facemap.viewer.raster_math import MOST_ROWS, raster_of, scale_of


def test_rows_are_neurons_in_their_order_by_their_own_scale():
    times = np.arange(200) / 10
    activity = np.stack([np.sin(times), 5 + 100 * np.cos(times), np.zeros(200)])
    raster = raster_of(activity, times, np.array([1, 0, 2]))
    picture = raster.levels[0]
    assert picture.shape == (3, 200)
    assert np.corrcoef(picture[0], np.cos(times))[0, 1] > 0.9
    assert np.corrcoef(picture[1], np.sin(times))[0, 1] > 0.9
    assert np.ptp(picture[2]) == 0
    assert raster.start == pytest.approx(-0.05)
    assert raster.stop == pytest.approx(19.95)


def test_a_prediction_has_the_scale_of_what_was_measured():
    times = np.arange(300) / 10
    measured = np.random.default_rng(0).normal(3, 2, (4, 300))
    like = scale_of(measured)
    half = raster_of(3 + (measured - 3) / 2, times, np.arange(4), like).levels[0]
    whole = raster_of(measured, times, np.arange(4), like).levels[0]
    assert half.std() < 0.75 * whole.std()


def test_pauses_and_unknown_samples_are_empty():
    times = np.concatenate([np.arange(10), 20 + np.arange(10)]) / 10
    activity = np.random.default_rng(0).random((2, 20))
    like = scale_of(activity)
    activity[0, 3] = np.nan
    picture = raster_of(activity, times, np.arange(2), like).levels[0]
    assert picture.shape == (2, 30)
    assert not picture[:, 10:20].any()
    assert picture[0, 3] == 0
    assert picture[1].astype(bool).sum() == 20


def test_many_neurons_share_rows_and_many_times_share_columns():
    times = np.arange(5000) / 10
    drive = np.sin(times / 20)
    activity = np.repeat(drive[None], 1500, 0) + np.random.default_rng(0).normal(size=(1500, 5000))
    raster = raster_of(activity, times, np.arange(1500))
    assert raster.levels[0].shape == (MOST_ROWS, 5000)
    assert [level.shape[1] for level in raster.levels] == [5000, 2500, 1250, 625, 313]
    picture, start, stop = raster.part(0, 500, 300)
    assert picture.shape[1] <= 2 * 300 + 2
    assert start <= 0 and stop >= 499.9
    middles = start + (np.arange(picture.shape[1]) + 0.5) * (stop - start) / picture.shape[1]
    assert np.corrcoef(picture.mean(0), np.sin(middles / 20))[0, 1] > 0.95
    near, start, stop = raster.part(100, 110, 300)
    assert near.shape[1] <= 103
    assert start <= 100 and stop >= 110


def test_the_order_brings_together_what_goes_together():
    rng = np.random.default_rng(0)
    drive, sign = rng.standard_normal(3000), np.where(np.arange(40) % 2, 1, -1)
    activity = sign[:, None] * drive + 0.5 * rng.standard_normal((40, 3000))
    activity[7] = 4.0
    order = neuron_order(activity)
    assert sorted(order) == list(range(40))
    assert order[-1] == 7
    found = sign[order[:-1]]
    assert (np.diff(found) != 0).sum() == 1
    assert "first component" in known_orders()
    with pytest.raises(ValueError, match="alphabet"):
        neuron_order(activity, "alphabet")


def test_the_plot_follows_and_tells_time(qtbot):
    from qtpy.QtCore import QPointF, Qt

    from napari_facemap.viewer.raster import RasterPlot

    times = 3 + np.arange(2000) / 10
    activity = np.random.default_rng(0).normal(size=(20, 2000))
    raster = raster_of(activity, times, np.arange(20))
    plot = RasterPlot()
    qtbot.addWidget(plot)
    plot.resize(700, 320)
    plot.show()
    qtbot.waitExposed(plot)
    plot.set_rasters([("measured", raster), ("predicted", raster)])
    assert plot.shown_window == pytest.approx((2.95, 202.95))
    plot.set_time(100.0)
    for _ in range(10):
        plot._on_zoomed(0.8)
    start, stop = plot.shown_window
    assert start < 100 < stop < start + 25
    plot.set_time(150.0)
    start, stop = plot.shown_window
    assert start <= 150 <= stop
    view = plot._plots[1].getViewBox()
    told = []
    plot.time_chosen.connect(told.append)
    spot = plot.canvas.mapFromScene(view.mapViewToScene(QPointF(152.0, 10.0)))
    qtbot.mouseClick(plot.canvas.viewport(), Qt.MouseButton.LeftButton, pos=spot)
    assert told[0] == pytest.approx(152, abs=0.2)
    plot.set_rasters([])
    plot.set_time(3.0)
