from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from napari_facemap.video import nvdec
from napari_facemap.video.grey import weigh
from napari_facemap.video.index import VideoError
from napari_facemap.video.video import open_video
from napari_facemap.video.write import write_video


@pytest.fixture
def video(tmp_path, frames_of):
    write_video(tmp_path / "a.mkv", frames_of(40), 50.0, codec="ffv1")
    with open_video(tmp_path / "a.mkv") as opened:
        yield opened


class FakeDecoder:
    """Stands in for torchcodec's, with faults that a driver might have."""

    lost, late, level, fails_at = 0, 0.0, 0, 1000

    def __init__(self, path, device):
        self.video = open_video(path)

    def __len__(self):
        return len(self.video) - self.lost

    def get_frames_in_range(self, start, stop):
        if stop > self.fails_at:
            raise RuntimeError("out of surfaces")
        frames = self.video.read(start, stop) + np.uint8(self.level)
        rgb = torch.from_numpy(frames)[:, None].expand(-1, 3, -1, -1)
        times = torch.from_numpy(self.video.times[start:stop] + self.late)
        return SimpleNamespace(data=rgb, pts_seconds=times)


@pytest.fixture
def decoder(monkeypatch):
    class Decoder(FakeDecoder):
        pass

    module = ModuleType("torchcodec.decoders")
    module.VideoDecoder = Decoder
    monkeypatch.setitem(sys.modules, "torchcodec", ModuleType("torchcodec"))
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", module)
    monkeypatch.setattr(nvdec, "find_spec", lambda name: name)
    return Decoder


def _all(batches):
    return np.concatenate([np.asarray(frames) for _, frames in batches])


def test_frames_are_those_of_the_video(video, decoder):
    batches = list(nvdec.read_on_gpu(video, 16, 3, 40, "cpu"))
    assert [first for first, _ in batches] == [3, 19, 35]
    np.testing.assert_array_equal(_all(batches), video.read(3, 40))


@pytest.mark.parametrize(("fault", "value"), [("lost", 1), ("late", 0.02)])
def test_other_frames_are_refused(video, decoder, fault, value):
    setattr(decoder, fault, value)
    with pytest.raises(VideoError, match=r"a\.mkv"):
        list(nvdec.read_on_gpu(video, 16, device="cpu"))
    assert not nvdec.gpu_decodes_faster(video, 16, "cpu")


def test_it_is_chosen_when_frames_are_the_same_and_come_sooner(video, decoder, monkeypatch):
    seconds = iter([1.0, 2.0, 2.0, 1.0])
    monkeypatch.setattr(nvdec, "_seconds", lambda batches, device: next(seconds))
    assert nvdec.gpu_decodes_faster(video, 16, "cpu")
    assert not nvdec.gpu_decodes_faster(video, 16, "cpu")
    decoder.level = 2
    assert not nvdec.gpu_decodes_faster(video, 16, "cpu")


def test_without_torchcodec_or_with_a_broken_video_processors_decode(video, decoder, monkeypatch):
    decoder.fails_at = 0
    assert not nvdec.gpu_decodes_faster(video, 16, "cpu")
    monkeypatch.setattr(nvdec, "find_spec", lambda name: None)
    assert not nvdec.gpu_decodes_faster(video, 16, "cpu")


def test_where_the_gpu_fails_processors_go_on(video, decoder):
    decoder.fails_at = 20
    batches = list(nvdec.gpu_then_cpu(video, 8, "cpu"))
    assert [first for first, _ in batches] == [0, 8, 16, 24, 32]
    np.testing.assert_array_equal(_all(batches), video.read(0, 40))


def test_grey_is_weighed_as_processors_do():
    rgb = np.random.default_rng(0).integers(0, 256, (2, 3, 16, 16), np.uint8)
    bgr = np.ascontiguousarray(rgb[:, ::-1].transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(nvdec.grey_of(torch.from_numpy(rgb)), weigh(bgr))


def test_torchcodec_itself_gives_the_same_frames(tmp_path, frames_of):
    pytest.importorskip("torchcodec", exc_type=(ImportError, RuntimeError))
    write_video(tmp_path / "a.mp4", frames_of(40), 50.0)
    with open_video(tmp_path / "a.mp4") as video:
        found = _all(nvdec.read_on_gpu(video, 16, device="cpu")).astype(int)
        assert np.abs(found - video.read(0, 40)).max() <= 1
