"""Score the encoder on simulated neurons whose truth is known, and time it beside Facemap 1.0.8.

Each simulation has a row: the network's and the linear model's variance explained (mean over
neurons, test segments), the ceiling, which is what the true signal explains of the same samples,
and the null, the 95th percentile over circular shifts of the network's score of all neurons
together, which stands beside it as pooled.

Facemap runs in an environment of its own, made by this script, on the same neurons and times: 2,000
neurons of 10 samples a second, 30 features of 25,000 frames, 300 of its epochs. Both are scored
on test samples of their own splits, and on those that are test samples in both. Then it is asked
for the simulations with pauses and with neurons faster than the camera.

    python benchmarks/encoding.py [--quick] [--json FILE] [--environment FOLDER]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import xarray as xr
from _report import arguments, print_table, save_json
from _tracking_material import facemap_python, run_json

from napari_facemap.neural.encoder import predict_recording
from napari_facemap.neural.features import keypoint_features
from napari_facemap.neural.fitting import fit_encoder
from napari_facemap.neural.null import prediction_null
from napari_facemap.neural.scores import variance_explained
from napari_facemap.simulate.face import simulate_face
from napari_facemap.simulate.population import SimulatedPopulation, simulate_population

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Simulation:
    """One row: a mouse, a camera, neurons."""

    name: str
    drive: str = "non-linear"
    noise: float = 1.0
    fps: float = 50.0
    rate: float = 10.0
    delay: float = 0.3
    undriven: float = 0.0
    broken_clock: bool = False

    def make(self, seconds: float, n_neurons: int) -> tuple[xr.Dataset, SimulatedPopulation]:
        """Keypoints as the camera saw them, and the neurons."""
        poses = simulate_face(round(seconds * self.fps), fps=self.fps, seed=4).poses
        population = simulate_population(
            poses, n_neurons, rate=self.rate, noise=self.noise, seed=5, delay=self.delay,
            undriven=self.undriven, drive=self.drive,
        )  # fmt: skip
        return (_broken(poses) if self.broken_clock else poses), population


SIMULATIONS = (
    Simulation("linear drive", drive="linear"),
    Simulation("non-linear drive"),
    Simulation("non-linear, little noise", noise=0.25),
    Simulation("non-linear, much noise", noise=4.0),
    Simulation("non-linear, 0.8 s late", delay=0.8),
    Simulation("non-linear, pauses and jitter", broken_clock=True),
    Simulation("non-linear, 30 Hz camera, 60 Hz neurons", fps=30.0, rate=60.0),
    Simulation("non-linear, 50 Hz camera, 3 Hz neurons", rate=3.0),
    Simulation("mixed drive", drive="mixed"),
    Simulation("no drive", undriven=1.0),
)


def main() -> None:
    """Run everything and print it."""
    options = arguments(__doc__, _add)
    seconds, n_neurons = (600, 200) if options.quick else (1800, 500)
    rows = []
    for simulation in SIMULATIONS:
        rows.append(score(simulation, seconds, n_neurons))
        print(rows[-1], flush=True)
    with tempfile.TemporaryDirectory() as folder:
        beside = beside_facemap(Path(folder), options.quick, options.environment)
    print()
    print_table(rows)
    print()
    print_table([{"result": name, "value": value} for name, value in beside.items()])
    if options.json:
        save_json(options.json, {**beside, "simulations": rows})


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--environment", type=Path, help="where Facemap is, or is to be, installed"
    )


def score(simulation: Simulation, seconds: float, n_neurons: int) -> dict[str, Any]:
    """Fit both models to a simulation."""
    poses, population = simulation.make(seconds, n_neurons)
    recording = population.recording
    row: dict[str, Any] = {"simulation": simulation.name}
    for model in ("network", "linear"):
        encoder = fit_encoder(poses, recording, model, device="cpu")
        found = predict_recording(encoder, poses, recording, device="cpu")
        row[model] = float(found["variance_explained"].mean())
        if model == "network":
            test = found["test"].values
            measured, signal = recording.activity[:, test], population.signal[:, test]
            row["ceiling"] = float(variance_explained(measured, signal).mean())
            null = prediction_null(found, 100)
            row["pooled"] = float(found.attrs["pooled_variance_explained"])
            row["null"] = float(np.percentile(null.pooled, 95))
            row["p"] = null.pooled_p
    row["of ceiling"] = row["network"] / row["ceiling"] if row["ceiling"] > 0.01 else None
    row["over linear"] = row["network"] / row["linear"] if row["ceiling"] > 0.01 else None
    return row


def _broken(poses: xr.Dataset) -> xr.Dataset:
    """Frames as of a bad camera: a tenth jitter, 2 % lost, and a pause every five minutes."""
    rng = np.random.default_rng(6)
    times = poses["time"].values
    kept = rng.random(len(times)) > 0.02
    for start in np.arange(100, times[-1], 300):
        kept &= ~((times > start) & (times < start + rng.uniform(2, 12)))
    step = float(np.median(np.diff(times)))
    jittered = times + rng.uniform(-0.3, 0.3, len(times)) * step
    return poses.assign_coords(time=jittered).isel(time=kept)


def beside_facemap(folder: Path, quick: bool, environment: Path | None) -> dict[str, Any]:
    """The same neurons through both."""
    python = facemap_python(environment)
    seconds, n_neurons, epochs = (200, 300, 120) if quick else (500, 2000, 300)
    data, activity = _save(Simulation("mixed drive", drive="mixed"), folder, seconds, n_neurons)
    ours, theirs = folder / "ours.npz", folder / "facemap.npz"
    worker = [sys.executable, HERE / "_encoding_worker.py", data, ours]
    peer = [python, HERE / "_encoding_facemap.py", data, epochs, theirs]
    times = [run_json(worker)["seconds"]]
    facemap_seconds = run_json(peer)["seconds"]
    times += [run_json(worker)["seconds"] for _ in range(1 if quick else 2)]
    results = {
        "facemap_seconds": facemap_seconds,
        "our_seconds": median(times),
        "ratio_fit": facemap_seconds / median(times),
        **_scores(activity, ours, theirs),
    }
    for simulation in SIMULATIONS:
        if simulation.broken_clock or simulation.rate > simulation.fps:
            data, _ = _save(simulation, folder, 200, 50)
            results[f"facemap on: {simulation.name}"] = _ends(
                [python, HERE / "_encoding_facemap.py", data, 2, theirs]
            )
    return results


def _save(
    simulation: Simulation, folder: Path, seconds: float, n_neurons: int
) -> tuple[Path, np.ndarray]:
    poses, population = simulation.make(seconds, n_neurons)
    features, recording = keypoint_features(poses), population.recording
    path = folder / "data.npz"
    np.savez(
        path, behavior=features.values, behavior_times=features.times,
        activity=recording.activity, times=recording.times,
    )  # fmt: skip
    return path, recording.activity


def _scores(activity: np.ndarray, ours: Path, theirs: Path) -> dict[str, float]:
    """Mean variance explained, on both splits' own test samples and on those of both."""
    scored = activity - activity.mean(axis=1, keepdims=True)
    scored /= activity.std(axis=1, keepdims=True)
    found: dict[str, float] = {}
    files = {"ours": np.load(ours), "facemap": np.load(theirs)}
    both = np.intersect1d(files["ours"]["test"], files["facemap"]["test"])
    for name, file in files.items():
        truth = activity if name == "ours" else scored
        test, predicted = file["test"], file["predicted"]
        found[f"ve_{name}"] = float(variance_explained(truth[:, test], predicted).mean())
        shared = np.isin(test, both)
        found[f"ve_{name}_shared"] = float(
            variance_explained(truth[:, test[shared]], predicted[:, shared]).mean()
        )
    return {**found, "shared_samples": len(both)}


def _ends(command: list[Any]) -> str:
    """How a program ends: well, or with which error."""
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False
    )
    return "runs" if not done.returncode else done.stderr.strip().splitlines()[-1]


if __name__ == "__main__":
    main()
