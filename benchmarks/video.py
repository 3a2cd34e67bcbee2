"""Time reading a video beside OpenCV: in order, at random, one frame back, and again.

Both give grey uint8 frames; OpenCV reads with `VideoCapture`, turns BGR into grey, and reaches a
frame by setting `CAP_PROP_POS_FRAMES`. The two take turns in the same run, so that other load on
the machine meets both. That both give the same frames is checked: exit status 1 if not. The
videos are made here: a moving texture of 640 x 480 pixels.

    python benchmarks/video.py [--quick] [--json FILE] [--video FILE]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from _report import arguments, print_table, save_json

from napari_facemap.video.video import Video, open_video
from napari_facemap.video.write import write_video

try:
    import cv2
except ModuleNotFoundError:
    print("OpenCV, the peer, is missing: pip install --group benchmark", file=sys.stderr)
    sys.exit(2)

HEIGHT, WIDTH, FPS = 480, 640, 50.0
# OpenCV rounds coloured pixels otherwise by one grey level; grey ones are equal.
ALLOWED_DIFFERENCE = 1
KINDS = {
    "H.264 GOP 250": ("gop250.mp4", "libx264", 250),
    "H.264 GOP 12": ("gop12.mp4", "libx264", 12),
    "MJPEG": ("motion.avi", "mjpeg", 1),
}


def texture(n_frames: int) -> Iterator[np.ndarray]:
    """Fur-like noise that drifts and breathes, with the noise of a camera."""
    rng = np.random.default_rng(0)
    spectrum = np.fft.rfft2(rng.standard_normal((2 * HEIGHT, 2 * WIDTH)))
    y, x = np.fft.fftfreq(2 * HEIGHT)[:, None], np.fft.rfftfreq(2 * WIDTH)
    fur = np.fft.irfft2(spectrum / (0.01 + np.hypot(y, x)))
    fur = 120 + 35 * fur / fur.std()
    camera = rng.normal(0, 3, (8, HEIGHT, WIDTH))
    for i in range(n_frames):
        top = round(HEIGHT / 2 + 40 * np.sin(i / 40))
        left = round(WIDTH / 2 + 60 * np.cos(i / 25))
        frame = fur[top : top + HEIGHT, left : left + WIDTH] + camera[i % 8]
        yield np.clip(frame, 0, 255).astype(np.uint8)


class OpenCV:
    """The peer."""

    def __init__(self, path: Path):
        self.path = path
        self.capture = cv2.VideoCapture(str(path))

    def _next(self) -> np.ndarray:
        read, frame = self.capture.read()
        if not read:
            raise SystemExit(f"{self.path}: OpenCV gives fewer frames than the file holds.")
        return cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)

    def __getitem__(self, frame: int) -> np.ndarray:
        self.capture.set(cv2.CAP_PROP_POS_FRAMES, frame)
        return self._next()

    def through(self, n_frames: int) -> None:
        """Read the first frames in order."""
        self.capture.set(cv2.CAP_PROP_POS_FRAMES, 0)
        for _ in range(n_frames):
            self._next()


def through(video: Video, n_frames: int) -> None:
    for _start, _frames in video.batches(32, 0, n_frames):
        pass


def seconds(call: Callable[..., Any], *given: Any) -> float:
    start = time.perf_counter()
    call(*given)
    return time.perf_counter() - start


def seconds_and_cpu(call: Callable[..., Any], *given: Any) -> tuple[float, float]:
    cpu = time.process_time()
    return seconds(call, *given), time.process_time() - cpu


def time_in_order(video: Video, peer: OpenCV, n_frames: int, repeats: int) -> list[dict[str, Any]]:
    """Reading through: frames a second, and the work of all cores, which other load spares."""
    ours, theirs = [], []
    for _ in range(repeats):
        ours.append(seconds_and_cpu(through, video, n_frames))
        theirs.append(seconds_and_cpu(peer.through, n_frames))
    (our_time, our_cpu), (their_time, their_cpu) = (
        [median(values) for values in zip(*both, strict=True)] for both in (ours, theirs)
    )
    return [
        {
            "reading": "in order",
            "ours": n_frames / our_time,
            "OpenCV": n_frames / their_time,
            "unit": "frames/s",
            "ratio": their_time / our_time,
        },
        {
            "reading": "in order, CPU a frame",
            "ours": 1000 * our_cpu / n_frames,
            "OpenCV": 1000 * their_cpu / n_frames,
            "unit": "ms",
            "ratio": their_cpu / our_cpu,
        },
    ]


def time_reading(video: Video, peer: OpenCV, frames: list[int]) -> dict[str, Any]:
    """Milliseconds until a frame is there; the two take turns."""
    both = [(seconds(video.__getitem__, i), seconds(peer.__getitem__, i)) for i in frames]
    ours, theirs = (1000 * np.array(times) for times in zip(*both, strict=True))
    return {
        "ours": float(np.median(ours)),
        "OpenCV": float(np.median(theirs)),
        "unit": "ms",
        "ratio": float(np.median(theirs) / np.median(ours)),
        "ours p95": float(np.percentile(ours, 95)),
        "OpenCV p95": float(np.percentile(theirs, 95)),
    }


def largest_difference(ours: np.ndarray, theirs: np.ndarray) -> int:
    """Grey levels between two frames; 255 when they differ in size."""
    if ours.shape != theirs.shape:
        return 255
    return int(np.abs(ours.astype(int) - theirs).max())


def measure(path: Path, kind: str, quick: bool) -> list[dict[str, Any]]:
    opening = [seconds(lambda: open_video(path).close()) for _ in range(3)]
    their_opening = [seconds(lambda: OpenCV(path)[0]) for _ in range(3)]
    rows = [
        {
            "reading": "open, first frame",
            "ours": 1000 * median(opening),
            "OpenCV": 1000 * median(their_opening),
            "unit": "ms",
            "ratio": median(their_opening) / median(opening),
        }
    ]
    peer = OpenCV(path)
    n_jumps = 12 if quick else 60
    with open_video(path) as video:
        n_frames = len(video)
        rows += time_in_order(video, peer, min(n_frames, 1000), 3 if quick else 7)
        jumps = np.random.default_rng(1).integers(0, n_frames, n_jumps).tolist()
        rows.append({"reading": "at random", **time_reading(video, peer, jumps)})
        last = int(0.8 * n_frames)
        back = list(range(last, max(0, last - 2 * n_jumps), -1))
        rows.append({"reading": "one back", **time_reading(video, peer, back)})
        again = back[: n_jumps // 2]
        rows.append({"reading": "again", **time_reading(video, peer, again)})
        difference = max(largest_difference(video[i], peer[i]) for i in [0, *jumps])
    rows[-1]["grey difference"] = difference
    return [{"video": kind, **row} for row in rows]


def add_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--video", type=Path, metavar="FILE", help="read this instead")


def main() -> int:
    chosen = arguments(__doc__, add_file)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        if chosen.video:
            videos = {chosen.video.name: chosen.video}
        else:
            videos = {kind: Path(folder, name) for kind, (name, _, _) in KINDS.items()}
            n_frames = 500 if chosen.quick else 5000
            for kind, path in videos.items():
                _, codec, gop = KINDS[kind]
                write_video(path, texture(n_frames), FPS, codec, gop=gop)
        for kind, path in videos.items():
            rows += measure(path, kind, chosen.quick)
    print_table(rows)
    print("\nratio: above 1, ours is faster.")
    if chosen.json:
        save_json(chosen.json, rows)
    unlike = {r["video"] for r in rows if r.get("grey difference", 0) > ALLOWED_DIFFERENCE}
    for kind in unlike:
        print(f"{kind}: the two do not give the same frames.", file=sys.stderr)
    return 1 if unlike else 0


if __name__ == "__main__":
    sys.exit(main())
