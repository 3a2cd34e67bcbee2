"""One report of an encoder: how well it predicts, how well it could, and what chance would do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import xarray as xr

from napari_facemap.neural.ceiling import Ceiling, peer_ceiling
from napari_facemap.neural.components import component_prediction
from napari_facemap.neural.contributions import unique_contributions
from napari_facemap.neural.encoder import Encoder, predict_recording
from napari_facemap.neural.features import Features
from napari_facemap.neural.model import Cancelled
from napari_facemap.neural.null import MEMORIES, Null, prediction_null
from napari_facemap.neural.recording import Recording
from napari_facemap.neural.report_text import summary
from napari_facemap.neural.scores import (
    ComponentScores,
    Interval,
    component_variance_explained,
    confidence_interval,
    number_segments,
    segment_scores,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_Part = TypeVar("_Part")
_STEPS = 100  # of progress, a part of the report

LEAST_CEILING = 0.05
"""Neurons of a lower ceiling have no normalised score: it would be noise over noise."""


@dataclass(frozen=True, eq=False)
class Report:
    """Scores of one encoder on one recording; ``print(report)`` tells them.

    Attributes
    ----------
    prediction : xarray.Dataset
        As from `predict_recording`.
    variance_explained : ndarray, shape (neuron,)
        At test times.
    pooled : float
        Variance explained of all neurons together.
    components : ComponentScores
        Of the neural principal components, measured on times that are not tested.
    segments : ndarray of int, shape (time,)
        Number of the test segment, -1 elsewhere.
    by_segment : ndarray, shape (neuron, segment)
        See `segment_scores`.
    interval : Interval
        95 % confidence intervals over test segments.
    ceiling : Ceiling or None
        What peers explain.
    normalised : ndarray, shape (neuron,)
        Variance explained over ceiling; NaN where the ceiling is below 0.05 or unknown. Above 1
        where behaviour says more of a neuron than its peers do.
    pooled_normalised : float
        Of all neurons together: one pooled score over the other.
    null : Null or None
        Scores by chance, and p-values.
    contributions : xarray.Dataset or None
        As from `unique_contributions`.
    positions : ndarray, shape (neuron, 2 or 3), or None
        Where the neurons are.
    notes : tuple of str
        What could not be computed or is to be taken with care, and why.
    attrs : dict
        Provenance, as of the prediction.
    """

    prediction: xr.Dataset
    variance_explained: np.ndarray
    pooled: float
    components: ComponentScores
    segments: np.ndarray
    by_segment: np.ndarray
    interval: Interval
    ceiling: Ceiling | None
    normalised: np.ndarray
    pooled_normalised: float
    null: Null | None
    contributions: xr.Dataset | None
    positions: np.ndarray | None
    notes: tuple[str, ...] = ()
    attrs: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return summary(self)

    def figures(self) -> dict[str, Figure]:
        """Draw the report.

        Returns
        -------
        dict of str to matplotlib.figure.Figure
            "scores", "components", "raster" and "traces"; "map" where positions are known and
            "contributions" where they were computed.
        """
        from napari_facemap.neural.report_figures import draw

        return draw(self)

    def save(self, folder: str | Path, figures: tuple[str, ...] = ("png", "pdf")) -> Path:
        """Write the report into a folder, each file whole or not at all.

        Parameters
        ----------
        folder : str or Path
            Made if it is missing; files of these names are replaced.
        figures : tuple of str
            Formats of the figures; none with ``()``.

        Returns
        -------
        Path
            The folder, with ``report.txt``, ``report.json``, ``scores.csv`` (a row a neuron),
            ``predictions.nc``, ``contributions.nc`` where there are any, and the figures.
        """
        from napari_facemap.neural.report_files import save

        return save(self, folder, figures)


def report(
    encoder: Encoder,
    behavior: xr.Dataset | Features,
    recording: Recording,
    ceiling: bool = True,
    null: int = 100,
    contributions: xr.Dataset | bool | None = None,
    progress: Callable[[int, int], bool | None] | None = None,
    *,
    positions: np.ndarray | None = None,
    seed: int = 0,
    device: str = "auto",
) -> Report:
    """Score an encoder in every way.

    Parameters
    ----------
    encoder : Encoder
        Fitted.
    behavior : Poses or Features
        What the mouse did.
    recording : Recording
        What the neurons did: the recording fitted on, or another of the same neurons.
    ceiling : bool
        Whether to compute what peers explain; see `peer_ceiling`. Not for a recording that was
        not fitted on, since all of it is tested.
    null : int
        Circular shifts to compare with, 0 for none; see `shift_null`.
    contributions : xarray.Dataset or bool, optional
        As from `unique_contributions`; True computes them by ridge regression.
    progress : callable, optional
        Called as ``progress(done, total)``; when it returns False the work stops.
    positions : ndarray, shape (neuron, 2 or 3), optional
        Where the neurons are; by default the recording's own positions.
    seed : int
        Of halves, shifts and draws.
    device : {"auto", "cpu", "cuda", "mps"}
        What to predict on.

    Returns
    -------
    Report

    Raises
    ------
    ValueError
        When the recording has other neurons, a feature is missing or nothing is left to test.
    Cancelled
        When `progress` returned False.
    """
    parts = _Parts(progress, 4 + (contributions is True))
    if positions is None:
        positions = getattr(recording, "positions", None)
    prediction = predict_recording(encoder, behavior, recording, device)
    test = prediction["test"].values
    if not test.any():
        raise ValueError(
            f"{recording.name or 'recording'}: no test sample has behaviour at its time; give "
            "behaviour and activity on one clock, in seconds"
        )
    measured, predicted = (prediction[name].values[:, test] for name in ("measured", "predicted"))
    segments = number_segments(test)
    parts.next()
    notes: list[str] = []
    peers = None
    if ceiling:
        peers = _or_note(lambda: _ceiling(encoder, recording, prediction, positions, seed), notes)
    parts.next()
    chance = _or_note(lambda: prediction_null(prediction, null, seed), notes) if null else None
    if chance is not None:
        step = float(np.median(np.diff(recording.times)))
        segment = float(np.median(np.bincount(segments[test]))) * step
        if segment < MEMORIES * chance.memory:
            notes.append(
                f"null: test segments of {segment:.3g} s are short beside activity that is "
                f"correlated over {chance.memory:.2g} s; p-values are somewhat too small"
            )
    parts.next()
    if contributions is True:
        contributions = unique_contributions(
            behavior, recording, seed=seed, device=device, delay=encoder.delay,
            max_gap=encoder.max_gap, progress=parts.within,
        )  # fmt: skip
        parts.next()
    explained = prediction["variance_explained"].values
    normalised, pooled_normalised = np.full(len(explained), np.nan), np.nan
    pooled = float(prediction.attrs["pooled_variance_explained"])
    if peers is not None:
        enough = peers.per_neuron >= LEAST_CEILING
        normalised[enough] = explained[enough] / peers.per_neuron[enough]
        if peers.pooled >= LEAST_CEILING:
            pooled_normalised = pooled / peers.pooled
    made = Report(
        prediction=prediction,
        variance_explained=explained,
        pooled=pooled,
        components=_components(encoder, prediction),
        segments=segments,
        by_segment=segment_scores(measured, predicted, segments[test]),
        interval=confidence_interval(measured, predicted, segments[test], seed=seed),
        ceiling=peers,
        normalised=normalised,
        pooled_normalised=float(pooled_normalised),
        null=chance,
        contributions=contributions if isinstance(contributions, xr.Dataset) else None,
        positions=None if positions is None else np.asarray(positions, float),
        notes=tuple(notes),
        attrs={**prediction.attrs, "report_seed": int(seed)},
    )
    parts.next()
    return made


class _Parts:
    """Joins the progress of the report's parts into one."""

    def __init__(self, progress: Callable[[int, int], bool | None] | None, n_parts: int):
        self._progress, self._total = progress, n_parts * _STEPS
        self._part = 0

    def within(self, done: int, total: int) -> bool | None:
        """Progress of the present part."""
        at = self._part * _STEPS + min(_STEPS * done // max(total, 1), _STEPS)
        return self._progress(at, self._total) if self._progress is not None else None

    def next(self) -> None:
        """The present part is done."""
        if self.within(1, 1) is False:
            raise Cancelled(f"stopped after {self._part + 1} parts of the report")
        self._part += 1


def _or_note(compute: Callable[[], _Part], notes: list[str]) -> _Part | None:
    """A part of the report, or a note of why there is none."""
    try:
        return compute()
    except ValueError as error:
        notes.append(str(error))
        return None


def _ceiling(
    encoder: Encoder,
    recording: Recording,
    prediction: xr.Dataset,
    positions: np.ndarray | None,
    seed: int,
) -> Ceiling:
    if prediction.attrs["test_times"] != "test segments":
        raise ValueError(
            "ceiling: this recording was not fitted on and is tested as a whole, so no times are "
            "left to fit peers on"
        )
    split = replace(encoder.split, test=prediction["test"].values)
    return peer_ceiling(recording, split, positions, seed=seed)


def _components(encoder: Encoder, prediction: xr.Dataset) -> ComponentScores:
    scores = component_prediction(prediction, encoder)
    test = prediction["test"].values
    return component_variance_explained(
        *(scores[name].values[:, test].T for name in ("measured", "predicted"))
    )
