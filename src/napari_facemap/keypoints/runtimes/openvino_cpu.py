"""Float plans on processors by OpenVINO."""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_facemap.keypoints.runtimes.plan import Layer, Plan

_SMALL = 64  # pixels that a network can halve as often as it does


class OpenVinoPlan:
    """A plan compiled by OpenVINO, computing in float32.

    Parameters
    ----------
    plan : Plan
        What to do.
    calls : int
        Threads that may call at once; each computes with one thread of its own.
    """

    def __init__(self, plan: Plan, calls: int = 1):
        options = {
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": calls,
            "NUM_STREAMS": calls,
            "ENABLE_CPU_PINNING": False,
        }
        self._n_outputs = len(plan.outputs)
        self._compiled = _core().compile_model(_translated(plan), "CPU", options)
        # The first call in a process sets OpenVINO's own tables up, and two threads at once that
        # do so wait for one another for ever.
        self(torch.zeros(1, 1, _SMALL, _SMALL))

    def __call__(self, pictures: Tensor) -> tuple[Tensor, ...]:
        """Carry out the plan on pictures of shape (n, 1, rows, columns), float32."""
        request = self._compiled.create_infer_request()
        request.infer([np.ascontiguousarray(pictures.numpy())], share_inputs=True)
        outputs = map(request.get_output_tensor, range(self._n_outputs))
        return tuple(torch.from_numpy(np.array(output.data)) for output in outputs)


def _openvino() -> Any:
    # By itself it reports every import to Google from a forked process, and leaves an identity in
    # the home folder.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


@cache
def _core() -> Any:
    # One for all and for ever: with the last of it goes the memory on which the thread that made
    # the first runs its signal handlers, and that thread's next Ctrl+C would end the process.
    return _openvino().Core()


def _translated(plan: Plan) -> Any:
    openvino = _openvino()
    from openvino import opset13 as ops

    values: list[Any] = [ops.parameter([-1, 1, -1, -1], np.float32)]
    for layer in plan.layers:
        values.append(_layer(ops, layer, [values[k] for k in layer.inputs]))
    return openvino.Model([ops.result(values[k]) for k in plan.outputs], [values[0]], "keypoints")


def _layer(ops: Any, layer: Layer, inputs: list[Any]) -> Any:
    if layer.kind == "pool":
        return ops.max_pool(inputs[0], [2, 2], [1, 1], [1, 1], [1, 1], [3, 3]).output(0)
    if layer.kind == "double":
        return ops.interpolate(
            inputs[0], np.array([2.0, 2.0], np.float32), "nearest", "scales",
            coordinate_transformation_mode="asymmetric", nearest_mode="floor",
            axes=np.array([2, 3]),
        )  # fmt: skip
    if layer.kind == "join":
        return ops.concat(inputs, 1)
    assert layer.weight is not None and layer.bias is not None
    weight, bias = layer.weight.float().numpy(), layer.bias.float().numpy()
    if layer.kind == "mean":
        mean = ops.reduce_mean(inputs[0], np.array([2, 3]), False)
        return ops.add(ops.matmul(mean, weight, False, True), bias)
    padding = [weight.shape[-1] // 2] * 2
    how = ([layer.stride] * 2, padding, padding, [1, 1])
    if layer.groups > 1:
        by_group = weight.reshape(layer.groups, -1, *weight.shape[1:])
        x = ops.group_convolution(inputs[0], by_group, *how)
    else:
        x = ops.convolution(inputs[0], weight, *how)
    x = ops.add(x, bias[None, :, None, None])
    if len(inputs) > 1:
        x = ops.add(x, inputs[1])
    return ops.relu(x) if layer.relu else x
