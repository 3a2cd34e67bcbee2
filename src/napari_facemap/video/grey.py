"""Grey levels of decoded frames, equal to those that OpenCV's grey conversion gives."""

from __future__ import annotations

from functools import lru_cache

import av
import numpy as np

_FULL_RANGE = 2  # AVCOL_RANGE_JPEG
_GREY = ("gray", "gray8")
_LUMA_FIRST = ("yuv420p", "yuv422p", "yuv444p", "yuvj420p", "yuvj422p", "yuvj444p")
WEIGHTS, WEIGHTS_ONE = (3735, 19235, 9798), 1 << 15
"""BT.601 weights of blue, green and red, and what they add up to."""

_WEIGHTS = np.array(WEIGHTS, np.float32) / np.float32(WEIGHTS_ONE)
_BLOCK = 1 << 14


def shape_of(frame: av.VideoFrame) -> tuple[int, int]:
    """Rows and columns of a frame's grey picture."""
    sideways = round(frame.rotation / 90) % 2
    return (frame.width, frame.height) if sideways else (frame.height, frame.width)


def grey(frame: av.VideoFrame) -> np.ndarray:
    """Grey picture of a decoded frame.

    A grey or evenly tinted frame goes from luma through a table, a coloured one through blue,
    green and red. A rotation that the file asks for is applied.

    Parameters
    ----------
    frame : av.VideoFrame
        Any pixel format.

    Returns
    -------
    ndarray of uint8, shape (rows, columns)
    """
    picture = np.empty(shape_of(frame), np.uint8)
    write_grey(frame, picture)
    return picture


def write_grey(frame: av.VideoFrame, into: np.ndarray) -> None:
    """Write what `grey` gives into a contiguous array of `shape_of`'s shape."""
    turns = round(frame.rotation / 90) % 4
    if turns:
        upright = np.empty((frame.height, frame.width), np.uint8)
        _write_unturned(frame, upright)
        into[:] = np.rot90(upright, turns)
    else:
        _write_unturned(frame, into)


def _write_unturned(frame: av.VideoFrame, into: np.ndarray) -> None:
    name = frame.format.name
    tint = _even_tint(frame) if name in _LUMA_FIRST else None
    if name in _GREY:
        into[:] = plane(frame, 0)
    elif tint is not None:
        full = name.startswith("yuvj") or int(frame.color_range) == _FULL_RANGE
        _look_up(frame, _pairs(full, *tint), into)
    else:
        into[:] = weigh(frame.to_ndarray(format="bgr24", interpolation="BICUBIC"))


def _look_up(frame: av.VideoFrame, pairs: np.ndarray | None, into: np.ndarray) -> None:
    """Put each value of the luma plane through a table, two at once."""
    held = frame.planes[0]
    if pairs is None:
        into[:] = plane(frame, 0)
        return
    # Of `take`, since other threads may run meanwhile; rows are padded to even lengths at least.
    luma = np.frombuffer(held, np.uint16, held.height * held.line_size // 2)
    if held.line_size == held.width:
        np.take(pairs, luma, out=into.reshape(-1).view(np.uint16), mode="clip")
    else:
        looked_up = np.take(pairs, luma, mode="clip").view(np.uint8)
        into[:] = looked_up.reshape(held.height, held.line_size)[:, : held.width]


@lru_cache(maxsize=64)
def _pairs(full_range: bool, blue: int, red: int) -> np.ndarray | None:
    """Make `luma_table` one of 65536 pairs of values; None where nothing changes."""
    table = np.frombuffer(luma_table(full_range, blue, red), np.uint8)
    if (table == np.arange(256)).all():
        return None
    # Which byte of a pair comes first does not matter: both go through the same table.
    first, second = np.meshgrid(table, table)
    return np.stack([first, second], axis=-1).reshape(-1).view(np.uint16)


def weigh(bgr: np.ndarray) -> np.ndarray:
    """Grey of blue, green and red by the weights of BT.601.

    Parameters
    ----------
    bgr : ndarray of uint8, shape (..., 3)

    Returns
    -------
    ndarray of uint8, shape (...)
    """
    pixels = bgr.reshape(-1, 3)
    found = np.empty(len(pixels), np.uint8)
    # Products of 8 and 15 bits and their sums are exact in 32-bit floats; blocks stay in cache.
    for start in range(0, len(pixels), _BLOCK):
        block = pixels[start : start + _BLOCK].astype(np.float32)
        found[start : start + _BLOCK] = block @ _WEIGHTS + np.float32(0.5)
    return found.reshape(bgr.shape[:-1])


def plane(frame: av.VideoFrame, number: int) -> np.ndarray:
    """One plane of a frame of 8 bits without its padding, as a view."""
    held = frame.planes[number]
    rows = np.frombuffer(held, np.uint8).reshape(-1, held.line_size)
    return rows[: held.height, : held.width]


@lru_cache(maxsize=64)
def luma_table(full_range: bool, blue: int, red: int) -> bytes:
    """Grey level of each luma, for one value of both colour planes.

    Parameters
    ----------
    full_range : bool
        Whether luma goes from 0 to 255, or from 16 to 235.
    blue, red : int
        The colour planes; 128 is grey.

    Returns
    -------
    bytes of length 256
        For grey of limited range ``floor((luma - 16) * 255 / 219)``, clipped; for full range
        luma itself.
    """
    if blue == red == 128:
        levels = np.arange(256)
        table = levels if full_range else (levels - 16) * 255 // 219
        return np.clip(table, 0, 255).astype(np.uint8).tobytes()
    luma = np.arange(256, dtype=np.uint8).reshape(16, 16)
    tint = np.repeat(np.array([blue, red], np.uint8), 64).reshape(-1, 16)
    frame = av.VideoFrame.from_ndarray(np.vstack([luma, tint]), format="yuv420p")
    frame.color_range = _FULL_RANGE if full_range else 1
    return weigh(frame.to_ndarray(format="bgr24")).tobytes()


def _even_tint(frame: av.VideoFrame) -> tuple[int, int] | None:
    """The one value of each colour plane; None when the picture is coloured unevenly."""
    blue, red = _one_value(frame, 1), _one_value(frame, 2)
    return None if blue is None or red is None else (blue, red)


def _one_value(frame: av.VideoFrame, number: int) -> int | None:
    """The value of all pixels of a plane; None when there are several."""
    held = frame.planes[number]
    pixels = plane(frame, number)
    value = int(pixels[0, 0])
    if held.line_size == held.width and pixels.size % 8 == 0:
        # Eight at once.
        wide = np.frombuffer(held, np.uint64, pixels.size // 8)
        return value if (wide == np.uint64(value * 0x0101010101010101)).all() else None
    return value if (pixels == value).all() else None
