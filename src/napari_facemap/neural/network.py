"""The encoder network: keypoints mixed, filtered in time, rectified, and read out.

The layers are those of Facemap's keypoint network [1]_: mixing of the inputs, 10 temporal filters
of 4 s shared by all mixed inputs, a rectifier, two dense layers and a linear readout.

References
----------
.. [1] Syeda, A., Zhong, L., Tung, R., Long, W., Pachitariu, M. & Stringer, C. (2024). Facemap: a
   framework for modeling neural activity based on orofacial tracking. Nature Neuroscience 27,
   187-195.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

N_TAPS = 201
"""Steps of a filter; 4.02 s on a grid of 50 steps a second."""

N_FILTERS = 10
N_MIXED = 50
N_LATENTS = 256


class EncoderNetwork(nn.Module):
    """From windows of behaviour to targets.

    Parameters
    ----------
    n_features : int
        Behavioural features.
    n_targets : int
        What is predicted.
    n_filters, n_mixed, n_latents : int
        Temporal filters, and units of the two dense layers.
    """

    def __init__(
        self,
        n_features: int,
        n_targets: int,
        n_filters: int = N_FILTERS,
        n_mixed: int = N_MIXED,
        n_latents: int = N_LATENTS,
    ):
        super().__init__()
        self.mixing = nn.Linear(n_features, n_features)
        self.filters = nn.Parameter(gabor_filters(n_filters))
        self.hidden = nn.Linear(n_features * n_filters, n_mixed)
        self.latent = nn.Linear(n_mixed, n_latents)
        self.readout = nn.Linear(n_latents, n_targets)

    def forward(self, windows: Tensor, kept: Tensor | None = None) -> Tensor:
        """Predict the targets at the middle of each window.

        Filters act along time and mixing across features, so the order of the two is free. The
        behaviour is filtered first, and only at the times that are wanted: the same function, and
        no gradient is ever needed for the windows.

        Parameters
        ----------
        windows : Tensor, shape (feature, sample, tap)
            From `windows_at`.
        kept : Tensor, shape (sample, latent), optional
            Factors on the latents: dropout while fitting.

        Returns
        -------
        Tensor, shape (sample, target)
        """
        n_features, n_samples, _ = windows.shape
        filtered = windows @ self.filters.T
        mixed = self.mixing.weight @ filtered.reshape(n_features, -1)
        mixed = mixed.reshape(n_features, n_samples, -1)
        mixed = mixed + self.mixing.bias[:, None, None] * self.filters.sum(dim=1)
        features = functional.relu(mixed).transpose(0, 1).reshape(n_samples, -1)
        hidden = functional.relu(self.hidden(features))
        latents = functional.relu(self.latent(hidden))
        return self.readout(latents if kept is None else latents * kept)

    def roughness(self) -> Tensor:
        """Sum of squared differences between neighbouring taps of the filters."""
        return (self.filters.diff(dim=1) ** 2).sum()


def gabor_filters(n_filters: int = N_FILTERS, n_taps: int = N_TAPS) -> Tensor:
    """Waves under a gaussian, at frequencies from 1 to 10 per 2 pi, in pairs a quarter turn apart.

    Parameters
    ----------
    n_filters : int
        Even or odd; pairs share a frequency.
    n_taps : int
        They span 2 pi: on 50 steps a second, 0.25 to 2.5 Hz under a gaussian of 0.64 s.

    Returns
    -------
    Tensor, shape (filter, tap)
        Each with norm 1.
    """
    x = (np.arange(n_taps) - n_taps // 2) * (2 * math.pi / (n_taps - 1))
    frequencies = np.geomspace(1, 10, (n_filters + 1) // 2).repeat(2)[:n_filters]
    phases = np.arange(n_filters) % 2 * (math.pi / 2)
    waves = np.exp(-(x**2) / 2) * np.cos(phases[:, None] + frequencies[:, None] * x)
    waves /= np.linalg.norm(waves, axis=1, keepdims=True)
    return torch.from_numpy(waves.astype(np.float32))


def padded(values: np.ndarray, device: torch.device) -> Tensor:
    """Behaviour (step, feature) as a tensor (feature, step) with its ends held for half a filter.

    Holding the first and last value is the one edge rule: blocks of a longer prediction see the
    true behaviour around them, so that where blocks are cut changes nothing.
    """
    half = N_TAPS // 2
    held = np.pad(values.T, ((0, 0), (half, half)), mode="edge")
    return torch.from_numpy(np.ascontiguousarray(held, np.float32)).to(device)


def windows_at(behavior: Tensor, steps: Tensor) -> Tensor:
    """Cut the behaviour around some steps out of what `padded` gave.

    Returns
    -------
    Tensor, shape (feature, sample, tap)
    """
    return behavior.unfold(1, N_TAPS, 1)[:, steps]
