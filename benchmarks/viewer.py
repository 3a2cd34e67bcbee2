"""Time of one frame step in napari: our keypoint layer, beside an image alone and plain points.

A step is `viewer.dims.set_current_step` to a random frame; with a screen also the step and the
drawing of the window together. The image is one black frame under every number, so that only the
viewer is timed. With a screen also: a move of the cursor of the encoder's raster of 2,000 neurons
x 100,000 times, measured above predicted, in the same window, drawing included.

    python benchmarks/viewer.py [--quick] [--json FILE]
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

os.environ["NAPARI_CONFIG"] = os.path.join(tempfile.mkdtemp(), "settings.yaml")

import numpy as np
from _report import arguments, print_table, save_json

from napari_facemap.keypoints.poses import make_poses
from napari_facemap.keypoints.skeleton import KEYPOINTS
from napari_facemap.keypoints.store import KeypointStore
from napari_facemap.viewer.keypoint_layer import layer_data
from napari_facemap.viewer.session import session_of

HEIGHT, WIDTH, FPS = 240, 320, 50.0


def store(n_frames: int) -> KeypointStore:
    position = np.random.default_rng(0).random((n_frames, 2, len(KEYPOINTS)), np.float32)
    position *= np.array([WIDTH, HEIGHT], np.float32)[:, None]
    confidence = np.full((n_frames, len(KEYPOINTS)), 0.9, np.float32)
    return KeypointStore(make_poses(position, confidence, KEYPOINTS, np.arange(n_frames) / FPS))


def add_image(viewer: Any, n_frames: int) -> None:
    viewer.add_image(
        np.broadcast_to(np.zeros((HEIGHT, WIDTH), np.uint8), (n_frames, HEIGHT, WIDTH)),
        scale=(1 / FPS, 1, 1),
        units=("s", "pixel", "pixel"),
        contrast_limits=(0, 255),
    )


def add_ours(viewer: Any, n_frames: int) -> None:
    add_image(viewer, n_frames)
    session_of(viewer).add_keypoints(layer_data(store(n_frames)))


def add_plain(viewer: Any, n_frames: int) -> None:
    add_image(viewer, n_frames)
    position = store(n_frames).to_poses()["position"].values
    frame = np.repeat(np.arange(n_frames, dtype=np.float32), len(KEYPOINTS))
    xy = position.transpose(0, 2, 1).reshape(-1, 2)
    viewer.add_points(
        np.column_stack([frame, xy[:, 1], xy[:, 0]]),
        scale=(1 / FPS, 1, 1),
        units=("s", "pixel", "pixel"),
        size=7,
        face_color="cyan",
    )


def time_steps(make_viewer: Callable, add: Callable, n_frames: int, n_steps: int) -> dict:
    """Median milliseconds of a step, and of a step with its drawing where there is a screen."""
    viewer, draw, close = make_viewer()
    start = time.perf_counter()
    add(viewer, n_frames)
    added = time.perf_counter() - start
    steps, totals = [], []
    for frame in np.random.default_rng(1).integers(0, n_frames, n_steps + 3):
        start = time.perf_counter()
        viewer.dims.set_current_step(0, int(frame))
        steps.append(1000 * (time.perf_counter() - start))
        draw()
        totals.append(1000 * (time.perf_counter() - start))
    close()
    row = {"add_s": added, "step_ms": statistics.median(steps[3:])}
    if draw is not _nothing:
        row["with_draw_ms"] = statistics.median(totals[3:])
    return row


def time_raster(n_moves: int, n_neurons: int = 2000, n_times: int = 100_000) -> list[dict]:
    """Median milliseconds of a cursor's move in the whole recording, and in 30 s of it."""
    from qtpy.QtWidgets import QApplication

    from napari_facemap.viewer.raster import RasterPlot
    from napari_facemap.viewer.raster_math import raster_of

    times = np.arange(n_times) / 10
    activity = np.random.default_rng(0).standard_normal((n_neurons, n_times), np.float32)
    start = time.perf_counter()
    raster = raster_of(activity, times, np.arange(n_neurons))
    made = time.perf_counter() - start
    viewer, draw, close = window()
    add_image(viewer, 1000)
    plot = RasterPlot()
    viewer.window.add_dock_widget(plot, area="bottom")
    plot.set_rasters([("measured", raster), ("predicted", raster)])
    rows = []
    for name, seconds in (("whole", None), ("30 s", 30.0)):
        first, last = 0.0, float(times[-1])
        if seconds is not None:
            plot.set_time(last / 2)
            plot.show_seconds(seconds)
            first, last = plot.shown_window
        moves = []
        for at in np.random.default_rng(1).uniform(first, last, n_moves + 3):
            start = time.perf_counter()
            plot.set_time(float(at))
            plot.repaint()
            draw()
            moves.append(1000 * (time.perf_counter() - start))
        rows.append({
            "layers": f"raster {n_neurons:,} x {n_times:,}, {name}: cursor", "frames": n_times,
            "add_s": made, "step_ms": statistics.median(moves[3:]),
        })  # fmt: skip
    QApplication.processEvents()
    close()
    return rows


def _nothing() -> None:
    pass


def model_only() -> tuple[Any, Callable, Callable]:
    from napari.components import ViewerModel

    return ViewerModel(), _nothing, _nothing


def window() -> tuple[Any, Callable, Callable]:
    import napari
    from qtpy.QtWidgets import QApplication

    viewer = napari.Viewer(show=True)
    viewer.window.resize(1200, 800)
    QApplication.processEvents()
    return viewer, QApplication.processEvents, viewer.close


def main() -> None:
    chosen = arguments(__doc__)
    has_screen = os.name != "posix" or bool(os.environ.get("DISPLAY"))
    make_viewer = window if has_screen else model_only
    cases = [
        ("image alone", add_image, 10_000),
        ("image alone", add_image, 1_000_000),
        ("+ keypoint layer", add_ours, 10_000),
        ("+ keypoint layer", add_ours, 1_000_000),
        ("+ plain (t, y, x) points", add_plain, 10_000),
    ]
    if not chosen.quick:
        cases.append(("+ plain (t, y, x) points", add_plain, 1_000_000))
    rows = []
    for name, add, n_frames in cases:
        few = chosen.quick or (add is add_plain and n_frames > 100_000)
        timed = time_steps(make_viewer, add, n_frames, 15 if few else 60)
        rows.append({"layers": name, "frames": n_frames, **timed})
    if has_screen:
        rows += time_raster(15 if chosen.quick else 60)
    print_table(rows)
    if chosen.json:
        save_json(chosen.json, rows)


if __name__ == "__main__":
    main()
