"""The user's models: what there is, taking in, taking out, handing on."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from napari_facemap.files.atomic import atomic_path
from napari_facemap.keypoints.models import (
    BUILT_IN,
    FACEMAP,
    FACEMAP_PARAMETERS,
    FACEMAP_STATE,
    REMOVED,
    Model,
    ModelError,
    list_models,
    load_model,
    models_folder,
    own_models,
    read_record,
)
from napari_facemap.keypoints.network import KeypointNetwork


@dataclass(frozen=True)
class ModelInfo:
    """What a list of models shows of one.

    Attributes
    ----------
    name : str
        Good for `load_model`.
    origin : str
        Where it comes from: "built-in", "trained", "refined from NAME", "Facemap, fetched" or
        "Facemap's layout".
    path : Path
        Its file.
    keypoints : tuple of str
        Names; empty where they cannot be read.
    date : str
        When it was made or fetched, ISO; "" when unknown.
    error : float or None
        Median error on frames that it was not trained on, percent of the distance from eye to
        nose tip. Those frames differ from model to model.
    problem : str
        Why it cannot be used; "" when nothing is known against it.
    """

    name: str
    origin: str
    path: Path
    keypoints: tuple[str, ...]
    date: str = ""
    error: float | None = None
    problem: str = ""


def describe_models() -> list[ModelInfo]:
    """What there is to know about each model of `list_models`, in that order.

    Weights are read only of Facemap's files, which hold nothing else.

    Returns
    -------
    list of ModelInfo
    """
    return [describe_model(name) for name in list_models()]


def describe_model(name: str) -> ModelInfo:
    """What there is to know about a model of `list_models`.

    Raises
    ------
    ModelError
        When there is no such model.
    """
    path = _path_of(name)
    if path.suffix != ".safetensors":
        return _describe_facemap(name, path)
    try:
        with safe_open(path, framework="pt") as file:
            card = json.loads(file.metadata()["card"])
        keypoints = tuple(str(keypoint) for keypoint in card["keypoints"])
        return ModelInfo(name, _origin(path, card), path, keypoints, str(card.get("date", "")),
                         _error(card))  # fmt: skip
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        return ModelInfo(name, "unknown", path, (), problem=f"cannot be read: {error}")


def add_model(path: str | Path, name: str | None = None) -> ModelInfo:
    """Take a file into the user's models.

    Parameters
    ----------
    path : str or Path
        One of our .safetensors files, or a .pt file of Facemap's, with its
        ``facemap_model_params.pth`` beside it where there is one. It is loaded to see that it is
        a model, and copied as it is.
    name : str, optional
        By default the file's; "facemap" for Facemap's official file name.

    Returns
    -------
    ModelInfo

    Raises
    ------
    ModelError
        When the file is no model, the name is no good, or another model has it.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise ModelError(f"{path}: no such file.")
    load_model(path)
    if name is None:
        name = FACEMAP if path.name == FACEMAP_STATE else path.stem
    target = new_model_path(name)
    if path.suffix == ".safetensors":
        _copy(path, target)
        return describe_model(name)
    folder = target.with_suffix("")
    parameters = path.with_name(FACEMAP_PARAMETERS)
    if parameters.is_file():
        _copy(parameters, folder / FACEMAP_PARAMETERS)
    _copy(path, folder / FACEMAP_STATE)  # last: without it there is no model
    return describe_model(name)


def new_model_path(name: str) -> Path:
    """Where a new model of the user's goes.

    Parameters
    ----------
    name : str
        Of the model.

    Returns
    -------
    Path
        Of a .safetensors file that does not exist.

    Raises
    ------
    ModelError
        When the name is not good for a file, or another model has it.
    """
    if not re.fullmatch(r"[^\W_][\w .()+-]*", name) or name.endswith((" ", ".")):
        raise ModelError(
            f"Expected a model's name of letters, digits and - _ . only; found {name!r}. Choose "
            "another name."
        )
    # Some file systems do not tell capitals apart.
    taken = {other.casefold() for other in [*list_models(), REMOVED]}
    if name.casefold() in taken:
        raise ModelError(
            f"There is a model {name!r} already. Choose another name, or remove that one first "
            f"(napari-facemap models remove {name})."
        )
    return models_folder() / f"{name}.safetensors"


def remove_model(name: str) -> Path:
    """Take one of the user's models out of the list; its files are kept.

    Parameters
    ----------
    name : str
        Of the model.

    Returns
    -------
    Path
        Where it is now: in ``removed`` in the models folder.

    Raises
    ------
    ModelError
        When there is no such model, or it is built in.
    """
    path = _path_of(name)
    if path.parent == BUILT_IN:
        raise ModelError(f"{name}: is built in, and stays; only your own models can be removed.")
    suffix = ".safetensors" if path.suffix == ".safetensors" else ""
    whole = path if suffix else path.parent
    folder = models_folder() / REMOVED
    folder.mkdir(exist_ok=True)
    stem, k = name, 1
    while (folder / f"{stem}{suffix}").exists() or (folder / f"{stem}.png").exists():
        k += 1
        stem = f"{name}-{k}"
    target = folder / f"{stem}{suffix}"
    whole.rename(target)
    curve = path.with_suffix(".png")
    if curve.is_file():
        curve.rename(folder / f"{stem}.png")
    return target


def export_model(name: str, path: str | Path) -> list[Path]:
    """Copy a model to a file, to hand it on.

    Parameters
    ----------
    name : str
        Of the model; it may be built in.
    path : str or Path
        Ends in .safetensors, or for models of Facemap's layout in .pt: then it is as Facemap reads
        it, with its parameters in ``facemap_model_params.pth`` beside it. What is there is not
        overwritten.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    ModelError
        When there is no such model, its layout does not fit the file, or something is in the way.
    """
    source, path = _path_of(name), Path(path).expanduser()
    model = load_model(name)
    facemap = isinstance(model.network, KeypointNetwork)
    kinds = (".pt",) if source.suffix == ".pt" else (".safetensors", ".pt")[: 1 + facemap]
    if path.suffix not in kinds:
        raise ModelError(
            f"{path}: expected a file that ends in {' or '.join(kinds)} for {name}; found "
            f"{path.suffix or 'no ending'}."
        )
    written = [path, path.with_name(FACEMAP_PARAMETERS)] if path.suffix == ".pt" else [path]
    for target in written:
        if target.exists():
            raise ModelError(f"{target}: exists. Choose another file or folder.")
    if path.suffix == ".safetensors":
        _copy(source, path)
    else:
        _export_facemap(model, source, *written)
    return written


def _export_facemap(model: Model, source: Path, path: Path, parameters: Path) -> None:
    beside = source.with_name(FACEMAP_PARAMETERS)
    if source.suffix == ".pt" and beside.is_file():
        _copy(beside, parameters)
    else:
        assert isinstance(model.network, KeypointNetwork)
        content = {"channels": list(model.network.channels), "bodyparts": list(model.keypoints)}
        with atomic_path(parameters) as temporary:
            torch.save({"params": content}, temporary)
    if source.suffix == ".pt":
        _copy(source, path)
    else:
        with atomic_path(path) as temporary:
            torch.save(dict(model.network.state_dict()), temporary)


def _path_of(name: str) -> Path:
    built_in = BUILT_IN / f"{name}.safetensors"
    if name in list_models():
        return built_in if built_in.is_file() else own_models()[name]
    raise ModelError(f"There is no model {name!r}; there are {', '.join(list_models())}.")


def _describe_facemap(name: str, path: Path) -> ModelInfo:
    try:
        keypoints = load_model(name).keypoints
        date = str(read_record().get(name, {}).get("date", ""))
    except ModelError as error:
        return ModelInfo(name, "Facemap's layout", path, (), problem=str(error))
    return ModelInfo(name, "Facemap, fetched" if date else "Facemap's layout", path, keypoints,
                     date)  # fmt: skip


def _origin(path: Path, card: dict[str, Any]) -> str:
    if path.parent == BUILT_IN:
        return "built-in"
    before = card.get("refined_from")
    return f"refined from {before['name']}" if before else "trained"


def _error(card: dict[str, Any]) -> float | None:
    """Median error of the frames held out, of a trained or of a refined model's card."""
    trained = card.get("validation_error_percent_of_eye_to_nose") or {}
    errors = card.get("validation_error_after") or trained.get("all") or {}
    return float(errors["median"]) if "median" in errors else None


def _copy(source: Path, target: Path) -> None:
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)
