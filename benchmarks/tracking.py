"""Time tracking beside Facemap 1.0.8: the same video, the same weights, in the same run.

Facemap runs in an environment of its own, made by this script, with weights of its layout
(13.4 GFLOP a frame) that are random. Both take turns, each in a fresh process, end to end: video
decoding included, the first frames not counted. What is measured also: our built-in model, every
stage alone, OpenCV's decoding, the memory for an hour of video, and how fast a cancel comes back.
That both find the same points is checked: exit status 1 if not.

    python benchmarks/tracking.py [--quick] [--json FILE] [--environment FOLDER] [--minutes N]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from _report import arguments, print_table, save_json
from _tracking_gpu import gpu_table
from _tracking_material import (
    FPS,
    facemap_python,
    make_hour,
    make_video,
    make_weights,
    run_json,
)

HERE = Path(__file__).parent
SAME_AS_FACEMAP = 0.05  # pixels, 95th percentile, of points found in the same way
SAME_AS_FLOAT = 0.1  # of points found by another runtime

# What of ours is timed: how it is called, and how many frames are tracked.
OURS: dict[str, tuple[dict[str, Any], int]] = {
    "float32, torch": ({"runtime": "torch", "precision": "float32"}, 150),
    "float32, best": ({"precision": "float32"}, 150),
    "8-bit": ({"precision": "8-bit"}, 600),
    "built-in model": ({}, 1500),
}


class Bench:
    """What all measurements need."""

    def __init__(self, folder: Path, quick: bool, environment: Path | None, minutes: float):
        self.folder, self.quick = folder, quick
        self.python = facemap_python(environment)
        self.video, self.hour = folder / "mouse.mp4", folder / "hour.mp4"
        self.weights = make_weights(make_video(self.video, 1000 if quick else 2000), folder)
        self.n_hour = round(60 * FPS * (min(minutes, 2) if quick else minutes))
        make_hour(self.video, self.hour, self.n_hour)
        self.rounds = 1 if quick else 3

    def facemap(self, n_frames: int, batch_size: int, points: Path) -> dict[str, Any]:
        """Facemap, end to end."""
        runner = HERE / "_facemap_runner.py"
        # Facemap looks for its weights in the home folder.
        home = {**os.environ, "HOME": str(self.folder), "USERPROFILE": str(self.folder)}
        return run_json([self.python, runner, self.video, n_frames, batch_size, points], env=home)

    def opencv(self) -> float:
        """Frames a second of OpenCV alone."""
        return run_json([self.python, HERE / "_facemap_runner.py", "decode", self.video])["fps"]

    def ours(self, task: str, video: Path | None = None, **options: Any) -> dict[str, Any]:
        """One of our tasks in a fresh process."""
        worker = HERE / "_tracking_worker.py"
        return run_json([sys.executable, worker, task, video or self.video, json.dumps(options)])

    def tracked(self, name: str, **more: Any) -> dict[str, Any]:
        """One of `OURS`, end to end."""
        options, n_frames = OURS[name]
        if name != "built-in model":
            options = options | {"model": str(self.weights)}
        if self.quick:
            n_frames = min(n_frames, 1000 if name == "built-in model" else 300)
        return self.ours("run", box="whole", **(options | {"n_frames": n_frames} | more))


def end_to_end(bench: Bench) -> tuple[dict[str, float], dict[str, dict[str, Any]], dict[str, Any]]:
    """Median frames a second of all, what ours said of themselves, and Facemap's last result."""
    rates: dict[str, list[float]] = {}
    said, peer = {}, {}
    for _ in range(bench.rounds):
        for batch_size in (1, 4):
            n_frames = 60 if bench.quick else 200
            peer = bench.facemap(n_frames, batch_size, bench.folder / "facemap.npy")
            rates.setdefault(f"Facemap, batches of {batch_size}", []).append(peer["fps"])
        for name in OURS:
            said[name] = bench.tracked(name)
            rates.setdefault(name, []).append(said[name]["fps"])
        rates.setdefault("decode", []).append(
            bench.ours("parts", seconds=0.1, n_frames=1000)["decode"]
        )
        rates.setdefault("OpenCV", []).append(bench.opencv())
    return {name: median(values) for name, values in rates.items()}, said, peer


def stages(bench: Bench, rates: dict[str, float]) -> dict[str, dict[str, float]]:
    """Rates of every stage alone, and of the pipeline."""
    found = {}
    for name in ("float32, best", "8-bit", "built-in model"):
        options = OURS[name][0]
        if name != "built-in model":
            options = options | {"model": str(bench.weights)}
        alone = bench.ours("parts", **options, seconds=2 if bench.quick else 5)
        found[name] = {**alone, "decode": rates["decode"], "end to end": rates[name]}
    return found


def agreement(bench: Bench) -> dict[str, float]:
    """Pixels between points of the same frames found in two ways, 95th percentile."""
    n = 48
    bench.facemap(n, 1, bench.folder / "facemap.npy")
    kept = {"output": str(bench.folder / "ours.npy"), "n_frames": n, "model": str(bench.weights)}

    def points(**options: Any) -> np.ndarray:
        bench.ours("run", **kept, **options)
        return np.load(kept["output"])[:n]

    facemap = np.load(bench.folder / "facemap.npy")[:n, :, :2].transpose(0, 2, 1)
    ours = points(compat="facemap")
    eager = points(box="whole", runtime="eager")
    others = {"float32, torch": {"runtime": "torch", "precision": "float32"}}
    others["float32, best"] = {"precision": "float32"}
    found = {"ours as Facemap's - Facemap": _apart(ours, facemap)}
    for name, options in others.items():
        found[f"{name} - float32 eager"] = _apart(points(box="whole", **options), eager)
    return found


def _apart(one: np.ndarray, other: np.ndarray) -> float:
    n = min(len(one), len(other))
    return float(np.percentile(np.hypot(*np.moveaxis(one[:n] - other[:n], 1, 0)), 95))


def _more_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--environment", type=Path, metavar="FOLDER", help="Facemap's, made if it is not there"
    )
    parser.add_argument(
        "--minutes", type=float, default=60.0, help="of video that memory is measured on (60)"
    )


def main() -> int:
    """Measure, print, save."""
    options = arguments(__doc__, _more_arguments)
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name), options.quick, options.environment, options.minutes)
        rates, said, peer = end_to_end(bench)
        facemap = max(rate for name, rate in rates.items() if name.startswith("Facemap"))
        by_stage = stages(bench, rates)
        apart = agreement(bench)
        moved = bench.ours("rounding")
        stopped = bench.ours("cancel", n_frames=64)
        hour = bench.ours("run", bench.hour, box="whole")
        gpu = gpu_table(bench.ours("parts")["decode"]) if _has_gpu() else []
    print(f"\nend to end, {bench.rounds} rounds, medians (Facemap: torch {peer['torch']})")
    print_table(
        [
            {
                "what": name,
                "frames/s": rate,
                "x Facemap": rate / facemap,
                **{k: said[name][k] for k in ("runtime", "precision") if name in said},
                "peak MiB": said[name]["peak_mib"] if name in said else None,
            }
            for name, rate in rates.items()
            if name not in ("decode", "OpenCV")
        ]
    )
    print("\nFacemap, ms a frame:", {k: round(v, 2) for k, v in peer["ms"].items()})
    print(
        f"decoding alone: ours {rates['decode']:.0f}, OpenCV {peer['opencv']} {rates['OpenCV']:.0f}"
    )
    print("\nframes/s of every stage alone on all cores")
    print_table([{"what": name, **row} for name, row in by_stage.items()])
    print("\npixels apart, 95th percentile:", {k: round(v, 4) for k, v in apart.items()})
    print(f"8 bits move a trained network's points by {moved['deviation_p95_px']:.2f} px (p95)")
    print(f"cancelled within {max(stopped.values()):.2f} s: {stopped}")
    print(
        f"{bench.n_hour / FPS:.0f} s of video: peak {hour['peak_mib']:.0f} MiB, {hour['fps']:.0f} frames/s"
    )
    if gpu:
        print_table(gpu)
    # What is slowest alone is the limit where it has the cores to itself; where all stages share
    # them, the sum of their work is.
    efficiency = {
        name: row["end to end"] / min(row["decode"], row["network"])
        for name, row in by_stage.items()
    }
    shared = {
        name: row["end to end"] * (1 / row["decode"] + 1 / row["all but decoding"])
        for name, row in by_stage.items()
    }
    exact = max(rates["float32, torch"], rates["float32, best"])
    results = {
        "ratio_torch": rates["8-bit"] / facemap,
        "ratio_same_weights": max(rates["8-bit"], exact) / facemap,
        "ratio_torch_float32": rates["float32, torch"] / facemap,
        "ratio_same_weights_float32": exact / facemap,
        "ratio_builtin": rates["built-in model"] / facemap,
        "decode_over_opencv": rates["decode"] / rates["OpenCV"],
        "pipeline_efficiency": efficiency["8-bit"],
        "pipeline_efficiency_float32": efficiency["float32, best"],
        "pipeline_efficiency_builtin": efficiency["built-in model"],
        "share_of_shared_limit": shared["8-bit"],
        "share_of_shared_limit_builtin": shared["built-in model"],
        "peak_mib": hour["peak_mib"],
        "cancel_seconds": max(stopped.values()),
        **moved,
        "fps": rates,
        "stages": by_stage,
        "points_apart_px": apart,
        "gpu": gpu,
        "quick": options.quick,
    }
    print()
    print_table([{"result": k, "value": v} for k, v in results.items() if isinstance(v, float)])
    if options.json:
        save_json(options.json, results)
    if apart["ours as Facemap's - Facemap"] > SAME_AS_FACEMAP:
        print("Facemap and ours do not find the same points.", file=sys.stderr)
        return 1
    far = {k: v for k, v in apart.items() if v > SAME_AS_FLOAT}
    if far:
        print(f"Not the points of float32: {far}", file=sys.stderr)
    return int(bool(far))


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


if __name__ == "__main__":
    sys.exit(main())
