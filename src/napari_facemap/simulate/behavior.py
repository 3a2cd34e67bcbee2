"""What the mouse does, second by second: time courses of its movements."""

from __future__ import annotations

import numpy as np

from napari_facemap.simulate.chance import TimeChance

_TURN = 2 * np.pi
_BLINKS = {"slot": 5.0, "chance": 0.4, "duration": 0.3}  # seconds; see `TimeChance.events`


def simulate_behavior(times: np.ndarray, seed: int = 0) -> dict[str, np.ndarray]:
    """Draw the movements of a head-fixed mouse.

    Slow arousal moves the pupil and makes bouts of whisking (about 8 to 14 Hz), sniffing, running
    and licking more likely; blinks, saccades and grooming come now and then. Each value depends
    on its time and the seed alone: the beginning of a longer simulation, and the common times of
    another frame rate, are the same.

    Parameters
    ----------
    times : ndarray, shape (time,)
        Seconds, 0 or more.
    seed : int
        Which mouse and day, 0 or more.

    Returns
    -------
    dict of ndarray, each shape (time,)
        ``arousal`` (about unit variance), ``running`` (0 to 1), ``whisk_angle`` (degrees, forward
        positive), ``whisk_amplitude`` (degrees), ``sniff`` (0 to 1), ``nose_lift`` (about unit
        variance), ``mouth`` (0 closed to 1 open), ``tongue`` (0 to 1), ``openness`` of the lids
        (0 closed to 1), ``pupil_radius`` (relative to its mean), ``gaze_x`` and ``gaze_y`` (about
        unit variance, forward and down), ``groom`` (0 to 1), ``paw_x`` and ``paw_y`` (about -1 to
        1, forward and down), ``head_x``, ``head_y`` (head units, see `Anatomy`) and
        ``head_angle`` (degrees).
    """
    times = np.asarray(times, float)
    chance = TimeChance(seed)
    state = _state(chance, times)
    return {
        **state,
        **_whisking(chance, times, state),
        **_nose_and_mouth(chance, times, state),
        **_eye(chance, times, state),
        **_paw(chance, times, state),
        **_head(chance, times, state),
    }


def blink_intervals(times: np.ndarray, seed: int = 0) -> np.ndarray:
    """When the lids of `simulate_behavior` close and open again.

    Parameters
    ----------
    times : ndarray, shape (time,)
        Seconds, 0 or more, rising.
    seed : int
        Which mouse and day, 0 or more.

    Returns
    -------
    ndarray, shape (blink, 2)
        Seconds when the lids begin to close and when they are open again, of each blink that
        one of the times lies in. Those that overlap are one.
    """
    times = np.asarray(times, float)
    phase, length = TimeChance(seed).events("blink", times, **_BLINKS)
    inside = np.isfinite(phase)
    starts = times[inside] - phase[inside] * length[inside]
    blinks: list[list[float]] = []
    for start, stop in zip(starts, starts + length[inside], strict=True):
        if blinks and start <= blinks[-1][1]:
            blinks[-1][1] = max(blinks[-1][1], float(stop))
        else:
            blinks.append([float(start), float(stop)])
    return np.array(blinks).reshape(-1, 2)


def _gate(drive: np.ndarray, steepness: float) -> np.ndarray:
    return 1 / (1 + np.exp(-steepness * drive))


def _state(chance: TimeChance, t: np.ndarray) -> dict[str, np.ndarray]:
    arousal = 0.8 * chance.smooth("arousal", t, 4.0) + 0.6 * chance.smooth("mood", t, 25.0)
    running = _gate(chance.smooth("run", t, 2.5) + 0.6 * arousal - 0.8, 4.0)
    phase, length = chance.events("groom", t, slot=25.0, chance=0.35, duration=4.0)
    ends = np.minimum(phase, 1 - phase) * length / 0.5  # half a second up, half a second down
    groom = _smooth_step(np.nan_to_num(np.clip(ends, 0, 1)))
    return {"arousal": arousal, "running": running, "groom": groom}


def _whisking(
    chance: TimeChance, t: np.ndarray, state: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    drive = chance.smooth("whisk bout", t, 0.7) + 0.7 * state["arousal"] + 1.5 * state["running"]
    gate = _gate(drive - 0.3, 3.0)
    amplitude = 1.0 + 13.0 * gate * (1 + 0.25 * chance.smooth("whisk amplitude", t, 0.3))
    phase = _TURN * 11.0 * t + 4.0 * chance.smooth("whisk phase", t, 0.6)
    middle = 9.0 * gate + 6.0 * chance.smooth("whisk set point", t, 0.25) + 5.0 * state["running"]
    angle = middle - 6.0 + amplitude * np.cos(phase)
    return {"whisk_angle": 40.0 * np.tanh(angle / 40.0), "whisk_amplitude": amplitude}


def _nose_and_mouth(
    chance: TimeChance, t: np.ndarray, state: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    bout = _gate(chance.smooth("sniff bout", t, 1.0) + 0.5 * state["arousal"] - 0.2, 3.0)
    breath = 0.5 + 0.5 * np.sin(_TURN * 5.0 * t + 4.0 * chance.smooth("breath", t, 0.7))
    lick = _gate(chance.smooth("lick", t, 1.4) - 1.1, 8.0)
    phase = _TURN * 6.5 * t + 2.0 * chance.smooth("lick phase", t, 0.8)
    chew = 0.18 * np.logaddexp(0, 1.5 * chance.smooth("chew", t, 0.35) - 0.5)
    mouth = lick * (0.5 - 0.5 * np.cos(phase)) + (1 - lick) * chew
    return {
        "sniff": (0.15 + 0.85 * bout) * breath,
        "nose_lift": 0.8 * chance.smooth("nose lift", t, 0.4) + 0.5 * bout,
        "mouth": np.clip(mouth, 0, 1),
        "tongue": np.clip(lick * (-0.1 - 1.1 * np.cos(phase - 0.4)), 0, 1),
    }


def _eye(chance: TimeChance, t: np.ndarray, state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    phase, _ = chance.events("blink", t, **_BLINKS)
    # Lids close in a third of the time that they take to open.
    closing = np.nan_to_num(np.where(phase < 0.25, phase / 0.25, (1 - phase) / 0.75))
    squint = 0.05 * chance.smooth("squint", t, 1.2) - 0.06 * np.tanh(state["arousal"])
    openness = (0.92 - squint - 0.35 * state["groom"]) * (1 - _smooth_step(closing))
    dilation = 0.26 * np.tanh(0.9 * state["arousal"]) + 0.05 * chance.smooth("hippus", t, 0.6)
    return {
        "openness": np.clip(openness, 0, 1),
        "pupil_radius": 1 + dilation + 0.10 * state["running"],
        "gaze_x": chance.steps("saccade x", t, 1.7, 0.06) + 0.2 * chance.smooth("drift x", t, 1.0),
        "gaze_y": chance.steps("saccade y", t, 2.3, 0.06) + 0.2 * chance.smooth("drift y", t, 1.0),
    }


def _paw(chance: TimeChance, t: np.ndarray, state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    stride = _TURN * 3.0 * t + 3.0 * chance.smooth("stride", t, 1.0)
    stroke = _TURN * 5.0 * t + 2.0 * chance.smooth("stroke", t, 0.8)
    idle, running, groom = 1 - state["groom"], state["running"], state["groom"]
    x = idle * (0.6 * running * np.cos(stride) + 0.25 * chance.smooth("paw x", t, 0.8))
    y = idle * (0.5 * running * np.sin(stride) + 0.25 * chance.smooth("paw y", t, 0.8))
    return {"paw_x": x + 0.3 * groom * np.cos(stroke), "paw_y": y + 0.6 * groom * np.sin(stroke)}


def _head(
    chance: TimeChance, t: np.ndarray, state: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    bounce = np.sin(_TURN * 6.0 * t + 3.0 * chance.smooth("bounce", t, 0.7)) * state["running"]
    strain = 0.3 + 0.7 * np.maximum(state["running"], state["groom"])
    return {
        "head_x": 0.35 * chance.smooth("head x", t, 3.0)
        + 0.3 * strain * chance.smooth("hx", t, 0.1),
        "head_y": 0.35 * chance.smooth("head y", t, 3.0) + 0.4 * bounce,
        "head_angle": 0.25 * chance.smooth("head angle", t, 2.0) + 0.15 * bounce,
    }


def _smooth_step(x: np.ndarray) -> np.ndarray:
    return x * x * (3 - 2 * x)
