"""Where the networks run."""

from __future__ import annotations

import torch


def choose_device(device: str = "auto") -> torch.device:
    """Find the device to compute on.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda", "mps"} or other torch device
        "auto" takes an NVIDIA GPU, else an Apple GPU, else the CPU.

    Returns
    -------
    torch.device

    Raises
    ------
    ValueError
        When the device is not known or not there.
    """
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"Expected device auto, cpu, cuda or mps; found {device!r}.") from error
    there = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if not there.get(chosen.type, False):
        raise ValueError(f"PyTorch finds no {device!r} device here. Use --device auto or cpu.")
    return chosen


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a processor's or a GPU's memory does not suffice."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return "out of memory" in str(error) or "allocate memory" in str(error)
