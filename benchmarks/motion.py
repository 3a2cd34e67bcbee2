"""Time motion energy and components beside Facemap 1.0.8: the same video in the same run.

Facemap runs in an environment of its own, made by this script. Both take turns, each in a fresh
process, end to end: a simulated mouse of 640x480, bins of 4 pixels, 500 components of motion and
of the movie. How much variance the components hold is measured for both in the same way, on all
frames about each pixel's mean over time. What is timed also: motion energy alone beside decoding
alone, and pupil and running alone.

    python benchmarks/motion.py [--quick] [--json FILE] [--environment FOLDER] [--video FILE]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from _report import arguments, print_table, save_json
from _tracking_material import facemap_python, run_json

from napari_facemap.movement.binning import Binning
from napari_facemap.simulate.face import simulate_face
from napari_facemap.video.video import open_video

HERE = Path(__file__).parent
SIDE, COUNTS = 4, (10, 100, 500)
SOURCES = ("motion", "movie")


def main() -> None:
    """Run everything and print it."""
    options = arguments(__doc__, _add)
    with tempfile.TemporaryDirectory() as folder:
        video = options.video or Path(folder) / "mouse.mp4"
        if not video.exists():
            n_frames = 1000 if options.quick else 5000
            simulate_face(n_frames, fps=50.0, size=(480, 640), seed=3).write(video, crf=23)
        results = measure(Path(folder), video, options.quick, options.environment)
    print_table([{"result": name, "value": value} for name, value in results.items()])
    if options.json:
        save_json(options.json, results)


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--environment", type=Path, help="where Facemap is, or is to be, installed"
    )
    parser.add_argument(
        "--video", type=Path, help="a video to take, or where to keep the simulated one"
    )


def measure(folder: Path, video: Path, quick: bool, environment: Path | None) -> dict[str, Any]:
    """All figures."""
    python = facemap_python(environment)
    theirs: list[float] = []
    ours: list[float] = []
    for _ in range(1 if quick else 3):
        said = run_json([python, HERE / "_motion_facemap.py", video, SIDE, folder])
        theirs.append(said["seconds"])
        ours.append(_ours("components", video, folder=str(folder))["seconds"])
    rounds = 2 if quick else 5
    rates: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, rate in _ours("rates", video).items():
            rates.setdefault(name, []).append(rate)
    found = {name: median(values) for name, values in rates.items()}
    captured = _captured(video, folder)
    results: dict[str, Any] = {
        "facemap_seconds": median(theirs),
        "ours_seconds": median(ours),
        "ratio_wall": median(theirs) / median(ours),
        "energy_over_decode": median(
            energy / decode
            for energy, decode in zip(rates["energy"], rates["decode"], strict=True)
        ),
        "decode_fps": found["decode"],
        "energy_fps": found["energy"],
        "pupil_fps": found["pupil"],
        "running_fps": found["running"],
    }
    for source in SOURCES:
        for k in COUNTS:
            for whose in ("ours", "facemap"):
                share = captured[source, whose][k]
                name = f"variance_{whose}_{k}" if source == "motion" else f"movie_{whose}_{k}"
                results[name] = share
    return results


def _ours(task: str, video: Path, **options: Any) -> dict[str, Any]:
    return run_json([sys.executable, HERE / "_motion_worker.py", task, video, json.dumps(options)])


def _captured(video: Path, folder: Path) -> dict[tuple[str, str], dict[int, float]]:
    """Share of the variance of all frames that the first masks of each hold."""
    with open_video(video) as opened:
        binning = Binning(None, *opened.shape[1:], SIDE)
        sums = np.concatenate([binning(frames) for _, frames in opened.batches(64)])
    frames = sums.astype(np.float32) / SIDE**2
    pictures = {"motion": np.abs(np.diff(frames, axis=0)), "movie": frames}
    found = {}
    for source in SOURCES:
        centred = pictures[source] - pictures[source].mean(0, dtype=np.float64).astype(np.float32)
        total = float((centred.astype(np.float64) ** 2).sum())
        for whose, name in (("ours", f"ours_{source}.npy"), ("facemap", f"{source}.npy")):
            masks = np.load(folder / name)
            found[source, whose] = {
                k: float((_projected(centred, masks[:, :k]) ** 2).sum() / total) for k in COUNTS
            }
    return found


def _projected(centred: np.ndarray, masks: np.ndarray) -> np.ndarray:
    # Whatever their lengths and angles: what counts is the space that they span.
    basis, _ = np.linalg.qr(masks.astype(np.float64))
    return centred @ basis.astype(np.float32)


if __name__ == "__main__":
    main()
