"""How far the points of a model lie from hand-placed labels, on mice it was not trained on.

    python benchmarks/accuracy.py [--faces DIR] [--model NAME|FILE] [--json FILE] [--pictures DIR]

Errors are in percent of the distance from eye to nose tip in the picture. Each picture is tracked
by itself, once in the box that the face finder finds in it and once in the box that follows from
its labels. Pictures of recordings that the model's card names as trained on are left out. With
--pictures contact sheets and the reliability of the confidence are drawn.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from _accuracy_pictures import draw_reliability, draw_sheet, draw_steadiness
from _report import arguments, print_table, save_json
from torch.utils.flop_counter import FlopCounterMode

from napari_facemap.built_in import read_faces_of, simulated_faces
from napari_facemap.keypoints.box import Box
from napari_facemap.keypoints.calibration import NEAR, calibration_error
from napari_facemap.keypoints.finder import NoFaceError, find_face
from napari_facemap.keypoints.labels import LabelledFace
from napari_facemap.keypoints.models import Model, load_model
from napari_facemap.keypoints.network import INPUT_SIZE, KeypointNetwork
from napari_facemap.keypoints.skeleton import GROUPS, KEYPOINTS
from napari_facemap.keypoints.tracking import track
from napari_facemap.keypoints.view import eye_and_nose, face_box, face_size
from napari_facemap.video.video import open_video

DATA = Path(__file__).parents[2] / "shared" / "data"
FACEMAP_CHANNELS = (32, 64, 128, 200, 256)
UNSEEN_SEED = 10**6  # of simulated mice that no training draws


@dataclass
class Tracked:
    """Points of one picture, or what there is instead."""

    face: LabelledFace
    position: np.ndarray | None  # (2, keypoint)
    confidence: np.ndarray | None
    expected_error: np.ndarray | None
    box: Box | None

    @property
    def errors(self) -> np.ndarray:
        """Percent of the distance from eye to nose; infinite where no face was found."""
        size = face_size(self.face.xy, KEYPOINTS)
        if self.position is None:
            return np.where(np.isfinite(self.face.xy).all(axis=0), np.inf, np.nan)
        return 100 * np.hypot(*(self.position - self.face.xy)) / size


def main() -> None:
    """Measure, print, save."""
    options = arguments(__doc__, _add_arguments)
    model = load_model(options.model)
    faces = unseen_faces(options.faces, model, options.all)
    n_mice = 5 if options.quick else 20
    faces += simulated_faces(n_mice, per_mouse=3, seed=UNSEEN_SEED)
    whole = [face for face in faces if np.isfinite(face_size(face.xy, KEYPOINTS))]
    if len(whole) < len(faces):
        print(f"left out {len(faces) - len(whole)} pictures without labels of eye and nose tip")
    faces = whole
    by_box = {
        how: [track_picture(face, model, how) for face in faces] for how in ("automatic", "given")
    }
    rows = [row for how, tracked in by_box.items() for row in table(tracked, how)]
    print_table(rows)
    results: dict[str, Any] = {"model": model.name, "rows": rows}
    results["multiply_adds"] = multiply_adds(model.network)
    results["multiply_adds_of_facemap"] = multiply_adds(KeypointNetwork(15, FACEMAP_CHANNELS))
    results |= confidence_holds([t for t in by_box["automatic"] if not _simulated(t)])
    results |= hidden_points([t for t in by_box["given"] if _simulated(t)])
    found = [t.position is not None for t in by_box["automatic"] if not _simulated(t)]
    results["face_found"] = float(np.mean(found)) if found else None
    video = DATA / "videos" / "mouse_face_30s.mp4"
    if video.is_file():
        results["same_points"] = same_points(video, model, 8 if options.quick else 40)
    for name, value in results.items():
        if name != "rows":
            print(f"{name}: {value}")
    if options.json:
        save_json(options.json, results)
    if options.pictures:
        trained = [] if options.all else trained_faces(options.faces, model, faces)
        draw_pictures(by_box["automatic"], options.pictures)
        draw_trained(
            [track_picture(face, model, "automatic") for face in trained], options.pictures
        )
        if video.is_file():
            draw_steadiness(track(video, model), options.pictures / "model-steadiness.png")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--faces", type=Path, default=DATA / "faces", metavar="DIR")
    parser.add_argument("--model", metavar="NAME|FILE")
    parser.add_argument("--all", action="store_true", help="also pictures trained on")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="draw contact sheets")


def unseen_faces(folder: Path, model: Model, every: bool) -> list[LabelledFace]:
    """Labelled pictures of a folder that the model was not trained on."""
    trained = set() if every else set(model.card.get("training_recordings", ()))
    return [face for face in read_faces_of(folder) if face.recording not in trained]


def trained_faces(
    folder: Path, model: Model, measured: Sequence[LabelledFace]
) -> list[LabelledFace]:
    """Some pictures of the datasets that hold nothing but pictures trained on."""
    known = {face.dataset for face in measured}
    left = [face for face in unseen_faces(folder, model, True) if face.dataset not in known]
    return [left[k] for k in np.linspace(0, len(left) - 1, min(len(left), 6)).astype(int)]


def track_picture(face: LabelledFace, model: Model, how: str) -> Tracked:
    """Track a picture as a video of one frame."""
    frames = face.image[None]
    try:
        if how == "automatic":
            found = find_face(frames, model)
            box, facing = found.box, found.facing
        else:
            box, facing = face_box(*eye_and_nose(face.xy, KEYPOINTS)), None
    except NoFaceError:
        return Tracked(face, None, None, None, None)
    poses = track(frames, model, box, facing=facing).reindex(keypoint=list(KEYPOINTS))
    error = poses["expected_error"].values[0] if "expected_error" in poses else None
    return Tracked(face, poses["position"].values[0], poses["confidence"].values[0], error, box)


def table(tracked: Sequence[Tracked], how: str) -> list[dict[str, Any]]:
    """A row for each dataset and group of keypoints with labels, and for all real datasets."""
    datasets = dict.fromkeys(t.face.dataset for t in tracked)
    parts = {name: [t for t in tracked if t.face.dataset == name] for name in datasets}
    real = [t for t in tracked if not _simulated(t)]
    if len(datasets) > 2:
        parts["all but simulated"] = real
    rows = []
    for name, members in parts.items():
        errors = np.array([t.errors for t in members])
        for group, names in GROUPS.items():
            chosen = errors[:, [KEYPOINTS.index(keypoint) for keypoint in names]]
            frames = int(
                np.isfinite(chosen).any(axis=1).sum() + np.isinf(chosen).all(axis=1).sum()
            )
            found = chosen[~np.isnan(chosen)]
            if len(found):
                rows.append(
                    {
                        "dataset": name,
                        "group": group,
                        "box": how,
                        **_summary(found),
                        "frames": frames,
                    }
                )
    return rows


def _summary(errors: np.ndarray) -> dict[str, float]:
    return {
        "median": float(np.median(errors)),
        "p95": float(np.quantile(errors, 0.95, method="nearest")),
        "within_3": float((errors <= 3).mean()),
        "within_5": float((errors <= 5).mean()),
    }


def confidence_holds(tracked: Sequence[Tracked]) -> dict[str, Any]:
    """Whether confidence and expected error say what they mean."""
    confidence, error, expected = labelled_confidence(tracked)
    if not len(confidence):
        return {}
    known = np.isfinite(expected)
    return {
        "calibration_error": calibration_error(confidence, error <= 100 * NEAR),
        "labels": len(confidence),
        "mean_error_percent": float(error.mean()),
        "mean_expected_error_percent": float(expected[known].mean()) if known.any() else None,
    }


def hidden_points(tracked: Sequence[Tracked]) -> dict[str, Any]:
    """Confidence of points that are hidden or outside the picture, beside that of the others."""
    hidden = np.concatenate([t.confidence[t.face.hidden] for t in tracked])
    shown = np.concatenate([t.confidence[~t.face.hidden] for t in tracked])
    return {
        "confidence_of_hidden_points": float(np.median(hidden)) if len(hidden) else None,
        "hidden_points": len(hidden),
        "confidence_of_shown_points": float(np.median(shown)),
    }


def labelled_confidence(tracked: Sequence[Tracked]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Confidence, error and expected error (both percent) of every labelled point."""
    parts = []
    for one in tracked:
        if one.position is None or one.confidence is None:
            continue
        known = np.isfinite(one.errors)
        size = face_size(one.face.xy, KEYPOINTS)
        expected = np.full(len(KEYPOINTS), np.nan)
        if one.expected_error is not None:
            expected = 100 * one.expected_error / size
        parts.append(np.stack([one.confidence[known], one.errors[known], expected[known]]))
    confidence, error, expected = np.concatenate(parts, axis=1) if parts else np.zeros((3, 0))
    return confidence, error, expected


def multiply_adds(network: torch.nn.Module) -> int:
    """Multiply-adds for one frame."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network.eval()(torch.zeros(1, 1, INPUT_SIZE, INPUT_SIZE))
    return int(counter.get_total_flops()) // 2


def same_points(path: Path, model: Model, n_frames: int) -> dict[str, dict[str, float]]:
    """How far points move when a video is mirrored, scaled or padded, in percent, undone."""
    with open_video(path) as video:
        numbers = np.linspace(0, len(video) - 1, n_frames).round().astype(int)
        frames = np.stack([video[int(number)] for number in numbers])
    rows, columns = frames.shape[1:]
    plain = track(frames, model)["position"].values
    size = np.median(face_size(plain, KEYPOINTS))
    results = {}

    def compare(name: str, changed: np.ndarray, back: Any) -> None:
        moved = track(changed, model)["position"].values.astype(float)
        away = 100 * np.hypot(*np.moveaxis(back(moved) - plain, 1, 0)) / size
        results[name] = {
            "median": float(np.median(away)),
            "p95": float(np.percentile(away, 95)),
            "within_2": float((away <= 2).mean()),
        }

    ends = np.array([[columns - 1.0], [0.0]])
    compare("mirrored", frames[:, :, ::-1], lambda xy: ends + xy * [[-1.0], [1.0]])
    for factor in (0.5, 0.75, 1.5, 2.0):
        compare(
            f"scaled {factor:g}",
            _scaled(frames, factor),
            lambda xy, f=factor: (xy + 0.5) / f - 0.5,
        )
    padded = np.pad(frames, ((0, 0), (rows // 4, rows // 2), (columns // 2, columns // 3)))
    compare("padded", padded, lambda xy: xy - [[columns // 2], [rows // 4]])
    return results


def _scaled(frames: np.ndarray, factor: float) -> np.ndarray:
    size = [round(n * factor) for n in frames.shape[1:]]
    grey = torch.from_numpy(frames)[:, None].float()
    scaled = F.interpolate(grey, size, mode="bilinear", antialias=factor < 1)
    return scaled[:, 0].round().clamp(0, 255).to(torch.uint8).numpy()


def draw_pictures(tracked: Sequence[Tracked], folder: Path) -> None:
    """A contact sheet of every dataset, and the reliability of the confidence."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in dict.fromkeys(t.face.dataset for t in tracked):
        draw_sheet([t for t in tracked if t.face.dataset == name], folder / f"model-{name}.jpg")
    confidence, error, expected = labelled_confidence([t for t in tracked if not _simulated(t)])
    draw_reliability(confidence, error, expected, folder / "model-reliability.png")


def draw_trained(tracked: Sequence[Tracked], folder: Path) -> None:
    """Contact sheets of datasets that the model was trained on, named so."""
    for name in dict.fromkeys(t.face.dataset for t in tracked):
        draw_sheet(
            [t for t in tracked if t.face.dataset == name], folder / f"model-{name}-trained-on.jpg"
        )


def _simulated(tracked: Tracked) -> bool:
    return tracked.face.dataset == "simulated"


if __name__ == "__main__":
    main()
