"""What each group of features adds to an encoder: alone, beside the others, and as a share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from napari_facemap.keypoints.skeleton import group_of
from napari_facemap.neural.banded import banded_ridge
from napari_facemap.neural.clocks import MAX_GAP
from napari_facemap.neural.encoder import Encoder, predict_recording
from napari_facemap.neural.features import Features, as_features
from napari_facemap.neural.fitting import fit_encoder
from napari_facemap.neural.model import Cancelled
from napari_facemap.neural.recording import Recording
from napari_facemap.neural.targets import N_COMPONENTS
from napari_facemap.provenance import software

_STEPS = 100  # of progress, a fit


def feature_groups(features: Features) -> dict[str, tuple[str, ...]]:
    """Names of the features of each group, in the order of their first feature.

    Parameters
    ----------
    features : Features
        Features of one group go by their names: "whisker(I) x" is of the whiskers.

    Returns
    -------
    dict of str to tuple of str
    """
    own: Sequence[str] = features.groups
    if len(features.group_names) == 1:
        own = [group_of(name.rsplit(" ", 1)[0]) for name in features.names]
    groups: dict[str, tuple[str, ...]] = {}
    for name, group in zip(features.names, own, strict=True):
        groups[group] = (*groups.get(group, ()), name)
    return groups


def unique_contributions(
    behavior: xr.Dataset | Features,
    recording: Recording,
    model: str = "ridge",
    seed: int = 0,
    progress: Callable[[int, int], bool | None] | None = None,
    device: str = "auto",
    *,
    banded: bool = True,
    delay: float = 0.0,
    max_gap: float = MAX_GAP,
    n_components: int = N_COMPONENTS,
    **options: Any,
) -> xr.Dataset:
    """Fit with all groups of features, with each alone, and with each left out.

    All fits are scored on the same test segments. What a group explains alone includes what other
    groups could explain as well; what is lost without it is its own. Between the two lies its
    share of the variance explained in banded ridge regression; see `banded_ridge`.

    Parameters
    ----------
    behavior : Poses or Features
        Features of two groups or more; see `feature_groups`.
    recording : Recording
        What the neurons did.
    model : str
        As in `fit_encoder`; with G groups it is fitted ``1 + 2 * G`` times, for two groups 3.
    seed : int
        Of fits and of the search for penalties.
    progress : callable, optional
        Called as ``progress(done, total)``; when it returns False the work stops.
    device : {"auto", "cpu", "cuda", "mps"}
        What to compute on.
    banded : bool
        Whether to share out by banded ridge regression too. Lags no longer than the model's guard
        gaps are used.
    delay, max_gap, n_components
        As in `fit_encoder`.
    **options
        Of the model.

    Returns
    -------
    xarray.Dataset
        Variance explained at test times: ``full (neuron)``; ``alone (group, neuron)``;
        ``lost (group, neuron)``: full less that without the group, negative where the model is
        better off without it. With `banded`, ``share (group, neuron)``, ``offset (neuron)`` and
        their sum, ``banded (neuron)``. Of all neurons together: ``pooled_alone``,
        ``pooled_lost`` and ``pooled_share (group)``, and ``pooled_full``, ``pooled_banded`` and
        ``pooled_offset`` in attrs.

    Raises
    ------
    ValueError
        When there are fewer than two groups, or as in `fit_encoder`.
    Cancelled
        When `progress` returned False.
    """
    features = as_features(behavior)
    groups = feature_groups(features)
    if len(groups) < 2:
        raise ValueError(
            f"contributions: expected two groups of features or more, found {', '.join(groups)}; "
            "give Features with groups, or keypoints of several parts of the face"
        )
    common: dict[str, Any] = {"delay": delay, "max_gap": max_gap, "n_components": n_components}
    steps = _Steps(progress, 1 + (2 if len(groups) > 2 else 1) * len(groups) + banded)

    def score(names: Sequence[str]) -> tuple[Encoder, np.ndarray, float]:
        chosen = features.select([name for name in features.names if name in names])
        encoder = fit_encoder(chosen, recording, model, steps, device, seed, **common, **options)
        prediction = predict_recording(encoder, chosen, recording, device)
        steps.next()
        pooled = float(prediction.attrs["pooled_variance_explained"])
        return encoder, prediction["variance_explained"].values, pooled

    encoder, full, pooled_full = score(features.names)
    alone = {group: score(names)[1:] for group, names in groups.items()}
    if len(groups) > 2:
        without = {
            group: score([name for name in features.names if name not in names])[1:]
            for group, names in groups.items()
        }
    else:  # without the one is the other alone
        without = dict(zip(groups, reversed(alone.values()), strict=True))
    pooled_alone, pooled_without = (
        np.array([pooled for _, pooled in scores.values()]) for scores in (alone, without)
    )
    data = xr.Dataset(
        {
            "full": ("neuron", full),
            "alone": (("group", "neuron"), np.stack([each for each, _ in alone.values()])),
            "lost": (("group", "neuron"), full - np.stack([each for each, _ in without.values()])),
            "pooled_alone": ("group", pooled_alone),
            "pooled_lost": ("group", pooled_full - pooled_without),
        },
        coords={"group": list(groups), "neuron": list(recording.names)},
        attrs={
            "software": software(),
            "model": model,
            "seed": int(seed),
            "recording": recording.name,
            "pooled_full": pooled_full,
        },
    )
    if banded:
        split = encoder.split
        shared = banded_ridge(
            features, recording, groups, seed=seed, split=split, progress=steps, **common
        )
        data = data.assign(
            share=shared["share"],
            offset=shared["offset"],
            banded=shared["variance_explained"],
            pooled_share=shared["pooled_share"],
        )
        data.attrs["pooled_banded"] = shared.attrs["pooled_variance_explained"]
        data.attrs["pooled_offset"] = shared.attrs["pooled_offset"]
        steps.next()
    return data


class _Steps:
    """Joins the progress of several fits into one."""

    def __init__(self, progress: Callable[[int, int], bool | None] | None, n_fits: int):
        self._progress, self._total = progress, n_fits * _STEPS
        self._fit = 0

    def __call__(self, done: int, total: int) -> bool | None:
        return self._say(self._fit * _STEPS + min(_STEPS * done // max(total, 1), _STEPS))

    def next(self) -> None:
        """One fit is done."""
        self._fit += 1
        if self._say(self._fit * _STEPS) is False:
            raise Cancelled(f"stopped after {self._fit} of {self._total // _STEPS} fits")

    def _say(self, done: int) -> bool | None:
        return self._progress(done, self._total) if self._progress is not None else None
