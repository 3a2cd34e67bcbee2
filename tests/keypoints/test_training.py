from __future__ import annotations

import copy
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from napari_facemap.keypoints import training
from napari_facemap.keypoints.augment import Augmentation
from napari_facemap.keypoints.degrade import Degradation
from napari_facemap.keypoints.training import TrainingOptions, TrainingStopped, train

NAMES = ("eye(back)", "eye(front)", "nose(tip)")
TINY = TrainingOptions(
    steps=6, batch_size=2, evaluate_every=2, widths=(4, 4, 4, 4, 4), depths=(1, 0, 0, 0)
)


@pytest.fixture(scope="module")
def faces(eye_and_nose_faces):
    return eye_and_nose_faces(6, 0)


@pytest.fixture(scope="module")
def validation(eye_and_nose_faces):
    return eye_and_nose_faces(2, 1)


@pytest.fixture(scope="module")
def uninterrupted(faces, validation):
    return train(faces, validation, NAMES, options=TINY, device="cpu")


def _assert_same(one, other):
    """The same weights and history, bit by bit, times aside."""
    weights, others = one[0].state_dict(), other[0].state_dict()
    assert weights.keys() == others.keys()
    assert all(torch.equal(value, others[name]) for name, value in weights.items())
    assert _without_times(one[1]) == _without_times(other[1])


def _without_times(history):
    return [{k: v for k, v in row.items() if not k.startswith("seconds")} for row in history]


def _stop_after(n):
    return lambda done, total: done < n


def test_history_has_a_row_for_each_epoch(faces, validation, uninterrupted):
    rows: list[dict] = []
    calls = []
    network, history = train(
        faces, validation, NAMES, options=replace(TINY, steps=5), device="cpu",
        report=rows.append, progress=lambda *call: calls.append(call),
    )  # fmt: skip
    assert rows == history
    assert calls == [(n, 5) for n in range(1, 6)]
    assert [row["step"] for row in history] == [2, 4, 5]
    for row in history:
        assert np.isfinite([row["loss"], row["median"], row["p95"], row["score"]]).all()
        assert set(row["per_keypoint"]) == set(NAMES)
    assert history[-1]["seconds_left"] == 0
    assert not network.training
    assert network.widths == TINY.widths


def test_the_loss_of_an_epoch_is_the_mean_of_its_steps(faces):
    options = replace(TINY, steps=4)
    _, by_two = train(faces, [], NAMES, options=options, device="cpu")
    _, by_one = train(faces, [], NAMES, options=replace(options, evaluate_every=1), device="cpu")
    each = [row["loss"] for row in by_one]
    assert [row["loss"] for row in by_two] == pytest.approx([np.mean(each[:2]), np.mean(each[2:])])


def test_the_same_seed_gives_the_same_weights(faces, validation, uninterrupted):
    torch.manual_seed(123)  # chance outside has no part in it
    again = train(faces, validation, NAMES, options=TINY, device="cpu")
    _assert_same(again, uninterrupted)
    other = train(faces, validation, NAMES, options=replace(TINY, seed=1), device="cpu")
    assert other[1][0]["loss"] != uninterrupted[1][0]["loss"]


@pytest.mark.parametrize("stops", [(1,), (2,), (3, 5)])
def test_a_training_that_was_stopped_ends_as_one_that_was_not(
    faces, validation, uninterrupted, tmp_path, stops
):
    checkpoint = tmp_path / "run.checkpoint"
    for stop in stops:
        with pytest.raises(TrainingStopped, match=f"{stop} of 6"):
            train(
                faces, validation, NAMES, options=TINY, device="cpu", checkpoint=checkpoint,
                progress=_stop_after(stop),
            )  # fmt: skip
    calls = []
    resumed = train(
        faces, validation, NAMES, options=TINY, device="cpu", checkpoint=checkpoint,
        progress=lambda *call: calls.append(call),
    )  # fmt: skip
    assert calls == [(n, 6) for n in range(stops[-1] + 1, 7)]
    _assert_same(resumed, uninterrupted)


def test_time_spent_before_a_stop_counts(faces, tmp_path):
    checkpoint = tmp_path / "run.checkpoint"
    with pytest.raises(TrainingStopped):
        train(
            faces, [], NAMES, options=TINY, device="cpu", checkpoint=checkpoint,
            progress=_stop_after(3),
        )  # fmt: skip
    content = torch.load(checkpoint, weights_only=True)
    spent = content["progress"]["seconds"]
    content["progress"]["seconds"] = spent + 1000
    torch.save(content, checkpoint)
    _, history = train(faces, [], NAMES, options=TINY, device="cpu", checkpoint=checkpoint)
    assert history[0]["seconds"] < 1000 < history[-1]["seconds"] < 1100


def test_a_training_without_checkpoint_can_be_stopped_too(faces):
    with pytest.raises(TrainingStopped, match="1 of 6"):
        train(faces, [], NAMES, options=TINY, device="cpu", progress=_stop_after(1))


@pytest.mark.parametrize("change", [{"steps": 7}, {"seed": 3}, {"augmentation": Augmentation(1)}])
def test_other_options_refuse_the_checkpoint(faces, tmp_path, change):
    checkpoint = tmp_path / "run.checkpoint"
    with pytest.raises(TrainingStopped):
        train(
            faces, [], NAMES, options=TINY, device="cpu", checkpoint=checkpoint,
            progress=_stop_after(1),
        )  # fmt: skip
    before = checkpoint.read_bytes()
    with pytest.raises(ValueError, match="other pictures or options"):
        train(
            faces, [], NAMES, options=replace(TINY, **change), device="cpu", checkpoint=checkpoint
        )
    with pytest.raises(ValueError, match="other pictures or options"):
        train(faces[1:], [], NAMES, options=TINY, device="cpu", checkpoint=checkpoint)
    moved = [replace(faces[0], xy=faces[0].xy + 1), *faces[1:]]
    with pytest.raises(ValueError, match="other pictures or options"):
        train(moved, [], NAMES, options=TINY, device="cpu", checkpoint=checkpoint)
    assert checkpoint.read_bytes() == before


def test_a_damaged_checkpoint_is_refused(faces, tmp_path):
    checkpoint = tmp_path / "run.checkpoint"
    checkpoint.write_bytes(b"damage")
    with pytest.raises(ValueError, match=r"run\.checkpoint: .*damage.* Delete it"):
        train(faces, [], NAMES, options=TINY, device="cpu", checkpoint=checkpoint)


def test_a_worker_process_makes_no_difference(faces, validation, uninterrupted, tmp_path):
    checkpoint = tmp_path / "run.checkpoint"
    with pytest.raises(TrainingStopped):
        train(
            faces, validation, NAMES, options=TINY, device="cpu", checkpoint=checkpoint,
            workers=1, progress=_stop_after(3),
        )  # fmt: skip
    resumed = train(
        faces, validation, NAMES, options=TINY, device="cpu", checkpoint=checkpoint, workers=1
    )
    _assert_same(resumed, uninterrupted)


def test_the_epoch_with_the_lowest_error_is_kept(faces, validation, monkeypatch):
    networks, scores = [], [5.0, 3.0, 4.0]

    def read_faces(network, *_):
        networks.append(copy.deepcopy(network.state_dict()))
        return SimpleNamespace(errors=None)

    def summary(*_):
        return {"score": scores[len(networks) - 1]}

    monkeypatch.setattr(training, "read_faces", read_faces)
    monkeypatch.setattr(training, "summary", summary)
    network, history = train(faces, validation, NAMES, options=TINY, device="cpu")
    assert [row["score"] for row in history] == scores
    kept = network.state_dict()
    assert all(torch.equal(kept[name], value) for name, value in networks[1].items())
    assert not torch.equal(kept["stem.0.weight"], networks[2]["stem.0.weight"])


@pytest.mark.parametrize(("enough", "scores"), [(2, [5.0, 5.0, 5.0]), (3, [6.5, 6.5, 6.5])])
def test_few_validation_faces_do_not_choose_alone(faces, validation, monkeypatch, enough, scores):
    """Errors are 5 % on the two validation faces and 7 % on the six learnt from."""

    def read(network, some, keypoints, device):
        error = 5.0 if some is validation else 7.0
        return SimpleNamespace(errors=np.full((len(some), 3), error))

    monkeypatch.setattr(training, "read_faces", read)
    options = replace(TINY, enough=enough)
    _, history = train(faces, validation, NAMES, options=options, device="cpu")
    assert [row["score"] for row in history] == scores
    assert {row["median"] for row in history} == {5.0}


def test_simulated_faces_are_mixed_in_as_told(faces, eye_and_nose_faces, monkeypatch):
    drawn = []

    def random_view(face, *_):
        drawn.append(face.source)
        return np.zeros((256, 256), np.float32), np.full((2, 3), np.nan), np.full(3, np.nan, "f4")

    monkeypatch.setattr(training, "random_view", random_view)
    simulated = [replace(face, source="simulated/1/1") for face in eye_and_nose_faces(2, 5)]
    views = training._Views(faces, simulated, NAMES, replace(TINY, batch_size=400))
    views[0]
    share = np.mean([source == "simulated/1/1" for source in drawn])
    assert share == pytest.approx(TINY.simulated_share, abs=0.08)


def test_short_recordings_are_drawn_more_often_than_their_share(faces):
    few = replace(faces[0], source="made/rare/img001.png")
    views = training._Views([few, *faces[:4]], [], NAMES, TINY)
    assert views.chances.sum() == pytest.approx(1)
    assert views.chances[0] == pytest.approx(2 * views.chances[1])
    assert views.chances[0] < views.chances[1:].sum()


def test_labels_are_given_in_pixels_of_the_map(faces, monkeypatch):
    monkeypatch.setattr(
        training,
        "random_view",
        lambda *_: (
            np.zeros((256, 256), np.float32),
            np.array([[-0.5, 1.5, 255.5], [3.5, 5.5, 127.5]]),
            np.ones(3, np.float32),
        ),
    )
    images, xy, seen = training._Views(faces, [], NAMES, TINY)[0]
    assert images.shape == (2, 1, 256, 256)
    torch.testing.assert_close(xy[0], torch.tensor([[-0.5, 0.0, 63.5], [0.5, 1.0, 31.5]]))
    assert (seen == 1).all()


def test_a_short_training_learns_where_eye_and_nose_are(eye_and_nose_faces):
    calm = Degradation(1.1, 1.1, 0.02, 0.01, 0.4, shade=0, glint=0, cover=0, compress=0)
    how = Augmentation(
        rotation=5, stretch=0, perspective=0, mirrored=0, far=0, empty=0, backdrop=0, cut=0,
        degradation=calm,
    )  # fmt: skip
    options = TrainingOptions(
        steps=40, batch_size=4, evaluate_every=20, widths=(6, 8, 8, 8, 8), depths=(1, 0, 0, 0),
        learning_rate=2e-2, average=0.9, augmentation=how,
    )  # fmt: skip
    _, history = train(
        eye_and_nose_faces(20, 0), eye_and_nose_faces(6, 1), NAMES, options=options, device="cpu"
    )
    assert history[-1]["loss"] < history[0]["loss"]
    assert history[-1]["median"] < 5


@pytest.mark.parametrize("steps", [0, -3])
def test_no_step_is_refused(faces, steps):
    with pytest.raises(ValueError, match="at least 1 training step"):
        train(faces, [], NAMES, options=replace(TINY, steps=steps), device="cpu")


def test_a_validation_face_without_nose_is_named(faces):
    bare = replace(faces[0], xy=np.where([False, False, True], np.nan, faces[0].xy))
    with pytest.raises(ValueError, match=r"made/mouse0/img000\.png: .*nose"):
        train(faces, [bare], NAMES, options=TINY, device="cpu")
