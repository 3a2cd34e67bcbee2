"""What the encoder dock does beside the window: fit, predict, report."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import xarray as xr

    from napari_facemap.movement.results import MotionResult
    from napari_facemap.neural.encoder import Encoder
    from napari_facemap.neural.recording import Recording

Watch = Callable[[int, float, float], None]


class Material(NamedTuple):
    """What an encoder is fitted to, and predicts from.

    Attributes
    ----------
    poses : Poses or None
        Keypoints.
    motion : MotionResult or None
        What was measured in the video.
    traces : xarray.Dataset or None
        Any others, over ``time``.
    groups : list of str
        Features that are taken.
    recording : Recording
        Activity.
    """

    poses: xr.Dataset | None
    motion: MotionResult | None
    traces: xr.Dataset | None
    groups: list[str]
    recording: Recording

    def features(self) -> Any:
        """Keypoints as they are, where nothing else is wanted: they say where they come from."""
        from napari_facemap.neural.behavior import behavior_features
        from napari_facemap.neural.features import KEYPOINTS

        if self.groups == [KEYPOINTS]:
            return self.poses
        return behavior_features(self.poses, self.motion, self.traces, include=self.groups)


class Outcome(NamedTuple):
    """An encoder and what it says.

    Attributes
    ----------
    encoder : Encoder
        Fitted now or before.
    prediction : xarray.Dataset
        As of `predict_recording`.
    recording : Recording
        That it is of.
    """

    encoder: Encoder
    prediction: xr.Dataset
    recording: Recording

    def said(self) -> str:
        """Tell what came of it, and at which times."""
        import numpy as np

        explained = self.prediction["variance_explained"].values
        known = np.isfinite(self.prediction["predicted"].values[0])
        shared = self.prediction["time"].values[known]
        mean = 100 * float(np.nanmean(explained)) if np.isfinite(explained).any() else np.nan
        text = f"Explains {mean:.1f} % of the variance in test data, neurons on average."
        if len(shared):
            text += f" Video and activity share {shared[0]:.1f} to {shared[-1]:.1f} s."
        return text


def fit(
    material: Material,
    model: str,
    n_components: int | None,
    delay: float,
    watch: Watch,
    progress: Any,
) -> Outcome | None:
    """Fit a model and predict the recording with it; None when it was cancelled."""
    from napari_facemap.neural.encoder import predict_recording
    from napari_facemap.neural.fitting import fit_encoder
    from napari_facemap.neural.model import Cancelled

    features = material.features()
    try:
        encoder = fit_encoder(
            features, material.recording, model=model, delay=delay, n_components=n_components,
            watch=watch, progress=progress,
        )  # fmt: skip
    except Cancelled:
        return None
    prediction = predict_recording(encoder, features, material.recording)
    return Outcome(encoder, prediction, material.recording)


def predict(material: Material, encoder: Encoder, progress: Any) -> Outcome:
    """Predict the recording with an encoder that was fitted before."""
    from napari_facemap.neural.encoder import predict_recording

    prediction = predict_recording(encoder, material.features(), material.recording)
    return Outcome(encoder, prediction, material.recording)


def components(prediction: xr.Dataset, encoder: Encoder | None) -> xr.Dataset:
    """Prediction of neural principal components."""
    from napari_facemap.neural.components import component_prediction

    return component_prediction(prediction, encoder)


def save_report(material: Material, encoder: Encoder, folder: str, progress: Any) -> str | None:
    """Score an encoder in every way and write it down; None when it was cancelled.

    Returns
    -------
    str or None
        What to tell the person.
    """
    from napari_facemap.neural.model import Cancelled
    from napari_facemap.neural.report import report

    try:
        made = report(encoder, material.features(), material.recording, progress=progress)
    except Cancelled:
        return None
    made.save(folder)
    text = f"Explains {100 * made.pooled:.1f} % of the variance"
    if made.ceiling is not None:
        text += f", of {100 * made.ceiling.pooled:.1f} % that neurons tell of each other"
    if made.null is not None:
        text += f" (chance: p = {made.null.pooled_p:.2g})"
    return f"{text}. Report and figures are in {folder}."
