"""Encoders: models that predict a recording's activity from behaviour, with all that they need."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr

from napari_facemap.neural.clocks import MAX_GAP, Grid, covered, overlap, resample
from napari_facemap.neural.features import Features, Scaler, as_features
from napari_facemap.neural.linear import LinearModel
from napari_facemap.neural.model import Cancelled, Model, TrainingData
from napari_facemap.neural.network_model import NetworkModel
from napari_facemap.neural.recording import Recording
from napari_facemap.neural.scores import pooled_variance_explained, variance_explained
from napari_facemap.neural.splits import Split, correlation_time, split_times
from napari_facemap.neural.targets import N_COMPONENTS, NeuralSpace
from napari_facemap.provenance import software

__all__ = ["MODELS", "Cancelled", "Encoder", "fit_encoder", "predict_recording"]

MODELS: dict[str, type[Model]] = {"network": NetworkModel, "linear": LinearModel}
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
        grid = _scaled(resample(found.values, found.times), self.scaler)
        predicted = np.full((self.n_neurons, len(times)), np.nan, np.float32)
        if seen.any():
            positions = grid.positions(times[seen] - self.delay)
            targets = self.model.predict(grid, positions, device)
            predicted[:, seen] = self.space.to_neurons(targets)
        return predicted


def fit_encoder(
    behavior: xr.Dataset | Features,
    recording: Recording,
    model: str = "network",
    progress: Callable[[int, int], bool | None] | None = None,
    device: str = "auto",
    seed: int = 0,
    *,
    delay: float = 0.0,
    max_gap: float = MAX_GAP,
    n_components: int = N_COMPONENTS,
    **options: Any,
) -> Encoder:
    """Fit an encoder of neural activity from behaviour.

    The recording is split into contiguous training, validation and test segments (see
    `split_times`). Everything that is measured from data, the scaling of features and neurons and
    the neural components too, is measured on training segments only.

    Parameters
    ----------
    behavior : Poses or Features
        What the mouse did. Times in seconds, on the same clock as the recording's.
    recording : Recording
        What the neurons did; any rate.
    model : {"network", "linear"}
        See `NetworkModel` and `LinearModel`.
    progress : callable, optional
        Called as ``progress(done, total)`` from this thread; when it returns False the fit stops.
    device : {"auto", "cpu", "cuda", "mps"}
        What to compute on.
    seed : int
        What chance there is follows from it.
    delay : float
        Activity at time t is predicted from behaviour around ``t - delay``, in seconds.
    max_gap : float
        Neural samples in longer pauses of the camera are not used, in seconds.
    n_components : int
        Principal components of the neurons to predict; with no more neurons than that, the
        neurons themselves are predicted.
    **options
        Of the model: parameters of `NetworkModel` or `LinearModel`.

    Returns
    -------
    Encoder

    Raises
    ------
    ValueError
        When an option is unknown, or behaviour and recording share too little time.
    Cancelled
        When `progress` returned False.
    """
    if n_components < 1:
        raise ValueError(f"fit_encoder: expected n_components of 1 or more, found {n_components}")
    fitted = _make_model(model, options)
    features = as_features(behavior)
    times = recording.times
    usable = _usable(features, recording, delay, max_gap)
    memory = correlation_time(recording.activity, times)
    split = split_times(times, usable, fitted.half_width, memory)

    grid = resample(features.values, features.times)
    scaler = Scaler.fit(grid.values[_steps_of(grid, times[split.train] - delay)])
    space = NeuralSpace.fit(recording.activity[:, split.train], n_components)
    known = split.train | split.validation
    data = TrainingData(
        grid=_scaled(grid, scaler),
        positions=grid.positions(times[known] - delay),
        targets=space.to_targets(recording.activity[:, known]),
        train=split.train[known],
        validation=split.validation[known],
        neural_step=float(np.median(np.diff(times))),
    )
    attrs = {
        "software": software(),
        "model": model,
        "options": json.dumps(options, sort_keys=True, default=float),
        "seed": int(seed),
        "n_components": int(n_components),
        "delay": float(delay),
        "max_gap": float(max_gap),
        "recording": recording.name,
        "recording_shape": list(recording.activity.shape),
        "behavior_shape": list(features.values.shape),
        "features_dropped": ", ".join(features.dropped),
        "guard": float(split.guard),
        **_behavior_attrs(behavior),
    }
    fitted.fit(data, _or_cancel(progress), seed, device)
    return Encoder(
        model=fitted,
        features=tuple(features.names),
        scaler=scaler,
        space=space,
        split=split,
        delay=float(delay),
        max_gap=float(max_gap),
        fingerprint=_fingerprint(recording),
        names=tuple(recording.names),
        attrs=attrs,
    )


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
    same = _fingerprint(recording) == encoder.fingerprint
    test = np.isfinite(predicted).all(axis=0)
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
            **_behavior_attrs(behavior),
            "predicted_recording": recording.name,
            "test_times": "test segments" if same else "all: not the recording fitted on",
            "pooled_variance_explained": pooled_variance_explained(*at_test),
        },
    )
    return encoder.prediction


def _behavior_attrs(behavior: xr.Dataset | Features) -> dict[str, Any]:
    """Where the behaviour came from: video, keypoint model and its hash, box, ..."""
    if isinstance(behavior, Features):
        return {}
    return {f"behavior_{name}": _plain(value) for name, value in behavior.attrs.items()}


def _plain(value: Any) -> Any:
    """A value that JSON takes."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _make_model(model: str, options: dict[str, Any]) -> Model:
    if model not in MODELS:
        raise ValueError(f"fit_encoder: expected model {' or '.join(MODELS)}, found {model!r}")
    try:
        return MODELS[model](**options)
    except TypeError as error:
        raise ValueError(f"fit_encoder: the {model} model has no such option: {error}") from error


def _usable(features: Features, recording: Recording, delay: float, max_gap: float) -> np.ndarray:
    wanted = recording.times - delay
    if overlap(features.times, wanted) is None:
        raise ValueError(
            f"{recording.name or 'recording'}: activity from {recording.times[0]:.6g} to "
            f"{recording.times[-1]:.6g} s and behaviour from {features.times[0]:.6g} to "
            f"{features.times[-1]:.6g} s do not overlap; put both on one clock, in seconds"
        )
    return covered(features.times, wanted, max_gap)


def _scaled(grid: Grid, scaler: Scaler) -> Grid:
    return Grid(scaler(grid.values), grid.start, grid.rate)


def _steps_of(grid: Grid, times: np.ndarray) -> np.ndarray:
    """Steps of the grid at and between neighbouring samples of `times`."""
    at = np.rint(grid.positions(times)).astype(int)
    inside = np.zeros(len(grid.values), bool)
    typical = np.median(np.diff(at)) if len(at) > 1 else 1
    for first, last in pairwise(at):
        # A longer step is a border between segments, and beyond it are times of the test.
        inside[first : (last if last - first <= 2 * typical else first) + 1] = True
    inside[at[-1]] = True
    return np.flatnonzero(inside)


def _fingerprint(recording: Recording) -> str:
    """A hash of the shape and of some hundred columns of the activity."""
    activity = recording.activity
    some = np.ascontiguousarray(activity[:, :: max(1, activity.shape[1] // 256)], "<f4")
    return hashlib.sha256(repr(activity.shape).encode() + some.tobytes()).hexdigest()


def _or_cancel(progress: Callable[[int, int], bool | None] | None) -> Callable[[int, int], None]:
    def report(done: int, total: int) -> None:
        if progress is not None and progress(done, total) is False:
            raise Cancelled(f"stopped after {done} of {total} steps")

    return report
