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
    groups : list of str
        Features that are taken.
    recording : Recording
        Activity.
    """

    poses: xr.Dataset | None
    motion: MotionResult | None
    groups: list[str]
    recording: Recording

    def features(self) -> Any:
        """Keypoints as they are, where nothing else is wanted: they say where they come from."""
        from napari_facemap.neural.behavior import behavior_features
        from napari_facemap.neural.features import KEYPOINTS

        if self.groups == [KEYPOINTS]:
            return self.poses
        return behavior_features(self.poses, self.motion, include=self.groups)


def fit(
    material: Material, model: str, delay: float, watch: Watch, progress: Any
) -> tuple[Encoder, xr.Dataset] | None:
    """Fit a model and predict the recording with it; None when it was cancelled."""
    from napari_facemap.neural.encoder import predict_recording
    from napari_facemap.neural.fitting import fit_encoder
    from napari_facemap.neural.model import Cancelled

    features = material.features()
    try:
        encoder = fit_encoder(
            features, material.recording, model=model, delay=delay, watch=watch, progress=progress
        )
    except Cancelled:
        return None
    return encoder, predict_recording(encoder, features, material.recording)


def predict(material: Material, encoder: Encoder, progress: Any) -> tuple[Encoder, xr.Dataset]:
    """Predict the recording with an encoder that was fitted before."""
    from napari_facemap.neural.encoder import predict_recording

    return encoder, predict_recording(encoder, material.features(), material.recording)


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
