"""How much a few labelled frames improve the built-in model on a mouse it never saw, and how fast.

Sessions of mice that were kept out of the built-in model's training are taken one by one: the
model is fine-tuned on a few labelled frames of the session, spread evenly over it, and tested on
the rest of them. Then three new keypoints are learnt from 20 frames of a simulated mouse and
tested on others, together with the keypoints that were known before.

    python benchmarks/refine.py FACES [--quick] [--json FILE]

FACES is a folder of labelled pictures as `napari-facemap train` takes it.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from _report import arguments, print_table, save_json

from napari_facemap.built_in import VALIDATION_MICE
from napari_facemap.keypoints.evaluation import read_faces, summary
from napari_facemap.keypoints.labels import LabelledFace, read_labelled_faces
from napari_facemap.keypoints.models import halved, load_model
from napari_facemap.keypoints.skeleton import KEYPOINTS
from napari_facemap.keypoints.view import face_size
from napari_facemap.refining import refine
from napari_facemap.simulate.face import simulate_face

FRAMES = (0, 5, 10, 20)
FEWEST_TESTED = 4
MOUSE = 4321


def main() -> None:
    """Run everything and print it."""
    options = arguments(__doc__, _add)
    sessions = sessions_of(options.faces)
    rows = []
    for name, faces in sessions.items():
        for n in FRAMES:
            if len(faces) - n >= FEWEST_TESTED and not (options.quick and n not in (0, 10)):
                rows.append({"session": name, "frames": n, **session_error(faces, n)})
                print(rows[-1], flush=True)
    results = {**in_all(rows), **new_keypoints(), "sessions": rows}
    print_table(rows)
    print_table([{"result": k, "value": v} for k, v in results.items() if k != "sessions"])
    if options.json:
        save_json(options.json, results)


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("faces", type=Path, help="folder with labels.csv")


def sessions_of(folder: Path) -> dict[str, list[LabelledFace]]:
    """Labelled frames of each session of the mice that the built-in model never saw."""
    found: dict[str, list[LabelledFace]] = {}
    for face in read_labelled_faces(folder, KEYPOINTS):
        if any(part in face.source for part in VALIDATION_MICE) and np.isfinite(
            face_size(face.xy, KEYPOINTS)
        ):
            found.setdefault(face.recording, []).append(face)
    return {name: faces for name, faces in found.items() if len(faces) >= 10 + FEWEST_TESTED - 1}


def session_error(faces: list[LabelledFace], n: int) -> dict[str, Any]:
    """Error on the frames of a session that are not learnt from, before and after."""
    taught = set(np.linspace(0, len(faces) - 1, n).round().astype(int).tolist())
    test = [face for k, face in enumerate(faces) if k not in taught]
    model = load_model()
    before = summary(read_faces(model.network, test, KEYPOINTS).errors, KEYPOINTS)
    row = {"tested": len(test), "before": before["median"], "after": before["median"]}
    row |= {"mean_before": before["score"], "mean_after": before["score"], "minutes": 0.0}
    if n:
        started = time.perf_counter()
        refined = refine([faces[k] for k in sorted(taught)], KEYPOINTS, model)
        row["minutes"] = (time.perf_counter() - started) / 60
        after = summary(read_faces(refined.network, test, KEYPOINTS).errors, KEYPOINTS)
        row["after"], row["mean_after"] = after["median"], after["score"]
    return row


def in_all(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Over sessions: medians left, relative to the model before, and minutes."""
    found: dict[str, Any] = {"error_at": {}, "left_at": {}, "minutes_at": {}}
    for n in FRAMES:
        some = [row for row in rows if row["frames"] == n]
        if some:
            found["error_at"][n] = float(np.mean([row["after"] for row in some]))
            found["left_at"][n] = float(np.mean([row["after"] / row["before"] for row in some]))
            found["minutes_at"][n] = float(np.max([row["minutes"] for row in some]))
    return found


def new_keypoints() -> dict[str, Any]:
    """Errors of three new points, and of the known ones before and after they were learnt."""
    extra = ("between the eyes", "cheek", "chin")
    keypoints = (*KEYPOINTS, *extra)
    face = simulate_face(2000, fps=50.0, size=(240, 320), seed=MOUSE)
    position = face.poses["position"].values.astype(float)
    frames = np.random.default_rng(0).choice(2000, 60, replace=False)
    faces = [_with_extra(face.frame(int(k)), position[k], f"mouse/{k}") for k in frames]
    model = load_model()
    refined = refine(faces[:20], keypoints, model)
    errors = read_faces(refined.network, faces[20:], keypoints).errors
    known = [replace(f, xy=f.xy[:, : len(KEYPOINTS)], hidden=None) for f in faces[20:]]
    before = read_faces(halved(model.network), known, KEYPOINTS).errors
    return {
        "new_points_median": float(np.nanmedian(errors[:, len(KEYPOINTS) :])),
        "known_before": float(np.nanmedian(before)),
        "known_after": float(np.nanmedian(errors[:, : len(KEYPOINTS)])),
    }


def _with_extra(image: np.ndarray, xy: np.ndarray, source: str) -> LabelledFace:
    """Places on the face that follow from its keypoints, which the model does not know."""
    at = {name: xy[:, k] for k, name in enumerate(KEYPOINTS)}
    eye = np.nanmean([at[f"eye({side})"] for side in ("front", "back")], axis=0)
    nose, lip = at["nose(tip)"], at["lowerlip"]
    extra = [
        eye + 0.3 * (at["nosebridge"] - eye),
        0.5 * eye + 0.5 * at["mouth"],
        lip + 0.4 * (lip - nose),
    ]
    every = np.concatenate([xy, np.stack(extra, axis=1)], axis=1)
    hidden = ~np.isfinite(every).all(axis=0)
    return LabelledFace(image, every, source, hidden)


if __name__ == "__main__":
    main()
