"""Pictures of labelled frames: grey PNG files that are named by frame."""

from __future__ import annotations

import re
from pathlib import Path

import av
import numpy as np

from napari_facemap.files.atomic import atomic_path
from napari_facemap.video.video import open_video


def picture_name(frame: int) -> str:
    """Give the name of a frame's picture."""
    return f"img{int(frame):08d}.png"


def frame_of(picture: str) -> int | None:
    """Number of a frame in its picture's name."""
    match = re.search(r"(\d+)\.\w+$", picture)
    return int(match[1]) if match else None


def write_picture(path: Path, image: np.ndarray) -> None:
    """Write a grey picture, shape (rows, columns), to the bit."""
    # Through a file of our own: in a name FFmpeg would take %d for a number.
    with (
        atomic_path(path) as temporary,
        temporary.open("wb") as picture,
        av.open(picture, "w", format="image2pipe") as file,
    ):
        stream = file.add_stream("png", rate=1)
        stream.pix_fmt = "gray"
        stream.height, stream.width = image.shape
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image, np.uint8), format="gray")
        for packet in [*stream.encode(frame), *stream.encode()]:
            file.mux(packet)


def read_picture(path: Path) -> np.ndarray:
    """Read a picture, shape (rows, columns), grey."""
    # A picture is a video of one frame.
    with open_video(path) as video:
        return video[0]
