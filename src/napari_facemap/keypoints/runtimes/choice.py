"""Which runtime carries out a network: the fastest on a device whose points are the same."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

import torch
from torch import Tensor, nn

from napari_facemap.keypoints.network import KeypointNetwork
from napari_facemap.keypoints.point_network import PointNetwork
from napari_facemap.keypoints.runtimes.openvino_cpu import OpenVinoPlan
from napari_facemap.keypoints.runtimes.plan import FloatPlan
from napari_facemap.keypoints.runtimes.rounding import RoundedPlan, Rounding
from napari_facemap.keypoints.runtimes.torch_eight_bit import TorchEightBit, integers_are_exact

RUNTIMES = ("eager", "torch", "openvino")
"""What `open_runtime` knows by name."""

Run = Callable[[Tensor], tuple[Tensor, ...]]


@dataclass(frozen=True)
class Runtime:
    """A network set up to be carried out.

    Attributes
    ----------
    name : {"eager", "torch", "openvino"}
        What carries it out.
    precision : {"float32", "float16", "8-bit"}
        Of its arithmetic.
    device : torch.device
        Where pictures must be.
    run : callable
        Takes pictures of shape (n, 1, 256, 256), float32, and gives what the network's
        ``forward`` does.
    """

    name: str
    precision: str
    device: torch.device
    run: Run


def open_runtime(
    network: PointNetwork | KeypointNetwork,
    device: torch.device,
    name: str | None = None,
    calls: int = 1,
    rounding: Rounding | None = None,
) -> Runtime:
    """Set a network up.

    Its points are those of float32 within 0.1 pixels whatever is chosen, unless `rounding` says
    otherwise. bfloat16 is not among the choices: it moved points by 0.4 pixels.

    Parameters
    ----------
    network : PointNetwork or KeypointNetwork
        On the CPU; a copy is moved.
    device : torch.device
        What to compute on.
    name : str, optional
        One of `RUNTIMES`. "eager" carries the network out as it is trained. By default OpenVINO
        for float32 on a CPU where it is installed, else torch.
    calls : int
        Threads that will call at once, each computing with one thread of its own.
    rounding : Rounding, optional
        For a network that is not rounded by definition, see `fit_rounding`.

    Returns
    -------
    Runtime

    Raises
    ------
    ValueError
        When the runtime is not known, not installed, or not for this device or network.
    """
    if name not in (None, *RUNTIMES):
        raise ValueError(f"Expected a runtime of {', '.join(RUNTIMES)}; found {name!r}.")
    if isinstance(network, PointNetwork) and network.rounding is not None:
        rounding = network.rounding
    if name == "openvino":
        _check_openvino(device, rounding)
    on_cpu = device.type == "cpu"
    if name == "eager":
        if rounding is not None and getattr(network, "rounding", None) is None:
            raise ValueError('Expected the runtime "torch" for 8 bits; "eager" is in float32.')
        run = _moved(copy.deepcopy(network), device)
        return Runtime("eager", "8-bit" if rounding else "float32", device, run)
    plan = network.plan()
    if rounding is not None:
        if on_cpu and integers_are_exact():
            run = TorchEightBit(plan, rounding)
        else:
            run = _moved(RoundedPlan(plan, rounding), device)
        return Runtime("torch", "8-bit", device, _as_network(network, run))
    if on_cpu and (name == "openvino" or (name is None and openvino_is_here())):
        run = OpenVinoPlan(plan, calls)
        return Runtime("openvino", "float32", device, _as_network(network, run))
    half = device.type == "cuda"
    run = _moved(FloatPlan(plan), device, torch.float16 if half else torch.float32)
    precision = "float16" if half else "float32"
    return Runtime("torch", precision, device, _as_network(network, run))


def openvino_is_here() -> bool:
    """Whether OpenVINO is installed."""
    return find_spec("openvino") is not None


def _check_openvino(device: torch.device, rounding: Rounding | None) -> None:
    if device.type != "cpu":
        raise ValueError(f"Expected the device cpu for OpenVINO; found {device.type}.")
    if rounding is not None:
        raise ValueError(
            'Expected a model in float32 for OpenVINO. Use the runtime "torch" for one in 8 bits.'
        )
    if not openvino_is_here():
        raise ValueError("OpenVINO is not installed: pip install 'napari-facemap[cpu]'.")


def _moved(module: nn.Module, device: torch.device, dtype: torch.dtype = torch.float32) -> Run:
    # Channels-last is nearly twice as fast on a CPU and what tensor cores want.
    moved = module.to(device, dtype, memory_format=torch.channels_last).eval()

    def run(pictures: Tensor) -> tuple[Tensor, ...]:
        return moved(pictures.to(dtype, memory_format=torch.channels_last))

    return run


def _as_network(network: PointNetwork | KeypointNetwork, run: Run) -> Run:
    """Give what the network's forward gives; Facemap's layout has its three maps in one."""
    if isinstance(network, PointNetwork):
        return run
    n = network.n_keypoints

    def split(pictures: Tensor) -> tuple[Tensor, ...]:
        heat, row, column = run(pictures)[0].split(n, dim=1)
        return torch.relu(heat), row, column

    return split
