from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_facemap.keypoints.box import Box
from napari_facemap.keypoints.calibration import Calibration
from napari_facemap.keypoints.eight_bit import round_on_video
from napari_facemap.keypoints.models import Model
from napari_facemap.keypoints.network import KeypointNetwork
from napari_facemap.keypoints.point_network import PointNetwork
from napari_facemap.keypoints.pointing import Pointer
from napari_facemap.video.arrays import ArrayVideo

FRAMES = np.random.default_rng(0).integers(0, 256, (7, 60, 90), np.uint8)
BOX = Box(-10, 5, 60, 75)


class _Asked(ArrayVideo):
    """Remembers which frames it was asked for."""

    def __init__(self, frames, keyframes=None):
        super().__init__(frames)
        self.asked: list[int] = []
        if keyframes is not None:
            self.keyframes = np.asarray(keyframes)

    def __getitem__(self, index):
        self.asked.append(index)
        return super().__getitem__(index)


@pytest.fixture(scope="module", params=[PointNetwork, KeypointNetwork])
def model(request) -> Model:
    torch.manual_seed(0)
    network = request.param(3, (2, 2, 4, 4, 4)).eval()
    curves = Calibration(-6.0, -2.0, -1.0, 0.7) if request.param is PointNetwork else None
    return Model("m", network, ("eye(back)", "nose(tip)", "paw"), "0" * 64, {}, curves)


@pytest.fixture(scope="module")
def tiny() -> Model:
    torch.manual_seed(0)
    return Model("m", KeypointNetwork(2, (1, 1, 2, 2, 2)).eval(), ("a", "b"), "0" * 64)


@pytest.mark.parametrize("facing", ["left", "right"])
def test_the_deviation_is_that_on_frames_that_were_not_fitted_to(model, facing):
    source = _Asked(FRAMES)
    found = round_on_video(source, model, BOX, facing)
    assert source.asked == list(range(7))
    found.rounding.check(model.network.plan())
    exact = Pointer(model, "cpu", runtime="eager")(FRAMES[1::2], BOX, facing)
    rounded = Pointer(model, "cpu", rounding=found.rounding)(FRAMES[1::2], BOX, facing)
    distance = np.hypot(*np.moveaxis(rounded.position - exact.position, 1, 0))
    assert found.deviation == pytest.approx(np.percentile(distance, 95), abs=0.01)
    assert found.deviation > 0


def test_the_model_is_left_alone(model):
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    round_on_video(ArrayVideo(FRAMES[:2]), model, BOX, "left")
    assert getattr(model.network, "rounding", None) is None
    after = model.network.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_it_is_the_same_every_time(model):
    one, other = (round_on_video(ArrayVideo(FRAMES), model, BOX, "left") for _ in range(2))
    assert one.deviation == other.deviation
    assert all(
        torch.equal(value, other.rounding.state()[name])
        for name, value in one.rounding.state().items()
    )


def test_of_one_frame_nothing_can_be_said(tiny):
    assert np.isnan(round_on_video(ArrayVideo(FRAMES[:1]), tiny, BOX, "left").deviation)


@pytest.mark.parametrize("n_keys", [None, 10, 32, 50])
def test_frames_are_spread_over_the_video_and_keyframes_where_they_suffice(tiny, n_keys):
    frames = np.broadcast_to(FRAMES[:1], (400, 60, 90))
    keys = None if n_keys is None else np.arange(n_keys) * 7 + 3
    source = _Asked(frames, keys)
    source.bad_frames = np.array([3, 4, 0])
    round_on_video(source, tiny, BOX, "left")
    asked = source.asked
    assert asked == sorted(set(asked))
    assert not set(asked) & {0, 3, 4}
    assert all(type(number) is int for number in asked)
    if n_keys == 50:
        assert set(asked) <= set(keys.tolist())
        assert (asked[0], asked[-1]) == (10, keys[-1])
    else:  # of 32 keyframes one is bad
        assert (asked[0], asked[-1]) == (1, 399)
    assert len(asked) == 32


def test_without_a_frame_that_can_be_read_it_is_refused(tiny):
    source = ArrayVideo(FRAMES)
    source.bad_frames = np.arange(7)
    with pytest.raises(ValueError, match="frames that can be read; found none"):
        round_on_video(source, tiny, BOX, "left")


class _Enough(Exception):
    pass


def test_pausing_can_end_it_anywhere(tiny):
    n_calls = 0

    def pause():
        nonlocal n_calls
        n_calls += 1
        if n_calls == last:
            raise _Enough

    last = -1
    round_on_video(ArrayVideo(FRAMES), tiny, BOX, "left", pause)
    total, most = n_calls, 7 + 3 + 3 * len(tiny.network.plan().layers)
    assert 7 + 3 + len(tiny.network.plan().layers) < total <= most + 1
    for last in (1, 5, 9, 40, total - 1, total):
        n_calls = 0
        with pytest.raises(_Enough):
            round_on_video(ArrayVideo(FRAMES), tiny, BOX, "left", pause)
        assert n_calls == last
