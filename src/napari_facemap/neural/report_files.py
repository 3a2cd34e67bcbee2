"""A report as files that every program opens."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_facemap.files.atomic import atomic_path
from napari_facemap.provenance import software

if TYPE_CHECKING:
    from napari_facemap.neural.report import Report

COLUMNS = (
    "neuron", "name", "x", "y", "variance_explained", "ci_low", "ci_high", "ceiling",
    "normalised", "p",
)  # fmt: skip
"""Of scores.csv; what is unknown is left empty."""


def save(report: Report, folder: str | Path, figures: tuple[str, ...]) -> Path:
    """Write a report; see `Report.save`."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / "report.txt") as path:
        path.write_text(f"{report}\n", encoding="utf-8")
    with atomic_path(folder / "report.json") as path:
        path.write_text(json.dumps(numbers(report), indent=2) + "\n", encoding="utf-8")
    with (
        atomic_path(folder / "scores.csv") as path,
        path.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(_rows(report))
    _write_prediction(report, folder / "predictions.nc")
    if report.contributions is not None:
        with atomic_path(folder / "contributions.nc") as path:
            report.contributions.to_netcdf(path, engine="h5netcdf")
    for name, figure in report.figures().items() if figures else ():
        for kind in figures:
            key = "Creator" if kind == "pdf" else "Software"
            metadata = {key: software()} if kind in ("png", "pdf") else None
            with atomic_path(folder / f"{name}.{kind}") as path:
                figure.savefig(path, dpi=150, metadata=metadata)
    return folder


def numbers(report: Report) -> dict[str, Any]:
    """What a report says of all neurons together, as JSON takes it; None is unknown."""
    peers, null, data = report.ceiling, report.null, report.contributions
    said: dict[str, Any] = {
        "software": software(),
        "n_neurons": len(report.variance_explained),
        "n_test_segments": report.interval.n_segments,
        "n_test_samples": int((report.segments >= 0).sum()),
        "variance_explained": report.pooled,
        "variance_explained_interval": list(report.interval.pooled),
        "interval_level": report.interval.level,
        "variance_explained_median_neuron": _median(report.variance_explained),
        "component_variance_explained": report.components.each.tolist(),
        "cumulative_variance_explained": report.components.cumulative.tolist(),
        "notes": list(report.notes),
        "provenance": report.attrs,
    }
    if peers is not None:
        said["ceiling"] = {
            "pooled": peers.pooled,
            "median_neuron": _median(peers.per_neuron),
            "halves": peers.halves,
            "cell": peers.cell,
            "ranks": list(peers.ranks),
            "penalties": list(peers.penalties),
        }
        said["normalised"] = {
            "pooled": report.pooled_normalised,
            "median_neuron": _median(report.normalised),
            "n_neurons": int(np.isfinite(report.normalised).sum()),
        }
    if null is not None:
        said["null"] = {
            "p": null.pooled_p,
            "n_shifts": len(null.shifts),
            "least_shift_s": null.least_shift,
            "correlation_time_s": null.memory,
            "mean_variance_explained": float(np.mean(null.pooled)),
            "n_neurons_p_0.05": int((null.p <= 0.05).sum()),
        }
    if data is not None:
        said["contributions"] = {
            str(group): {
                name: float(data[f"pooled_{name}"].sel(group=group))
                for name in ("alone", "lost", "share")
                if f"pooled_{name}" in data
            }
            for group in data["group"].values
        }
    return _plain(said)


def _median(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else float("nan")


def _plain(value: Any) -> Any:
    """JSON knows no NaN, and no numbers or arrays of numpy."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(inner) for inner in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _rows(report: Report) -> list[list[str | int]]:
    n_neurons = len(report.variance_explained)
    unknown = np.full(n_neurons, np.nan)
    places = report.positions
    columns = [
        unknown if places is None else places[:, 0],
        unknown if places is None else places[:, 1],
        report.variance_explained,
        report.interval.low,
        report.interval.high,
        unknown if report.ceiling is None else report.ceiling.per_neuron,
        report.normalised,
        unknown if report.null is None else report.null.p,
    ]
    names = report.prediction["neuron"].values
    return [
        [n, str(names[n]), *(f"{x[n]:.6g}" if np.isfinite(x[n]) else "" for x in columns)]
        for n in range(n_neurons)
    ]


def _write_prediction(report: Report, path: Path) -> None:
    # As `write_predictions`, which lies in a room above this one, and for `read_predictions`.
    prediction = report.prediction
    whole = prediction.assign(test=prediction["test"].astype(np.int8))
    with atomic_path(path) as temporary:
        whole.to_netcdf(temporary, engine="h5netcdf")
