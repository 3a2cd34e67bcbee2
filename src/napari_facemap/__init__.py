"""Track a mouse's face in video and predict neural activity from its movements.

The verbs below are imported when they are first used, so that ``import napari_facemap`` is fast
and needs neither PyTorch, napari nor Qt.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as _version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_facemap.files.encoders import read_encoder, write_encoder
    from napari_facemap.files.facemap_proc import read_facemap_proc
    from napari_facemap.files.facemap_proc_write import write_facemap_proc
    from napari_facemap.files.motion import read_motion, write_motion
    from napari_facemap.files.poses import read_poses, write_poses
    from napari_facemap.files.predictions import read_predictions, write_predictions
    from napari_facemap.files.recordings import read_recording
    from napari_facemap.files.regions import read_regions, write_regions
    from napari_facemap.keypoints.cleaning import clean
    from napari_facemap.keypoints.models import list_models, load_model
    from napari_facemap.keypoints.propagation import propagate
    from napari_facemap.keypoints.retracking import retrack
    from napari_facemap.keypoints.suggestion import suggest
    from napari_facemap.keypoints.tracking import track
    from napari_facemap.movement.alignment import align_regions
    from napari_facemap.movement.analysis import motion
    from napari_facemap.movement.regions import Region, Regions
    from napari_facemap.neural.encoder import predict_recording
    from napari_facemap.neural.fitting import fit_encoder, fit_encoders
    from napari_facemap.neural.report import report
    from napari_facemap.refining import refine
    from napari_facemap.simulate.face import simulate_face
    from napari_facemap.simulate.population import simulate_population
    from napari_facemap.video.video import open_video

try:
    __version__ = _version("napari-facemap")
except PackageNotFoundError:
    __version__ = "unknown"

_HOME = {
    "open_video": "video.video",
    "track": "keypoints.tracking",
    "retrack": "keypoints.retracking",
    "refine": "refining",
    "suggest": "keypoints.suggestion",
    "propagate": "keypoints.propagation",
    "clean": "keypoints.cleaning",
    "list_models": "keypoints.models",
    "load_model": "keypoints.models",
    "align_regions": "movement.alignment",
    "Region": "movement.regions",
    "Regions": "movement.regions",
    "motion": "movement.analysis",
    "read_regions": "files.regions",
    "write_regions": "files.regions",
    "read_motion": "files.motion",
    "write_motion": "files.motion",
    "read_facemap_proc": "files.facemap_proc",
    "write_facemap_proc": "files.facemap_proc_write",
    "fit_encoder": "neural.fitting",
    "fit_encoders": "neural.fitting",
    "predict_recording": "neural.encoder",
    "report": "neural.report",
    "read_poses": "files.poses",
    "write_poses": "files.poses",
    "read_recording": "files.recordings",
    "read_encoder": "files.encoders",
    "write_encoder": "files.encoders",
    "read_predictions": "files.predictions",
    "write_predictions": "files.predictions",
    "simulate_face": "simulate.face",
    "simulate_population": "simulate.population",
}

__all__ = [
    "Region",
    "Regions",
    "align_regions",
    "clean",
    "fit_encoder",
    "fit_encoders",
    "list_models",
    "load_model",
    "motion",
    "open_video",
    "predict_recording",
    "propagate",
    "read_encoder",
    "read_facemap_proc",
    "read_motion",
    "read_poses",
    "read_predictions",
    "read_recording",
    "read_regions",
    "refine",
    "report",
    "retrack",
    "simulate_face",
    "simulate_population",
    "suggest",
    "track",
    "write_encoder",
    "write_facemap_proc",
    "write_motion",
    "write_poses",
    "write_predictions",
    "write_regions",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'napari_facemap' has no attribute {name!r}")
    return getattr(import_module(f"napari_facemap.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
