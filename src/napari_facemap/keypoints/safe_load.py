"""Tensors from PyTorch files, and nothing but tensors."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch


class UnsafeFileError(ValueError):
    """A file that is damaged, no PyTorch file, or would run code."""


def load_safely(path: str | Path) -> Any:
    """Read tensors and plain containers; nothing in the file is executed.

    Parameters
    ----------
    path : str or Path
        Written by ``torch.save``.

    Returns
    -------
    object
        On the CPU.

    Raises
    ------
    UnsafeFileError
        With the first line of what PyTorch says.
    """
    try:
        with warnings.catch_warnings():
            # It warns of pickle protocols that it goes on to refuse.
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UnsafeFileError(first[:120]) from error
