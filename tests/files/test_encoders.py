from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from napari_facemap.files.encoders import read_encoder, write_encoder
from napari_facemap.neural.encoder import predict_recording
from napari_facemap.neural.features import Features
from napari_facemap.neural.fitting import fit_encoder
from napari_facemap.neural.recording import Recording

SHORT = {"network": {"max_steps": 6, "check_every": 3}, "linear": {}}
KEY = "napari_facemap_encoder"


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    camera, neural = np.arange(0, 60, 1 / 30), np.arange(0.5, 59, 0.1)
    values = np.cumsum(rng.standard_normal((len(camera), 4)), axis=0)
    activity = rng.standard_normal((140, len(neural)))
    activity[:3] += np.interp(neural, camera, values[:, 0])
    names = [f"point {k} x" for k in range(4)]
    return Features(values, camera, names), Recording(activity, neural, name="made")


@pytest.fixture(scope="module", params=["network", "linear"])
def encoder(data, request):
    return fit_encoder(*data, request.param, device="cpu", delay=0.1, **SHORT[request.param])


def test_an_encoder_predicts_the_same_bit_for_bit(encoder, data, tmp_path):
    path = write_encoder(encoder, tmp_path / "encoder.safetensors")
    again = read_encoder(path)
    before = predict_recording(encoder, *data, device="cpu")
    after = predict_recording(again, *data, device="cpu")
    assert before.identical(after)
    assert again.attrs == encoder.attrs
    assert again.model.state()[1] == encoder.model.state()[1]
    assert np.array_equal(again.split.train, encoder.split.train)
    assert [path] == list(tmp_path.iterdir())


def test_writing_twice_gives_the_same_file(encoder, tmp_path):
    first = write_encoder(encoder, tmp_path / "a.safetensors").read_bytes()
    again = read_encoder(tmp_path / "a.safetensors")
    second = write_encoder(again, tmp_path / "b.safetensors").read_bytes()
    assert len(first) == len(second)


def refused(path):
    with pytest.raises(ValueError, match=path.name) as caught:
        read_encoder(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_missing_and_damaged_files(encoder, tmp_path):
    path = tmp_path / "encoder.safetensors"
    assert "no such" in refused(path)
    whole = write_encoder(encoder, path).read_bytes()
    for content in (b"", b"words", whole[:100], whole[:-40]):
        path.write_bytes(content)
        assert "damaged or other file" in refused(path)


def test_other_safetensors_are_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"a": np.zeros(3, np.float32)}, path)
    assert "something else" in refused(path)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda tensors, card: tensors.pop("space.scale"),
        lambda tensors, card: tensors.pop(next(n for n in tensors if n.startswith("model."))),
        lambda tensors, card: card.pop("gain"),
        lambda tensors, card: card.update(model="other"),
        lambda tensors, card: card.update(options={"wrong": 1}),
        lambda tensors, card: card["features"].pop(),
        lambda tensors, card: tensors.update(
            {"space.components": tensors["space.components"][1:]}
        ),
        lambda tensors, card: tensors["space.mean"].fill(np.nan),
        lambda tensors, card: tensors.update(
            {"space.components": tensors["space.components"][:, 1:]}
        ),
    ],
)
def test_incomplete_encoders_are_refused(encoder, tmp_path, spoil):
    path = write_encoder(encoder, tmp_path / "encoder.safetensors")
    from safetensors import safe_open

    with safe_open(path, "numpy") as file:
        card = json.loads(file.metadata()[KEY])
    tensors = {name: array.copy() for name, array in load_file(path).items()}
    spoil(tensors, card)
    save_file(
        {n: np.ascontiguousarray(a) for n, a in tensors.items()}, path, {KEY: json.dumps(card)}
    )
    assert "incomplete or damaged" in refused(path)


def test_a_layout_of_the_future_asks_for_an_update(tmp_path):
    path = tmp_path / "new.safetensors"
    save_file({"a": np.zeros(1, np.float32)}, path, {KEY: json.dumps({"layout_version": 99})})
    assert "update napari-facemap" in refused(path)
