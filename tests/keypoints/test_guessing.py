from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_facemap.keypoints.augment import plain_view, random_view
from napari_facemap.keypoints.box import Box
from napari_facemap.keypoints.evaluation import read_faces
from napari_facemap.keypoints.guessing import with_guesses
from napari_facemap.keypoints.labels import LabelledFace
from napari_facemap.keypoints.models import load_model
from napari_facemap.keypoints.skeleton import KEYPOINTS


@pytest.fixture(scope="module")
def model():
    return load_model()


@pytest.fixture
def truth(mouse):
    return mouse.poses["position"].values[0].astype(float)


def labelled_only(mouse, xy, *names, source="mouse/img1.png", **more):
    """Frame 0 of the simulated mouse with the labels of these keypoints."""
    some = np.full(xy.shape, np.nan)
    for name in names:
        some[:, KEYPOINTS.index(name)] = xy[:, KEYPOINTS.index(name)]
    return LabelledFace(mouse.frames[0], some, source, **more)


def test_a_model_fills_in_what_it_is_sure_of_and_leaves_labels_alone(mouse, truth, model):
    """Only the paw is labelled, and wrongly: the rest is found, face and all."""
    label = np.full_like(truth, 7.0)
    face = labelled_only(mouse, label, "paw")
    (filled,) = with_guesses([face], KEYPOINTS, model, "cpu")
    np.testing.assert_array_equal(filled.xy, face.xy)
    np.testing.assert_array_equal(filled.known[:, KEYPOINTS.index("paw")], [7, 7])
    guessed = np.isfinite(filled.guessed).all(axis=0)
    assert guessed[[KEYPOINTS.index(n) for n in ("eye(front)", "nose(tip)")]].all()
    size = np.hypot(
        *(truth[:, KEYPOINTS.index("eye(top)")] - truth[:, KEYPOINTS.index("nose(tip)")])
    )
    off = np.hypot(*(filled.guessed - truth))[guessed]
    assert np.nanmedian(off) < 0.03 * size


def test_hidden_keypoints_are_not_guessed(mouse, truth, model):
    hidden = np.array([name == "nose(tip)" for name in KEYPOINTS])
    face = labelled_only(mouse, truth, "eye(front)", hidden=hidden)
    (filled,) = with_guesses([face], KEYPOINTS, model, "cpu")
    assert np.isnan(filled.known[:, hidden]).all()
    assert np.isfinite(filled.known[:, KEYPOINTS.index("eye(back)")]).all()


def test_a_place_that_is_known_is_looked_at(mouse, truth, model):
    """A box away from the face: nothing is to be seen there."""
    place = (Box(-90, -90, 10, 10), "right")
    face = labelled_only(mouse, truth, "eye(front)", place=place)
    (filled,) = with_guesses([face], KEYPOINTS, model, "cpu")
    assert filled.place == place
    assert np.isnan(filled.guessed).all()


def test_frames_of_a_recording_share_a_place(mouse, truth, model):
    whole = labelled_only(mouse, truth, *KEYPOINTS[:12])
    paw = labelled_only(mouse, truth, "paw", source="mouse/img2.png")
    first, second = with_guesses([paw, whole], KEYPOINTS, model, "cpu")
    assert first.place == second.place == (plain_view(whole, KEYPOINTS)[1], "left")


def test_without_a_face_the_whole_picture_is_the_place(model):
    xy = np.full((2, 1), 30.0)
    face = LabelledFace(np.full((60, 90), 80, np.uint8), xy, "body/img1.png")
    (filled,) = with_guesses([face], ("tail",), model, "cpu")
    assert filled.place == (Box(0, 0, 90, 60), "left")
    assert np.isnan(filled.guessed).all()


def test_guesses_are_learnt_from_and_never_measured(mouse, truth, model):
    """Views show them as seen; errors are of labels alone."""
    face = labelled_only(mouse, truth, "paw")
    (filled,) = with_guesses([face], KEYPOINTS, model, "cpu")
    eye = KEYPOINTS.index("eye(front)")
    assert np.isnan(plain_view(face, KEYPOINTS)[0].seen[eye])
    assert plain_view(filled, KEYPOINTS)[0].seen[eye] == 1
    assert random_view(filled, KEYPOINTS, np.random.default_rng(0)).seen[eye] in (0, 1)
    errors = read_faces(model.network, [filled], KEYPOINTS).errors[0]
    assert np.flatnonzero(np.isfinite(errors)).tolist() == [KEYPOINTS.index("paw")]


def test_views_look_where_tracking_looks(mouse, truth):
    place = (Box(20, 10, 220, 190), "left")
    paw = labelled_only(mouse, truth, "paw", place=place)
    assert plain_view(paw, KEYPOINTS)[1:] == place
    nothing_strays = dict.fromkeys(
        ("rotation", "stretch", "perspective", "shift", "mirrored", "far", "empty", "cut"), 0.0
    )
    from napari_facemap.keypoints.augment import Augmentation

    still = Augmentation(scale=1.0, **nothing_strays)
    view = random_view(paw, KEYPOINTS, np.random.default_rng(0), still)
    expected = plain_view(replace(paw, place=(Box(20, 0, 220, 200), "left")), KEYPOINTS)[0]
    np.testing.assert_allclose(view.xy[:, 11], expected.xy[:, 11], atol=1e-3)
