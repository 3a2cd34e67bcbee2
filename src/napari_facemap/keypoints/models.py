"""The keypoint models that can be used: the built-in ones, the user's, and files."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

import pooch
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from napari_facemap.files.atomic import atomic_path
from napari_facemap.keypoints.calibration import Calibration, calibration_from_card
from napari_facemap.keypoints.network import KeypointNetwork, network_from_state
from napari_facemap.keypoints.point_network import (
    PointNetwork,
    is_point_network,
    point_network_from_state,
)
from napari_facemap.keypoints.safe_load import UnsafeFileError, load_safely
from napari_facemap.keypoints.skeleton import FACEMAP_KEYPOINTS

N = TypeVar("N", bound=PointNetwork | KeypointNetwork)

DEFAULT_MODEL = "mouse-face"
BUILT_IN = Path(__file__).parent / "weights"
FACEMAP = "facemap"
"""Name of Facemap's official model, once it was fetched."""

FACEMAP_STATE, FACEMAP_PARAMETERS = "facemap_model_state.pt", "facemap_model_params.pth"
"""Names of a Facemap model's two files: its weights, and its channels and keypoints."""

REMOVED = "removed"
"""Folder in the models folder to which removed models go."""

RECORD = "fetched.json"
"""In the models folder: what was fetched, with its hashes."""

_CARD = "card"  # where the header of the file holds it


class ModelError(ValueError):
    """A model that does not exist or whose file is not what it should be."""


@dataclass(frozen=True)
class Model:
    """A keypoint network with what is known about it.

    Attributes
    ----------
    name : str
        As in `list_models`, or a file's name.
    network : PointNetwork or KeypointNetwork
        Our own layout or Facemap's; in evaluation mode, on the CPU, float32.
    keypoints : tuple of str
        One name for each of the network's heat maps.
    sha256 : str
        Of the file.
    card : dict
        What is written in its file: data, date, errors. Empty for Facemap's files.
    calibration : Calibration or None
        From what the network reckons to confidence and expected error, where the card has it.
    """

    name: str
    network: PointNetwork | KeypointNetwork
    keypoints: tuple[str, ...]
    sha256: str
    card: dict[str, Any] = field(default_factory=dict)
    calibration: Calibration | None = None


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
    return built_in + [name for name in own_models() if name not in built_in]


def own_models() -> dict[str, Path]:
    """Files of the models in the user's folder, by name.

    Returns
    -------
    dict of str to Path
        ``NAME.safetensors``, or for files of Facemap's ``NAME/facemap_model_state.pt``.
    """
    folder = models_folder()
    found = {path.stem: path for path in folder.glob("*.safetensors")}
    found |= {path.parent.name: path for path in folder.glob(f"*/{FACEMAP_STATE}")}
    # Hidden ones are half-written or half-fetched.
    shown = {name: path for name, path in found.items() if not name.startswith(".")}
    return dict(sorted(item for item in shown.items() if item[0] != REMOVED))


def read_record() -> dict[str, Any]:
    """What was fetched into the user's folder: by model, date and each file's sha256 and url.

    Raises
    ------
    ModelError
        When the record is damaged: without it nothing fetched can be trusted.
    """
    path = models_folder() / RECORD
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        for model in content.values():
            [str(file["sha256"]) for file in model["files"].values()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{path}: expected the hashes of fetched models; found damage ({error}). Delete it, "
            "and fetch the models again."
        ) from error
    return dict(content)


def load_model(model: str | Path | None = None) -> Model:
    """Load a model by name or file.

    Parameters
    ----------
    model : str or Path, optional
        A name of `list_models`, or the path of one of our .safetensors files or of a Facemap .pt
        file. By default the built-in model.

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
    elif path.suffix in (".pt", ".pth"):
        state, keypoints = _read_facemap(path)
        card = {}
    else:
        raise ModelError(
            f"{path}: expected a model's .safetensors, or Facemap's facemap_model_state.pt; found "
            f"{path.suffix or 'a file without an ending'}."
        )
    try:
        network: PointNetwork | KeypointNetwork
        if is_point_network(state):
            network = point_network_from_state(state)
        else:
            network = network_from_state(state)
        known = card.get("calibration")
        calibration = calibration_from_card(known) if known else None
    except ValueError as error:
        raise ModelError(f"{path}: {error}. Choose another model.") from error
    odd = [k for k in keypoints if "/" in k or keypoints.count(k) > 1]
    if odd:
        raise ModelError(f"{path}: expected each keypoint once, without '/'; found {odd[0]!r}.")
    if len(keypoints) != network.n_keypoints:
        raise ModelError(
            f"{path}: expected a name for each of the network's {network.n_keypoints} keypoints, "
            f"found {len(keypoints)}. Put the model's facemap_model_params.pth beside it."
        )
    sha256 = hashlib.sha256(content).hexdigest()
    name = path.stem
    if path.parent.parent == models_folder() and path.name == FACEMAP_STATE:
        name = path.parent.name
        _check_record(path.parent)
    return Model(name, network, keypoints, sha256, card, calibration)


def save_model(
    network: PointNetwork | KeypointNetwork, path: str | Path, card: dict[str, Any]
) -> None:
    """Write a network as safetensors, with its card as JSON in the file's header.

    Parameters
    ----------
    network : PointNetwork or KeypointNetwork
        Convolution weights are stored in half precision; see `halved`.
    path : str or Path
        Ends in .safetensors.
    card : dict
        Plain values; must name the ``keypoints``.
    """
    state = {
        name: (value.half() if value.ndim == 4 else value).detach().cpu().contiguous()
        for name, value in network.state_dict().items()
    }
    if isinstance(network, PointNetwork) and network.rounding is not None:
        state |= network.rounding.state()
    text = json.dumps(card, ensure_ascii=False, allow_nan=False)
    with atomic_path(path) as temporary:
        save_file(state, temporary, metadata={_CARD: text})


def like(network: N, n_keypoints: int) -> N:
    """Make a fresh network of the same layout and sizes, with so many keypoints."""
    if isinstance(network, PointNetwork):
        return cast("N", PointNetwork(n_keypoints, network.widths, network.depths))
    return cast("N", KeypointNetwork(n_keypoints, network.channels))


def halved(network: N) -> N:
    """Copy a network with the weights that it has once it was saved; without rounding."""
    copied: Any = like(network, network.n_keypoints)
    state = network.state_dict()
    copied.load_state_dict({n: v.half().float() if v.ndim == 4 else v for n, v in state.items()})
    return cast("N", copied.eval())


def _find(model: str | Path | None) -> Path:
    name = DEFAULT_MODEL if model is None else str(model)
    path = BUILT_IN / f"{name}.safetensors"
    if path.is_file():
        return path
    own = own_models()
    if name in own:
        return own[name]
    path = Path(name).expanduser()
    if path.is_file():
        return path
    raise ModelError(
        f"No keypoint model {name!r}: it is neither a file nor one of {', '.join(list_models())}."
    )


def _check_record(folder: Path) -> None:
    """Refuse files that are not those that were fetched."""
    record = read_record().get(folder.name, {"files": {}})
    for name, known in record["files"].items():
        path = folder / name
        found = file_sha256(path) if path.is_file() else "no such file"
        if found != known["sha256"]:
            raise ModelError(
                f"{path}: expected the file that was fetched, sha256 {known['sha256']}; found "
                f"{found}. Remove the model, and fetch it again."
            )


def file_sha256(path: Path) -> str:
    """Hash of a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], tuple[str, ...], dict[str, Any]]:
    try:
        with safe_open(path, framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            card = json.loads((file.metadata() or {})[_CARD])
        keypoints = tuple(str(name) for name in card["keypoints"])
    except SafetensorError as error:
        raise ModelError(f"{path}: expected a safetensors file, found damage: {error}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{path}: expected a keypoint model's card with 'keypoints' in the file: {error}. "
            "Choose a model that napari-facemap wrote."
        ) from error
    return (
        {n: v.float() if v.dtype == torch.float16 else v for n, v in state.items()},
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
    parameters = path.with_name(FACEMAP_PARAMETERS)
    if not parameters.is_file():
        return state, FACEMAP_KEYPOINTS
    content = _load_tensors(parameters)
    inner = content.get("params") if isinstance(content, dict) else None
    names = inner.get("bodyparts") if isinstance(inner, dict) else None
    if not isinstance(names, list | tuple):
        raise ModelError(f"{parameters}: expected a list of keypoints at params/bodyparts.")
    return state, tuple(str(name) for name in names)


def _load_tensors(path: Path) -> Any:
    try:
        return load_safely(path)
    except UnsafeFileError as error:
        raise ModelError(
            f"{path}: expected a PyTorch file that holds tensors only, but it cannot be read "
            f"safely ({error}). Choose Facemap's facemap_model_state.pt."
        ) from error
