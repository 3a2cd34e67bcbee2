from __future__ import annotations

import threading
from typing import NamedTuple

import numpy as np
import pytest
import xarray as xr
from napari.components import ViewerModel

from napari_facemap.neural import encoder, fitting
from napari_facemap.neural.model import Cancelled
from napari_facemap.neural.recording import Recording
from napari_facemap.viewer.keypoint_layer import layer_data
from napari_facemap.viewer.layers import RECORDING
from napari_facemap.viewer.session import session_of

N_NEURONS = 8
real_fit, real_predict = fitting.fit_encoder, encoder.predict_recording


class FakeEncoder(NamedTuple):
    model: str
    attrs: dict
    space: None = None


class FakeEncoders:
    """Stands in for the encoders: waits on request, and predicts half of what was measured."""

    def __init__(self):
        self.models = []
        self.options = {}
        self.warning = ""
        self.go_on = threading.Event()
        self.go_on.set()

    def fit_encoder(self, behavior, recording, model="network", progress=None, **options):
        self.models.append(model)
        self.options = options
        for done in range(1, 11):
            if progress(done, 10) is False:
                raise Cancelled
            options["watch"](done, 0.1 * done, 0.05 * done)
            if done == 5:
                self.go_on.wait(5)
        return FakeEncoder(model, {"clock_warning": self.warning} if self.warning else {})

    def predict_recording(self, encoder, behavior, recording):
        activity = recording.activity
        n_neurons, n_times = activity.shape
        explained = np.linspace(0.1, 0.8, n_neurons)
        return xr.Dataset(
            {
                "measured": (("neuron", "time"), activity),
                "predicted": (("neuron", "time"), activity / 2),
                "variance_explained": ("neuron", explained),
                "test": ("time", np.arange(n_times) % 100 < 20),
            },
            coords={"time": recording.times},
        )


@pytest.fixture
def encoders(monkeypatch):
    fake = FakeEncoders()
    monkeypatch.setattr(fitting, "fit_encoder", fake.fit_encoder)
    monkeypatch.setattr(encoder, "predict_recording", fake.predict_recording)
    return fake


@pytest.fixture
def dock(qtbot, encoders, add_video, make_store):
    from napari_facemap.viewer.encoder_dock import EncoderDock

    viewer = ViewerModel()
    # 60 s of video at 25 Hz; activity at 10 Hz that started 3 s later.
    recording = Recording(
        np.random.default_rng(0).normal(size=(N_NEURONS, 500)).astype(np.float32),
        3.0 + np.arange(500) / 10,
        name="sample",
    )
    add_video(viewer, 1500, fps=25.0, shape=(8, 8), **{RECORDING: recording})
    session_of(viewer).add_keypoints(layer_data(make_store(1500, fps=25.0)))
    dock = EncoderDock(viewer)
    qtbot.addWidget(dock)
    dock.resize(1200, 320)
    dock.show()
    qtbot.waitExposed(dock)
    return dock


def click_fit(dock, qtbot):
    from qtpy.QtCore import Qt

    with qtbot.waitSignal(dock.run_row.finished, timeout=10_000):
        qtbot.mouseClick(dock.run_row.run, Qt.MouseButton.LeftButton)


def test_fit_shows_the_best_neurons(dock, qtbot, encoders):
    assert dock.activity.currentText() == "sample (8 neurons)"
    assert not dock.save_encoder.isEnabled()
    dock.model.model.setCurrentText("linear")
    click_fit(dock, qtbot)
    assert encoders.models == ["linear"]
    assert dock.listed.list.item(0).text() == "7   80.0 %"
    assert len(dock.listed.list.selectedItems()) == 5
    assert dock.save_encoder.isEnabled()
    assert "45.0 %" in dock.run_row.text.text()
    click_fit(dock, qtbot)
    assert dock.encoder.model == "linear"


def test_cancel_keeps_the_encoder_from_before(dock, qtbot, encoders):
    from qtpy.QtCore import Qt

    click_fit(dock, qtbot)
    encoders.go_on.clear()
    dock.model.model.setCurrentText("linear")
    qtbot.mouseClick(dock.run_row.run, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "of 10 steps" in dock.run_row.text.text())
    qtbot.mouseClick(dock.run_row.cancel, Qt.MouseButton.LeftButton)
    with qtbot.waitSignal(dock.run_row.finished, timeout=10_000):
        encoders.go_on.set()
    assert dock.encoder.model == "network"
    assert dock.run_row.text.text().startswith("Cancelled")


def test_cursor_and_slider_are_one(dock, qtbot):
    from qtpy.QtCore import QPointF, Qt

    click_fit(dock, qtbot)
    dock.viewer.dims.set_current_step(0, 250)
    assert dock.plot.time == pytest.approx(10.0)
    start, stop = dock.plot.shown_window
    assert start <= 10 <= stop
    assert stop - start == pytest.approx(30)
    view = dock.plot.plot.getViewBox()
    wanted = start + 0.7 * (stop - start)
    spot = dock.plot.plot.mapFromScene(view.mapViewToScene(QPointF(wanted, -1.5)))
    qtbot.mouseClick(dock.plot.plot.viewport(), Qt.MouseButton.LeftButton, pos=spot)
    qtbot.waitUntil(lambda: dock.viewer.dims.current_step[0] != 250)
    assert dock.viewer.dims.current_step[0] / 25 == pytest.approx(wanted, abs=0.1)
    assert dock.plot.time == pytest.approx(wanted, abs=0.1)


def test_traces_lie_at_their_own_seconds(dock, qtbot):
    click_fit(dock, qtbot)
    dock.viewer.dims.set_current_step(0, 0)
    measured, predicted = dock.plot._curves[0]
    assert measured.getData()[0][0] == pytest.approx(3.0)
    np.testing.assert_allclose(measured.getData()[0], predicted.getData()[0])
    dock.half_window.setValue(4)
    start, stop = dock.plot.shown_window
    assert stop - start == pytest.approx(8)


def test_choosing_neurons(dock, qtbot):
    click_fit(dock, qtbot)
    dock.listed.list.clearSelection()
    dock.listed.list.item(3).setSelected(True)
    assert [lane.label for lane in dock.plot.lanes] == ["4  50 %"]
    dock.listed.list.clearSelection()
    assert dock.plot.lanes == ()


def test_what_is_missing_is_said(dock, qtbot):
    dock.viewer.layers.remove("keypoints")
    dock.fit()
    assert "Track a video" in dock.run_row.text.text()


def test_activity_is_missing(dock, qtbot):
    dock.viewer.layers.remove("video")
    dock.fit()
    assert "Open the neural activity" in dock.run_row.text.text()


def test_another_recording_can_be_opened(dock, qtbot):
    other = Recording(np.zeros((3, 50), np.float32), np.arange(50) / 5, name="other")
    dock.add_recording(other)
    assert dock.recording is other
    click_fit(dock, qtbot)
    assert dock.listed.list.count() == 3


def test_the_raster_moves_with_the_slider(dock, qtbot):
    click_fit(dock, qtbot)
    raster = dock.views.raster
    dock.views.raster_box.setChecked(True)
    qtbot.waitUntil(lambda: len(raster._rasters) == 2, timeout=10_000)
    assert raster._rasters[0].levels[0].shape == (N_NEURONS, 500)
    dock.viewer.dims.set_current_step(0, 500)
    assert raster.time == pytest.approx(20.0)
    raster.time_chosen.emit(30.0)
    assert dock.viewer.dims.current_step[0] == 750
    assert dock.plot.time == pytest.approx(30.0)
    dock.views.raster_box.setChecked(False)
    assert raster._rasters == ()


def test_a_neuron_of_the_map_is_plotted(dock, qtbot):
    placed = dock.recording
    assert not dock.views.map_box.isEnabled()
    placed.positions = np.stack([10.0 * np.arange(N_NEURONS), np.full(N_NEURONS, 5.0)], axis=1)
    click_fit(dock, qtbot)
    dock.views.map_box.setChecked(True)
    layer = dock.views.map.layer
    assert layer in dock.viewer.layers
    assert len(layer.data) == N_NEURONS
    dock.views.map.chosen.emit(2)
    assert [lane.label for lane in dock.plot.lanes] == ["2  30 %"]
    dock.views.map_box.setChecked(False)
    assert layer not in dock.viewer.layers


def test_the_curve_grows_while_a_network_is_fitted(dock, qtbot, encoders):
    from qtpy.QtCore import Qt

    assert not dock.curve.isVisible()
    encoders.go_on.clear()
    qtbot.mouseClick(dock.run_row.run, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: len(dock.curve.points) == 5)
    assert dock.curve.isVisible()
    with qtbot.waitSignal(dock.run_row.finished, timeout=10_000):
        encoders.go_on.set()
    qtbot.waitUntil(lambda: len(dock.curve.points) == 10)
    steps, validation = dock.curve._curves[1].getData()
    np.testing.assert_allclose(steps, np.arange(1, 11))
    np.testing.assert_allclose(validation, 5 * steps)
    click_fit(dock, qtbot)
    assert len(dock.curve.points) == 10  # of the second fit alone


def test_the_delay_is_the_fits(dock, qtbot, encoders):
    dock.model.delay.setValue(0.3)
    click_fit(dock, qtbot)
    assert encoders.options["delay"] == pytest.approx(0.3)


def test_a_shifted_clock_is_said(dock, qtbot, encoders):
    encoders.warning = "the activity looks like the behaviour, but 7.0 s later"
    click_fit(dock, qtbot)
    assert "7.0 s later" in dock.run_row.text.text()
    assert "45.0 %" in dock.run_row.text.text()


def test_features_are_chosen_by_their_boxes(dock, qtbot, encoders, monkeypatch):
    from qtpy.QtCore import Qt

    boxes = {dock.features.item(k).text(): dock.features.item(k) for k in range(2)}
    assert dock.features.checked == ["keypoints"]
    boxes["keypoints"].setCheckState(Qt.CheckState.Unchecked)
    dock.fit()
    assert "Choose features" in dock.run_row.text.text()
    boxes["speed"].setCheckState(Qt.CheckState.Checked)
    given = []
    fit = encoders.fit_encoder
    monkeypatch.setattr(
        fitting,
        "fit_encoder",
        lambda features, *a, **k: (given.append(features), fit(0, *a, **k))[1],
    )
    click_fit(dock, qtbot)
    assert all(name.endswith(" speed") for name in given[0].names)


def test_a_report_is_saved(dock, qtbot, encoders, monkeypatch, tmp_path):
    from qtpy.QtCore import Qt
    from qtpy.QtWidgets import QFileDialog

    assert not dock.report_row.run.isEnabled()
    monkeypatch.setattr(fitting, "fit_encoder", real_fit)
    monkeypatch.setattr(encoder, "predict_recording", real_predict)
    dock.model.model.setCurrentText("linear")
    click_fit(dock, qtbot)
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path / "out"))
    with qtbot.waitSignal(dock.report_row.finished, timeout=60_000):
        qtbot.mouseClick(dock.report_row.run, Qt.MouseButton.LeftButton)
    assert str(tmp_path / "out") in dock.report_row.text.text()
    assert {"report.txt", "scores.csv", "scores.png"} <= {
        p.name for p in (tmp_path / "out").iterdir()
    }
    assert dock.run_row.run.isEnabled()


def test_the_imaging_movie_steps_with_the_video(dock, qtbot):
    from qtpy.QtCore import Qt

    movie = np.arange(500, dtype=np.float32)[:, None, None] * np.ones((1, 6, 5), np.float32)
    layer = dock.viewer.add_image(movie, name="calcium")
    dock.movie.choose(layer)
    qtbot.mouseClick(dock.show_movie, Qt.MouseButton.LeftButton)
    shown = dock.viewer.layers["calcium on the video's clock"]
    assert shown.data.shape == (1500, 6, 5)
    # 25 frames a second; the recording has 10 samples a second from 3 s on.
    seen = np.asarray(shown.data[:, 0, 0])
    times = np.arange(1500) / 25
    expected = np.where(times >= 3, np.floor((times - 3) * 10 + 1e-6), 0)
    expected = np.minimum(expected, 499)
    expected[times > 53.05] = 0  # after its end
    np.testing.assert_array_equal(seen, expected)
    assert not layer.visible
    # The movie itself no longer counts its frames as seconds, which made the slider 500 s long.
    assert dock.viewer.dims.range[0].stop == pytest.approx(1499 / 25)
    assert layer.extent.world[0, 0] == pytest.approx(3 + 0.05)
    assert str(layer.units[0]) == "second"
    np.testing.assert_array_equal(layer.data, movie)
    # The slider steps through the frames of the video, not of the movie.
    dock.viewer.dims.set_current_step(0, 250)
    assert dock.plot.time == pytest.approx(10.0)
    left = dock.viewer.layers["video"].extent.world[1, -1]
    assert shown.extent.world[0, -1] > left


def test_a_movie_of_another_length_is_refused(dock, qtbot):
    layer = dock.viewer.add_image(np.zeros((40, 6, 5), np.float32), name="calcium")
    dock.movie.choose(layer)
    dock.show_movie.click()
    said = dock.run_row.text.text()
    assert "40 frames" in said
    assert "500 samples" in said
    dock.movie.choose(dock.viewer.layers["video"])
    dock.show_movie.click()
    assert "choose the movie" in dock.run_row.text.text()
    assert len(dock.viewer.layers) == 3


def test_components_can_be_plotted_as_well(dock, qtbot):
    click_fit(dock, qtbot)
    before = dock.plot.lanes
    dock.listed.list.setFixedHeight(80)
    dock.listed.list.scrollToBottom()
    assert dock.listed.list.verticalScrollBar().value() > 0
    dock.listed.kind.setCurrentText("principal components")
    qtbot.waitUntil(lambda: dock.plot.lanes[0].label.startswith("PC "), timeout=10_000)
    assert dock.listed.list.count() == N_NEURONS
    # The prediction is half of what was measured, whatever one looks at.
    assert dock.listed.list.verticalScrollBar().value() == 0  # the best are in sight
    lane = dock.plot.lanes[0]
    measured, predicted = lane.values
    test = dock.prediction["test"].values
    off = predicted - predicted[test].mean() - (measured - measured[test].mean()) / 2
    assert np.abs(off).max() < 1e-3
    assert lane.label.endswith("75 %")
    dock.listed.choose_neuron(2)  # as on the map
    assert [lane.label for lane in dock.plot.lanes] == ["2  30 %"]
    assert len(before) == 5


def test_components_of_an_earlier_prediction_are_not_shown(dock, qtbot):
    click_fit(dock, qtbot)
    dock.listed.kind.setCurrentText("principal components")
    qtbot.waitUntil(lambda: dock.plot.lanes[0].label.startswith("PC "), timeout=10_000)
    dock.add_recording(Recording(np.eye(3, 50, dtype=np.float32), np.arange(50) / 5, name="b"))
    click_fit(dock, qtbot)
    qtbot.waitUntil(lambda: dock.listed.list.count() == 3, timeout=10_000)
    assert all(len(lane.times) == 50 for lane in dock.plot.lanes)


def test_neurons_can_be_predicted_directly(dock, qtbot, encoders):
    click_fit(dock, qtbot)
    assert encoders.options["n_components"] == 128
    dock.model.targets.setCurrentText("each neuron")
    click_fit(dock, qtbot)
    assert encoders.options["n_components"] is None


def test_the_shared_time_is_said(dock, qtbot):
    click_fit(dock, qtbot)
    assert "share 3.0 to 52.9 s" in dock.run_row.text.text()


def test_another_recording_may_be_chosen_while_one_is_fitted(dock, qtbot, encoders):
    from qtpy.QtCore import Qt

    dock.recording.positions = np.stack([10.0 * np.arange(N_NEURONS), np.zeros(N_NEURONS)], axis=1)
    click_fit(dock, qtbot)
    dock.views.map_box.setChecked(True)
    encoders.go_on.clear()
    qtbot.mouseClick(dock.run_row.run, Qt.MouseButton.LeftButton)
    other = Recording(np.eye(3, 50, dtype=np.float32), np.arange(50) / 5, name="other")
    other.positions = np.zeros((3, 2), np.float32)
    dock.add_recording(other)
    with qtbot.waitSignal(dock.run_row.finished, timeout=10_000):
        encoders.go_on.set()
    assert len(dock.views.map.layer.data) == N_NEURONS


def test_other_traces_are_features_too(dock, qtbot, encoders, monkeypatch, tmp_path):
    from qtpy.QtCore import Qt
    from qtpy.QtWidgets import QFileDialog

    times = np.arange(1200) / 20
    table = np.column_stack([times, np.cos(times)])
    np.savetxt(tmp_path / "wheel.csv", table, delimiter=",", header="time,wheel", comments="")
    (tmp_path / "bad.csv").write_text("wheel\n1\n")
    paths = iter(["bad.csv", "wheel.csv"])
    monkeypatch.setattr(
        QFileDialog, "getOpenFileName", lambda *_: (str(tmp_path / next(paths)), "")
    )
    qtbot.mouseClick(dock.open_traces, Qt.MouseButton.LeftButton)
    assert "columns named time" in dock.run_row.text.text()
    assert dock.features.checked == ["keypoints"]
    qtbot.mouseClick(dock.open_traces, Qt.MouseButton.LeftButton)
    assert dock.features.checked == ["keypoints", "traces"]
    given, fit = [], encoders.fit_encoder
    monkeypatch.setattr(
        fitting,
        "fit_encoder",
        lambda features, *a, **k: (given.append(features), fit(0, *a, **k))[1],
    )
    click_fit(dock, qtbot)
    assert given[0].names[-1] == "wheel"
    assert given[0].names[0].endswith(" x")
