"""Tracking's network on an NVIDIA GPU: frames a second against batch size, and the roofline."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch

from napari_facemap.keypoints.box import Box
from napari_facemap.keypoints.models import Model, load_model
from napari_facemap.keypoints.network import KeypointNetwork
from napari_facemap.keypoints.pointing import Pointer
from napari_facemap.keypoints.runtimes.plan import Plan, weighted
from napari_facemap.keypoints.skeleton import FACEMAP_KEYPOINTS

SIZES = (8, 16, 32, 64, 128, 256)
HEIGHT, WIDTH = 256, 256


def gpu_table(decode_fps: float) -> list[dict[str, Any]]:
    """Frames a second without decoding, share of the GPU's arithmetic, and of decoding's rate."""
    network = KeypointNetwork(len(FACEMAP_KEYPOINTS), (32, 64, 128, 200, 256)).eval()
    layout = Model("13.4 GFLOP", network, FACEMAP_KEYPOINTS, "0" * 64)
    rows = []
    for model in (layout, load_model()):
        plan = model.network.plan()
        half = model is layout
        peak = _matrix_flops(torch.float16 if half else torch.float32)
        pointer = Pointer(model, "cuda")
        for size in SIZES:
            box = Box(0, 0, WIDTH, HEIGHT)
            pointer.settle(HEIGHT, WIDTH, box, "left", size)
            frames = np.random.default_rng(0).integers(0, 256, (size, HEIGHT, WIDTH), np.uint8)
            fps = size / _seconds(lambda p=pointer, f=frames, b=box: p(f, b))
            rows.append(
                {
                    "model": model.name,
                    "batch": size,
                    "frames/s": fps,
                    "of matrix product's FLOP/s": fps * _flops(plan) / peak,
                    "of decoding's rate": fps / decode_fps,
                }
            )
    return rows


def _flops(plan: Plan) -> float:
    """Operations of a plan's convolutions for one picture of 256 x 256."""
    side = {0: HEIGHT}
    total = 0.0
    weights = {k: weight for k, _, weight, _ in weighted(plan)}
    for k, layer in enumerate(plan.layers):
        before = side[layer.inputs[0]]
        after = before // layer.stride
        after = {"pool": (before + 1) // 2, "double": 2 * before}.get(layer.kind, after)
        side[k + 1] = after
        if layer.kind == "conv":
            total += 2.0 * weights[k].numel() * after**2
    return total


def _matrix_flops(dtype: torch.dtype) -> float:
    """Operations a second of a large matrix product: the most that the GPU reaches."""
    n = 8192
    a = torch.randn(n, n, device="cuda", dtype=dtype)
    torch.backends.cuda.matmul.allow_tf32 = True

    def product() -> None:
        torch.matmul(a, a)
        torch.cuda.synchronize()

    seconds = _seconds(product)
    torch.backends.cuda.matmul.allow_tf32 = False
    return 2.0 * n**3 / seconds


def _seconds(call: Any, repeats: int = 10) -> float:
    for _ in range(2):
        call()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return float(np.median(times))
