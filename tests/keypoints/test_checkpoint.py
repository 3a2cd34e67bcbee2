from __future__ import annotations

import pytest
import torch
from torch import nn

from napari_facemap.keypoints.checkpoint import Progress, read_checkpoint, write_checkpoint


def _modules(seed):
    torch.manual_seed(seed)
    network = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(network.parameters(), 0.1)
    network(torch.rand(5, 3)).sum().backward()
    optimizer.step()
    return {"network": network, "optimizer": optimizer}


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "run.checkpoint"
    modules = _modules(0)
    progress = Progress(step=7, losses=[0.5, 0.25], seconds=12.5)
    progress.add({"step": 5, "score": 3.5, "groups": {"eye": None}}, modules["network"])
    progress.losses += [0.75]
    write_checkpoint(path, "key", modules, progress)
    return path, modules, progress


def test_everything_comes_back(saved):
    path, modules, progress = saved
    others = _modules(1)
    again = read_checkpoint(path, "key", others)
    for name, value in modules["network"].state_dict().items():
        assert torch.equal(others["network"].state_dict()[name], value)
        assert torch.equal(again.best_state[name], value)
    ours, theirs = (m["optimizer"].state_dict()["state"] for m in (modules, others))
    for k, state in ours.items():
        assert all(torch.equal(theirs[k][name], value) for name, value in state.items())
    assert vars(again) | {"best_state": 0} == vars(progress) | {"best_state": 0}
    assert (again.step, again.losses, again.best, again.seconds) == (7, [0.75], 3.5, 12.5)


def test_without_a_file_it_starts_at_the_beginning(tmp_path):
    assert read_checkpoint(tmp_path / "none", "key", {}) == Progress()
    assert read_checkpoint(None, "key", {}) == Progress()
    write_checkpoint(None, "key", {}, Progress())


def test_another_trainings_checkpoint_is_refused_and_kept(saved):
    path, *_ = saved
    before = path.read_bytes()
    others = _modules(1)
    weights = others["network"].weight.detach().clone()
    with pytest.raises(ValueError, match=r"run\.checkpoint: .*other pictures or options"):
        read_checkpoint(path, "other key", others)
    assert path.read_bytes() == before
    assert torch.equal(others["network"].weight, weights)


class _Harmful:
    def __reduce__(self):
        return (open, ("harm-was-done", "w"))


def test_damage_is_said_and_nothing_is_executed(saved, tmp_path, monkeypatch):
    path, modules, _ = saved
    monkeypatch.chdir(tmp_path)
    whole = path.read_bytes()
    torch.save({"key": _Harmful()}, tmp_path / "harmful")
    torch.save([1, 2], tmp_path / "list")
    torch.save({"key": "key"}, tmp_path / "part")
    contents = [(tmp_path / name).read_bytes() for name in ("harmful", "list", "part")]
    for content in (whole[:40], b"", b"not a checkpoint", *contents):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"run\.checkpoint: .*damage"):
            read_checkpoint(path, "key", modules)
    assert not (tmp_path / "harm-was-done").exists()


def test_the_best_epoch_is_kept_and_the_last_where_nothing_is_measured():
    def after(scores):
        network, progress = nn.Linear(1, 1), Progress()
        for step, score in enumerate(scores, start=1):
            nn.init.constant_(network.weight, step)
            progress.step = step
            progress.add({"step": step} | ({} if score is None else {"score": score}), network)
        assert len(progress.history) == len(scores)
        return float(progress.best_state["weight"])

    assert after([5.0, 3.0, 4.0]) == 2
    assert after([5.0, 3.0, 3.0]) == 3
    assert after([None, None, None]) == 3
