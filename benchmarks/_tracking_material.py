"""What the tracking benchmark works on: a video, weights in Facemap's format, its environment."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pooch
import torch

from napari_facemap.keypoints.box import Box
from napari_facemap.keypoints.network import KeypointNetwork
from napari_facemap.keypoints.normalize import prepare
from napari_facemap.keypoints.skeleton import FACEMAP_KEYPOINTS
from napari_facemap.simulate.face import SimulatedFace, simulate_face
from napari_facemap.video.write import write_video

# Facemap needs the last four and does not say so; its encoder imports its windows.
PEERS = ["facemap==1.0.8", "torch==2.13.0", "matplotlib", "qtpy", "PyQt6", "pyqtgraph"]
CHANNELS = (32, 64, 128, 200, 256)  # 13.4 GFLOP a frame
HEIGHT, WIDTH, FPS = 480, 640, 50.0
_DRAWN = 200  # simulated frames; the video repeats them to and fro


def facemap_python(folder: Path | None) -> Path:
    """Python of an environment with Facemap, made if it is not there."""
    folder = folder or Path(pooch.os_cache("napari-facemap")) / "benchmark-facemap-1.0.8"
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    asked = [str(python), "-c", "import importlib.metadata as m; print(m.version('facemap'))"]
    if python.exists():
        found = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
        if found == PEERS[0].partition("==")[2]:
            return python
    print(f"making an environment with Facemap in {folder}", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
    subprocess.run([str(python), "-m", "pip", "install", "-q", *PEERS], check=True)
    return python


def make_video(path: Path, n_frames: int) -> SimulatedFace:
    """Write a simulated mouse, H.264 with a keyframe every 250 frames, and return the mouse."""
    face = simulate_face(_DRAWN, fps=FPS, size=(HEIGHT, WIDTH), seed=3)
    drawn = [face.frame(k) for k in range(_DRAWN)]
    round_trip = [*range(_DRAWN), *range(_DRAWN - 2, 0, -1)]
    frames = (drawn[round_trip[k % len(round_trip)]] for k in range(n_frames))
    write_video(path, frames, FPS, crf=28)
    return face


def make_hour(short: Path, path: Path, n_frames: int) -> None:
    """Write a long video by copying the packets of a short one again and again."""
    with av.open(str(short)) as source, av.open(str(path), "w") as target:
        stream = source.streams.video[0]
        copied = target.add_stream_from_template(stream)
        packets = [(bytes(p), p.pts, p.dts, p.is_keyframe) for p in source.demux(stream) if p.size]
        step = (max(pts for _, pts, *_ in packets) - packets[0][1]) // (len(packets) - 1)
        for k in range(n_frames):
            content, pts, dts, key = packets[k % len(packets)]
            later = k // len(packets) * step * len(packets)
            packet = av.Packet(content)
            packet.pts, packet.dts, packet.time_base = pts + later, dts + later, stream.time_base
            packet.is_keyframe, packet.stream = key, copied
            target.mux(packet)


def make_weights(face: SimulatedFace, folder: Path) -> Path:
    """Write random weights of Facemap's layout in its format.

    Batch norms hold the statistics of the simulated mouse, as those of a trained network would.
    """
    torch.manual_seed(0)
    network = KeypointNetwork(len(FACEMAP_KEYPOINTS), CHANNELS)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the mean over all pictures shown
            torch.nn.init.normal_(module.weight, 1.0, 0.1)
            torch.nn.init.normal_(module.bias, 0.0, 0.1)
    shown = np.stack([face.frame(k) for k in range(0, _DRAWN, 50)])
    with torch.no_grad():
        network(prepare(shown, Box(0, 0, WIDTH, HEIGHT)))
    models = folder / ".facemap" / "models"
    models.mkdir(parents=True)
    path = models / "facemap_model_state.pt"
    torch.save(network.state_dict(), path)
    names = {"bodyparts": list(FACEMAP_KEYPOINTS), "channels": list(CHANNELS)}
    torch.save({"params": names}, models / "facemap_model_params.pth")
    return path


def run_json(command: Sequence[Any], **options: Any) -> dict[str, Any]:
    """Run a program and read the JSON in its last line."""
    parts = [str(part) for part in command]
    done = subprocess.run(parts, capture_output=True, text=True, check=False, **options)
    if done.returncode:
        raise SystemExit(f"{command}: exit status {done.returncode}\n{done.stdout}\n{done.stderr}")
    return json.loads(done.stdout.strip().splitlines()[-1])
