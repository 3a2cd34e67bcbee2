"""Fitted encoders as safetensors: arrays, and JSON that says what they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from napari_facemap.files.atomic import atomic_path
from napari_facemap.neural.encoder import MODELS, Encoder
from napari_facemap.neural.features import Scaler
from napari_facemap.neural.splits import Split
from napari_facemap.neural.targets import NeuralSpace

LAYOUT_VERSION = 1
_KEY = "napari_facemap_encoder"
_NOTHING, _TRAIN, _VALIDATION, _TEST = range(4)


def write_encoder(encoder: Encoder, path: str | Path) -> Path:
    """Write an encoder whole: it predicts the same after `read_encoder`.

    Parameters
    ----------
    encoder : Encoder
        As from `fit_encoder`.
    path : str or Path
        Where the file is to be, best ending in .safetensors. It appears whole or not at all.

    Returns
    -------
    Path
        Where it is.
    """
    arrays, options = encoder.model.state()
    split, space = encoder.split, encoder.space
    tensors = {f"model.{name}": array for name, array in arrays.items()}
    tensors |= {
        "scaler.mean": encoder.scaler.mean,
        "scaler.scale": encoder.scaler.scale,
        "space.mean": space.mean,
        "space.scale": space.scale,
        "split": split.train * _TRAIN + split.validation * _VALIDATION + split.test * _TEST,
    }
    tensors["split"] = tensors["split"].astype(np.uint8)
    if space.components is not None:
        tensors["space.components"] = space.components
    card = {
        "layout_version": LAYOUT_VERSION,
        "model": encoder.model.kind,
        "options": options,
        "features": list(encoder.features),
        "gain": space.gain,
        "guard": split.guard,
        "delay": encoder.delay,
        "max_gap": encoder.max_gap,
        "fingerprint": encoder.fingerprint,
        "names": list(encoder.names),
        "attrs": encoder.attrs,
    }
    path = Path(path)
    with atomic_path(path) as temporary:
        whole = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
        save_file(whole, temporary, metadata={_KEY: json.dumps(card)})
    return path


def read_encoder(path: str | Path) -> Encoder:
    """Read what `write_encoder` wrote.

    Parameters
    ----------
    path : str or Path
        A .safetensors file.

    Returns
    -------
    Encoder

    Raises
    ------
    ValueError
        When the file is missing, damaged or not an encoder; nothing in it is ever executed.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such encoder file.")
    try:
        with safe_open(path, framework="numpy") as file:
            card = json.loads((file.metadata() or {}).get(_KEY, "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path}: expected an encoder as safetensors, found a damaged or other file; save the "
            "encoder again."
        ) from error
    if not isinstance(card, dict):
        raise ValueError(
            f"{path}: expected an encoder, found safetensors of something else; choose a file "
            "that was saved as an encoder."
        )
    if card.get("layout_version") != LAYOUT_VERSION:
        raise ValueError(
            f"{path}: expected encoder layout {LAYOUT_VERSION}, found "
            f"{card.get('layout_version')}; update napari-facemap."
        )
    try:
        _check_finite(tensors)
        return _encoder(card, tensors)
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise ValueError(f"{path}: the encoder is incomplete or damaged: {reason}.") from error


def _encoder(card: dict[str, Any], tensors: dict[str, np.ndarray]) -> Encoder:
    arrays = {n.removeprefix("model."): a for n, a in tensors.items() if n.startswith("model.")}
    part = tensors["split"]
    scaler = Scaler(tensors["scaler.mean"], tensors["scaler.scale"])
    components = tensors.get("space.components")
    space = NeuralSpace(
        tensors["space.mean"], tensors["space.scale"], components, float(card["gain"])
    )
    n_features, n_neurons = len(card["features"]), len(space.mean)
    if scaler.mean.shape != (n_features,) or scaler.scale.shape != (n_features,):
        raise ValueError(f"{n_features} features but scaler {scaler.mean.shape}")
    if components is not None and components.shape[0] != n_neurons:
        raise ValueError(f"{n_neurons} neurons but components {components.shape}")
    encoder = Encoder(
        model=MODELS[card["model"]].from_state(arrays, card["options"]),
        features=tuple(card["features"]),
        scaler=scaler,
        space=space,
        split=Split(part == _TRAIN, part == _VALIDATION, part == _TEST, float(card["guard"])),
        delay=float(card["delay"]),
        max_gap=float(card["max_gap"]),
        fingerprint=str(card["fingerprint"]),
        names=tuple(card["names"]),
        attrs=dict(card["attrs"]),
    )
    if encoder.model.shape != (n_features, space.n_targets):
        raise ValueError(
            f"a model of {encoder.model.shape} features and targets where "
            f"{(n_features, space.n_targets)} are needed"
        )
    return encoder


def _check_finite(tensors: dict[str, np.ndarray]) -> None:
    for name, tensor in tensors.items():
        if tensor.dtype.kind == "f" and not np.isfinite(tensor).all():
            raise ValueError(f"{name} holds values that are not finite")
