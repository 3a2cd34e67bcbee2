"""Encoders: models that predict a recording's activity from behaviour, with all that they need."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from napari_facemap.neural.clocks import Grid, covered, resample
from napari_facemap.neural.features import Features, Scaler, as_features
from napari_facemap.neural.linear import LinearModel
from napari_facemap.neural.model import Model
from napari_facemap.neural.network_model import NetworkModel
from napari_facemap.neural.recording import Recording
from napari_facemap.neural.ridge import RidgeModel
from napari_facemap.neural.scores import pooled_variance_explained, row_chunks, variance_explained
from napari_facemap.neural.splits import Split
from napari_facemap.neural.targets import NeuralSpace

MODELS: dict[str, type[Model]] = {
    model.kind: model for model in (NetworkModel, LinearModel, RidgeModel)
}
"""Models by the name that `fit_encoder` knows them by."""


@dataclass(eq=False)
class Encoder:
    """A fitted model with the scaler, clock, neural space and split that it was fitted with.

    Attributes
    ----------
    model : Model
        Fitted.
    features : tuple of str
        Names of the behavioural features that it takes.
    scaler : Scaler
        Of the features.
    space : NeuralSpace
        From the model's targets to neurons.
    split : Split
        Of the recording that it was fitted on.
    delay : float
        Activity at time t is predicted from behaviour around ``t - delay``, in seconds.
    max_gap : float
        Longest pause of the camera that is bridged, in seconds.
    fingerprint : str
        Of the recording's activity, so that its training samples are known again.
    names : tuple of str
        Of the neurons.
    attrs : dict
        Provenance: software, model, options, seed and shapes.
    prediction : xarray.Dataset or None
        The last that `predict_recording` made.
    """

    model: Model
    features: tuple[str, ...]
    scaler: Scaler
    space: NeuralSpace
    split: Split
    delay: float
    max_gap: float
    fingerprint: str
    names: tuple[str, ...]
    attrs: dict[str, Any] = field(default_factory=dict)
    prediction: xr.Dataset | None = field(default=None, repr=False)

    @property
    def n_neurons(self) -> int:
        """Number of neurons that are predicted."""
        return len(self.space.mean)

    def predict(
        self,
        behavior: xr.Dataset | Features,
        times: np.ndarray | None = None,
        device: str = "auto",
    ) -> np.ndarray:
        """Predict activity.

        Parameters
        ----------
        behavior : Poses or Features
            With the keypoints or features that the encoder was fitted on; its camera may have
            another rate.
        times : array_like, shape (time,), optional
            Seconds on the behaviour's clock, in any order; by default the behaviour's own times.
        device : {"auto", "cpu", "cuda", "mps"}
            What to compute on.

        Returns
        -------
        ndarray of float32, shape (neuron, time)
            In the units of the recording. NaN at times without behaviour: before or after it, or
            in a pause longer than `max_gap`.

        Raises
        ------
        ValueError
            When a feature is missing or a time is not finite.
        """
        found = as_features(behavior, keep=self.features).select(self.features)
        if times is None:  # those of all frames, with or without keypoints
            times = behavior.times if isinstance(behavior, Features) else behavior["time"].values
        times = np.asarray(times, np.float64)
        if times.ndim != 1 or not np.isfinite(times).all():
            raise ValueError("predict: expected times as 1-D finite seconds")
        seen = covered(found.times, times - self.delay, self.max_gap)
        grid = scaled(resample(found.values, found.times), self.scaler)
        predicted = np.full((self.n_neurons, len(times)), np.nan, np.float32)
        if seen.any():
            positions = grid.positions(times[seen] - self.delay)
            targets = self.model.predict(grid, positions, device)
            for rows in row_chunks(predicted.shape):
                predicted[rows, seen] = self.space.to_neurons(targets, rows)
        return predicted


def predict_recording(
    encoder: Encoder,
    behavior: xr.Dataset | Features,
    recording: Recording,
    device: str = "auto",
) -> xr.Dataset:
    """Predict a recording and score the prediction on times that were not fitted.

    Parameters
    ----------
    encoder : Encoder
        Fitted on this recording, or on another of the same neurons.
    behavior : Poses or Features
        What the mouse did.
    recording : Recording
        What the neurons did.
    device : {"auto", "cpu", "cuda", "mps"}
        What to compute on.

    Returns
    -------
    xarray.Dataset
        ``measured (neuron, time)``; ``predicted (neuron, time)``, NaN where there is no behaviour;
        ``variance_explained (neuron)`` on test times only; ``test (time)``: the test segments of
        the recording that the encoder was fitted on, all times with behaviour of any other. Also
        kept as ``encoder.prediction``.

    Raises
    ------
    ValueError
        When the recording has another number of neurons, or a feature is missing.
    """
    if recording.n_neurons != encoder.n_neurons:
        raise ValueError(
            f"{recording.name or 'recording'}: expected the {encoder.n_neurons} neurons that the "
            f"encoder was fitted on, found {recording.n_neurons}; fit an encoder to this recording"
        )
    predicted = encoder.predict(behavior, recording.times, device)
    same = fingerprint(recording) == encoder.fingerprint
    test = np.isfinite(predicted[0])  # all neurons are NaN at the same times
    if same:
        test &= encoder.split.test
    measured = recording.activity
    at_test = measured[:, test], predicted[:, test]
    encoder.prediction = xr.Dataset(
        {
            "measured": (("neuron", "time"), measured, {"units": "as recorded"}),
            "predicted": (("neuron", "time"), predicted, {"units": "as recorded"}),
            "variance_explained": ("neuron", variance_explained(*at_test)),
            "test": ("time", test),
        },
        coords={
            "neuron": list(recording.names),
            "time": ("time", recording.times, {"units": "s"}),
        },
        attrs={
            **encoder.attrs,
            **behavior_attrs(behavior),
            "predicted_recording": recording.name,
            "test_times": "test segments" if same else "all: not the recording fitted on",
            "pooled_variance_explained": pooled_variance_explained(*at_test),
        },
    )
    return encoder.prediction


def behavior_attrs(behavior: xr.Dataset | Features) -> dict[str, Any]:
    """Where the behaviour came from: video, keypoint model and its hash, box, ..."""
    if isinstance(behavior, Features):
        return {}
    return {f"behavior_{name}": _plain(value) for name, value in behavior.attrs.items()}


def _plain(value: Any) -> Any:
    """A value that JSON takes."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def scaled(grid: Grid, scaler: Scaler) -> Grid:
    """Behaviour with its features scaled."""
    return Grid(scaler(grid.values), grid.start, grid.rate)


def fingerprint(recording: Recording) -> str:
    """A hash of the shape and of some hundred columns of the activity."""
    activity = recording.activity
    some = np.ascontiguousarray(activity[:, :: max(1, activity.shape[1] // 256)], "<f4")
    return hashlib.sha256(repr(activity.shape).encode() + some.tobytes()).hexdigest()
