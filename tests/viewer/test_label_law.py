"""Whatever is done to labels, what is on disk is what the layer shows."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel

from napari_facemap.files.label_project import LabelProject
from napari_facemap.viewer.session import session_of

N_FRAMES = 6


def drag(labelling):
    layer = labelling.keypoints.layer
    layer.data[1] = (7, 7)
    layer.events.data(value=layer.data, action="changed", data_indices=(1,), vertex_indices=((),))


def delete(labelling):
    labelling.keypoints.layer.selected_data = {0}
    labelling.keypoints.layer.remove_selected()


def propose(labelling):
    store = labelling.keypoints.store
    store.propose([1, 2], store.keypoints[1:2], np.full((2, 2, 1), 5.0), np.ones((2, 1)))
    labelling.keypoints.refresh(force=True)  # as the panel does


def accept_range(labelling):
    labelling.keypoints.store.accept()
    labelling.keypoints.refresh(force=True)


def rename(labelling):
    first, *rest = labelling.project.keypoints
    labelling.set_keypoints((f"{first}2", *rest), {first: f"{first}2"})


ACTIONS = {
    "click": lambda labelling: labelling.keypoints.layer.add((3, 4)),
    "drag": drag,
    "delete": delete,
    "propose": propose,
    "rename": rename,
    "accept range": accept_range,
    "take out": lambda labelling: labelling.unlabel([0, 1, 2]),
    "next frame": lambda labelling: labelling.frames.go_to(labelling.keypoints.frame + 1),
    "frame before": lambda labelling: labelling.frames.go_to(labelling.keypoints.frame - 1),
    "hide": lambda labelling: labelling.keypoints.placing.hide(),
    "accept": lambda labelling: labelling.keypoints.placing.accept(),
    "copy": lambda labelling: labelling.keypoints.placing.copy_before(),
    "undo": lambda labelling: labelling.keypoints.undo(),
    "redo": lambda labelling: labelling.keypoints.redo(),
    "restore": lambda labelling: labelling.keypoints.restore(),
}


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sampled_from(sorted(ACTIONS)), min_size=4, max_size=14))
def test_labels_on_disk_are_the_corrections_of_the_layer(actions):
    viewer = ViewerModel()
    video = viewer.add_image(np.zeros((N_FRAMES, 20, 30), np.uint8), name="video")
    labelling = session_of(viewer).labelling
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "project"
        labelling.open_project(folder, ("a", "b", "c"))
        labelling.use_video(video)
        for action in ("click", *actions):
            ACTIONS[action](labelling)
            check(labelling, folder)


def check(labelling, folder):
    store, labels = labelling.keypoints.store, LabelProject(folder).labels("video")
    waiting = labelling.unlabelled_corrections()  # accepted for a range: not looked at
    for frame in range(N_FRAMES):
        here, there = store.corrections(frame), labels.get(frame, {})
        if frame in waiting:
            here = {name: point for name, point in here.items() if name in there}
        assert here.keys() == there.keys()
        for keypoint, point in here.items():
            np.testing.assert_allclose(there[keypoint], point, atol=1e-3)
    points = store.frame(labelling.keypoints.frame)
    shown = np.isfinite(points.position[:, 0])
    np.testing.assert_array_equal(labelling.keypoints.layer.shown, shown)
