"""A report in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari_facemap.neural.report import Report

_SIGNIFICANT = 0.05


def summary(report: Report) -> str:
    """Tell a report in some ten to fifteen lines.

    Parameters
    ----------
    report : Report
        What to tell.

    Returns
    -------
    str
        Without a line break at its end.
    """
    attrs = report.attrs
    n_neurons = len(report.variance_explained)
    title = f"{attrs.get('model', 'some')} encoder, {n_neurons} neurons of "
    lines = [title + f"{attrs.get('predicted_recording') or 'a recording'}", *_scores(report)]
    if report.ceiling is not None:
        lines += _ceiling(report)
    if report.null is not None:
        lines += _null(report)
    if report.contributions is not None:
        lines += _contributions(report)
    lines += [f"  note                 {note}" for note in report.notes]
    return "\n".join(lines)


def _scores(report: Report) -> list[str]:
    times = report.prediction["time"].values
    step = float(np.median(np.diff(times)))
    test = report.segments >= 0
    n_segments = int(report.segments.max()) + 1
    explained = report.variance_explained
    known = explained[np.isfinite(explained)]
    low, high = report.interval.pooled
    lines = [
        f"  test                 {n_segments} segments, {test.sum() * step:.0f} of "
        f"{len(times) * step:.0f} s, {report.attrs.get('guard', 0):.1f} s or more from what was "
        "fitted"
        if report.attrs.get("test_times") == "test segments"
        else f"  test                 {test.sum() * step:.0f} s: all of a recording that was not "
        "fitted on",
        f"  variance explained   {report.pooled:.3f} of all neurons together"
        + (f" (95 % interval {low:.3f} to {high:.3f})" if np.isfinite(low) else ""),
    ]
    if len(known):
        quarter, half, most = np.percentile(known, [25, 50, 75])
        lines.append(
            f"    by neuron          median {half:.3f}, quartiles {quarter:.3f} and {most:.3f}, "
            f"best {known.max():.3f}"
        )
    if len(known) < len(explained):
        lines.append(
            f"    without a score    {len(explained) - len(known)} neurons that are still"
        )
    parts = report.components
    lines.append(
        f"    by component       first {parts.each[0]:.3f}; all {len(parts.each)} together "
        f"{parts.cumulative[-1]:.3f}"
    )
    return lines


def _ceiling(report: Report) -> list[str]:
    peers = report.ceiling
    assert peers is not None
    how = "halves by chance" if peers.cell is None else f"checkerboard of {peers.cell:.3g}"
    counted = np.isfinite(report.normalised)
    middle = f"{np.median(report.normalised[counted]):.3f}" if counted.any() else "none"
    lines = [f"  ceiling by peers     {peers.pooled:.3f} of all neurons together ({how})"]
    lines.append(
        f"    normalised         {report.pooled_normalised:.3f} of all together; median neuron "
        f"{middle} (of {counted.sum()}, ceiling >= 0.05)"
    )
    return lines


def _null(report: Report) -> list[str]:
    null = report.null
    assert null is not None
    known = np.isfinite(null.p)
    significant = int((null.p[known] <= _SIGNIFICANT).sum())
    lines = []
    lines.append(
        f"  by chance            {np.mean(null.pooled):.3f} on average over {len(null.shifts)} "
        f"shifts; p = {null.pooled_p:.2g}"
    )
    lines.append(
        f"    by neuron          {significant} of {known.sum()} at p <= {_SIGNIFICANT}; "
        f"{_SIGNIFICANT * known.sum():.0f} would be by chance"
    )
    return lines


def _contributions(report: Report) -> list[str]:
    data = report.contributions
    assert data is not None
    shared = "pooled_share" in data
    title = f"  groups ({data.attrs.get('model')} model, {data.attrs['pooled_full']:.3f} together)"
    lines = [f"{title}   alone    lost without{'    share' if shared else ''}"]
    width = lines[0].index("alone")
    order = np.argsort(-data["pooled_lost"].values)
    for group in order:
        of_group = data.isel(group=group)
        lines.append(
            f"    {of_group['group'].item()}".ljust(width)
            + f"{float(of_group['pooled_alone']):5.3f}    {float(of_group['pooled_lost']):12.3f}"
            + (f"    {float(of_group['pooled_share']):5.3f}" if shared else "")
        )
    return lines
