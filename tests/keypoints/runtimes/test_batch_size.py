from __future__ import annotations

import time

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_facemap.keypoints.runtimes import batch_size
from napari_facemap.keypoints.runtimes.batch_size import best_batch_size, best_on_cpu

SIZES = (8, 16, 32, 64)


class _Timings:
    """Frames a second for each size; None where memory does not suffice."""

    def __init__(self, *rates: float | None, error: Exception | None = None):
        self.rates = dict(zip(SIZES, rates, strict=False))
        self.error = error or torch.OutOfMemoryError("CUDA out of memory")
        self.asked: list[int] = []

    def __call__(self, size: int) -> float:
        self.asked.append(size)
        rate = self.rates[size]
        if rate is None:
            raise self.error
        return size / rate


@pytest.mark.parametrize(
    ("rates", "best", "asked"),
    [
        ((100, 200, 400, 800), 64, 4),  # always worth it
        ((100, 120, 131, 500), 16, 3),  # less than a tenth more: the next is not asked for
        ((100, 109, 500, 500), 8, 2),
        ((100, 111, 123, 100), 32, 4),
        ((100, 200, None, 999), 16, 3),  # memory ends
        ((100, None), 8, 2),
    ],
)
def test_twice_the_frames_are_taken_for_a_tenth_more_of_them_a_second(rates, best, asked):
    timings = _Timings(*rates)
    assert best_batch_size(timings, SIZES, 1.1) == best
    assert timings.asked == list(SIZES[:asked])


@given(st.lists(st.floats(1, 1e6), min_size=4, max_size=4), st.floats(0.5, 2))
def test_every_size_up_to_the_best_was_worth_it_and_the_next_is_not(rates, gain):
    best = SIZES.index(best_batch_size(_Timings(*rates), SIZES, gain))
    rates = [size / (size / rate) for size, rate in zip(SIZES, rates, strict=True)]
    assert all(rates[k + 1] >= gain * rates[k] for k in range(best))
    assert best == 3 or rates[best + 1] < gain * rates[best]


def test_without_memory_for_the_smallest_the_error_is_raised():
    with pytest.raises(torch.OutOfMemoryError, match="memory"):
        best_batch_size(_Timings(None), SIZES)


def test_other_errors_are_raised_at_any_size():
    timings = _Timings(100, 200, None, error=RuntimeError("the cable is loose"))
    with pytest.raises(RuntimeError, match="cable"):
        best_batch_size(timings, SIZES)


@pytest.mark.parametrize(
    "words", ["CUDA out of memory", "DefaultCPUAllocator: can't allocate memory"]
)
def test_an_end_of_memory_is_known_by_its_words(words):
    assert best_batch_size(_Timings(100, 200, None, error=RuntimeError(words)), SIZES) == 16


def test_no_time_at_all_is_fast():
    assert best_batch_size(lambda size: 0.0, SIZES) == 64


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still but for what is added to it."""

    class Clock:
        now = 0.0

    monkeypatch.setattr(batch_size.time, "perf_counter", lambda: Clock.now)
    yield Clock
    monkeypatch.undo()
    assert time.perf_counter() > 0


@pytest.mark.parametrize(
    ("seconds", "best"),
    [
        ({4: 0.04, 8: 0.08, 16: 0.16, 32: 0.25}, 32),
        ({4: 0.04, 8: 0.08, 16: 0.161, 32: 0.31}, 16),  # who cancels would wait too long
        ({4: 0.04, 8: 0.12, 16: 0.24, 32: 0.5}, 4),  # caches overflow
        ({4: 0.04, 8: 0.12, 16: 0.17, 32: 0.5}, 16),  # one was disturbed
        ({4: 0.5, 8: 0.5, 16: 0.5, 32: 0.5}, 4),
    ],
)
def test_on_a_processor_a_batch_is_as_large_as_is_fast_and_short(clock, seconds, best):
    calls = []

    def work(n):
        assert torch.get_num_threads() == 1
        calls.append(n)
        # The first call of a size prepares much.
        clock.now += seconds[n] * (1 if calls.count(n) > 1 else 1.1)

    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert best_on_cpu(work, 64) == best
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert max(calls.count(size) for size in calls) <= 2


@pytest.mark.parametrize(("most", "best"), [(64, 32), (31, 16), (8, 8), (3, 3), (1, 1)])
def test_a_batch_has_no_more_frames_than_it_may(clock, most, best):
    tried = []
    assert best_on_cpu(tried.append, most) == best
    assert max(tried) == best


def test_threads_are_given_back_after_an_error():
    def work(n):
        raise ValueError("no such layer")

    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(ValueError, match="layer"):
            best_on_cpu(work, 8)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
