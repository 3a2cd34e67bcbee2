"""The keypoint models that can be used: the built-in ones, the user's, and files."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pooch
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from napari_facemap.files.atomic import atomic_path
from napari_facemap.keypoints.network import KeypointNetwork, network_from_state
from napari_facemap.keypoints.skeleton import FACEMAP_KEYPOINTS

DEFAULT_MODEL = "mouse-face"
BUILT_IN = Path(__file__).parent / "weights"


class ModelError(ValueError):
    """A model that does not exist or whose file is not what it should be."""


@dataclass(frozen=True)
class Model:
    """A keypoint network with what is known about it.

    Attributes
    ----------
    name : str
        As in `list_models`, or a file's name.
    network : KeypointNetwork
        In evaluation mode, on the CPU, float32.
    keypoints : tuple of str
        One name for each of the network's heat maps.
    sha256 : str
        Of the file with the weights.
    card : dict
        What its JSON card says: data, date, errors. Empty for Facemap's files.
    """

    name: str
    network: KeypointNetwork
    keypoints: tuple[str, ...]
    sha256: str
    card: dict[str, Any] = field(default_factory=dict)


def models_folder() -> Path:
    """Folder of the user's own models; `NAPARI_FACEMAP_MODELS` in the environment moves it."""
    return Path(os.environ.get("NAPARI_FACEMAP_MODELS") or pooch.os_cache("napari-facemap"))


def list_models() -> list[str]:
    """Names of the models at hand, the default first, then the other built-in, then the user's.

    Returns
    -------
    list of str
        Each is good for `load_model`.
    """
    built_in = sorted(path.stem for path in BUILT_IN.glob("*.safetensors"))
    built_in.sort(key=DEFAULT_MODEL.__ne__)
    own = sorted(path.stem for path in models_folder().glob("*.safetensors"))
    return built_in + [name for name in own if name not in built_in]


def load_model(model: str | Path | None = None) -> Model:
    """Load a model by name or file.

    Parameters
    ----------
    model : str or Path, optional
        A name of `list_models`, or the path of a .safetensors file with its JSON card beside it,
        or of a Facemap .pt file. By default the built-in model.

    Returns
    -------
    Model

    Raises
    ------
    ModelError
        When there is no such model, or the file is not a keypoint network. Nothing in the file
        is executed: only tensors are read.
    """
    path = _find(model)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}.") from error
    if path.suffix == ".safetensors":
        state, keypoints, card = _read_safetensors(path)
    else:
        state, keypoints = _read_facemap(path)
        card = {}
    try:
        network = network_from_state(state)
    except ValueError as error:
        raise ModelError(f"{path}: {error}. Choose another model.") from error
    odd = [k for k in keypoints if "/" in k or keypoints.count(k) > 1]
    if odd:
        raise ModelError(f"{path}: expected each keypoint once, without '/'; found {odd[0]!r}.")
    if len(keypoints) != network.n_keypoints:
        raise ModelError(
            f"{path}: expected a name for each of the network's {network.n_keypoints} keypoints, "
            f"found {len(keypoints)}. Put the model's facemap_model_params.pth or card beside it."
        )
    sha256 = hashlib.sha256(content).hexdigest()
    if card and card.get("sha256") != sha256:
        raise ModelError(
            f"{path}: the weights are not those that the card beside them describes (sha256 "
            f"{sha256[:12]}... instead of {str(card.get('sha256'))[:12]}...). Copy both files anew."
        )
    return Model(path.stem, network, keypoints, sha256, card)


def save_model(network: KeypointNetwork, path: str | Path, card: dict[str, Any]) -> None:
    """Write a network as safetensors with its JSON card beside it.

    Parameters
    ----------
    network : KeypointNetwork
        Convolution weights are stored in half precision.
    path : str or Path
        Ends in .safetensors.
    card : dict
        Must name the ``keypoints``; the sha256 of the weights is added.
    """
    path = Path(path)
    state = {
        name: (value.half() if value.ndim == 4 else value).detach().cpu().contiguous()
        for name, value in network.state_dict().items()
    }
    with atomic_path(path) as temporary:
        save_file(state, temporary)
        sha256 = hashlib.sha256(temporary.read_bytes()).hexdigest()
    with atomic_path(path.with_suffix(".json")) as temporary:
        text = json.dumps(
            {**card, "sha256": sha256}, indent=2, ensure_ascii=False, allow_nan=False
        )
        temporary.write_text(text + "\n", encoding="utf-8")


def _find(model: str | Path | None) -> Path:
    name = DEFAULT_MODEL if model is None else str(model)
    for folder in (BUILT_IN, models_folder()):
        path = folder / f"{name}.safetensors"
        if path.is_file():
            return path
    path = Path(name).expanduser()
    if path.is_file():
        return path
    raise ModelError(
        f"No keypoint model {name!r}: it is neither a file nor one of {', '.join(list_models())}."
    )


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], tuple[str, ...], dict[str, Any]]:
    card_path = path.with_suffix(".json")
    try:
        state = load_file(path)
        card = json.loads(card_path.read_text(encoding="utf-8"))
        keypoints = tuple(str(name) for name in card["keypoints"])
    except SafetensorError as error:
        raise ModelError(f"{path}: expected a safetensors file, found damage: {error}.") from error
    except FileNotFoundError as error:
        raise ModelError(f"{path}: expected its card {card_path.name} beside it.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{card_path}: expected a JSON card with 'keypoints': {error}."
        ) from error
    return (
        {n: v.float() if v.is_floating_point() else v for n, v in state.items()},
        keypoints,
        card,
    )


def _read_facemap(path: Path) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Read Facemap's state dict, and the keypoints' names from its parameter file if present."""
    state = _load_tensors(path)
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ModelError(
            f"{path}: expected Facemap's state dict of tensors, found something else."
        )
    parameters = path.with_name("facemap_model_params.pth")
    if not parameters.is_file():
        return state, FACEMAP_KEYPOINTS
    content = _load_tensors(parameters)
    names = content.get("params", {}).get("bodyparts") if isinstance(content, dict) else None
    if not isinstance(names, list | tuple):
        raise ModelError(f"{parameters}: expected a list of keypoints at params/bodyparts.")
    return state, tuple(str(name) for name in names)


def _load_tensors(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            # It warns of pickle protocols that it goes on to refuse.
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(
            f"{path}: expected a PyTorch file that holds tensors only, but it cannot be read "
            f"safely ({first[:120]}). Choose Facemap's facemap_model_state.pt."
        ) from error
