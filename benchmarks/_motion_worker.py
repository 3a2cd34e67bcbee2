"""Our side of the motion benchmark, one task in a fresh process; the last line is JSON.

python _motion_worker.py TASK VIDEO '{"folder": ...}'
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from napari_facemap.movement.analysis import motion
from napari_facemap.movement.regions import Region
from napari_facemap.video.video import open_video

_AHEAD = 256  # frames that are read before the clock starts


def components(video: Path, options: dict[str, Any]) -> dict[str, float]:
    """Components of motion and movie, end to end."""
    started = time.perf_counter()
    result = motion(video, sources=("motion", "movie"), bin=4, components=500)
    seconds = time.perf_counter() - started
    for found in result.components:
        masks = found.masks[0].reshape(len(found.masks[0]), -1).T
        np.save(Path(options["folder"]) / f"ours_{found.source}.npy", masks)
    return {"seconds": seconds}


def rates(video: Path, options: dict[str, Any]) -> dict[str, float]:
    """Frames a second of decoding alone, and of measures with decoding."""
    pupil = Region.ellipse("pupil", "pupil", 332, 140, 58, 45)
    running = Region.rectangle("wheel", "running", 220, 360, 419, 459)

    def alone(regions: list[Region], whole: bool) -> Callable[[Any, Any], object]:
        return lambda opened, progress: motion(
            opened, regions, components=0, whole=whole, progress=progress
        )

    tasks: dict[str, Callable[[Any, Any], object]] = {
        "decode": _decode,
        "energy": alone([], True),
        "pupil": alone([pupil], False),
        "running": alone([running], False),
    }
    found = {}
    for name, task in tasks.items():
        with open_video(video) as opened:
            times: list[tuple[int, float]] = []

            def progress(done: int, total: int, times: Any = times) -> None:
                if done >= _AHEAD:
                    times.append((done, time.perf_counter()))

            task(opened, progress)
        (first, started), (last, ended) = times[0], times[-1]
        found[name] = (last - first) / (ended - started)
    return found


def _decode(opened: Any, progress: Callable[[int, int], None]) -> None:
    for start, frames in opened.batches(27):
        progress(start + len(frames), len(opened))


if __name__ == "__main__":
    task = {"components": components, "rates": rates}[sys.argv[1]]
    print(json.dumps(task(Path(sys.argv[2]), json.loads(sys.argv[3]))))
