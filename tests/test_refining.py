"""What is learnt from, what is measured on, and by which names."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_facemap import built_in, refining
from napari_facemap.keypoints.evaluation import read_faces
from napari_facemap.keypoints.labels import LabelledFace
from napari_facemap.keypoints.models import halved, load_model
from napari_facemap.keypoints.skeleton import KEYPOINTS
from napari_facemap.refining import OPTIONS, refine, renamed, split
from napari_facemap.simulate.face import simulate_face


@pytest.fixture(scope="module")
def faces():
    mouse = simulate_face(60, size=(240, 320), seed=77)
    position = mouse.poses["position"].values.astype(float)
    return [
        LabelledFace(mouse.frame(k), position[k], f"project/mouse/img{k:08d}.png",
                     ~np.isfinite(position[k]).all(axis=0))
        for k in range(0, 60, 6)
    ]  # fmt: skip


@pytest.fixture
def few_mice(monkeypatch):
    """And few views to round by: both take most of a short fine-tuning's time."""
    monkeypatch.setattr(refining, "_MICE", 1)
    monkeypatch.setattr(built_in, "_ROUNDING_VIEWS", 4)


@pytest.mark.parametrize(("n", "held_out"), [(7, []), (8, [2, 7]), (13, [2, 7, 12])])
def test_every_fifth_frame_is_held_out_where_there_are_enough(faces, n, held_out):
    some = [replace(faces[0], source=str(k)) for k in range(n)]
    kept, measured = split(some)
    assert [face.source for face in measured] == [str(k) for k in held_out]
    assert [face.source for face in kept] == [str(k) for k in range(n) if k not in held_out]


def test_frames_that_somebody_chose_are_held_out(faces):
    kept, measured = split(faces, [faces[4]])
    assert [face.source for face in measured] == [faces[4].source]
    assert len(kept) == 9


def test_many_frames_take_more_steps():
    assert refining._options(True, 20) == OPTIONS
    longer = refining._options(True, 180)
    assert longer.steps == 3 * OPTIONS.steps
    assert longer.steps % longer.evaluate_every == 0


def test_keypoints_have_the_names_of_today():
    known = ("paw", "mouth", "tail")
    assert renamed(known, ("hand", "mouth"), {"hand": "paw"}) == ("hand", "mouth", "tail")
    assert renamed(known, ("hand", "mouth"), None) == known
    # A model of one's own that knows today's names is taken at its word.
    assert renamed(("hand", "paw"), ("hand",), {"hand": "paw"}) == ("hand", "paw")
    # Names that changed places did so in the labels; the model's mean what they meant.
    assert renamed(("paw", "tail"), ("tail", "paw"), {"tail": "paw", "paw": "tail"}) == (
        "paw",
        "tail",
    )


def test_a_renamed_keypoint_keeps_what_was_learnt(faces, few_mice):
    """No step that changes anything: the model knows the paw by its new name at once."""
    names = tuple("snout" if name == "nose(tip)" else name for name in KEYPOINTS)
    model = load_model()
    still = replace(OPTIONS, steps=1, learning_rate=0.0, batch_size=1)
    some = faces[:3]
    refined = refine(
        some, names, model, options=still, device="cpu", origin={"snout": "nose(tip)"}
    )
    assert refined.keypoints == names
    column = KEYPOINTS.index("nose(tip)")
    before = read_faces(halved(model.network), some, KEYPOINTS).errors[:, column]
    lost = refine(some, names, model, options=still, device="cpu")
    errors = {
        name: np.nanmedian(read_faces(one.network, some, names).errors[:, column])
        for name, one in (("kept", refined), ("lost", lost))
    }
    assert errors["kept"] < np.nanmedian(before) + 1
    assert errors["lost"] > 20


def test_cancelling_keeps_the_best_so_far(faces, few_mice):
    """Nothing was learnt yet: the model is the one before, but for its rounding."""
    told = []

    def stop(done, total):
        told.append((done, total))
        return False

    refined = refine(faces, KEYPOINTS, load_model(), device="cpu", progress=stop)
    assert refined.history[-1]["step"] == 1
    assert told[-1] == (refined.options.steps,) * 2  # nothing is left to be counted
    assert refined.after["median"] == pytest.approx(refined.before["median"], abs=0.3)


def test_a_frame_that_is_badly_tracked_is_learnt(faces, few_mice):
    """Labels lie to one side of where the model points: it follows the person."""
    shifted = [replace(face, xy=face.xy + np.array([[6.0], [0.0]])) for face in faces]
    quick = replace(OPTIONS, steps=24, evaluate_every=12, batch_size=4, learning_rate=1e-3)
    refined = refine(shifted, KEYPOINTS, load_model(), options=quick, device="cpu")
    assert [len(refined.kept), len(refined.held_out)] == [8, 2]
    assert refined.after["median"] < 0.8 * refined.before["median"]
    assert [row["step"] for row in refined.history] == [0, 12, 24]


def test_errors_before_are_those_of_the_keypoints_that_were_known(faces, few_mice):
    """Where a model put a point that it never heard of says nothing of how good it was."""
    names = (*KEYPOINTS, "cheek(upper)")
    wider = [
        replace(
            face,
            xy=np.column_stack([face.xy, np.nanmean(face.xy, axis=1)]),
            hidden=np.append(face.hidden, False),
        )
        for face in faces
    ]
    stopped = refine(wider, names, load_model(), device="cpu", progress=lambda *_: False)
    assert "cheek" not in stopped.before["groups"]
    assert "cheek(upper)" not in stopped.before["per_keypoint"]
    assert stopped.before["score"] == pytest.approx(stopped.history[0]["score"], abs=1.0)
    assert {"cheek"} | stopped.before["groups"].keys() == stopped.after["groups"].keys()
    p95 = refine(faces, KEYPOINTS, load_model(), device="cpu", progress=lambda *_: False).before
    assert stopped.before["p95"] == pytest.approx(p95["p95"], abs=0.1)


def test_not_all_frames_can_be_held_out(faces):
    with pytest.raises(ValueError, match=r"frames to learn from; all 2 are held out"):
        refine(faces[:2], KEYPOINTS, load_model(), held_out=faces[:2], device="cpu")
