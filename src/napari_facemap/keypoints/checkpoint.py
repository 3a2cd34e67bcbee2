"""The state of a training on disk, so that it goes on after a crash or a stop."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from napari_facemap.files.atomic import atomic_path
from napari_facemap.keypoints.safe_load import UnsafeFileError, load_safely


@dataclass
class Progress:
    """How far a training is.

    Attributes
    ----------
    step : int
        Steps done.
    history : list of dict
        A row for each epoch.
    best : float
        Lowest validation error so far.
    best_state : dict of Tensor
        Weights of that epoch.
    losses : list of float
        Of the steps since the last epoch.
    seconds : float
        Time spent so far.
    """

    step: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    best: float = float("inf")
    best_state: dict[str, Tensor] = field(default_factory=dict)
    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, row: dict[str, Any], network: nn.Module) -> None:
        """Note an epoch, and keep its weights when they are the best so far.

        Without a validation error each epoch counts as better than the last.
        """
        self.history.append(row)
        self.losses.clear()
        score = float(row.get("score", -self.step))
        if score <= self.best:
            self.best = score
            state = network.state_dict()
            self.best_state = {name: v.detach().cpu().clone() for name, v in state.items()}


def write_checkpoint(
    path: Path | None, key: str, modules: dict[str, Any], progress: Progress
) -> None:
    """Write the state of a training; nothing without a path.

    Parameters
    ----------
    path : Path, optional
        Where to.
    key : str
        Says which training it is of.
    modules : dict
        Things with a ``state_dict``.
    progress : Progress
        How far it is.
    """
    if path is None:
        return
    states = {name: module.state_dict() for name, module in modules.items()}
    with atomic_path(path) as temporary:
        torch.save({"key": key, "states": states, "progress": vars(progress)}, temporary)


def read_checkpoint(path: Path | None, key: str, modules: dict[str, Any]) -> Progress:
    """Put the state of a training into its modules, where there is one.

    Parameters
    ----------
    path : Path, optional
        Where it may be.
    key : str
        Which training it must be of.
    modules : dict
        As in `write_checkpoint`.

    Returns
    -------
    Progress
        At step 0 when there is no checkpoint.

    Raises
    ------
    ValueError
        When the file is of another training, or damaged. Nothing in it is executed.
    """
    if path is None or not path.exists():
        return Progress()
    try:
        content = load_safely(path)
        found, states, progress = content["key"], content["states"], content["progress"]
    except (UnsafeFileError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path}: expected the checkpoint of a training, found damage. Delete it to start anew."
        ) from error
    if found != key:
        raise ValueError(
            f"{path}: this checkpoint is of a training with other pictures or options. Give them "
            "as before to go on with it, or delete it to start anew."
        )
    for name, module in modules.items():
        module.load_state_dict(states[name])
    return Progress(**progress)
