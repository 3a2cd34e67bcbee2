"""Neurons where they lie under the microscope, coloured by how well they are predicted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels, Layer, Points
from napari.utils.colormaps import DirectLabelColormap, ensure_colormap
from psygnal import Signal

from napari_facemap.viewer.layers import OVERLAY, bare, frame_size

if TYPE_CHECKING:
    from napari_facemap.neural.recording import Recording

COLORMAP = "viridis"
_BESIDE = 20  # pixels between the face and the neurons
_BEST = 95  # percentile of scores that has the brightest colour
_STILL = 3  # pixels of the screen: a hand that moves no more than this has clicked
_UNKNOWN = (0.5, 0.5, 0.5, 1.0)


class NeuronMap:
    """Shows a recording's neurons in a layer beside the face video.

    Neurons with footprints are labels over the mean image, those with positions alone points.
    Clicking one tells which.

    Parameters
    ----------
    viewer : napari viewer
        Where to show them.
    """

    chosen = Signal(int)
    """A person clicked a neuron."""

    def __init__(self, viewer: Any) -> None:
        self.viewer = bare(viewer)
        self.layer: Labels | Points | None = None
        self.picture: Image | None = None

    def show(self, recording: Recording, scores: np.ndarray, video: Layer | None) -> bool:
        """Show neurons, instead of those shown before.

        Parameters
        ----------
        recording : Recording
            With positions or footprints.
        scores : ndarray, shape (neuron,)
            They colour the neurons, from 0 to the best ones; NaN is grey.
        video : Image, optional
            The layer that they are put beside.

        Returns
        -------
        bool
            Whether it is known where the neurons lie.
        """
        self.hide()
        if recording.positions is None and recording.footprints is None:
            return False
        active = self.viewer.layers.selection.active
        start = _beside(video)
        name = recording.name or "recording"
        common = {
            "translate": start,
            "axis_labels": ("y", "x"),
            "units": ("pixel", "pixel"),
            "metadata": {OVERLAY: True},
        }
        picture = mean_picture(recording)
        if picture is not None:
            low, high = np.percentile(picture, [1, 99.7])
            self.picture = self.viewer.add_image(
                picture,
                name=f"{name} mean image",
                contrast_limits=(float(low), float(max(high, low + 1e-6))),
                **common,
            )
        if recording.footprints is not None:
            self.layer = self.viewer.add_labels(
                label_picture(recording), name=f"{name} neurons", opacity=0.75, **common
            )
            self.layer.colormap = DirectLabelColormap(color_dict=_colors_by_label(scores))
            self.layer.editable = False
        else:
            self.layer = self.viewer.add_points(
                places(recording),
                name=f"{name} neurons",
                face_color=colors_of(scores),
                size=_size(places(recording)),
                border_width=0,
                **common,
            )
            self.layer.editable = False
        # Of the viewer, not of the layer: another layer may be the selected one.
        self.viewer.mouse_drag_callbacks.append(self._on_press)
        if active is not None:
            self.viewer.layers.selection.active = active
        return True

    def recolor(self, scores: np.ndarray) -> None:
        """Colour the neurons by other scores."""
        if isinstance(self.layer, Labels):
            self.layer.colormap = DirectLabelColormap(color_dict=_colors_by_label(scores))
        elif self.layer is not None:
            self.layer.face_color = colors_of(scores)

    def hide(self) -> None:
        """Take the layers away."""
        if self._on_press in self.viewer.mouse_drag_callbacks:
            self.viewer.mouse_drag_callbacks.remove(self._on_press)
        for layer in (self.layer, self.picture):
            if layer is not None and layer in self.viewer.layers:
                self.viewer.layers.remove(layer)
        self.layer = self.picture = None

    def _on_press(self, viewer: Any, event: Any) -> Iterator[None]:
        """Tell of a click; a drag moves the view."""
        start, farthest = np.array(event.pos), 0.0
        yield
        while event.type == "mouse_move":
            farthest = max(farthest, float(np.abs(event.pos - start).max()))
            yield
        if farthest <= _STILL and self.layer is not None and self.layer.visible:
            neuron = self.neuron_at(event.position)
            if neuron is not None:
                self.chosen.emit(neuron)

    def neuron_at(self, position: Sequence[float]) -> int | None:
        """Which neuron lies at a place of the viewer's world, or None."""
        layer = self.layer
        found = layer.get_value(position, world=True) if layer is not None else None
        if found is None or (isinstance(layer, Labels) and not found):
            return None
        return int(found) - isinstance(layer, Labels)


def colors_of(scores: np.ndarray) -> np.ndarray:
    """Colours from 0 to the best scores, shape (neuron, 4); grey where a score is NaN."""
    known = scores[np.isfinite(scores)]
    top = max(float(np.percentile(known, _BEST)), 1e-6) if len(known) else 1.0
    colors = ensure_colormap(COLORMAP).map(np.clip(np.nan_to_num(scores) / top, 0, 1))
    colors[~np.isfinite(scores)] = _UNKNOWN
    return colors


def places(recording: Recording) -> np.ndarray:
    """Row and column of each neuron, planes side by side."""
    assert recording.positions is not None
    x, y = recording.positions[:, 0].copy(), recording.positions[:, 1]
    if recording.positions.shape[1] == 3:
        _, plane = np.unique(recording.positions[:, 2], return_inverse=True)
        x += plane * _width(recording)
    return np.stack([y, x], axis=1)


def label_picture(recording: Recording) -> np.ndarray:
    """Number of the neuron plus 1 in each pixel of its footprint, planes side by side.

    Where footprints overlap a pixel belongs to the neuron that weighs most there.
    """
    assert recording.footprints is not None
    shift = _plane_of(recording) * _width(recording)
    height = int(max((y.max() for y, _, _ in recording.footprints if len(y)), default=0)) + 1
    picture = mean_picture(recording)
    n_planes = int(_plane_of(recording).max(initial=0)) + 1
    shape = picture.shape if picture is not None else (height, n_planes * _width(recording))
    labels, heaviest = np.zeros(shape, np.int32), np.zeros(shape, np.float32)
    for neuron, (y, x, weights) in enumerate(recording.footprints):
        rows, columns = np.asarray(y, int), np.asarray(x, int) + int(shift[neuron])
        inside = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
        rows, columns, weight = rows[inside], columns[inside], np.abs(weights)[inside]
        share = weight / max(float(weight.max(initial=0)), 1e-12)
        wins = share > heaviest[rows, columns]
        labels[rows[wins], columns[wins]] = neuron + 1
        heaviest[rows[wins], columns[wins]] = share[wins]
    return labels


def mean_picture(recording: Recording) -> np.ndarray | None:
    """The mean image, planes side by side; None where there is none."""
    picture = recording.mean_image
    if picture is None or picture.ndim == 2:
        return picture
    return np.concatenate(list(picture), axis=1)


def _plane_of(recording: Recording) -> np.ndarray:
    positions = recording.positions
    if positions is None or positions.shape[1] < 3:
        return np.zeros(recording.n_neurons, int)
    return np.unique(positions[:, 2], return_inverse=True)[1]


def _width(recording: Recording) -> int:
    """Columns of one plane."""
    if recording.mean_image is not None:
        return int(recording.mean_image.shape[-1])
    if recording.footprints is not None:
        return int(max((x.max() for _, x, _ in recording.footprints if len(x)), default=0)) + 1
    assert recording.positions is not None
    return int(np.ceil(np.ptp(recording.positions[:, 0]) * 1.05)) + 1


def _colors_by_label(scores: np.ndarray) -> dict[int | None, Any]:
    found: dict[int | None, Any] = dict(enumerate(colors_of(scores), start=1))
    return {**found, 0: np.zeros(4), None: np.zeros(4)}


def _size(where: np.ndarray) -> float:
    """Of a point: about half of the way to the next, if they lay evenly."""
    area = float(np.prod(np.ptp(where, axis=0) + 1))
    return max(1.0, 0.6 * (area / max(len(where), 1)) ** 0.5)


def _beside(video: Layer | None) -> tuple[float, float]:
    if video is None:
        return 0.0, 0.0
    width = frame_size(video)[1] * float(video.scale[-1])
    return float(video.translate[-2]), float(video.translate[-1]) + width + _BESIDE
