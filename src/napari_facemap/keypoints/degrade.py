"""What light, lens, sensor and codec do to a picture, and things that get in the way."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from scipy import ndimage

_CODECS = (("mjpeg", "yuvj420p"), ("libx264", "yuv420p"))


@dataclass(frozen=True)
class Degradation:
    """How far grey levels stray; greys are 0 to 1.

    Attributes
    ----------
    gamma, contrast : float
        Largest factors of the exponent and of the contrast.
    brightness : float
        Largest shift upwards.
    noise : float
        Largest standard deviation of the sensor's noise in a picture of good contrast.
    blur : float
        Largest width of a Gaussian blur, pixels.
    shade : float
        Chance of uneven light and of vignetting, each.
    glint, cover, compress : float
        Chances of reflections of a lamp, of something in front of the face, and of a codec's
        artefacts (JPEG or H.264).
    """

    gamma: float = 1.8
    contrast: float = 1.5
    brightness: float = 0.2
    noise: float = 0.06
    blur: float = 1.8
    shade: float = 0.3
    glint: float = 0.2
    cover: float = 0.12
    compress: float = 0.2


def degrade(
    grey: np.ndarray, inside: np.ndarray, rng: np.random.Generator, how: Degradation
) -> tuple[np.ndarray, np.ndarray]:
    """Degrade a picture at random.

    Parameters
    ----------
    grey : ndarray of float32, shape (rows, columns)
        0 to 1.
    inside : ndarray of bool, same shape
        Where there is a picture; elsewhere it is left to the caller.
    rng : numpy.random.Generator
        Source of chance.
    how : Degradation
        How far.

    Returns
    -------
    grey : ndarray of float32
        0 to 1.
    covered : ndarray of bool
        Where something stands before the face.
    """
    covered = np.zeros(grey.shape, bool)
    if rng.random() < how.cover:
        grey, covered = _cover(grey, rng)
    if rng.random() < how.glint:
        grey = _glints(grey, rng)
    shown = grey[inside] if inside.any() else grey
    middle, spread = float(shown.mean()), float(shown.std())
    grey = np.clip(grey, 0, 1) ** np.float32(how.gamma ** rng.uniform(-1, 1))
    factor = how.contrast ** rng.uniform(-1, 1)
    # Darker at most by a part of what light there is, so that the face is not lost.
    shift = rng.uniform(-0.4 * middle, how.brightness)
    grey = (grey - middle) * factor + middle + shift
    if rng.random() < how.shade:
        grey = grey * _slope(grey.shape, rng)
    if rng.random() < how.shade:
        grey = grey * _vignette(grey.shape, rng)
    if rng.random() < 0.35:
        grey = _blur(grey, rng, how.blur)
    noise = rng.standard_normal(grey.shape, dtype=np.float32)
    if rng.random() < 0.3:  # noise that a camera or a resize has smeared
        noise = ndimage.uniform_filter(noise, 2) * 2
    level = how.noise * rng.random() ** 2 * np.clip(spread / 0.2, 0.25, 1.5)
    grey = np.clip(grey + noise * np.float32(level), 0, 1)
    if rng.random() < how.compress:
        grey = _compress(grey, rng)
    return grey.astype(np.float32), covered


def compressed(levels: np.ndarray, codec: str, quality: int) -> np.ndarray:
    """Send a picture through a video codec and back.

    Parameters
    ----------
    levels : ndarray of uint8, shape (rows, columns)
        Even numbers of rows and columns.
    codec : {"mjpeg", "libx264"}
        Which codec.
    quality : int
        Its quantiser or rate factor; higher is worse.

    Returns
    -------
    ndarray of uint8
        Same shape.
    """
    encoder = av.CodecContext.create(codec, "w")
    encoder.height, encoder.width = levels.shape
    encoder.pix_fmt = dict(_CODECS)[codec]
    encoder.time_base = Fraction(1, 25)
    if codec == "mjpeg":
        encoder.qmin = encoder.qmax = quality
    else:
        encoder.options = {"crf": str(quality), "preset": "ultrafast", "tune": "zerolatency"}
    encoder.thread_count = 1
    frame = av.VideoFrame.from_ndarray(levels, format="gray").reformat(format=encoder.pix_fmt)
    packets = [*encoder.encode(frame), *encoder.encode(None)]
    decoder = av.CodecContext.create("h264" if codec == "libx264" else codec, "r")
    decoder.thread_count = 1
    pictures = [picture for packet in packets for picture in decoder.decode(packet)]
    pictures += decoder.decode(None)
    return np.asarray(pictures[0].to_ndarray(format="gray"))


def _compress(grey: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    levels = np.round(grey * 255).astype(np.uint8)
    if rng.random() < 0.7:
        levels = compressed(levels, "mjpeg", int(rng.integers(4, 25)))
    else:
        levels = compressed(levels, "libx264", int(rng.integers(24, 40)))
    return levels.astype(np.float32) / 255


def _cover(grey: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A bar like a spout, or a blob like a paw, with soft edges and a grain of its own."""
    rows, columns = grey.shape
    x, y = np.meshgrid(np.arange(columns, dtype=np.float32), np.arange(rows, dtype=np.float32))
    cx, cy = rng.uniform(0, columns), rng.uniform(0.1 * rows, rows)
    angle = rng.uniform(0, np.pi)
    along = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
    across = (y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)
    if rng.random() < 0.5:  # from one end to far outside of the view
        width = rng.uniform(3, 12)
        depth = np.minimum(width - np.abs(across), along)
    else:
        long, short = rng.uniform(15, 45), rng.uniform(8, 25)
        ripple = 1 + 0.25 * np.sin(rng.integers(2, 6) * np.arctan2(across, along))
        depth = (1 - np.hypot(along / long, across / short) / ripple) * short
    opacity = np.clip(depth + 0.5, 0, 1)
    shade = rng.uniform(0.0, 0.9) + 0.15 * np.clip(depth / 10, 0, 1)
    grain = rng.uniform(0, 0.08) * rng.standard_normal(grey.shape, dtype=np.float32)
    return grey * (1 - opacity) + opacity * (shade + grain), depth > 2


def _glints(grey: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    rows, columns = grey.shape
    x, y = np.arange(columns, dtype=np.float32), np.arange(rows, dtype=np.float32)[:, None]
    for _ in range(rng.integers(1, 4)):
        cx, cy = rng.uniform(0, columns), rng.uniform(0, rows)
        radius = rng.uniform(1.0, 4.0)
        square = ((x - cx) ** 2 + (y - cy) ** 2) / radius**2
        grey = np.maximum(grey, rng.uniform(0.7, 1.2) * np.exp(-square))
    return grey


def _slope(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Uneven light: brighter towards one side."""
    y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in shape)
    angle, depth = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.5)
    return 1 + np.float32(depth) * (np.cos(angle) * x + np.sin(angle) * y[:, None]).clip(-1, 1)


def _vignette(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in shape)
    return 1 - np.float32(rng.uniform(0, 0.35)) * (x**2 + y[:, None] ** 2)


def _blur(grey: np.ndarray, rng: np.random.Generator, largest: float) -> np.ndarray:
    """Out of focus, or moved along rows or columns while the shutter was open."""
    if rng.random() < 0.7:
        return np.asarray(ndimage.gaussian_filter(grey, rng.uniform(0.3, largest), truncate=3))
    return np.asarray(ndimage.uniform_filter1d(grey, int(rng.integers(2, 6)), rng.integers(2)))
