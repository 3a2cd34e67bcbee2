from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_facemap.neural.clock_shift import clock_shift
from napari_facemap.neural.features import Features


@pytest.mark.parametrize("shift", [-20.0, -5.0, 0.0, 5.0, 20.0])
def test_a_shift_is_found_and_said(make_pair, shift):
    pair = make_pair(noise=2.0, n_neurons=40)
    moved = replace(pair.recording, times=pair.recording.times + shift)
    found = clock_shift(pair.features, moved)
    assert found.seconds == pytest.approx(shift, abs=0.3)
    if shift:
        assert f"{abs(found.seconds):.1f} s {'later' if shift > 0 else 'earlier'}" in found.warning
    else:
        assert found.warning == ""


def test_a_delay_is_taken_off_first(make_pair):
    pair = make_pair()
    moved = replace(pair.recording, times=pair.recording.times + 3.0)
    assert clock_shift(pair.features, moved, delay=3.0).seconds == pytest.approx(0, abs=0.3)


@pytest.mark.parametrize("seed", range(6))
def test_neurons_that_follow_nothing_raise_no_warning(make_pair, seed):
    pair, other = make_pair(seed=seed), make_pair(seed=seed + 100)
    found = clock_shift(pair.features, other.recording)
    assert found.warning == ""


def test_short_recordings_are_not_judged(make_pair):
    pair = make_pair()
    few = pair.features.times < 20
    short = Features(pair.features.values[few], pair.features.times[few], pair.features.names)
    assert clock_shift(short, pair.recording) is None


def test_constant_features_and_silent_neurons_do_no_harm(make_pair):
    pair = make_pair()
    still = Features(np.ones_like(pair.features.values), pair.features.times, pair.features.names)
    assert clock_shift(still, pair.recording).warning == ""
    silent = replace(pair.recording, activity=np.zeros_like(pair.recording.activity))
    assert clock_shift(pair.features, silent).warning == ""
