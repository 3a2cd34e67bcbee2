"""The fitted pupil drawn over the video, for the frame that is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Points

from napari_facemap.movement.pupil import PupilFit, PupilMeasure
from napari_facemap.viewer.layers import OVERLAY, bare, frame_size

if TYPE_CHECKING:
    import xarray as xr

    from napari_facemap.movement.regions import Region

LAYER_NAME = "pupil"
MEASURED, PREVIEW = "#00e5ff", "#ffee58"
_TURN = np.linspace(0, 2 * np.pi, 120, endpoint=False)
_CIRCLE = np.stack([np.cos(_TURN), np.sin(_TURN)], axis=1)


class PupilOverlay:
    """A layer with the rims of ellipses over one video.

    The rims are dots, close enough to be lines: napari moves dots in place ten times as fast as
    it draws a shape anew, which would be felt at every step of the slider.

    Parameters
    ----------
    viewer : napari viewer
        Where to show it.
    """

    def __init__(self, viewer: Any) -> None:
        self.viewer = bare(viewer)
        self.layer: Points | None = None
        self._color = ""
        self._adding = False

    def show(self, fits: Sequence[PupilFit], video: Image, color: str) -> None:
        """Draw ellipses; those that are NaN are not drawn."""
        rims = [rim_of(fit) for fit in fits if np.isfinite(fit.x)]
        if self.layer not in self.viewer.layers:
            if not rims or self._adding:  # a new layer has docks look at all layers anew
                return
            self._adding = True
            self.layer, self._color = self._add(video), ""
            self._adding = False
        layer = self.layer
        assert layer is not None
        place = video.scale[-2:], video.translate[-2:]
        if not np.array_equal(place, (layer.scale, layer.translate)):
            layer.scale, layer.translate = place
        dots = np.concatenate(rims) if rims else np.zeros((0, 2))
        if len(dots) == len(layer.data):
            layer.data[:] = dots
            layer.refresh(extent=False, thumbnail=False)
        else:
            layer.data = dots
            self._color = ""
        if color != self._color and len(dots):
            layer.face_color, self._color = color, color

    def clear(self) -> None:
        """Draw none."""
        if self.layer in self.viewer.layers and self.layer is not None and len(self.layer.data):
            self.layer.data = np.zeros((0, 2))

    def _add(self, video: Image) -> Points:
        active = self.viewer.layers.selection.active
        layer = self.viewer.add_points(
            ndim=2,
            name=LAYER_NAME,
            size=max(1.2, 0.003 * max(frame_size(video))),
            border_width=0,
            axis_labels=("y", "x"),
            units=("pixel", "pixel"),
            metadata={OVERLAY: True},
        )
        layer.editable = False
        if active is not None:
            self.viewer.layers.selection.active = active  # a person goes on where they were
        return layer


class PupilPreview:
    """Fits the pupils of a video's regions in single frames.

    Parameters
    ----------
    regions : sequence of Region
        Of one view; those that are no pupils or glints do not count.
    size : (int, int)
        Rows and columns of the frames.

    Raises
    ------
    ValueError
        When a region lies outside of the frame.
    """

    def __init__(self, regions: Sequence[Region], size: tuple[int, int]) -> None:
        glints = [region for region in regions if region.kind == "glint"]
        self.measures = {
            region.name: PupilMeasure(region, glints, *size)
            for region in regions
            if region.kind == "pupil"
        }

    def fit(self, frame: np.ndarray) -> dict[str, PupilFit]:
        """Fits of a frame by the regions' names."""
        return {name: measure.fit(frame) for name, measure in self.measures.items()}


def measured_at(traces: xr.Dataset, frame: int) -> dict[str, PupilFit]:
    """What was measured of each pupil in a frame, by the regions' names."""
    if "pupil" not in traces.coords:
        return {}
    columns = [traces[f"pupil_{field}"].values[frame] for field in PupilFit._fields]
    return {
        str(name): PupilFit(*(float(column[k]) for column in columns))
        for k, name in enumerate(traces["pupil"].values)
    }


def rim_of(fit: PupilFit) -> np.ndarray:
    """Places (row, column) along an ellipse, shape (dot, 2)."""
    cos, sin = np.cos(fit.angle), np.sin(fit.angle)
    along, across = np.array([sin, cos]) * fit.major, np.array([cos, -sin]) * fit.minor
    return np.array([fit.y, fit.x]) + _CIRCLE[:, :1] * along + _CIRCLE[:, 1:] * across


def in_words(name: str, fit: PupilFit) -> str:
    """A fit in one line."""
    if not np.isfinite(fit.x):
        return f"{name}: no pupil in this frame"
    diameter = 2 * np.sqrt(fit.major * fit.minor)
    return f"{name}: {diameter:.1f} px across, quality {fit.quality:.2f}"
