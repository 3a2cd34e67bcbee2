"""Figures on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from napari_facemap.files.atomic import atomic_path
from napari_facemap.keypoints.skeleton import color_of
from napari_facemap.provenance import software

_SHOWN_SECONDS = 60.0


def draw_summary(
    frame: np.ndarray,
    poses: xr.Dataset,
    index: int,
    prediction: xr.Dataset,
    path: str | Path,
    n_neurons: int = 6,
) -> None:
    """Draw one frame with its keypoints beside measured and predicted activity.

    Parameters
    ----------
    frame : ndarray of uint8, shape (rows, columns)
        The frame shown.
    poses : xarray.Dataset
        Poses.
    index : int
        Which of their frames `frame` is.
    prediction : xarray.Dataset
        As from `predict_recording`.
    path : str or Path
        Where the picture is to be; its suffix says the format.
    n_neurons : int
        Neurons shown: those best explained.
    """
    figure = Figure(figsize=(13, 5.2), layout="constrained", facecolor="white")
    face, traces = figure.subplots(1, 2, width_ratios=[1, 1.5])
    _draw_face(face, frame, poses.isel(time=index))
    _draw_traces(traces, prediction, n_neurons)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110, metadata={"Software": software()})


def _draw_face(axes: Axes, frame: np.ndarray, pose: xr.Dataset) -> None:
    axes.imshow(frame, cmap="gray", vmin=0, vmax=255)
    for name in pose["keypoint"].values:
        x, y = pose["position"].sel(keypoint=name).values
        strength = 0.3 + 0.7 * float(pose["confidence"].sel(keypoint=name))
        axes.plot(x, y, "o", ms=6, color=color_of(name), mec="black", mew=0.5, alpha=strength,
                  label=name)  # fmt: skip
    axes.set_axis_off()
    axes.set_title(f"Keypoints at {float(pose['time']):.2f} s")
    axes.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.02), ncols=4, fontsize=7, frameon=False
    )


def _draw_traces(axes: Axes, prediction: xr.Dataset, n_neurons: int) -> None:
    explained = prediction["variance_explained"].values
    best = np.argsort(np.nan_to_num(explained, nan=-np.inf))[::-1][:n_neurons]
    times = prediction["time"].values
    test = prediction["test"].values.astype(bool)
    shown = _busiest_window(times, test)
    times, test = times[shown], test[shown]
    for row, neuron in enumerate(best):
        measured = prediction["measured"].values[neuron]
        center, spread = measured.mean(), 4 * measured.std() or 1.0
        axes.plot(times, (measured[shown] - center) / spread - row, color="0.55", lw=0.8,
                  label="measured" if row == 0 else None)  # fmt: skip
        predicted = prediction["predicted"].values[neuron][shown]
        axes.plot(times, (predicted - center) / spread - row, color="#d55e00", lw=1.2,
                  label="predicted" if row == 0 else None)  # fmt: skip
        axes.text(times[-1], -row, f"  VE {explained[neuron]:.2f}", va="center", fontsize=8)
    for number, (start, stop) in enumerate(_runs(test)):
        axes.axvspan(times[start], times[stop - 1], color="#0072b2", alpha=0.12, lw=0,
                     label="test segment" if number == 0 else None)  # fmt: skip
    axes.set(xlabel="time (s)", yticks=[], xlim=(times[0], times[-1]))
    axes.set_title(f"The {len(best)} best of {len(explained)} neurons (VE on all test segments)")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=3, fontsize=8, frameon=False)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _busiest_window(times: np.ndarray, test: np.ndarray) -> slice:
    """The stretch of `_SHOWN_SECONDS` that holds most test samples."""
    stops = np.searchsorted(times, times + _SHOWN_SECONDS)
    counted = np.concatenate([[0], np.cumsum(test)])
    inside = counted[stops] - counted[: len(times)]
    whole = stops < len(times)
    if not whole.any():
        return slice(0, len(times))
    start = int(np.argmax(np.where(whole, inside, -1)))
    return slice(start, int(stops[start]))


def _runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """Start and stop of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(int), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def draw_training(history: Sequence[Mapping[str, Any]], path: str | Path) -> None:
    """Draw how the errors on faces kept out of training fell.

    Parameters
    ----------
    history : sequence of mapping
        Rows as from `napari_facemap.keypoints.training.train`.
    path : str or Path
        Where the picture is to be.
    """
    figure = Figure(figsize=(8, 4), layout="constrained", facecolor="white")
    errors, losses = figure.subplots(1, 2)
    measured = [row for row in history if "median" in row]
    at = [row["step"] for row in measured]
    for name, color in (("median", "#0072b2"), ("p95", "#d55e00")):
        errors.plot(at, [row[name] for row in measured], ".-", color=color, label=name)
    if measured:
        best = min(measured[::-1], key=lambda row: float(row["score"]))  # the last of the best
        errors.axvline(best["step"], color="#888888", lw=0.8, label="kept")
        errors.legend(frameon=False)
    errors.set(xlabel="step", ylabel="error, % of eye to nose", ylim=(0, None))
    learnt = [row for row in history if "loss" in row]  # the first may be of the model before
    at = [row["step"] for row in learnt]
    losses.plot(at, [row["loss"] for row in learnt], ".-", color="#555555")
    losses.set(xlabel="step", ylabel="training loss")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110, metadata={"Software": software()})
