from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from napari_facemap.keypoints.runtimes.choice import openvino_is_here
from napari_facemap.keypoints.runtimes.openvino_cpu import OpenVinoPlan
from napari_facemap.keypoints.runtimes.plan import FloatPlan, Layer, Plan

pytestmark = pytest.mark.skipif(not openvino_is_here(), reason="OpenVINO is not installed")

# In a process of its own, since it is about what OpenVINO does to the process.
MAKE_A_PLAN = """
import os, signal, threading
import torch
from napari_facemap.keypoints.runtimes.openvino_cpu import OpenVinoPlan
from napari_facemap.keypoints.runtimes.plan import Plan
plan = Plan()
plan.outputs = (plan.conv(0, torch.ones(4, 1, 3, 3), None),)
held = [OpenVinoPlan(plan)]
"""


def _assert_close(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one, other, atol=1e-4, rtol=0)
        assert other.std() > 0.01


def test_it_finds_what_torch_finds_for_any_batch(make_network, make_pictures, layout):
    plan = make_network(layout).plan()
    run, exact = OpenVinoPlan(plan), FloatPlan(plan)
    with torch.inference_mode():
        for n in (1, 3, 8):
            pictures = make_pictures(n, n)
            _assert_close(run(pictures), exact(pictures))
        # channels-last is how the others like it
        pictures = pictures.contiguous(memory_format=torch.channels_last)
        _assert_close(run(pictures), exact(pictures))


def test_every_kind_of_layer_is_translated(make_pictures):
    torch.manual_seed(0)
    plan = Plan()
    weights = [
        torch.randn(4, n, k, k).double() / (n**0.5 * k)
        for n, k in ((1, 5), (1, 3), (2, 3), (8, 1))
    ]
    bias = torch.randn(4).double()
    first = plan.conv(0, weights[0], bias, stride=2, relu=True)
    each = plan.conv(first, weights[1], bias, groups=4)
    pairs = plan.conv(each, weights[2], None, groups=2, plus=first)
    pooled = plan.add(Layer("pool", (plan.conv(pairs, -weights[1], bias - 2, groups=4),)))
    doubled = plan.add(Layer("double", (pooled,)))
    joined = plan.add(Layer("join", (doubled, each)))
    mean = plan.add(Layer("mean", (joined,), torch.randn(3, 8).double(), torch.randn(3).double()))
    plan.outputs = (mean, plan.conv(joined, weights[3], bias, relu=True))
    pictures = make_pictures(2)
    with torch.inference_mode():
        _assert_close(OpenVinoPlan(plan)(pictures), FloatPlan(plan)(pictures))


def test_several_threads_at_once_find_the_same(make_network, make_pictures, layout):
    run = OpenVinoPlan(make_network(layout).plan(), calls=3)
    pictures = [make_pictures(n, n) for n in (1, 2, 3, 2, 1, 4, 2, 3)]
    alone = [run(picture) for picture in pictures]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(run, pictures))
    for one, other in zip(alone, together, strict=True):
        for a, b in zip(one, other, strict=True):
            torch.testing.assert_close(a, b, atol=1e-5, rtol=0)


def test_results_stay_when_more_is_computed(make_network, make_pictures, layout):
    run = OpenVinoPlan(make_network(layout).plan())
    first = run(make_pictures(2, 0))
    before = [value.clone() for value in first]
    run(make_pictures(2, 1))
    assert all(torch.equal(one, other) for one, other in zip(first, before, strict=True))


def test_the_first_call_is_made_before_threads_can_make_it(monkeypatch, make_network):
    # Two threads that made OpenVINO's first call of a process waited for one another for ever.
    called = []
    monkeypatch.setattr(OpenVinoPlan, "__call__", lambda self, pictures: called.append(pictures))
    OpenVinoPlan(make_network("own").plan())
    assert len(called) == 1


def test_nothing_is_reported_to_its_makers(tmp_path):
    home = {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path), "LOCALAPPDATA": str(tmp_path)}
    environment = {name: value for name, value in os.environ.items() if name != "CI"} | home
    alone = MAKE_A_PLAN + "assert threading.active_count() == 1, threading.enumerate()"
    subprocess.run([sys.executable, "-c", alone], env=environment, check=True)
    assert not list(tmp_path.iterdir())


def test_ctrl_c_still_works_when_another_thread_lets_go_of_it():
    and_interrupt = """
thread = threading.Thread(target=held.clear)
thread.start()
thread.join()
came = []
signal.signal(signal.SIGINT, lambda *_: came.append(True))
signal.raise_signal(signal.SIGINT)
assert came
"""
    subprocess.run([sys.executable, "-c", MAKE_A_PLAN + and_interrupt], check=True)
