from __future__ import annotations

import itertools
import threading
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_facemap.pipeline import in_order

AHEAD = 2


def _batches(lengths):
    start = 0
    for number, length in enumerate(lengths):
        yield start, np.full(length, number)
        start += length


@pytest.fixture(autouse=True)
def no_threads_stay():
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 3)), max_size=12), st.integers(1, 5))
@settings(max_examples=30)
def test_results_come_in_the_batches_order(batches, workers):
    def work(frames):
        time.sleep(batches[frames[0]][1] / 1000)
        return int(frames[0])

    found = list(in_order(_batches([n for n, _ in batches]), work, workers))
    stops = list(itertools.accumulate(n for n, _ in batches))
    expected = list(zip([0, *stops], stops, range(len(batches)), strict=False))
    assert found == expected


def test_a_first_batch_that_takes_long_is_waited_for():
    second = threading.Event()

    def work(frames):
        if frames[0] == 0:
            assert second.wait(10)
        else:
            second.set()
        return int(frames[0])

    assert [result for *_, result in in_order(_batches([1] * 6), work, 2)] == list(range(6))


@pytest.mark.parametrize("workers", [1, 3])
def test_no_more_than_a_few_batches_are_taken_ahead(workers):
    taken, release = [], threading.Event()

    def batches():
        for start, frames in _batches([2] * 20):
            taken.append(start)
            yield start, frames

    def work(frames):
        assert release.wait(10)

    found = []
    consumer = threading.Thread(target=lambda: found.extend(in_order(batches(), work, workers)))
    consumer.start()
    while len(taken) < workers + AHEAD:
        time.sleep(0.001)
    time.sleep(0.05)
    assert len(taken) == workers + AHEAD
    assert not found
    release.set()
    consumer.join(10)
    assert len(found) == 20


def test_batches_are_taken_only_as_results_are():
    """Finished work is memory too."""
    taken = []

    def batches():
        for start, frames in _batches([1] * 30):
            taken.append(start)
            yield start, frames

    for _, stop, _ in in_order(batches(), lambda frames: None, 2):
        time.sleep(0.002)
        assert len(taken) <= stop + 2 + AHEAD


def test_several_work_at_the_same_time():
    together = threading.Barrier(3, timeout=10)
    list(in_order(_batches([1] * 6), lambda frames: together.wait(), 3))


def test_errors_are_raised_in_their_turn():
    def work(frames):
        if frames[0] in (3, 4):
            raise ValueError(f"frame {frames[0]}")
        if frames[0] < 3:
            time.sleep(0.02)
        return int(frames[0])

    found = []
    with pytest.raises(ValueError, match="frame 3"):
        for start, stop, result in in_order(_batches([1] * 9), work, 4):
            assert (start, stop) == (result, result + 1)
            found.append(result)
    assert found == [0, 1, 2]


def test_an_error_of_the_batches_is_raised():
    def batches():
        yield 0, np.zeros(1)
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="disk"):
        list(in_order(batches(), lambda frames: time.sleep(0.01), 2))


def test_closing_early_waits_for_what_is_in_work_and_drops_the_rest():
    full, in_work, release = (threading.Event() for _ in range(3))
    worked, taken, closed = [], [], []

    def batches():
        for start, frames in _batches([1] * 50):
            taken.append(start)
            if start == 2:
                full.set()
            yield start, frames

    def work(frames):
        worked.append(int(frames[0]))
        if frames[0] == 0:
            assert full.wait(10)
        else:
            in_work.set()
            assert release.wait(10)
            closed.append("not yet")

    results = in_order(batches(), work, 1)
    next(results)
    assert in_work.wait(10)
    timer = threading.Timer(0.05, release.set)
    timer.start()
    results.close()
    assert closed == ["not yet"]
    timer.join()
    assert worked == [0, 1]
    assert len(taken) <= 4


def test_each_worker_has_one_thread_and_the_caller_has_its_own_again():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        found = [n for *_, n in in_order(_batches([1] * 5), _n_threads, 2)]
        assert found == [1] * 5
        assert torch.get_num_threads() == 3
        results = in_order(_batches([1] * 5), _n_threads, 2)
        next(results)
        results.close()
        assert torch.get_num_threads() == 3
        with pytest.raises(ZeroDivisionError):
            list(in_order(_batches([1] * 5), lambda frames: 1 // 0, 2))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def _n_threads(frames):
    torch.ones(300, 300) @ torch.ones(300, 300)
    return torch.get_num_threads()


def test_nothing_gives_nothing():
    assert list(in_order([], lambda frames: 1 // 0, 2)) == []
