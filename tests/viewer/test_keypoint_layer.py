from __future__ import annotations

import gc
import time
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_facemap.viewer.keypoint_layer import layer_data
from napari_facemap.viewer.keys import KEYS
from napari_facemap.viewer.review_panel import ReviewPanel
from napari_facemap.viewer.session import session_of


@pytest.fixture
def shown(viewer, add_video, make_store):
    add_video(viewer)
    keypoints = session_of(viewer).add_keypoints(layer_data(make_store()))
    viewer.dims.set_current_step(0, 0)
    return keypoints


def rows_of(keypoints):
    return keypoints.layer.data


def test_rows_follow_the_slider(viewer, shown):
    for frame in (0, 7, 99, 50):
        viewer.dims.set_current_step(0, frame)
        expected = shown.store.frame(frame).position[:, ::-1]
        np.testing.assert_allclose(rows_of(shown), expected, atol=1e-5)
    assert list(shown.layer.features["keypoint"]) == list(shown.names)


def test_drag_is_written_by_name_and_frame(viewer, shown):
    viewer.dims.set_current_step(0, 7)
    shown.layer.selected_data = {2}
    data = shown.layer.data.copy()
    data[2] = (5.5, 6.5)
    shown.layer.data[2] = data[2]
    # What napari emits when the mouse lets go.
    shown.layer.events.data(
        value=shown.layer.data, action="changed", data_indices=(2,), vertex_indices=((),)
    )
    points = shown.store.frame(7)
    assert points.position[2].tolist() == [6.5, 5.5]
    assert points.edited.tolist() == [False, False, True, False, False]
    assert shown.store.n_edits == 1
    np.testing.assert_allclose(shown.layer.border_color[2], [1, 1, 1, 1])
    viewer.dims.set_current_step(0, 8)
    assert not shown.store.frame(8).edited.any()
    viewer.dims.set_current_step(0, 7)
    np.testing.assert_allclose(rows_of(shown)[2], [5.5, 6.5])


def test_setting_data_as_a_script_does_edits_only_what_moved(shown):
    data = shown.layer.data.copy()
    data[1] = (1, 2)
    shown.layer.data = data
    assert shown.store.frame(0).edited.tolist() == [False, True, False, False, False]


def test_delete_hides_and_add_brings_back(viewer, shown):
    viewer.dims.set_current_step(0, 4)
    shown.layer.selected_data = {1, 3}
    shown.layer.remove_selected()
    assert len(rows_of(shown)) == 5
    assert shown.layer.shown.tolist() == [True, False, True, False, True]
    assert np.isnan(shown.store.frame(4).position[[1, 3]]).all()
    assert list(shown.layer.features["keypoint"]) == list(shown.names)
    shown.layer.add((11.0, 12.0))
    assert shown.store.frame(4).position[1].tolist() == [12, 11]
    assert shown.layer.shown.tolist() == [True, True, True, False, True]
    assert len(rows_of(shown)) == 5
    assert np.isfinite(rows_of(shown)).all()


def test_hidden_keypoints_are_neither_seen_nor_hit(viewer, shown):
    shown.layer.size = 6
    shown.store.delete(4, ["eye(back)"])
    viewer.dims.set_current_step(0, 4)
    layer = shown.layer
    assert layer.face_color[1, 3] == layer.border_color[1, 3] == 0
    assert layer.get_value((0.0, 1.0, 1.0), world=True) is None
    hit = layer.get_value((0.0, *layer.data[2]), world=True)
    assert hit == 2
    viewer.dims.set_current_step(0, 5)
    assert layer.size.tolist() == [6] * 5
    assert layer.face_color[1, 3] > 0.9
    hidden_from_the_start = layer_data(shown.store)[1]
    assert hidden_from_the_start["size"].min() > 1


def test_the_size_slider_resizes_all_when_none_is_selected(viewer, shown):
    shown.layer.current_size = 11
    assert shown.layer.size.tolist() == [11] * 5
    viewer.dims.set_current_step(0, 3)
    assert shown.layer.size.tolist() == [11] * 5
    shown.layer.selected_data = {2}
    shown.layer.current_size = 4
    assert shown.layer.size.tolist() == [11, 11, 4, 11, 11]


def test_a_click_places_the_current_keypoint_and_goes_on(viewer, shown):
    shown.placing.choose("mouth")
    assert shown.layer.border_width[3] > shown.layer.border_width[2]
    shown.layer.add((11.0, 12.0))
    assert shown.store.frame(0).position[3].tolist() == [12, 11]
    assert shown.placing.current == "paw"
    assert len(rows_of(shown)) == 5
    assert not shown.layer.selected_data
    shown.placing.previous_keypoint()
    shown.layer.add((13.0, 14.0))
    assert shown.store.frame(0).position[3].tolist() == [14, 13]


def test_what_a_person_touches_is_told_before_it_is_shown(viewer, shown):
    told = []
    shown.touched.connect(
        lambda frames: told.append((frames, shown.layer.border_color[1].tolist()))
    )
    shown.taken_back.connect(lambda frames: told.append(frames))
    viewer.dims.set_current_step(0, 4)
    plain = shown.layer.border_color[1].tolist()
    shown.placing.choose("eye(back)")
    ring = shown.layer.border_color[1].tolist()
    assert ring != plain
    shown.placing.hide()
    shown.undo()
    assert told == [((4,), ring), (4,)]


def test_accepting_a_frame_keeps_hidden_keypoints_as_they_are(viewer, shown):
    shown.store.predicted.position[6, :, 2] = np.nan
    viewer.dims.set_current_step(0, 6)
    shown.placing.accept()
    assert shown.store.frame(6).edited.tolist() == [True, True, False, True, True]


def test_names_stand_beside_visible_points(viewer, shown):
    shown.show_names(True)
    assert list(shown.layer.text.values) == list(shown.names)
    shown.store.delete(4, ["paw"])
    viewer.dims.set_current_step(0, 4)
    assert list(shown.layer.text.values) == [*shown.names[:4], ""]
    shown.toggle_names()
    assert "paw" not in str(shown.layer.text.values)
    assert not shown.names_shown


def test_adding_when_nothing_is_hidden_changes_nothing(shown):
    shown.layer.add((11.0, 12.0))
    assert len(rows_of(shown)) == 5
    assert shown.store.n_edits == 0


def test_a_drag_does_not_revive_a_hidden_keypoint(shown):
    shown.layer.selected_data = {1}
    shown.layer.remove_selected()
    shown.layer.data[1] += 3
    shown.layer.events.data(
        value=shown.layer.data, action="changed", data_indices=(1,), vertex_indices=((),)
    )
    assert np.isnan(shown.store.frame(0).position[1]).all()


def test_undo_goes_to_the_frame(viewer, shown):
    viewer.dims.set_current_step(0, 4)
    shown.layer.selected_data = {1}
    shown.layer.remove_selected()
    viewer.dims.set_current_step(0, 60)
    shown.undo()
    assert viewer.dims.current_step[0] == 4
    assert shown.layer.shown.all()
    shown.redo()
    assert not shown.layer.shown[1]


def test_keys_reach_the_store(viewer, shown):
    keymap = shown.layer.keymap
    assert len(keymap) >= len(KEYS)
    viewer.dims.set_current_step(0, 3)
    by_text = {str(binding): function for binding, function in keymap.items()}
    by_text["Ctrl+C"](shown.layer)
    viewer.dims.set_current_step(0, 9)
    by_text["Ctrl+V"](shown.layer)
    assert shown.store.frame(9).edited.all()
    np.testing.assert_allclose(shown.store.frame(9).position, shown.store.prediction(3).position)
    by_text["Ctrl+Z"](shown.layer)
    assert shown.store.n_edits == 0


def test_review_keys_move_the_slider(viewer, shown):
    shown.store.delete(20, ["paw"])
    shown.store.predicted.confidence[30, 0] = 0.1
    shown.next_edited()
    assert viewer.dims.current_step[0] == 20
    shown.next_low_confidence()
    assert viewer.dims.current_step[0] == 30
    shown.previous_edited()
    assert viewer.dims.current_step[0] == 20
    shown.previous_low_confidence()
    assert viewer.dims.current_step[0] == 20


def test_unsure_keypoints_are_dim(viewer, shown):
    shown.store.predicted.confidence[5, 0] = 0.0
    viewer.dims.set_current_step(0, 5)
    assert shown.layer.face_color[0, 3] == pytest.approx(0.25)
    assert shown.layer.face_color[1, 3] > 0.9


class StoreWithErrors:
    """A store whose predictions came with expected errors: 1.25 px times row and frame."""

    def __init__(self, store):
        self._store = store

    def __getattr__(self, name):
        return getattr(self._store, name)

    def frame(self, frame):
        points = vars(self._store.frame(frame))
        error = np.float32(1.25) * np.arange(5, dtype=np.float32) * frame
        return SimpleNamespace(**{**points, "expected_error": error})


def test_expected_errors_show_where_the_poses_have_them(viewer, shown, make_store, qtbot):
    panel = ReviewPanel(viewer, session_of(viewer))
    qtbot.addWidget(panel)
    assert "expected error" not in " ".join(shown.layer.features.columns)
    assert "expected error" not in panel.state.text()
    shown.set_store(StoreWithErrors(make_store()))
    viewer.dims.set_current_step(0, 2)
    np.testing.assert_allclose(errors_of(shown), [0, 2.5, 5, 7.5, 10])
    assert "expected error 5.0 px" in panel.state.text()
    y, x = rows_of(shown)[3]
    under_mouse = shown.layer.get_status((0, y, x), dims_displayed=[1, 2], world=True)
    assert "confidence: 0.9" in under_mouse["coordinates"]
    assert "expected error (px): 7.5" in under_mouse["coordinates"]
    # What a person placed or deleted has no expected error.
    shown.store.place(2, {"mouth": (5, 5)})
    shown.store.delete(2, ["paw"])
    shown.refresh(force=True)
    np.testing.assert_allclose(errors_of(shown), [0, 2.5, 5, np.nan, np.nan])
    under_mouse = shown.layer.get_status((0, 5, 5), dims_displayed=[1, 2], world=True)
    assert "keypoint: mouth" in under_mouse["coordinates"]
    assert "expected error" not in under_mouse["coordinates"]
    shown.set_store(make_store())
    assert list(shown.layer.features.columns) == ["keypoint", "confidence", "edited"]
    panel.refresh()
    assert "expected error" not in panel.state.text()


def errors_of(keypoints):
    return keypoints.layer.features["expected error (px)"]


def test_frames_are_right_beside_layers_of_other_clocks_and_more_axes(viewer, shown):
    # A fast calcium movie takes over the slider's steps, and a 4-D image shifts the axes.
    viewer.add_image(
        np.zeros((2, 1000, 4, 4), np.uint8),
        scale=(1, 0.002, 1, 1),
        units=("pixel", "s", "pixel", "pixel"),
    )
    viewer.dims.set_point(1, 37 / 50)
    assert viewer.dims.current_step[1] == 370
    assert shown.frame == 37
    np.testing.assert_allclose(rows_of(shown), shown.store.frame(37).position[:, ::-1], atol=1e-5)
    shown.clock.go_to_frame(12)
    assert viewer.dims.point[1] == pytest.approx(12 / 50)


def test_frames_are_right_on_a_translated_video(viewer, shown):
    viewer.layers["video"].translate = (3.0, 0, 0)
    viewer.dims.set_point(0, 3.0 + 9 / 50)
    assert shown.frame == 9


def test_a_duplicate_is_independent(viewer, shown):
    data, attributes, kind = shown.layer.as_layer_data_tuple()
    from napari.layers import Layer

    twin = viewer.add_layer(Layer.create(data.copy(), attributes, kind))
    other = session_of(viewer).keypoints_of(twin)
    assert other is not None
    assert other.store is not shown.store
    other.store.delete(0, ["paw"])
    assert shown.store.n_edits == 0


def test_two_keypoint_layers_are_both_followed(viewer, shown, make_store):
    other = session_of(viewer).add_keypoints(layer_data(make_store(names=("a", "b"))))
    viewer.dims.set_current_step(0, 33)
    for keypoints in (shown, other):
        np.testing.assert_allclose(
            rows_of(keypoints), keypoints.store.frame(33).position[:, ::-1], atol=1e-5
        )


def test_a_removed_layer_is_let_go(viewer, shown):
    layer, before = shown.layer, shown.layer.data.copy()
    viewer.layers.remove(layer)
    viewer.dims.set_current_step(0, 50)
    np.testing.assert_array_equal(layer.data, before)
    assert session_of(viewer).keypoint_layers == []
    viewer.add_layer(layer)
    np.testing.assert_allclose(layer.data, shown.store.frame(50).position[:, ::-1], atol=1e-5)


def test_removing_the_video_leaves_the_layer_usable(viewer, shown):
    viewer.layers.remove("video")
    assert shown.frame == 0
    shown.layer.selected_data = {0}
    shown.layer.remove_selected()
    assert len(rows_of(shown)) == 5


def test_other_keypoints_in_the_same_layer(viewer, shown, make_store):
    viewer.dims.set_current_step(0, 10)
    shown.set_store(make_store(names=("nose(tip)", "paw", "whisker(I)", "x", "y", "z", "w")))
    assert len(rows_of(shown)) == 7
    assert shown.layer.features["keypoint"].iloc[0] == "nose(tip)"
    np.testing.assert_allclose(rows_of(shown), shown.store.frame(10).position[:, ::-1], atol=1e-5)
    shown.layer.selected_data = {6}
    shown.layer.remove_selected()
    assert np.isnan(shown.store.frame(10).position[6]).all()


def test_times_come_from_the_video_when_the_file_had_none(viewer, add_video, make_store):
    store = make_store()
    store.attrs["times_known"] = 0
    store.times = np.arange(100.0)
    keypoints = session_of(viewer).add_keypoints(layer_data(store))
    add_video(viewer, fps=25.0)
    np.testing.assert_allclose(keypoints.store.times, np.arange(100) / 25)


def test_a_session_ends_with_its_viewer(make_store):
    viewer = ViewerModel()
    session = weakref.ref(session_of(viewer))
    session().add_keypoints(layer_data(make_store()))
    del viewer
    gc.collect()
    assert session() is None


def test_a_step_is_as_quick_in_a_million_frames(viewer, make_store):
    from dask import array as da

    n_frames = 1_000_000
    viewer.add_image(
        da.zeros((n_frames, 60, 80), chunks=(5000, 60, 80), dtype=np.uint8),
        scale=(0.02, 1, 1),
        units=("s", "pixel", "pixel"),
        contrast_limits=(0, 255),
    )
    keypoints = session_of(viewer).add_keypoints(layer_data(make_store(n_frames)))
    taken = []
    for frame in np.random.default_rng(0).integers(0, n_frames, 30):
        # Without the image: what we add to a step.
        viewer.layers[0].visible = False
        start = time.perf_counter()
        viewer.dims.set_current_step(0, int(frame))
        taken.append(time.perf_counter() - start)
        assert keypoints.frame == frame
    assert np.median(taken) < 0.05  # 20 ms where nothing else runs
