from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_facemap.neural.recording import Recording, check_times

TIMES = np.arange(5) / 10


def test_holds_float32_activity_and_float64_times():
    recording = Recording(np.ones((3, 5), int), list(TIMES), names=["a", "b", "c"])
    assert recording.activity.dtype == np.float32
    assert recording.times.dtype == np.float64
    assert recording.n_neurons == 3
    assert recording.rate == pytest.approx(10)
    assert replace(recording, name="b").names == ["a", "b", "c"]


def test_keeps_a_memory_map(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((3, 5), np.float32))
    recording = Recording(np.load(tmp_path / "a.npy", mmap_mode="r"), TIMES)
    assert isinstance(recording.activity, np.memmap)


@pytest.mark.parametrize(
    ("activity", "times", "says"),
    [
        (np.zeros(5), TIMES, r"found shape \(5,\)"),
        (np.zeros((0, 5)), TIMES, "at least one neuron"),
        (np.zeros((3, 6)), TIMES, r"with 5 times; found shape \(3, 6\)"),
        (np.zeros((3, 5), "U3"), TIMES, "as numbers"),
        (np.zeros((3, 5)), [0, 1, 1, 2, 3], "1 s followed by 1 s at sample 2"),
        (np.zeros((3, 5)), [0, 1, 2, 1.5, 3], "2 s followed by 1.5 s at sample 3"),
        (np.zeros((3, 5)), [0, 1, np.nan, 2, 3], "nan at sample 2"),
        (np.zeros((3, 5)), TIMES[:, None], "row of at least two times"),
        (np.zeros((3, 0)), [], "row of at least two times"),
    ],
)
def test_refuses_what_is_not_a_recording_in_one_line(activity, times, says):
    with pytest.raises(ValueError, match=says) as caught:
        Recording(activity, times, name="mouse")
    assert str(caught.value).startswith("mouse")
    assert "\n" not in str(caught.value)


def test_says_where_activity_is_not_finite():
    activity = np.zeros((3, 5))
    activity[1, 3] = np.inf
    with pytest.raises(ValueError, match="found inf for neuron 1 at sample 3"):
        Recording(activity, TIMES)


def test_neurons_without_names_are_numbered():
    assert Recording(np.zeros((3, 5)), TIMES).names == ["0", "1", "2"]


def test_refuses_other_number_of_names():
    with pytest.raises(ValueError, match="expected 3 names; found 2"):
        Recording(np.zeros((3, 5)), TIMES, names=["a", "b"])


def test_one_time_is_no_clock():
    with pytest.raises(ValueError, match="at least two times"):
        check_times([1.0], "camera")


def places():
    footprint = (np.array([1, 2]), np.array([3, 4]), np.array([0.5, 1]))
    return {
        "positions": [[3.5, 1.5], [0, 0], [2, 2]],
        "footprints": [footprint] * 3,
        "mean_image": np.ones((5, 6)),
    }


def test_knows_where_neurons_lie():
    recording = Recording(np.zeros((3, 5)), TIMES, **places())
    assert recording.positions.dtype == recording.mean_image.dtype == np.float32
    assert recording.positions.shape == (3, 2)
    assert replace(recording, name="b").footprints is recording.footprints
    volume = {"positions": np.zeros((3, 3)), "mean_image": np.zeros((2, 5, 6))}
    assert Recording(np.zeros((3, 5)), TIMES, **volume).positions.shape == (3, 3)
    bare = Recording(np.zeros((3, 5)), TIMES)
    assert bare.positions is bare.footprints is bare.mean_image is None


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"positions": np.zeros((2, 2))}, r"of 3 neurons; found shape \(2, 2\)"),
        ({"positions": np.zeros((3, 4))}, r"found shape \(3, 4\)"),
        ({"footprints": places()["footprints"][:2]}, "expected 3 footprints; found 2"),
        ({"footprints": [([1], [2], [])] * 3}, r"found lengths \[1, 1, 0\] for neuron 0"),
        ({"footprints": [([1], [2])] * 3}, "of y, x and weights"),
        ({"mean_image": np.zeros(5)}, r"found shape \(5,\)"),
    ],
)
def test_refuses_places_that_do_not_fit(more, says):
    with pytest.raises(ValueError, match=says) as caught:
        Recording(np.zeros((3, 5)), TIMES, name="mouse", **more)
    assert str(caught.value).startswith("mouse")
    assert "\n" not in str(caught.value)
