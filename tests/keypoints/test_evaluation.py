from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_facemap.keypoints.augment import plain_view
from napari_facemap.keypoints.evaluation import read_faces, summary
from napari_facemap.keypoints.network import KeypointNetwork

NAMES = ("eye(back)", "eye(top)", "nose(tip)", "paw", "tail")


def test_a_summary_is_of_all_labels_groups_and_keypoints():
    errors = np.array(
        [[1.0, 3.0, 40.0, np.nan, 2.0], [2.0, np.nan, 6.0, np.nan, 4.0]],
    )
    found = summary(errors, NAMES)
    every = np.array([1, 3, 40, 2, 2, 6, 4])
    assert found["median"] == 3
    assert found["p95"] == pytest.approx(np.percentile(every, 95))
    assert found["within_5"] == pytest.approx(5 / 7)
    assert found["score"] == pytest.approx(np.minimum(every, 10).mean())
    assert found["groups"] == {"eye": 2.0, "nose": 23.0, "tail": 3.0}
    assert found["per_keypoint"] == {
        "eye(back)": 1.5, "eye(top)": 3.0, "nose(tip)": 23.0, "tail": 3.0,
    }  # fmt: skip


@pytest.mark.parametrize("mirrored", [False, True])
def test_errors_are_percent_of_eye_to_nose_in_the_picture(spots, pointing_to, mirrored):
    face, names = spots
    if mirrored:
        xy = face.xy.copy()
        xy[0] = face.image.shape[1] - 1 - xy[0]
        face = replace(face, xy=xy, image=face.image[:, ::-1].copy())
    size = np.hypot(115, 20)  # between the eye and the nose tip of the fixture
    # The box is 2.2 sizes wide, the network's input 256 pixels: 10 % of the size are:
    off = 0.1 * size * 256 / round(2.2 * size)
    # In the view every face looks left, so that one answer fits both.
    view, _, _ = plain_view(face, names)
    answer = np.nan_to_num(view.xy, nan=100.0)
    answer[0, 1] += off
    readings = read_faces(pointing_to(answer), [face, face], names)
    assert readings.errors.shape == readings.log_excess.shape == readings.seen.shape == (2, 6)
    np.testing.assert_allclose(readings.errors[0, :4], [0, 10, 0, 0], atol=0.1)
    assert np.isnan(readings.errors[:, 4:]).all()
    assert np.isfinite(readings.log_excess).all()
    assert (readings.seen > 0.99).all()


def test_facemaps_layout_is_measured_alike(spots):
    face, names = spots
    torch.manual_seed(0)
    readings = read_faces(KeypointNetwork(6, (2, 2, 4, 4, 4)).eval(), [face], names)
    assert np.isfinite(readings.errors[0, :4]).all()
    assert np.isnan(readings.log_excess).all()
