from __future__ import annotations

import gc
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from napari_facemap.video import segments
from napari_facemap.video.segments import _Shelf
from napari_facemap.video.video import open_video
from napari_facemap.video.write import write_video

SHAPE = (4, 8)


class Numbers:
    """Stands in for a decoder: every frame is even grey, its number."""

    def read(self, first, end, take):
        for number in range(first, end):
            take(number, number)


@pytest.fixture
def numbers(monkeypatch):
    monkeypatch.setattr(segments, "shape_of", lambda frame: SHAPE)
    monkeypatch.setattr(segments, "write_grey", lambda frame, into: into.fill(frame))
    return Numbers()


def _reading(shelf, decoder, stretches):
    ahead = iter(stretches)

    def work():
        try:
            while (stretch := shelf.next_of(ahead)) is not None:
                shelf.fill(decoder, *stretch, set())
        except segments._Stopped:
            pass

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    return threads


@pytest.mark.parametrize("alone", [True, False])
def test_a_slow_reader_gets_all_in_order_and_few_frames_wait(numbers, alone):
    shelf = _Shelf(8, 0, 100, SHAPE, most=50, alone=alone)
    threads = _reading(shelf, numbers, [(k, k + 20) for k in range(0, 100, 20)])
    seen = []
    for first, frames in shelf.batches([]):
        time.sleep(0.002)
        assert sum(map(len, shelf._batches.values())) <= 56
        seen += [(first + i, int(frame[0, 0])) for i, frame in enumerate(frames)]
    assert seen == [(i, i) for i in range(100)]
    for thread in threads:
        thread.join(5)
        assert not thread.is_alive()


def test_memory_is_used_again_only_when_no_view_of_it_is_left(numbers):
    shelf = _Shelf(5, 0, 200, SHAPE, most=200, alone=False)
    threads = _reading(shelf, numbers, [(0, 200)])
    kept = [(first, frames[2:3, 1]) for first, frames in shelf.batches([])]
    for thread in threads:
        thread.join(5)
    assert all((view == first + 2).all() for first, view in kept)
    assert shelf._free == []
    del kept
    gc.collect()
    assert len(shelf._free) == 40


def test_a_closed_reading_ends_at_once_though_a_segment_is_long(tmp_path, frames_of):
    path = tmp_path / "long.mkv"
    write_video(path, frames_of(600), 50.0, codec="ffv1", gop=300)
    with open_video(path) as video:
        reading = video.batches(4)
        next(reading)
        started = time.perf_counter()
        reading.close()
        assert time.perf_counter() - started < 0.3
    assert not [t for t in threading.enumerate() if t.name.startswith("decode")]


def test_what_a_decoder_raises_is_raised_to_the_reader(tmp_path, frames_of, monkeypatch):
    path = tmp_path / "gone.mkv"
    write_video(path, frames_of(20), 50.0, codec="ffv1")
    with open_video(path) as video:
        monkeypatch.setattr(segments, "write_grey", lambda frame, into: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            list(video.batches(4))


def test_decoders_are_as_many_as_memory_has_room_for(monkeypatch):
    monkeypatch.setattr(segments, "n_processors", lambda: 8)
    index = SimpleNamespace(keyframes=np.arange(0, 2000, 250), seekable=True)
    assert segments._cut(index, 10_000, 0, 2000)[1] == 8
    assert segments._cut(index, 800, 0, 2000)[1] == 3
    stretches, workers = segments._cut(index, 300, 0, 2000)
    assert workers == 1
    assert max(end - first for first, end in stretches) <= 75
    index.seekable = False
    assert segments._cut(index, 10_000, 0, 2000)[1] == 1


def test_what_does_not_decode_is_known_before_its_batch_is_given(numbers):
    class Holes(Numbers):
        def read(self, first, end, take):
            for number in range(first, end):
                if number % 7:
                    take(number, number)

    shelf, bad = _Shelf(5, 0, 50, SHAPE, most=50, alone=False), set()
    thread = threading.Thread(target=lambda: shelf.fill(Holes(), 0, 50, bad))
    thread.start()
    for first, frames in shelf.batches([]):
        expected = {number for number in range(first, first + len(frames)) if number % 7 == 0}
        assert expected <= bad
        assert not frames[sorted(number - first for number in expected)].any()
    thread.join(5)
    assert not thread.is_alive()
