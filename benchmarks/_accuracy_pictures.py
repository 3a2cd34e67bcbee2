"""Pictures of how accurate a model is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from napari_facemap.files.atomic import atomic_path
from napari_facemap.keypoints.calibration import NEAR
from napari_facemap.keypoints.skeleton import GROUPS, KEYPOINTS, color_of
from napari_facemap.keypoints.view import face_size

_COLUMNS, _ROWS = 6, 3


def draw_sheet(tracked: Sequence[Any], path: Path) -> None:
    """Pictures spread over a dataset, with predicted points (filled) and labels (crosses).

    A point is drawn the fainter the less confident it is, and not at all below 5 %; the frame
    is the box that was found.
    """
    n = min(len(tracked), _COLUMNS * _ROWS)
    shown = [tracked[k] for k in np.linspace(0, len(tracked) - 1, n).round().astype(int)]
    n_rows = -(-n // _COLUMNS)
    figure = Figure(figsize=(2.6 * _COLUMNS, 2.15 * n_rows), layout="constrained")
    for axes, one in zip(
        figure.subplots(n_rows, _COLUMNS, squeeze=False).flat, shown, strict=False
    ):
        _draw_picture(axes, one)
    for axes in figure.axes:
        axes.set_axis_off()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=85, pil_kwargs={"quality": 80})


def _draw_picture(axes: Any, one: Any) -> None:
    high = np.percentile(one.face.image, 99.5)
    axes.imshow(one.face.image, cmap="gray", vmin=0, vmax=max(high, 1))
    rows, columns = one.face.image.shape
    for k, name in enumerate(KEYPOINTS):
        axes.plot(*one.face.xy[:, k], "+", ms=4, color="white", mew=0.5)
        if one.position is not None and one.confidence[k] >= 0.05:
            strength = 0.25 + 0.75 * float(one.confidence[k])
            axes.plot(*one.position[:, k], "o", ms=2.6, color=color_of(name), alpha=strength)
    if one.box is None:
        axes.set_title("no face found", fontsize=7)
    else:
        x0, y0, x1, y1 = one.box
        axes.plot([x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0], lw=0.6, color="#f0e442")
    axes.set_xlim(-0.5, columns - 0.5)
    axes.set_ylim(rows - 0.5, -0.5)


def draw_reliability(
    confidence: np.ndarray, error: np.ndarray, expected: np.ndarray, path: Path
) -> None:
    """Share of points that are near their label against confidence, and error against expected."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    edges = np.linspace(0, 1, 11)
    index = np.minimum((confidence * 10).astype(int), 9)
    counts = np.bincount(index, minlength=10)
    near = np.bincount(index, error <= 100 * NEAR, minlength=10) / np.maximum(counts, 1)
    mean = np.bincount(index, confidence, minlength=10) / np.maximum(counts, 1)
    some = counts >= 5
    left.bar(
        edges[:-1] + 0.05,
        counts / counts.sum(),
        width=0.09,
        color="#d9d9d9",
        label="share of labels",
    )
    left.plot([0, 1], [0, 1], "--", color="#888888", lw=1)
    left.plot(mean[some], near[some], "o-", color="#0072b2", label="near the label")
    left.set(
        xlabel="confidence",
        ylabel=f"share within {100 * NEAR:g} % of eye to nose",
        xlim=(0, 1),
        ylim=(0, 1),
    )
    left.legend(frameon=False, loc="upper left")
    known = np.isfinite(expected)
    bins = np.array_split(np.argsort(expected[known]), 12)
    by_bin = [(expected[known][b].mean(), error[known][b].mean()) for b in bins if len(b)]
    if by_bin:
        right.plot(*zip(*by_bin, strict=True), "o-", color="#d55e00")
        top = 1.1 * max(max(pair) for pair in by_bin)
        right.plot([0, top], [0, top], "--", color="#888888", lw=1)
        right.set(xlim=(0, top), ylim=(0, top))
    right.set(xlabel="expected error, % of eye to nose", ylabel="mean error, same")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=90)


def draw_steadiness(poses: xr.Dataset, path: Path) -> None:
    """X of every keypoint over time, in percent of the distance from eye to nose."""
    position = poses["position"].values.astype(float)
    names = [str(name) for name in poses["keypoint"].values]
    size = float(np.median(face_size(position, names)))
    x = 100 * (position[:, 0] - np.median(position[:, 0], axis=0)) / size
    figure = Figure(figsize=(10, 8), layout="constrained")
    for axes, (group, members) in zip(
        figure.subplots(len(GROUPS), 1, sharex=True), GROUPS.items(), strict=True
    ):
        for name in members:
            confidence = poses["confidence"].sel(keypoint=name).median()
            label = f"{name}, confidence {float(confidence):.2f}"
            axes.plot(
                poses["time"], x[:, names.index(name)], lw=0.7, color=color_of(name), label=label
            )
        axes.set_ylabel(f"{group}, %")
        axes.legend(fontsize=6, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
        axes.set_facecolor("#555555")
    axes.set_xlabel("time, s")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=80)
