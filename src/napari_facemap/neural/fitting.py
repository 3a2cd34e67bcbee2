"""Fitting encoders, to one recording or to several that share a network's core."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr

from napari_facemap.neural.clock_shift import clock_shift
from napari_facemap.neural.clocks import MAX_GAP, Grid, covered, overlap, resample
from napari_facemap.neural.encoder import MODELS, Encoder, behavior_attrs, fingerprint, scaled
from napari_facemap.neural.features import Features, Scaler, as_features
from napari_facemap.neural.model import Cancelled, Model, TrainingData, Watch
from napari_facemap.neural.recording import Recording
from napari_facemap.neural.splits import Split, correlation_time, split_times
from napari_facemap.neural.targets import N_COMPONENTS, NeuralSpace
from napari_facemap.provenance import software

Session = tuple[xr.Dataset | Features, Recording]
"""What a mouse did and what its neurons did meanwhile, on one clock."""


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
    n_components: int | None = N_COMPONENTS,
    watch: Watch | None = None,
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
    model : {"network", "linear", "ridge"}
        See `NetworkModel`, `LinearModel` and `RidgeModel`.
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
    n_components : int or None
        Principal components of the neurons to predict; with no more neurons than that, or None,
        the neurons themselves are predicted.
    watch : callable, optional
        Called as ``watch(step, training, validation)`` with the variance explained so far, where
        a model is fitted in steps.
    **options
        Of the model: parameters of its class.

    Returns
    -------
    Encoder
        Its ``attrs["clock_warning"]`` says when the two clocks look shifted.

    Raises
    ------
    ValueError
        When an option is unknown, or behaviour and recording share too little time.
    Cancelled
        When `progress` returned False.
    """
    return fit_encoders(
        [(behavior, recording)], model, progress, device, seed, delay=delay, max_gap=max_gap,
        n_components=n_components, watch=watch, **options,
    )[0]  # fmt: skip


def fit_encoders(
    sessions: Sequence[Session],
    model: str = "network",
    progress: Callable[[int, int], bool | None] | None = None,
    device: str = "auto",
    seed: int = 0,
    *,
    delay: float = 0.0,
    max_gap: float = MAX_GAP,
    n_components: int | None = N_COMPONENTS,
    watch: Watch | None = None,
    **options: Any,
) -> list[Encoder]:
    """Fit one network to several recordings: a core that all share, and a readout for each.

    What faces do to neurons is learnt from all recordings together, so that each is predicted at
    least about as well as alone, and short ones better.

    Parameters
    ----------
    sessions : sequence of (Poses or Features, Recording)
        Mice, days or planes; any neurons and rates. Features are taken that all of them have.
    model : {"network", "linear", "ridge"}
        Only networks share anything: other models are fitted to each recording alone.
    progress, device, seed, delay, max_gap, n_components, watch, **options
        As in `fit_encoder`.

    Returns
    -------
    list of Encoder
        One a session; each is whole and can be saved and used by itself.

    Raises
    ------
    ValueError
        As in `fit_encoder`, or when there is no session or no feature that all have.
    Cancelled
        When `progress` returned False.
    """
    if n_components is not None and n_components < 1:
        raise ValueError(
            f"fit_encoder: expected n_components of 1 or more, or None, found {n_components}"
        )
    found = [as_features(behavior) for behavior, _ in sessions]
    names = _common_names(found)
    attrs = {
        "software": software(),
        "model": model,
        "options": json.dumps(options, sort_keys=True, default=float),
        "seed": int(seed),
        "n_components": 0 if n_components is None else int(n_components),
        "delay": float(delay),
        "max_gap": float(max_gap),
    }
    prepared = []
    for (behavior, recording), features in zip(sessions, found, strict=True):
        one = _prepare(
            features.select(names), recording, _make_model(model, options), delay, max_gap,
            n_components,
        )  # fmt: skip
        dropped = (*features.dropped, *(name for name in features.names if name not in names))
        one.attrs.update(attrs, features_dropped=", ".join(dropped), **behavior_attrs(behavior))
        if len(sessions) > 1:
            one.attrs["fitted_with"] = ", ".join(other.name for _, other in sessions)
        prepared.append(one)
    _fit_all(prepared, _or_cancel(progress), seed, device, watch)
    return [
        Encoder(
            model=one.model, features=names, scaler=one.scaler, space=one.space, split=one.split,
            delay=float(delay), max_gap=float(max_gap), fingerprint=fingerprint(recording),
            names=tuple(recording.names), attrs=one.attrs,
        )
        for one, (_, recording) in zip(prepared, sessions, strict=True)
    ]  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Prepared:
    """A session with all that a model needs."""

    model: Model
    data: TrainingData
    scaler: Scaler
    space: NeuralSpace
    split: Split
    attrs: dict[str, Any]


def _prepare(
    features: Features,
    recording: Recording,
    model: Model,
    delay: float,
    max_gap: float,
    n_components: int | None,
) -> _Prepared:
    times = recording.times
    usable = _usable(features, recording, delay, max_gap)
    memory = correlation_time(recording.activity, times)
    split = split_times(times, usable, model.half_width, memory)
    grid = resample(features.values, features.times)
    scaler = Scaler.fit(grid.values[_steps_of(grid, times[split.train] - delay)])
    space = NeuralSpace.fit(recording.activity, n_components, split.train)
    known = split.train | split.validation
    data = TrainingData(
        grid=scaled(grid, scaler),
        positions=grid.positions(times[known] - delay),
        targets=space.to_targets(recording.activity, known),
        train=split.train[known],
        validation=split.validation[known],
        neural_step=float(np.median(np.diff(times))),
    )
    shared = overlap(features.times, times - delay)
    attrs = {
        "recording": recording.name,
        "recording_shape": list(recording.activity.shape),
        "behavior_shape": list(features.values.shape),
        "overlap": list(shared) if shared is not None else [],
        "guard": float(split.guard),
    }
    shift = clock_shift(features, recording, delay)
    if shift is not None and shift.warning:
        attrs["clock_warning"] = shift.warning
    return _Prepared(model, data, scaler, space, split, attrs)


def _fit_all(
    prepared: Sequence[_Prepared],
    progress: Callable[[int, int], None],
    seed: int,
    device: str,
    watch: Watch | None,
) -> None:
    models = [one.model for one in prepared]
    share = getattr(models[0], "fit_together", None)
    if len(models) > 1 and share is not None:
        share(models[1:], [one.data for one in prepared], progress, seed, device, watch)
        return
    for number, one in enumerate(prepared):

        def within(done: int, total: int, number: int = number) -> None:
            progress(number * total + done, len(prepared) * total)

        one.model.fit(one.data, within, seed, device, watch)


def _common_names(found: Sequence[Features]) -> tuple[str, ...]:
    if not found:
        raise ValueError("fit_encoders: expected one session or more, found none")
    names = tuple(n for n in found[0].names if all(n in other.names for other in found[1:]))
    if not names:
        raise ValueError("fit_encoders: expected features that all sessions have, found none")
    return names


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


def _or_cancel(progress: Callable[[int, int], bool | None] | None) -> Callable[[int, int], None]:
    def report(done: int, total: int) -> None:
        if progress is not None and progress(done, total) is False:
            raise Cancelled(f"stopped after {done} of {total} steps")

    return report
