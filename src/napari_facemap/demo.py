"""The whole way on a simulated mouse: video, keypoints, predicted neural activity, a picture."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from napari_facemap.figures import draw_summary
from napari_facemap.files.atomic import atomic_path
from napari_facemap.files.encoders import write_encoder
from napari_facemap.files.poses import write_poses
from napari_facemap.files.predictions import write_predictions
from napari_facemap.keypoints.tracking import track
from napari_facemap.neural.encoder import predict_recording
from napari_facemap.neural.fitting import fit_encoder
from napari_facemap.progress import ProgressBar
from napari_facemap.simulate.face import SimulatedFace, simulate_face
from napari_facemap.simulate.population import simulate_population
from napari_facemap.video.video import open_video
from napari_facemap.video.write import write_video

KEYPOINTS_FILE = "mouse_FacemapPose.h5"
FPS = 12.5
SECONDS = 400
SEED = 11
NEURONS = 100
EXPLAINABLE = (0.3, 0.9)  # of each neuron's variance, by a perfect model


def run_demo(output: Path, window: bool = True, seconds: float = SECONDS) -> int:
    """Simulate a mouse, track its face, fit the encoder and write everything down.

    Parameters
    ----------
    output : Path
        Folder to write into; made when it is missing.
    window : bool
        Open the result in napari, where there is a screen.
    seconds : float
        Length of the video.

    Returns
    -------
    int
        0: all of it worked.
    """
    output.mkdir(parents=True, exist_ok=True)
    video_path = output / "mouse.mp4"
    face = simulate_face(int(seconds * FPS), fps=FPS, seed=SEED)
    print(f"1/4  a simulated mouse: {seconds:g} s of video at {FPS:g} frames/s")
    with ProgressBar("     drawing", "frame") as bar:
        write_video(video_path, _drawn(face, bar), FPS, options={"preset": "veryfast"})
    population = simulate_population(face, n_neurons=NEURONS, seed=SEED, explainable=EXPLAINABLE)
    recording = population.recording
    with atomic_path(output / "neural.npz") as temporary:
        np.savez(temporary, activity=recording.activity, times=recording.times)

    print("2/4  tracking keypoints")
    with open_video(video_path) as video, ProgressBar("     tracking", "frame") as bar:
        poses = track(video, progress=bar)
        index = int(np.argmax(poses["confidence"].mean("keypoint").values))
        frame = video[index]
    write_poses(poses, output / KEYPOINTS_FILE)

    print("3/4  fitting the encoder")
    with ProgressBar("     fitting", "step") as bar:
        encoder = fit_encoder(poses, recording, "network", progress=bar)
    prediction = predict_recording(encoder, poses, recording)
    write_encoder(encoder, output / "encoder.safetensors")
    write_predictions(prediction, output / "predictions.nc")

    draw_summary(frame, poses, index, prediction, output / "summary.png")
    explained = float(prediction["variance_explained"].mean())
    ceiling = float(population.explainable.mean())
    print(f"4/4  variance explained on test segments: {explained:.2f}, explainable: {ceiling:.2f}")
    _say_what_was_written(output)
    if window:
        _open_window(output)
    return 0


def _drawn(face: SimulatedFace, bar: ProgressBar) -> Iterator[np.ndarray]:
    n_frames = len(face.times)
    for number in range(n_frames):
        yield face.frame(number)
        bar(number + 1, n_frames)


def _say_what_was_written(output: Path) -> None:
    print(f"\nWritten to {output}:")
    for name, what in (
        ("mouse.mp4", "the face video"),
        ("neural.npz", "neural activity (neuron x time) and its times"),
        (KEYPOINTS_FILE, "the keypoints; napari and Facemap open it"),
        ("encoder.safetensors", "the fitted encoder"),
        ("predictions.nc", "measured and predicted activity, variance explained"),
        ("summary.png", "a picture of both"),
    ):
        print(f"  {name:22s} {what}")


def _open_window(output: Path) -> None:
    if not has_screen():
        print("\nNo screen here, so napari was not opened.")
        return
    # Qt ends the process when a library is missing, so this comes before its import.
    from napari_facemap.viewer.system import ensure

    if not ensure(install=True):
        return
    try:
        from napari_facemap.viewer.demo import show_demo
    except ImportError as error:
        print(f"\nnapari cannot open a window here ({error}): pip install 'napari[pyqt6]'.")
        return
    show_demo(output)


def has_screen() -> bool:
    """True where a window can be shown."""
    if sys.platform.startswith("linux"):
        return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return True
