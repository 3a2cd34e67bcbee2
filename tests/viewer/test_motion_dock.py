from __future__ import annotations

import threading

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import Qt

from napari_facemap.files.motion import read_motion
from napari_facemap.movement.regions import Region
from napari_facemap.video.arrays import ArrayVideo
from napari_facemap.viewer.layers import VIDEO
from napari_facemap.viewer.motion_dock import MotionDock
from napari_facemap.viewer.pupil_overlay import MEASURED, PREVIEW
from napari_facemap.viewer.readers import video_layer_data

N, SIZE, FPS = 60, (80, 120), 25.0
CENTRE = (60.0, 40.0)


def _radius(frame):
    return 12 + 4 * np.sin(frame / 6)


def _frames(seed=0):
    """A dark disc that grows and shrinks in a grey face with some noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    away = np.hypot(x - CENTRE[0], y - CENTRE[1])
    frames = []
    for t in range(N):
        inside = np.clip(_radius(t) - away + 0.5, 0, 1)
        frames.append(150 - 130 * inside + rng.normal(0, 3, SIZE))
    return np.clip(frames, 0, 255).astype(np.uint8)


def _add_video(viewer, frames, name="mouse.mp4"):
    video = ArrayVideo(frames, fps=FPS, name=name)
    _, attributes, _ = video_layer_data(video)
    return viewer.add_image(frames, **attributes)


@pytest.fixture
def dock(qtbot):
    viewer = ViewerModel()
    _add_video(viewer, _frames())
    viewer.dims.set_current_step(0, 0)
    dock = MotionDock(viewer)
    qtbot.addWidget(dock)
    dock.resize(360, 900)
    dock.show()
    qtbot.waitExposed(dock)
    dock.number.setValue(5)
    yield dock
    dock.close()


def click(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def draw(dock, qtbot, kind, x0, y0, x1, y1):
    """Press Draw and draw, as a mouse does it."""
    dock.regions.kind.setCurrentText(kind)
    click(qtbot, dock.regions.draw)
    layer = dock.regions.regions.layer
    shape = {"add_ellipse": "ellipse", "add_rectangle": "rectangle"}[str(layer.mode)]
    layer.add(np.array([[y0, x0], [y0, x1], [y1, x1], [y1, x0]], float), shape_type=shape)


def measure(dock, qtbot):
    with qtbot.waitSignal(dock.run_row.finished, timeout=60_000):
        click(qtbot, dock.run_row.run)


def test_the_pupil_is_seen_while_the_threshold_is_sought(dock, qtbot):
    assert dock.regions.regions is None
    draw(dock, qtbot, "pupil", 35, 15, 85, 65)
    panel = dock.regions
    assert panel.table.rowCount() == 1
    assert panel.table.item(0, 0).text() == "pupil 1"
    assert panel.threshold.parentWidget().isVisible()
    assert not panel.cm.isVisible()
    panel.threshold.setValue(85)
    assert "quality" in panel.fit.text()
    assert dock.pupil.layer in dock.viewer.layers
    rim = dock.pupil.layer.data
    away = np.hypot(rim[:, 1] - CENTRE[0], rim[:, 0] - CENTRE[1])
    np.testing.assert_allclose(away, _radius(0), atol=0.4)
    dock.viewer.dims.set_current_step(0, 9)
    away = np.hypot(*(dock.pupil.layer.data - CENTRE[::-1]).T)
    np.testing.assert_allclose(away, _radius(9), atol=0.4)
    panel.threshold.setValue(5)  # nothing is as dark as this
    assert "no pupil" in panel.fit.text()
    assert len(dock.pupil.layer.data) == 0


def test_measuring_shows_traces_and_follows_the_slider(dock, qtbot):
    draw(dock, qtbot, "pupil", 35, 15, 85, 65)
    dock.regions.threshold.setValue(85)
    assert dock.pupil._color == PREVIEW
    measure(dock, qtbot)
    assert "60 frames" in dock.run_row.text.text()
    labels = [lane.label for lane in dock.session.plot.widget.lanes]
    assert labels == ["whole frame: motion energy", "pupil 1: pupil diameter (px)"]
    diameter = dock.session.plot.widget.lanes[1].values[0]
    np.testing.assert_allclose(diameter, 2 * _radius(np.arange(N)), atol=0.6)
    assert dock.pupil._color == MEASURED
    dock.viewer.dims.set_current_step(0, 30)
    assert dock.session.plot.widget.time == pytest.approx(30 / FPS)
    assert "(measured)" in dock.regions.fit.text()
    dock.session.plot.widget.time_chosen.emit(0.4)
    assert dock.viewer.dims.current_step[0] == 10
    # Another threshold is tried on the frame shown, and not looked up.
    dock.regions.threshold.setValue(90)
    assert dock.pupil._color == PREVIEW


def test_millimetres_and_blinks_are_told(dock, qtbot):
    draw(dock, qtbot, "pupil", 35, 15, 85, 65)
    dock.regions.threshold.setValue(85)
    dock.regions.mm.setValue(0.03)
    draw(dock, qtbot, "blink", 30, 10, 90, 70)
    measure(dock, qtbot)
    # The disc shrinks as fast as an eye shuts.
    assert dock.run_row.text.text() == "Measured 60 frames, 1 blink."
    labels = [lane.label for lane in dock.session.plot.widget.lanes]
    assert "pupil 1: pupil diameter (mm)" in labels


def test_fault_24_the_window_goes_on_while_a_video_is_measured(dock, qtbot, monkeypatch):
    from napari_facemap.movement import analysis

    threads, go_on, real = [], threading.Event(), analysis.motion

    def watched(*given, **settings):
        threads.append(threading.current_thread())
        go_on.wait(10)
        return real(*given, **settings)

    monkeypatch.setattr(analysis, "motion", watched)
    draw(dock, qtbot, "motion", 40, 20, 79, 59)
    before = dock.regions.found()[0].vertices
    click(qtbot, dock.run_row.run)
    qtbot.waitUntil(lambda: bool(threads))
    dock.viewer.dims.set_current_step(0, 12)
    draw(dock, qtbot, "pupil", 35, 15, 85, 65)  # of the next run
    with qtbot.waitSignal(dock.run_row.finished, timeout=60_000):
        go_on.set()
    assert threads[0] is not threading.main_thread()
    assert [region.name for region in dock.results.result.regions] == ["motion 1"]
    # What was drawn stays, and comes along when the result is looked at.
    np.testing.assert_array_equal(dock.regions.found()[0].vertices, before)
    assert len(dock.regions.found()) == 2
    assert dock.viewer.dims.current_step[0] == 12


def test_masks_lie_over_what_they_are_of(dock, qtbot):
    draw(dock, qtbot, "motion", 40, 20, 79, 59)
    dock.of_movie.setChecked(True)
    measure(dock, qtbot)
    results = dock.results
    labels = [results.components.itemText(k) for k in range(results.components.count())]
    assert labels == [
        "motion of whole frames", "movie of whole frames",
        "motion of motion 1", "movie of motion 1",
    ]  # fmt: skip
    results.show_mask.setChecked(True)
    (layer,) = results.view.layers
    assert layer.data.shape == (20, 30)
    np.testing.assert_allclose(layer.scale, 4)
    np.testing.assert_allclose(layer.translate, 1.5)
    assert layer.contrast_limits[0] == -layer.contrast_limits[1]
    assert dock.session.plot.widget.lanes[-1].label == "motion of whole frames 1"
    assert results.share.text().endswith("% of the variance.")
    results.components.setCurrentText("movie of motion 1")
    results.number.setValue(2)
    np.testing.assert_allclose(layer.translate, (21.5, 41.5))
    assert layer.name == "component 2 of movie of motion 1"
    assert results.number.maximum() == 5
    results.show_mask.setChecked(False)
    assert layer not in dock.viewer.layers


def test_results_are_saved_and_kinds_are_changed(dock, qtbot, tmp_path):
    draw(dock, qtbot, "motion", 35, 15, 85, 65)
    choice = dock.regions.table.cellWidget(0, 1)
    choice.setCurrentText("blink")
    dock.regions.table.item(0, 0).setText("lids")
    dock.of_motion.setChecked(False)
    assert not dock.number.isEnabled()
    measure(dock, qtbot)
    dock.results.save_file(str(tmp_path / "mouse_motion.nc"))
    dock.results.save_file(str(tmp_path / "mouse"), "Facemap (*_proc.npy)")
    found = read_motion(tmp_path / "mouse_motion.nc")
    assert list(found.traces["blink"].values) == ["lids"]
    assert not found.components
    assert (tmp_path / "mouse_proc.npy").is_file()
    assert "mouse_proc.npy" in dock.run_row.text.text()
    dock.results.save_file(str(tmp_path / "no" / "folder.nc"))
    assert "folder" in dock.run_row.text.text()


def test_regions_are_saved_and_used_again(dock, qtbot, tmp_path):
    draw(dock, qtbot, "pupil", 35, 15, 85, 65)
    dock.regions.files.save_file(str(tmp_path / "mine"))
    path = tmp_path / "mine.json"
    assert path.is_file()
    half = _add_video(dock.viewer, _frames()[:, ::2, ::2], "half.mp4")
    dock.video.choose(half)
    assert dock.regions.table.rowCount() == 0
    dock.regions.files.load_file(str(path))
    assert "stretched" in dock.run_row.text.text()
    (region,) = dock.regions.found()
    np.testing.assert_allclose(region.vertices.mean(0), [29.75, 19.75])
    path.write_text("{}")
    dock.regions.files.load_file(str(path))
    assert "mine.json" in dock.run_row.text.text()
    assert dock.regions.table.rowCount() == 1


def test_regions_of_another_video_are_moved_as_the_camera_was(dock, qtbot):
    draw(dock, qtbot, "pupil", 35, 15, 85, 65)
    rng = np.random.default_rng(3)
    scene = np.kron(rng.integers(0, 255, (20, 30)), np.ones((4, 4))).astype(np.uint8)
    scenes = np.repeat(scene[None], 5, 0)
    first = _add_video(dock.viewer, scenes, "before.mp4")
    dock.video.choose(first)
    draw(dock, qtbot, "motion", 40, 20, 60, 50)
    second = _add_video(dock.viewer, np.roll(scenes, (3, -4), (1, 2)), "after.mp4")
    dock.video.choose(second)
    assert dock.regions.table.rowCount() == 0
    dock.regions.files.align_to(first)
    qtbot.waitUntil(lambda: dock.regions.table.rowCount() == 1, timeout=20_000)
    (region,) = dock.regions.found()
    assert region.name == "motion 1"
    np.testing.assert_allclose(region.vertices.mean(0), [46, 38], atol=0.5)
    assert "moved as the camera" in dock.run_row.text.text()


def test_cancelling_keeps_what_is_done(dock, qtbot, monkeypatch):
    from napari_facemap.movement import analysis

    go_on = threading.Event()
    real = analysis.motion

    def slowly(videos, regions, progress, **settings):
        def told(done, total):
            asked = progress(done, total)
            if done >= 20:
                go_on.wait(10)
                return progress(done, total)
            return asked

        return real(videos, regions, progress=told, batch_size=10, **settings)

    monkeypatch.setattr(analysis, "motion", slowly)
    click(qtbot, dock.run_row.run)
    qtbot.waitUntil(lambda: dock.run_row.cancel.isEnabled())
    click(qtbot, dock.run_row.cancel)
    with qtbot.waitSignal(dock.run_row.finished, timeout=30_000):
        go_on.set()
    text = dock.run_row.text.text()
    assert text.startswith("Cancelled")
    assert dock.results.result is None or not dock.results.result.traces.attrs["complete"]


def test_two_cameras_are_measured_together(dock, qtbot):
    assert not dock.cameras.isVisible()
    side = _add_video(dock.viewer, _frames(1)[:, :40], "side.mp4")
    short = _add_video(dock.viewer, _frames(1)[:30], "short.mp4")
    assert [dock.cameras.item(k).text() for k in range(dock.cameras.count())] == ["side.mp4"]
    dock.cameras.item(0).setCheckState(Qt.CheckState.Checked)
    draw(dock, qtbot, "pupil", 35, 15, 85, 65)
    measure(dock, qtbot)
    result = dock.results.result
    assert result.regions.sizes == (SIZE, (40, 120))
    assert "whole frame of view 1" in result.traces["motion"].values
    dock.results.show_mask.setChecked(True)
    assert len(dock.results.view.layers) == 2
    dock.viewer.layers.remove(short)
    dock.viewer.layers.remove(side)
    assert dock.regions.views == [dock.chosen]


def test_motion_energy_is_a_layer(dock, qtbot):
    click(qtbot, dock.energy)
    layer = dock.viewer.layers[-1]
    frames = _frames().astype(int)
    np.testing.assert_array_equal(layer.data[7].compute(), np.abs(frames[7] - frames[6]))
    assert not np.asarray(layer.data[0]).any()
    assert VIDEO not in layer.metadata


def test_keypoints_of_eyes_come_along(dock, qtbot, make_store):
    from napari_facemap.viewer.keypoint_layer import layer_data

    session = dock.session
    session.add_keypoints(layer_data(make_store(N, FPS)))  # of no whole eye
    assert dock.keypoints.count() == 1
    names = ("eye(top)", "eye(back)", "eye(bottom)", "eye(front)")
    session.add_keypoints(layer_data(make_store(N // 2, FPS, names)))
    assert dock.keypoints.currentText() == "none"
    session.add_keypoints(layer_data(make_store(N, FPS, names)))
    dock._on_video()
    assert dock.keypoints.layer.metadata["facemap"].n_frames == N
    dock.of_motion.setChecked(False)
    measure(dock, qtbot)
    lanes = [lane.label for lane in session.plot.widget.lanes]
    assert lanes == ["whole frame: motion energy", "eyelids: eyelid opening"]


def test_what_is_missing_is_said(dock, qtbot):
    draw(dock, qtbot, "motion", 300, 300, 320, 320)
    click(qtbot, dock.run_row.run)
    qtbot.waitUntil(lambda: "motion 1" in dock.run_row.text.text())
    dock.viewer.layers.remove("mouse.mp4")
    click(qtbot, dock.run_row.run)
    assert "Open a video" in dock.run_row.text.text()
    click(qtbot, dock.regions.draw)
    assert "Open a video" in dock.run_row.text.text()


def test_a_file_of_results_is_shown_on_its_video(dock, qtbot, tmp_path):
    from napari_facemap.files.facemap_proc_write import write_facemap_proc
    from napari_facemap.files.motion import write_motion
    from napari_facemap.movement.analysis import motion
    from napari_facemap.viewer.motion_files import get_motion_reader

    eye = Region.ellipse(
        "eye",
        "pupil",
        *CENTRE,
        25,
        25,
    )
    result = motion(ArrayVideo(_frames(), fps=FPS), [eye], components=3)
    ours = write_motion(result, tmp_path / "mouse_motion.nc")
    theirs = write_facemap_proc(result, tmp_path / "mouse_proc.npy")
    other = tmp_path / "other.nc"
    other.write_bytes(b"x" * 100)
    for path in (ours, theirs):
        reader = get_motion_reader(str(path))
        for data, attributes, _ in reader(str(path)):
            dock.viewer.add_shapes(data, **attributes)
        assert len(dock.results.result.components) == 1
        assert dock.regions.table.item(0, 0).text() == "eye"
        assert dock.session.plot.widget.lanes[0].times[1] == pytest.approx(1 / FPS)
        assert dock.pupil._color == MEASURED
    with pytest.raises(ValueError, match=r"other\.nc"):
        get_motion_reader(str(other))(str(other))
    assert get_motion_reader(str(tmp_path / "array.npy")) is None
