"""Delayed, non-linear responses to what the keypoints show."""

from __future__ import annotations

import numpy as np
import xarray as xr
from scipy.signal import fftconvolve

_MIN_FPS = 8.0
_MIN_SECONDS = 2.0

# name, part of the face, centre frequency (Hz), spread in time (s), extra delay (s)
_ENERGIES = (
    ("whisker movement, slow", "whisker", 0.7, 0.45, 0.0),
    ("whisker movement, fast", "whisker", 1.6, 0.35, 0.0),
    ("nose movement", "nose", 1.0, 0.4, 0.1),
    ("mouth movement", "mouth", 1.0, 0.4, 0.2),
)
LINEAR = ("pupil", "whisker level", "nose level")
"""Channels that are linear in the keypoints."""
_LEVEL_SPREAD = 0.3
_PUPIL_DELAY = 0.3


def response_channels(poses: xr.Dataset, delay: float) -> tuple[tuple[str, ...], np.ndarray]:
    """Compute the responses that a simulated population mixes.

    Each part of the face is a line: the first principal component of its keypoints relative to
    the eye's corners. *Movement* channels are the amplitude of a line in a frequency band (the
    length of a quadrature pair of Gabor filters), which no linear filter of the keypoints gives;
    *paw raised* rises steeply where the paw leaves its rest; *protraction* and *engagement* are
    rectified levels of the whiskers, and of whiskers and pupil together; *pupil* is its smoothed
    diameter and the *levels* are smoothed lines. Filters reach 1.2 s or less from their delay.

    Parameters
    ----------
    poses : Poses
        Hidden keypoints are bridged in time. The paw's channel is left out where it is hidden
        most of the time.
    delay : float
        Seconds by which responses follow the face, -1 to 1.

    Returns
    -------
    names : tuple of str
        Of the channels.
    channels : ndarray, shape (channel, time)
        On the camera's clock, mean 0 and variance 1.

    Raises
    ------
    ValueError
        When the poses are shorter than 2 s, slower than 8 frames/s or lack a part of the face, or
        the delay is out of its range.
    """
    times = poses["time"].values
    if len(times) < 2 or times[-1] - times[0] < _MIN_SECONDS:
        raise ValueError(
            f"Expected poses of at least {_MIN_SECONDS} s; found {len(times)} frames."
        )
    fps = 1 / float(np.median(np.diff(times)))
    if fps < _MIN_FPS:
        raise ValueError(f"Expected at least {_MIN_FPS} frames/s; found {fps:.3g}.")
    if not -1 <= delay <= 1:
        raise ValueError(f"Expected a delay from -1 to 1 s; found {delay}.")
    lines = facial_lines(poses)
    level = {
        part: _filtered(lines[part], fps, delay, _LEVEL_SPREAD) for part in ("whisker", "pupil")
    }
    channels = {
        "pupil": _filtered(lines["pupil"], fps, delay + _PUPIL_DELAY, _LEVEL_SPREAD),
        "whisker level": level["whisker"],
        "nose level": _filtered(lines["nose"], fps, delay, _LEVEL_SPREAD),
    }
    if "paw" in lines:
        raised = _scaled(_filtered(lines["paw"], fps, delay, _LEVEL_SPREAD))
        channels["paw raised"] = 1 / (1 + np.exp(-3 * (np.abs(raised) - 1)))
    for name, part, frequency, spread, later in _ENERGIES:
        pair = [
            _filtered(lines[part], fps, delay + later, spread, frequency, phase)
            for phase in (0.0, np.pi / 2)
        ]
        channels[name] = np.hypot(*pair)
    channels["protraction"] = np.maximum(_scaled(level["whisker"]), 0)
    together = _scaled(level["whisker"]) + _scaled(level["pupil"])
    channels["engagement"] = np.maximum(together - 1, 0)
    return tuple(channels), np.stack([_scaled(channel) for channel in channels.values()])


def facial_lines(poses: xr.Dataset) -> dict[str, np.ndarray]:
    """One number a time for each part of the face, linear in the keypoints' positions.

    Returns
    -------
    dict of ndarray, each shape (time,)
        ``whisker``, ``nose``, ``mouth``, ``pupil`` and, where it is seen most of the time,
        ``paw``; mean 0 and variance 1.
    """
    seen = np.isfinite(poses["position"].values).all(axis=1).mean(axis=0)
    seen_of = dict(zip(poses["keypoint"].values.tolist(), seen, strict=True))
    needed: tuple[str, ...] = (
        "eye(front)",
        "eye(back)",
        "pupil(front)",
        "pupil(back)",
        "nose(tip)",
        "mouth",
    )
    needed += ("lowerlip", "whisker(I)", "whisker(II)", "whisker(III)")
    missing = [name for name in needed if not seen_of.get(name)]
    if missing:
        raise ValueError(
            f"Expected poses with the keypoints {', '.join(needed)}; {missing} never seen."
        )

    def place(name: str) -> np.ndarray:
        return _bridged(poses["position"].sel(keypoint=name).values.astype(float))

    head = (place("eye(front)") + place("eye(back)")) / 2
    whiskers = [place(f"whisker({number})") - head for number in ("I", "II", "III")]
    lines = {
        "whisker": np.concatenate(whiskers, axis=1),
        "nose": place("nose(tip)") - head,
        "mouth": place("lowerlip") - place("mouth"),
        "pupil": place("pupil(front)") - place("pupil(back)"),
    }
    if seen_of.get("paw", 0) > 0.5:
        lines["paw"] = place("paw")
    return {part: _scaled(_first_component(xy)) for part, xy in lines.items()}


def _bridged(xy: np.ndarray) -> np.ndarray:
    """Fill hidden times by straight lines between the times before and after."""
    index = np.arange(len(xy))
    seen = np.isfinite(xy).all(axis=1)
    return np.stack([np.interp(index, index[seen], column[seen]) for column in xy.T], axis=1)


def _first_component(xy: np.ndarray) -> np.ndarray:
    xy = xy - xy.mean(axis=0)
    direction = np.linalg.eigh(xy.T @ xy)[1][:, -1]
    # Its sign is free; the same mouse mirrored should drive its neurons about the same.
    return xy @ (direction * np.sign(direction[1::2].sum() or 1))


def _scaled(values: np.ndarray) -> np.ndarray:
    values = values - values.mean()
    return values / max(float(values.std()), 1e-12)


def _filtered(
    values: np.ndarray,
    fps: float,
    delay: float,
    spread: float,
    frequency: float = 0.0,
    phase: float = 0.0,
) -> np.ndarray:
    """Convolve with a Gabor filter (a Gaussian at frequency 0) that lags by `delay`."""
    reach = int(np.ceil((abs(delay) + 2.5 * spread) * fps))
    lag = np.arange(-reach, reach + 1) / fps - delay
    envelope = np.exp(-0.5 * (lag / spread) ** 2) * (np.abs(lag) <= 2.5 * spread)
    kernel = envelope * np.cos(2 * np.pi * frequency * lag + phase)
    if frequency:
        kernel -= envelope * kernel.sum() / envelope.sum()
    kernel /= np.linalg.norm(kernel)
    return fftconvolve(np.pad(values, reach, mode="edge"), kernel, mode="valid")
