from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import numpy as np
import pytest
import torch

from napari_facemap.keypoints.box import Box
from napari_facemap.keypoints.models import Model, halved, load_model
from napari_facemap.keypoints.pointing import Pointer
from napari_facemap.keypoints.reading import Reading
from napari_facemap.keypoints.runtimes import cuda
from napari_facemap.keypoints.runtimes.cuda import CudaReaders

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is here")

BOX = Box(20, -10, 270, 240)


class _FakeReader:
    """Counts those in use; remembers how large it is."""

    made: ClassVar[list[int]] = []
    most = 40

    def __init__(self, look, batch_size, rows, columns, device):
        if batch_size > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.busy = False
        self.made.append(batch_size)

    def __call__(self, crop):
        assert not self.busy
        self.busy = True
        try:
            if crop.any():
                raise ValueError("a frame that is not black")
            return Reading(*(torch.zeros(len(crop), n) for n in (2, 1, 1)))
        finally:
            self.busy = False


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setattr(_FakeReader, "made", [])
    monkeypatch.setattr(cuda, "CudaReader", _FakeReader)
    return _FakeReader


def test_there_are_as_many_readers_as_calls_and_of_one_size(fake):
    readers = CudaReaders(None, 3, 4, torch.device("cuda"), batch_size=5, n=3)
    assert fake.made == [5, 5, 5]
    assert readers.batch_size == 5
    black = np.zeros((2, 3, 4), np.uint8)
    with ThreadPoolExecutor(6) as pool:
        assert [len(reading.xy) for reading in pool.map(readers, [black] * 60)] == [2] * 60


def test_a_reader_that_failed_is_free_again(fake):
    readers = CudaReaders(None, 3, 4, torch.device("cuda"), batch_size=5, n=1)
    for _ in range(3):
        with pytest.raises(ValueError, match="not black"):
            readers(np.ones((1, 3, 4), np.uint8))
    assert len(readers(np.zeros((1, 3, 4), np.uint8)).xy) == 1


def test_the_size_is_found_where_none_is_given_and_memory_ends(fake):
    readers = CudaReaders(None, 3, 4, torch.device("cuda"))
    assert readers.batch_size in (8, 16, 32)
    assert set(fake.made[:1]) == {8}
    assert fake.made[-2:] == [readers.batch_size] * 2


def test_without_memory_for_the_smallest_it_is_said(fake, monkeypatch):
    monkeypatch.setattr(fake, "most", 7)
    with pytest.raises(torch.OutOfMemoryError):
        CudaReaders(None, 3, 4, torch.device("cuda"))


@pytest.fixture(scope="module")
def floats() -> Model:
    model = load_model()
    return dataclasses.replace(model, network=halved(model.network))


@pytest.fixture(scope="module")
def frames(mouse) -> np.ndarray:
    return mouse.frames[:24]


def _distance(one, other):
    return np.hypot(*np.moveaxis(one.position - other.position, 1, 0))


@needs_cuda
def test_readers_find_what_the_plain_path_finds(frames):
    pointer = Pointer(load_model(), "cuda")
    plain = pointer(frames, BOX, "left")
    assert pointer.settle(*frames.shape[1:], BOX, "left", 8) == 8
    assert pointer._readers
    parts = [frames[0:8], frames[8:16], frames[16:23], frames[23:24], frames[0:8]] * 3
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda part: pointer(part, BOX, "left"), parts))
    position = np.concatenate([points.position for points in found[:4]])
    np.testing.assert_allclose(position, plain.position, atol=1e-3)
    error = np.concatenate([points.expected_error for points in found[:4]])
    np.testing.assert_allclose(error, plain.expected_error, rtol=1e-3)
    for k, points in enumerate(found):
        np.testing.assert_array_equal(points.position, found[k % 5].position)


@needs_cuda
def test_a_tensor_on_the_gpu_is_read_as_an_array_is(frames):
    pointer = Pointer(load_model(), "cuda")
    pointer.settle(*frames.shape[1:], BOX, "left", 8)
    crop = pointer.preparation(*frames.shape[1:], BOX, "left").crop(frames[:5])
    (readers,) = pointer._readers.values()
    one, other = readers(crop), readers(torch.from_numpy(np.array(crop)).cuda())
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@needs_cuda
def test_the_built_in_models_points_are_those_of_the_cpu(frames):
    model = load_model()
    on_cpu, on_gpu = (Pointer(model, device) for device in ("cpu", "cuda"))
    assert on_gpu.runtime.precision == on_cpu.runtime.precision == "8-bit"
    settled = on_gpu.settle(*frames.shape[1:], BOX, "left", None)
    assert settled >= 8
    expected = on_cpu(frames, BOX, "left")
    for n in (1, 8, 24):
        assert _distance(on_gpu(frames[:n], BOX, "left"), _first(expected, n)).max() < 0.01


@needs_cuda
def test_half_precision_moves_points_of_a_float_model_by_next_to_nothing(frames, floats):
    on_gpu = Pointer(floats, "cuda")
    assert on_gpu.runtime.precision == "float16"
    expected = Pointer(floats, "cpu", runtime="eager")(frames, BOX, "left")
    assert np.percentile(_distance(on_gpu(frames, BOX, "left"), expected), 95) < 0.1


def _first(points, n):
    return type(points)(*(part[:n] for part in points))
