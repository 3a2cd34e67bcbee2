"""What tracking makes of runtimes and precisions."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from napari_facemap.files.poses import read_poses, write_poses
from napari_facemap.keypoints import pointing, tracking
from napari_facemap.keypoints.models import Model
from napari_facemap.keypoints.network import KeypointNetwork
from napari_facemap.keypoints.point_network import PointNetwork
from napari_facemap.keypoints.runtimes import choice
from napari_facemap.keypoints.runtimes.choice import openvino_is_here
from napari_facemap.keypoints.runtimes.torch_eight_bit import integers_are_exact
from napari_facemap.keypoints.tracking import track

FRAMES = np.random.default_rng(0).integers(0, 256, (9, 64, 96), np.uint8)

needs_openvino = pytest.mark.skipif(not openvino_is_here(), reason="OpenVINO is not installed")


@pytest.fixture(scope="module")
def model() -> Model:
    return _random(KeypointNetwork)


def _random(kind) -> Model:
    torch.manual_seed(0)
    return Model("random", kind(3, (2, 2, 4, 4, 4)).eval(), ("a", "b", "c"), "0" * 64)


NAMES_OF_RUNTIMES = ["eager", "torch", pytest.param("openvino", marks=needs_openvino)]


@pytest.mark.parametrize("runtime", NAMES_OF_RUNTIMES)
@pytest.mark.parametrize("kind", [KeypointNetwork, PointNetwork])
def test_points_do_not_depend_on_the_runtime_and_it_is_said(kind, runtime):
    model = _random(kind)
    options = {"box": "whole", "device": "cpu", "facing": "left", "batch_size": 2}
    expected = track(FRAMES, model, **options, runtime="eager")
    poses = track(FRAMES, model, **options, runtime=runtime)
    np.testing.assert_allclose(poses.position, expected.position, atol=0.1)
    assert poses.attrs["runtime"] == runtime
    assert poses.attrs["precision"] == "float32"
    assert poses.attrs["device"] == "cpu"
    assert poses.attrs["batch_size"] == 2
    assert "deviation_p95" not in poses.attrs
    assert poses.attrs["complete"] == 1


def test_the_built_in_model_has_eight_bits(mouse_frames):
    for runtime in (None, "eager"):
        poses = track(mouse_frames, box="whole", device="cpu", runtime=runtime)
        assert poses.attrs["precision"] == "8-bit"
        assert poses.attrs["runtime"] == (runtime or "torch")
        assert poses.attrs["batch_size"] in (4, 8, 16, 32)
        assert "deviation_p95" not in poses.attrs


@pytest.mark.parametrize("kind", [KeypointNetwork, PointNetwork])
@pytest.mark.parametrize("runtime", [None, "torch"])
def test_a_float_model_is_rounded_when_told(kind, runtime):
    model = _random(kind)
    # A square within the frame: what is found of our layout's points is not put on the edge.
    options = {"box": (10, 0, 74, 64), "device": "cpu", "facing": "left"}
    exact = track(FRAMES, model, **options, precision="float32")
    poses = track(FRAMES, model, **options, runtime=runtime, precision="8-bit")
    assert (poses.attrs["runtime"], poses.attrs["precision"]) == ("torch", "8-bit")
    assert exact.attrs["precision"] == "float32"
    # Measured on those of the frames that the rounding is not fitted to.
    distance = np.hypot(*np.moveaxis((poses.position - exact.position).values[1::2], 1, 0))
    assert np.isfinite(poses.attrs["deviation_p95"])
    assert poses.attrs["deviation_p95"] > 0
    if kind is PointNetwork:
        assert poses.attrs["deviation_p95"] == pytest.approx(np.percentile(distance, 95), abs=0.02)


def test_a_single_frame_can_be_rounded(model):
    poses = track(FRAMES[:1], model, "whole", device="cpu", precision="8-bit")
    assert poses.attrs["precision"] == "8-bit"
    assert np.isfinite(poses.position).all()


@pytest.mark.skipif(not integers_are_exact(), reason="eight bits are not faster here")
@pytest.mark.parametrize(
    ("most", "options", "rounded"),
    [
        (np.inf, {}, True),
        (np.inf, {"runtime": "torch"}, True),
        (0.0, {}, False),  # points move
        (np.inf, {"precision": "float32"}, False),
        (np.inf, {"runtime": "eager"}, False),
        (np.inf, {"compat": "facemap"}, False),
    ],
)
def test_of_itself_it_rounds_where_points_stay(monkeypatch, model, most, options, rounded):
    monkeypatch.setattr(tracking, "_WORTH_ROUNDING", 9)
    monkeypatch.setattr(tracking, "SAME_POINTS", most)
    poses = track(FRAMES, model, "whole", device="cpu", **options)
    assert poses.attrs["precision"] == ("8-bit" if rounded else "float32")
    assert ("deviation_p95" in poses.attrs) == rounded
    short = track(FRAMES[:8], model, "whole", device="cpu", **options)
    assert short.attrs["precision"] == "float32"


@pytest.mark.skipif(not integers_are_exact(), reason="eight bits are not faster here")
def test_without_exact_integers_it_rounds_only_when_told(monkeypatch, model):
    monkeypatch.setattr(tracking, "_WORTH_ROUNDING", 9)
    monkeypatch.setattr(tracking, "SAME_POINTS", np.inf)
    monkeypatch.setattr(tracking, "integers_are_exact", lambda: False)
    assert track(FRAMES, model, "whole", device="cpu").attrs["precision"] == "float32"
    poses = track(FRAMES, model, "whole", device="cpu", precision="8-bit")
    assert poses.attrs["precision"] == "8-bit"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"precision": "16-bit"}, "float32 or 8-bit; found '16-bit'"),
        ({"precision": "8-bit", "compat": "facemap"}, 'precision "float32" with compat'),
        ({"precision": "8-bit", "runtime": "eager"}, 'runtime "torch" for 8 bits'),
        ({"runtime": "abacus"}, "eager, torch, openvino; found 'abacus'"),
        ({"model": None, "precision": "float32"}, "mouse-face: a model of 8 bits only"),
        ({"model": None, "compat": "facemap"}, "mouse-face: expected a model of Facemap's layout"),
        pytest.param(
            {"precision": "8-bit", "runtime": "openvino"}, 'runtime "torch" for 8 bits', marks=needs_openvino
        ),
        pytest.param(
            {"model": None, "runtime": "openvino"}, "float32 for OpenVINO", marks=needs_openvino
        ),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused_in_one_line(model, options, words):
    given = {"model": model, "box": "whole", "device": "cpu"} | options
    with pytest.raises(ValueError, match=words) as caught:
        track(FRAMES, **given)
    assert "\n" not in str(caught.value)


def test_openvino_that_is_not_installed_is_refused(monkeypatch, model):
    monkeypatch.setattr(choice, "openvino_is_here", lambda: False)
    with pytest.raises(ValueError, match="pip install"):
        track(FRAMES, model, "whole", device="cpu", runtime="openvino")
    poses = track(FRAMES, model, "whole", device="cpu")
    assert poses.attrs["runtime"] == "torch"


def _assert_nothing_is_done(poses):
    assert (poses.attrs["complete"], poses.attrs["frames_tracked"]) == (0, 0)
    assert np.isnan(poses.position).all()
    assert (poses.confidence == 0).all()


@pytest.mark.parametrize("last", [1, 3])
def test_stopping_while_the_face_is_looked_for(mouse_frames, last):
    calls = []

    def progress(done, total):
        calls.append((done, total))
        return len(calls) < last

    poses = track(mouse_frames, device="cpu", progress=progress)
    assert calls == [(0, 4)] * last
    _assert_nothing_is_done(poses)
    assert poses.sizes["time"] == 4
    assert poses.attrs["box_found"] == 0
    assert np.isnan(poses["expected_error"]).all()


@pytest.mark.parametrize("last", [1, 12, 30])
def test_stopping_while_the_model_is_rounded(model, last):
    calls = []

    def progress(done, total):
        calls.append((done, total))
        return len(calls) < last

    poses = track(FRAMES, model, "whole", device="cpu", precision="8-bit", progress=progress)
    assert calls == [(0, 9)] * last
    _assert_nothing_is_done(poses)


def test_progress_rises_from_nothing_to_all(mouse_frames):
    calls = []
    track(mouse_frames, device="cpu", progress=lambda *call: calls.append(call), batch_size=1)
    n = calls.count((0, 4))
    assert n >= 4  # at least once for each frame that a face is looked for in
    assert calls[n:] == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_the_batch_that_memory_allowed_is_said(monkeypatch, model):
    def limited(network, device, *rest):
        runtime = choice.open_runtime(network, device, *rest)

        def run(pictures):
            if len(pictures) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return runtime.run(pictures)

        return dataclasses.replace(runtime, run=run)

    expected = track(FRAMES, model, "whole", device="cpu")
    monkeypatch.setattr(pointing, "open_runtime", limited)
    poses = track(FRAMES, model, "whole", device="cpu", batch_size=8)
    assert poses.attrs["batch_size"] in (1, 2)
    np.testing.assert_allclose(poses.position, expected.position, atol=0.01)


def test_poses_with_their_runtime_are_written_and_read(tmp_path, model):
    poses = track(FRAMES, model, "whole", device="cpu", precision="8-bit", batch_size=3)
    write_poses(poses, tmp_path / "poses.h5")
    attrs = read_poses(tmp_path / "poses.h5").attrs
    for name in ("runtime", "precision", "batch_size", "device", "deviation_p95"):
        assert attrs[name] == poses.attrs[name]
