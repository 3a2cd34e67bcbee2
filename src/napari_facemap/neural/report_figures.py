"""A report in pictures. Colours are those of Okabe and Ito, which all eyes tell apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from napari_facemap.neural.order import neuron_order
from napari_facemap.neural.scores import row_chunks

if TYPE_CHECKING:
    from napari_facemap.neural.report import Report

SCORE, PREDICTED, PEERS = "#0072b2", "#d55e00", "#009e73"
MEASURED, CHANCE = "0.45", "0.2"
_RASTER_SECONDS, _RASTER_ROWS, _RASTER_COLUMNS = 600.0, 400, 1500
_TRACE_SECONDS, _TRACES = 80.0, 8
_LOWEST = -0.1  # Scores below are drawn here: how bad a bad prediction is says little.


def draw(report: Report) -> dict[str, Figure]:
    """Draw all that a report knows; see `Report.figures`."""
    figures = {
        "scores": draw_scores(report),
        "components": draw_components(report),
        "raster": draw_raster(report),
        "traces": draw_traces(report),
    }
    if report.positions is not None:
        figures["map"] = draw_map(report)
    if report.contributions is not None:
        figures["contributions"] = draw_contributions(report.contributions)
    return figures


def draw_scores(report: Report) -> Figure:
    """Draw how the neurons' scores are spread, beside their ceilings and against them."""
    peers = report.ceiling
    figure, axes = _figure((9.5 if peers else 5, 4), columns=2 if peers else 1)
    scores = np.maximum(report.variance_explained, _LOWEST)
    ceilings = np.full(len(scores), np.nan)
    if peers is not None:
        ceilings = np.maximum(peers.per_neuron, _LOWEST)
    most = np.nanmax([*scores, *ceilings, 0.1])
    bins = np.linspace(_LOWEST, most, 41).tolist()
    axes[0].hist(scores[np.isfinite(scores)], bins, color=SCORE, label="encoder")
    if peers is not None:
        known = ceilings[np.isfinite(ceilings)]
        axes[0].hist(known, bins, histtype="step", lw=1.6, color=PEERS, label="ceiling by peers")
    if report.null is not None:
        chance = float(np.nanmean(report.null.mean))
        at = np.clip(chance, _LOWEST, most)
        axes[0].axvline(at, color=CHANCE, ls="--", lw=1.2, label=f"mean by chance: {chance:.2f}")
    low, high = report.interval.pooled
    pooled = f"all neurons together: {report.pooled:.2f}"
    pooled += f" ({low:.2f} to {high:.2f})" if np.isfinite(low) else ""
    axes[0].set(xlabel="variance explained (fraction)", ylabel="neurons", title=pooled)
    axes[0].legend(frameon=False)
    if peers is not None:
        line = [_LOWEST, most]
        axes[1].plot(line, line, color=CHANCE, lw=1, ls="--")
        axes[1].axhline(0, color="0.8", lw=0.8, zorder=0)
        axes[1].plot(ceilings, scores, "o", ms=3.5, color=SCORE, alpha=0.6, mew=0,
                     rasterized=True)  # fmt: skip
        axes[1].set(
            xlabel="ceiling by peers (fraction)", ylabel="variance explained (fraction)",
            title=f"{report.pooled_normalised:.2f} of the ceiling", aspect="equal",
        )  # fmt: skip
    return figure


def draw_components(report: Report) -> Figure:
    """Draw the scores of the neural principal components."""
    figure, (axes,) = _figure((5, 4))
    parts = report.components
    number = np.arange(1, len(parts.each) + 1)
    axes.axhline(0, color="0.8", lw=0.8)
    axes.plot(number, np.maximum(parts.each, _LOWEST), "o", ms=3.5, color=SCORE, label="each")
    axes.plot(number, parts.cumulative, color=PREDICTED, lw=2, label="first k together")
    axes.set(
        xscale="log", xlabel="neural principal component", ylabel="variance explained (fraction)",
        title=f"all {len(number)} together: {parts.cumulative[-1]:.2f}",
    )  # fmt: skip
    ticks = [tick for tick in (1, 2, 5, 10, 20, 50, 100, 200, 500) if tick <= len(number)]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.legend(frameon=False)
    return figure


def draw_raster(report: Report) -> Figure:
    """Draw measured above predicted activity of all neurons, sorted by their first component."""
    prediction = report.prediction
    times = prediction["time"].values
    test = report.segments >= 0
    shown = busiest_window(times, test, _RASTER_SECONDS)
    measured, predicted = (prediction[name].values for name in ("measured", "predicted"))
    order = neuron_order(measured)
    rows = np.array_split(order, min(len(order), _RASTER_ROWS))
    mean, spread = _mean_and_spread(measured)
    figure = Figure(figsize=(10, 6.4), layout="constrained", facecolor="white")
    strip, *panels = figure.subplots(3, 1, sharex=True, height_ratios=[0.035, 1, 1])
    every = max(1, (shown.stop - shown.start) // _RASTER_COLUMNS)
    edges = (times[shown.start], times[shown.stop - 1])
    _shade(strip, times[shown], test[shown], alpha=0.9)
    strip.set_axis_off()
    strip.set_title("test segments", color=SCORE, fontsize=9, loc="left", pad=2)
    drawn = None
    for axes, activity, name in zip(panels, (measured, predicted), ("measured", "predicted"),
                                    strict=True):  # fmt: skip
        window = activity[:, shown.start : shown.stop : every]
        image = np.stack([_z(window[some], mean[some], spread[some]) for some in rows])
        drawn = axes.imshow(
            image, aspect="auto", cmap="gray_r", vmin=-1, vmax=2.5, interpolation="nearest",
            extent=(*edges, len(order), 0), rasterized=True,
        )  # fmt: skip
        axes.set(ylabel=f"{name}\nneuron, sorted")
    assert drawn is not None  # there are two panels
    panels[0].tick_params(labelbottom=False)
    panels[1].set(xlabel="time (s)", xlim=edges)
    figure.colorbar(drawn, ax=panels, label="activity (z-score)", shrink=0.5, pad=0.01)
    return figure


def draw_traces(report: Report) -> Figure:
    """Draw the neurons that are explained best, with the test segments shaded."""
    prediction = report.prediction
    explained = report.variance_explained
    best = np.argsort(-np.nan_to_num(explained, nan=-np.inf), kind="stable")[:_TRACES]
    times, test = prediction["time"].values, report.segments >= 0
    shown = busiest_window(times, test, _TRACE_SECONDS)
    figure, (axes,) = _figure((10, 0.6 * len(best) + 1.6))
    _shade(axes, times[shown], test[shown], alpha=0.13, label="test segment")
    for row, neuron in enumerate(best):
        measured = prediction["measured"].values[neuron]
        center, scale = measured.mean(), 5 * measured.std() or 1.0
        for name, color, width in (("measured", MEASURED, 0.8), ("predicted", PREDICTED, 1.4)):
            trace = prediction[name].values[neuron][shown]
            axes.plot(times[shown], (trace - center) / scale - row, color=color, lw=width,
                      label=name if row == 0 else None)  # fmt: skip
        said = f" {explained[neuron]:.2f}"
        low, high = report.interval.low[neuron], report.interval.high[neuron]
        said += f" ({low:.2f} to {high:.2f})" if np.isfinite(low) else ""
        axes.text(1.005, -row, said, transform=axes.get_yaxis_transform(), va="center", fontsize=8)
    names = [str(prediction["neuron"].values[neuron]) for neuron in best]
    axes.set_yticks(-np.arange(len(best)), names)
    axes.set(xlabel="time (s)", ylabel="neuron", xlim=(times[shown][0], times[shown][-1]))
    axes.set_title("Neurons explained best; right: variance explained on all test segments")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.6 / (0.6 * len(best))), ncols=3,
                frameon=False)  # fmt: skip
    return figure


def draw_map(report: Report) -> Figure:
    """Draw where the neurons are, coloured by their scores."""
    assert report.positions is not None
    figure, (axes,) = _figure((5.6, 4.8))
    x, y = report.positions[:, 0], report.positions[:, 1]
    scores = report.variance_explained
    size = float(np.clip(4000 / len(scores), 2, 40))
    known = np.isfinite(scores)
    axes.scatter(x[~known], y[~known], s=size, c="0.85", lw=0)
    rank = np.flatnonzero(known)[np.argsort(scores[known])]
    most = max(float(np.percentile(scores[known], 99)), 0.05) if known.any() else 1.0
    points = axes.scatter(x[rank], y[rank], s=size, c=scores[rank], cmap="viridis", vmin=0,
                          vmax=most, lw=0, rasterized=True)  # fmt: skip
    figure.colorbar(points, ax=axes, label="variance explained (fraction)", extend="both")
    axes.set(xlabel="x (as recorded)", ylabel="y (as recorded)", aspect="equal",
             title=f"{len(scores)} neurons")  # fmt: skip
    axes.invert_yaxis()  # as in the microscope's picture
    return figure


def draw_contributions(data: xr.Dataset) -> Figure:
    """Draw what each group of features explains alone, as a share and beside the others."""
    kinds = [
        ("alone", "alone", "#56b4e9"),
        ("share", "share in banded ridge", SCORE),
        ("lost", "lost without it", PREDICTED),
    ]
    kinds = [kind for kind in kinds if f"pooled_{kind[0]}" in data]
    order = np.argsort(-data["pooled_lost"].values)
    figure, (axes,) = _figure((6.5, 0.62 * len(order) + 1.9))
    height = 0.8 / len(kinds)
    for number, (name, label, color) in enumerate(kinds):
        at = np.arange(len(order)) + (number - (len(kinds) - 1) / 2) * height
        axes.barh(at, data[f"pooled_{name}"].values[order], height, color=color, label=label)
    axes.set_yticks(np.arange(len(order)), [str(data["group"].values[g]) for g in order])
    axes.invert_yaxis()
    axes.axvline(0, color="black", lw=0.8)
    whole = float(data.attrs["pooled_full"])
    axes.axvline(whole, color=CHANCE, ls="--", lw=1.2, label="all groups together")
    axes.set(xlabel="variance explained (fraction, all neurons together)",
             title="Contributions of groups of features")  # fmt: skip
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def busiest_window(times: np.ndarray, test: np.ndarray, seconds: float) -> slice:
    """Find the stretch of some seconds that holds most test samples."""
    stops = np.searchsorted(times, times + seconds)
    counted = np.concatenate([[0], np.cumsum(test)])
    whole = stops < len(times)
    if not whole.any():
        return slice(0, len(times))
    inside = counted[stops] - counted[: len(times)]
    start = int(np.argmax(np.where(whole, inside, -1)))
    return slice(start, int(stops[start]))


def _figure(size: tuple[float, float], columns: int = 1) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    axes = list(np.ravel(figure.subplots(1, columns)))
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _shade(
    axes: Axes, times: np.ndarray, test: np.ndarray, alpha: float, label: str | None = None
) -> None:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], test.astype(int), [0]])))
    for number, (start, stop) in enumerate(zip(edges[::2], edges[1::2], strict=True)):
        axes.axvspan(times[start], times[stop - 1], color=SCORE, alpha=alpha, lw=0,
                     label=label if number == 0 else None)  # fmt: skip


def _mean_and_spread(activity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean, spread = np.zeros((2, len(activity)))
    for rows in row_chunks(activity.shape):
        part = np.asarray(activity[rows], float)
        mean[rows], spread[rows] = part.mean(axis=1), part.std(axis=1)
    return mean, np.where(spread > 0, spread, 1)


def _z(window: np.ndarray, mean: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Mean z-score of neighbouring neurons: one row of the picture."""
    row: np.ndarray = ((window - mean[:, None]) / spread[:, None]).mean(axis=0)
    return row
