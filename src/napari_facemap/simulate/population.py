"""Neurons driven by a face's movements, with the explainable part of their activity known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from napari_facemap.neural.recording import Recording
from napari_facemap.simulate.chance import generator
from napari_facemap.simulate.responses import LINEAR, response_channels

if TYPE_CHECKING:
    from napari_facemap.simulate.face import SimulatedFace

_FIELD = 1000.0  # Side of the imaged square, um.
_PIXEL = 2.0  # Side of the microscope's pixel, um.
_PATCH = 300.0  # Spread of a channel's neurons, um.
# Levels weigh more than the other channels, so that a linear model finds something too.
_LINEAR_STRENGTH = 1.7
DRIVES = ("mixed", "linear", "non-linear")
"""Which channels drive a population."""


@dataclass(frozen=True)
class SimulatedPopulation:
    """Neural activity whose truth is known; see `simulate_population`.

    Attributes
    ----------
    recording : Recording
        What an experimenter would have: signal and noise.
    signal : ndarray of float32, shape (neuron, time)
        The part that the movements drive; mean 0.
    noise_variance : ndarray, shape (neuron,)
        Of the private noise.
    explainable : ndarray, shape (neuron,)
        var(signal) / (var(signal) + noise_variance): the variance explained by a perfect model,
        in expectation over the noise.
    channels : ndarray, shape (channel, time)
        The responses that the neurons mix, each with mean 0 and variance 1.
    channel_names : tuple of str
        What the channels respond to.
    weights : ndarray, shape (neuron, channel)
        How they are mixed: ``signal = weights @ channels``.
    positions : ndarray, shape (neuron, 2)
        x and y, um.
    """

    recording: Recording
    signal: np.ndarray
    noise_variance: np.ndarray
    explainable: np.ndarray
    channels: np.ndarray
    channel_names: tuple[str, ...]
    weights: np.ndarray
    positions: np.ndarray


def simulate_population(
    face: SimulatedFace | xr.Dataset,
    n_neurons: int = 200,
    rate: float = 10.0,
    noise: float = 1.0,
    seed: int = 0,
    delay: float = 0.3,
    undriven: float = 0.0,
    explainable: tuple[float, float] = (0.1, 0.8),
    drive: str = "mixed",
) -> SimulatedPopulation:
    """Simulate neurons that respond to a face's movements, late and non-linearly.

    A few response channels are computed from the keypoints alone (see `response_channels`), so
    that all of the signal could be predicted from them. Each neuron mixes the channels, most of
    all those of its neighbourhood, and has private white noise. The neurons have a clock of their
    own: it starts up to half a second after the camera's and is not aligned to it.

    Parameters
    ----------
    face : SimulatedFace or Poses
        The movements; at least 2 s long.
    n_neurons : int
        1 or more.
    rate : float
        Samples per second of the neural clock.
    noise : float
        Factor on the noise's variance; 0 is no noise.
    seed : int
        0 or more.
    delay : float
        Seconds by which the neurons follow the face, -1 to 1.
    undriven : float
        Share of neurons without any signal, 0 to 1; their noise has variance ``noise``.
    explainable : (float, float)
        Range of the explainable fraction at ``noise=1``, spread evenly over the driven neurons.
    drive : {"mixed", "linear", "non-linear"}
        Which channels there are: all, those that are linear in the keypoints, or the others.

    Returns
    -------
    SimulatedPopulation

    Raises
    ------
    ValueError
        When a parameter is out of its range, or the face is too short or too slowly filmed.
    """
    _check(n_neurons, rate, noise, undriven, explainable)
    if drive not in DRIVES:
        raise ValueError(f"Expected drive to be {', '.join(DRIVES)}; found {drive!r}.")
    poses = face if isinstance(face, xr.Dataset) else face.poses
    rng = generator(seed, "population")
    camera = poses["time"].values
    times = _neural_times(camera, rate, rng)
    names, at_camera = response_channels(poses, delay)
    if drive != "mixed":
        kept = [k for k, name in enumerate(names) if (name in LINEAR) == (drive == "linear")]
        names, at_camera = tuple(names[k] for k in kept), at_camera[kept]
    channels = np.stack([np.interp(times, camera, channel) for channel in at_camera])
    channels -= channels.mean(axis=1, keepdims=True)
    channels /= np.maximum(channels.std(axis=1, keepdims=True), 1e-12)

    positions = rng.uniform(0, _FIELD, (n_neurons, 2))
    weights = _weights(positions, names, rng)
    fraction = rng.permutation(np.linspace(*explainable, n_neurons))
    fraction[rng.permutation(n_neurons)[: round(undriven * n_neurons)]] = 0
    spread = np.maximum((weights @ channels).std(axis=1), 1e-12)
    weights *= (np.sqrt(fraction) / spread)[:, None]
    signal = weights @ channels
    noise_variance = noise * (1 - fraction)
    activity = signal + rng.standard_normal(signal.shape) * np.sqrt(noise_variance)[:, None]
    total = signal.var(axis=1) + noise_variance
    return SimulatedPopulation(
        recording=Recording(
            activity.astype(np.float32),
            times,
            name=f"simulated neurons {seed}",
            positions=(positions / _PIXEL).astype(np.float32),
        ),
        signal=signal.astype(np.float32),
        noise_variance=noise_variance,
        explainable=signal.var(axis=1) / np.where(total > 0, total, 1),
        channels=channels,
        channel_names=names,
        weights=weights,
        positions=positions,
    )


def _neural_times(camera: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
    start = camera[0] + rng.uniform(0.05, 0.5)
    # A hair less than the last frame, so that rounding never asks for a later time.
    n_samples = int(np.floor((camera[-1] - start) * rate - 1e-6)) + 1
    return start + np.arange(n_samples) / rate


def _weights(
    positions: np.ndarray, names: tuple[str, ...], rng: np.random.Generator
) -> np.ndarray:
    centers = rng.uniform(0, _FIELD, (len(names), 2))
    square = ((positions[:, None] - centers) ** 2).sum(axis=-1)
    local = np.exp(-square / (2 * _PATCH**2))
    strength = np.array([_LINEAR_STRENGTH if name in LINEAR else 1.0 for name in names])
    return rng.standard_normal(local.shape) * (local + 0.2) * strength


def _check(
    n_neurons: int, rate: float, noise: float, undriven: float, explainable: tuple[float, float]
) -> None:
    low, high = explainable
    for name, value, good, expected in (
        ("n_neurons", n_neurons, n_neurons >= 1, "1 or more"),
        ("rate", rate, np.isfinite(rate) and rate > 0, "more than 0 samples/s"),
        ("noise", noise, np.isfinite(noise) and noise >= 0, "0 or more"),
        ("undriven", undriven, 0 <= undriven <= 1, "a share from 0 to 1"),
        ("explainable", explainable, 0 <= low <= high <= 1, "two fractions from 0 to 1, in order"),
    ):
        if not good:
            raise ValueError(f"Expected {name} to be {expected}; found {value}.")
