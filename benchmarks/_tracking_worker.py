"""Our side of the tracking benchmark, one task in a fresh process; the last line is JSON.

python _tracking_worker.py TASK VIDEO '{"model": ..., "runtime": ..., "n_frames": ...}'
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_facemap.keypoints.box import Box
from napari_facemap.keypoints.device import choose_device
from napari_facemap.keypoints.models import Model, halved, load_model
from napari_facemap.keypoints.point_network import PointNetwork
from napari_facemap.keypoints.pointing import Pointer
from napari_facemap.keypoints.reading import read_outputs
from napari_facemap.keypoints.runtimes.rounding import fit_rounding
from napari_facemap.keypoints.tracking import track
from napari_facemap.processors import n_processors
from napari_facemap.video.video import open_video

WARM_UP = 32  # frames after which the clock starts


def run(video: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Track, and say how fast it went from the first frames on."""
    n_frames, output = options.pop("n_frames", None), options.pop("output", None)
    times: list[tuple[int, float]] = []

    def progress(done: int, total: int) -> bool:
        if done >= WARM_UP:
            times.append((done, time.perf_counter()))
        return n_frames is None or done < n_frames

    poses = track(video, progress=progress, **options)
    (first, started), (last, ended) = times[0], times[-1]
    if output:
        np.save(output, poses["position"].values[:last])
    names = ("runtime", "precision", "batch_size", "device", "deviation_p95")
    said = {name: poses.attrs[name] for name in names if name in poses.attrs}
    return {"fps": (last - first) / (ended - started), "peak_mib": _peak_mib(), **said}


def parts(video: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Rates of decoding alone, and of preparing, the network and reading alone on all cores."""
    opened = open_video(video)
    _, height, width = opened.shape
    box = Box(0, 0, width, height)
    started = time.perf_counter()
    n = sum(len(frames) for _, frames in opened.batches(8, 0, options.get("n_frames")))
    decoding = n / (time.perf_counter() - started)
    model = load_model(options.get("model"))
    device = choose_device(options.get("device", "auto"))
    workers = n_processors() if device.type == "cpu" else 2
    rounding = None
    if options.get("precision") == "8-bit" and not isinstance(model.network, PointNetwork):
        pictures = Pointer(model, "cpu").preparation(height, width, box)(opened.read(0, 4))
        rounding = fit_rounding(model.network.plan(), pictures)
    pointer = Pointer(model, device, False, options.get("runtime"), workers, rounding)
    frames = opened.read(0, pointer.settle(height, width, box, "left", None))
    preparation = pointer.preparation(height, width, box)
    with torch.inference_mode():
        pictures = preparation(frames)
        outputs = pointer.runtime.run(pictures)
    calls = {
        "prepare": lambda: preparation(frames),
        "network": lambda: pointer.runtime.run(pictures),
        "read": lambda: pointer.points(read_outputs(outputs), box),
        "all but decoding": lambda: pointer(frames, box),
    }
    seconds = float(options.get("seconds", 3))
    rates = {name: len(frames) * _rate(call, workers, seconds) for name, call in calls.items()}
    return {"decode": decoding, **rates, "workers": workers}


def _rate(call: Callable[[], object], workers: int, seconds: float) -> float:
    """Calls a second of some threads at once, each computing with one thread."""
    counts = [0] * workers
    begin, end = threading.Barrier(workers + 1), threading.Event()

    def work(k: int) -> None:
        torch.set_num_threads(1)
        with torch.inference_mode():
            call()
            begin.wait()
            while not end.is_set():
                call()
                counts[k] += 1

    threads = [threading.Thread(target=work, args=(k,)) for k in range(workers)]
    for thread in threads:
        thread.start()
    begin.wait()
    started = time.perf_counter()
    end.wait(seconds)
    end.set()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - started)


def cancel(video: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Seconds from saying stop to the result, while frames are tracked and while a face is found."""
    found = {}
    for name, stop_at in (("tracking", options.pop("n_frames")), ("finding", 0)):
        said: list[float] = []

        def progress(done: int, total: int, stop_at: int = stop_at, said: Any = said) -> bool:
            if done >= stop_at and not said:
                said.append(time.perf_counter())
            return not said

        where = {} if name == "finding" else {"box": "whole"}
        poses = track(video, progress=progress, **options, **where)
        found[name] = time.perf_counter() - said[0]
        done = poses.attrs["frames_tracked"]
        if np.isnan(poses["position"].values[:done]).any() or done < stop_at:
            raise SystemExit(f"cancelled at {stop_at}, but {done} frames are there")
    return found


def rounding(video: Path, options: dict[str, Any]) -> dict[str, Any]:
    """How far 8 bits move the points of a trained network: the built-in one's weights."""
    built_in = load_model()
    model = Model("float", halved(built_in.network), built_in.keypoints, "0" * 64)
    poses = track(video, model, precision="8-bit", progress=lambda done, total: done < WARM_UP)
    return {"deviation_p95_px": poses.attrs["deviation_p95"]}


def _peak_mib() -> float:
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return float("nan")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 if sys.platform != "darwin" else 1024**2)


if __name__ == "__main__":
    task = {"run": run, "parts": parts, "cancel": cancel, "rounding": rounding}[sys.argv[1]]
    print(json.dumps(task(Path(sys.argv[2]), json.loads(sys.argv[3]))))
