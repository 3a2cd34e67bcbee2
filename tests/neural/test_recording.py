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
    assert replace(recording, name="b").names == ("a", "b", "c")


def test_keeps_a_memory_map(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((3, 5), np.float32))
    recording = Recording(np.load(tmp_path / "a.npy", mmap_mode="r"), TIMES)
    assert isinstance(recording.activity, np.memmap)


@pytest.mark.parametrize(
    ("activity", "times", "says"),
    [
        (np.zeros(5), TIMES, r"shape is \(5,\)"),
        (np.zeros((0, 5)), TIMES, "empty"),
        (np.zeros((3, 6)), TIMES, "6 columns of activity but 5 times"),
        (np.zeros((3, 5), "U3"), TIMES, "must be numbers"),
        (np.zeros((3, 5)), [0, 1, 1, 2, 3], r"time 2 \(1 s\) repeats time 1"),
        (np.zeros((3, 5)), [0, 1, 2, 1.5, 3], "goes back"),
        (np.zeros((3, 5)), [0, 1, np.nan, 2, 3], "time 2 is nan"),
        (np.zeros((3, 5)), TIMES[:, None], "1-D"),
        (np.zeros((3, 0)), [], "empty"),
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
    with pytest.raises(ValueError, match="neuron 1 at sample 3 is inf"):
        Recording(activity, TIMES)


def test_refuses_other_number_of_names():
    with pytest.raises(ValueError, match="3 neurons but 2 names"):
        Recording(np.zeros((3, 5)), TIMES, names=["a", "b"])


def test_empty_times_are_refused():
    with pytest.raises(ValueError, match="no times"):
        check_times([])
