"""Videos out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from napari_facemap.files.atomic import atomic_path

# Pixel format of each codec: the one that keeps grey as it is.
_PIXEL_FORMAT = {"ffv1": "gray", "rawvideo": "gray", "mjpeg": "yuvj420p", "libx264": "yuv420p"}
_TIME_BASE = Fraction(1, 90_000)


def write_video(
    path: str | Path,
    frames: Iterable[np.ndarray],
    fps: float,
    codec: str = "libx264",
    times: Sequence[float] | np.ndarray | None = None,
    gop: int = 250,
    bframes: int | None = None,
    crf: float | None = None,
    options: dict[str, str] | None = None,
    container: dict[str, str] | None = None,
) -> None:
    """Write grey frames as a video.

    Parameters
    ----------
    path : str or Path
        Its suffix chooses the container. The file appears whole or not at all.
    frames : iterable of ndarray of uint8, shape (rows, columns)
        All of one size. For codecs with halved colour (all but FFV1 and raw video) an odd row or
        column at the end is left out.
    fps : float
        Frames per second.
    codec : str
        "libx264" (full-range grey, so that levels are kept), "ffv1" (lossless), "mjpeg", or
        another that FFmpeg encodes.
    times : sequence of float, optional
        Seconds of each frame, increasing, for a variable frame rate.
    gop : int
        Frames from one keyframe to the next.
    bframes : int, optional
        Most frames in a row that refer to a later one; by default the codec's own choice.
    crf : float, optional
        Quality of "libx264", 0 (lossless) to 51; by default 23.
    options : dict, optional
        Others of the codec, such as ``{"preset": "veryfast"}``.
    container : dict, optional
        Options of the container, such as ``{"movflags": "faststart"}``.

    Raises
    ------
    ValueError
        When there is no frame, frames differ in size or are not uint8, or times do not fit.
    """
    options = dict(options or {})
    if bframes is not None:
        options["bf"] = str(bframes)
    if crf is not None:
        options["crf"] = str(crf)
    if times is not None and (np.diff(times) <= 0).any():
        raise ValueError(f"{path}: expected times that increase from frame to frame.")
    with (
        atomic_path(path) as temporary,
        av.open(str(temporary.absolute()), "w", options=container or {}) as file,
    ):
        stream, shape = None, None
        for number, frame in enumerate(frames):
            shape = shape or frame.shape
            _check(path, number, frame, shape)
            if times is not None and number >= len(times):
                raise ValueError(f"{path}: expected a time for each frame, found {len(times)}.")
            if stream is None:
                stream = _add_stream(file, frame, fps, codec, gop, options, times is not None)
            picture = _picture(frame, stream)
            if times is not None:
                picture.pts = round(float(times[number]) / _TIME_BASE)
                picture.time_base = _TIME_BASE
            for packet in stream.encode(picture):
                file.mux(packet)
        if stream is None:
            raise ValueError(f"{path}: expected frames to write, found none.")
        for packet in stream.encode():
            file.mux(packet)


def _check(path: str | Path, number: int, frame: np.ndarray, shape: tuple[int, ...]) -> None:
    if frame.ndim != 2 or frame.dtype != np.uint8 or frame.shape != shape:
        raise ValueError(
            f"{path}: expected frames of uint8 as (rows, columns), all of one size; frame "
            f"{number} is {frame.dtype} of shape {frame.shape}."
        )


def _add_stream(
    container: av.container.OutputContainer,
    frame: np.ndarray,
    fps: float,
    codec: str,
    gop: int,
    options: dict[str, str],
    variable: bool,
) -> av.VideoStream:
    stream = container.add_stream(
        codec, rate=Fraction(fps).limit_denominator(100_000), options=options
    )
    stream.pix_fmt = _PIXEL_FORMAT.get(codec, "yuv420p")
    even = stream.pix_fmt != "gray"
    height, width = (side - side % 2 if even else side for side in frame.shape)
    stream.height, stream.width = height, width
    context = stream.codec_context
    context.gop_size = gop
    if variable:
        context.time_base = _TIME_BASE
    if codec == "libx264":
        context.color_range = 2  # full
    return stream


def _picture(frame: np.ndarray, stream: av.VideoStream) -> av.VideoFrame:
    """A frame in the stream's pixel format with its grey levels unchanged."""
    cut = np.ascontiguousarray(frame[: stream.height, : stream.width], np.uint8)
    if stream.pix_fmt == "gray":
        return av.VideoFrame.from_ndarray(cut, format="gray")
    if stream.codec_context.name in ("libx264", "mjpeg"):
        colour = np.full((stream.height // 2, stream.width), 128, np.uint8)
        picture = av.VideoFrame.from_ndarray(np.vstack([cut, colour]), format="yuv420p")
        if stream.codec_context.name == "mjpeg":
            picture = picture.reformat(format="yuvj420p", src_color_range=2, dst_color_range=2)
        picture.color_range = 2
        return picture
    # Limited range, as other codecs take it.
    limited = (16 + cut.astype(np.uint16) * 219 // 255).astype(np.uint8)
    colour = np.full((stream.height // 2, stream.width), 128, np.uint8)
    return av.VideoFrame.from_ndarray(np.vstack([limited, colour]), format="yuv420p")
