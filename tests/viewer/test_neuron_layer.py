from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Labels, Points

from napari_facemap.neural.recording import Recording
from napari_facemap.viewer.neuron_layer import NeuronMap, colors_of, label_picture

N = 6


def _recording(footprints=True, planes=1, image=True):
    rng = np.random.default_rng(0)
    at = np.arange(N)
    positions = np.stack([10.0 * at + 5, np.full(N, 8.0), at % planes], axis=1)
    marks = None
    if footprints:
        marks = [
            (np.array([7, 8, 8]), np.array([5, 5, 6]) + 10 * k, np.array([0.2, 1.0, 0.5]))
            for k in at
        ]
    return Recording(
        rng.random((N, 50)).astype(np.float32),
        np.arange(50) / 10,
        name="cells",
        positions=positions if planes > 1 else positions[:, :2],
        footprints=marks,
        mean_image=rng.random((planes, 20, 70))[: planes if planes > 1 else 1].squeeze()
        if image
        else None,
    )


@pytest.mark.parametrize("footprints", [True, False])
def test_neurons_lie_beside_the_video_and_tell_when_clicked(viewer, add_video, footprints):
    video = add_video(viewer, shape=(60, 80))
    neurons = NeuronMap(viewer)
    scores = np.linspace(0, 0.5, N)
    assert neurons.show(_recording(footprints), scores, video)
    assert isinstance(neurons.layer, Labels if footprints else Points)
    assert viewer.layers[1].name == "cells mean image"
    # The face takes 80 columns, and 20 are free.
    spot = (0, 8.0, 100 + 35.0)
    assert neurons.neuron_at(spot) == 3
    assert neurons.neuron_at((0, 50.0, 10.0)) is None
    neurons.hide()
    assert [layer.name for layer in viewer.layers] == ["video"]
    assert neurons._on_press not in viewer.mouse_drag_callbacks


def test_a_click_chooses_and_a_drag_does_not(viewer):
    neurons = NeuronMap(viewer)
    neurons.show(_recording(), np.zeros(N), None)
    told = []
    neurons.chosen.connect(told.append)

    class Event:
        position, pos, type = (8.0, 25.0), np.array([100, 100]), "mouse_press"

    def drag(*way):
        event, callback = Event(), viewer.mouse_drag_callbacks[-1]
        pressed = callback(viewer, event)
        next(pressed)
        event.type = "mouse_move"
        for place in way:
            event.pos = np.array(place)
            next(pressed)
        event.type = "mouse_release"
        with pytest.raises(StopIteration):
            next(pressed)

    drag((104, 100), (140, 120), (101, 100))
    assert told == []
    drag()
    assert told == [2]
    drag((101, 100), (101, 102))  # a hand is never quite still
    assert told == [2, 2]


def test_colours_say_how_well_neurons_are_predicted():
    colors = colors_of(np.array([np.nan, -0.3, 0.0, 0.2, 0.4]))
    np.testing.assert_allclose(colors[0], (0.5, 0.5, 0.5, 1))
    np.testing.assert_allclose(colors[1], colors[2])
    assert colors[4, 1] > colors[3, 1] > colors[2, 1]  # viridis ends in yellow


def test_pixels_of_two_neurons_belong_to_the_heavier():
    recording = _recording()
    y, x, _ = recording.footprints[0]
    recording.footprints[1] = (y, x, np.array([1.0, 0.3, 0.2]))
    labels = label_picture(recording)
    assert labels[7, 5] == 2
    assert labels[8, 5] == 1
    assert labels.shape == (20, 70)


def test_planes_lie_side_by_side(viewer):
    recording = _recording(planes=2)
    labels = label_picture(recording)
    assert labels.shape == (20, 140)
    assert labels[8, 5] == 1
    assert labels[8, 70 + 15] == 2
    neurons = NeuronMap(viewer)
    recording.footprints = None
    neurons.show(recording, np.zeros(N), None)
    np.testing.assert_allclose(neurons.layer.data[1], (8, 85))


def test_neurons_that_lie_nowhere_are_not_shown(viewer):
    recording = Recording(np.zeros((2, 5), np.float32), np.arange(5.0))
    assert not NeuronMap(viewer).show(recording, np.zeros(2), None)
    assert len(viewer.layers) == 0


def test_new_scores_change_the_colours(viewer):
    neurons = NeuronMap(viewer)
    neurons.show(_recording(footprints=False, image=False), np.zeros(N), None)
    before = neurons.layer.face_color.copy()
    neurons.recolor(np.linspace(0, 1, N))
    assert not np.allclose(before, neurons.layer.face_color)
