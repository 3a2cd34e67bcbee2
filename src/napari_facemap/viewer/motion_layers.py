"""What was measured in a video, as layers: regions, components, motion energy frame by frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Layer
from napari.utils import Colormap

from napari_facemap.viewer.filters import filtered
from napari_facemap.viewer.layers import MOTION, OVERLAY, VIDEO, bare
from napari_facemap.viewer.region_layer import region_layer_data

if TYPE_CHECKING:
    from napari_facemap.movement.results import Components, MotionResult
    from napari_facemap.viewer.readers import LayerData

# What hardly takes part lets the face be seen.
DIVERGING = Colormap(
    [[0.1, 0.45, 1, 1], [0.1, 0.45, 1, 0], [1, 0.2, 0, 0], [1, 0.2, 0, 1]],
    name="blue - red, clear at zero",
    controls=[0, 0.49, 0.51, 1],
)
_LOUDEST = 99.8  # percentile of a mask that has the full colour


class ComponentsView:
    """Shows one component's mask over the videos that it is of.

    Parameters
    ----------
    viewer : napari viewer
        Where to show it.
    """

    def __init__(self, viewer: Any) -> None:
        self.viewer = bare(viewer)
        self.layers: list[Image] = []

    def show(self, components: Components, index: int, videos: list[Layer]) -> None:
        """Show a mask, a layer for each window that it covers.

        Parameters
        ----------
        components : Components
            Of which one is shown.
        index : int
            Which, from 0.
        videos : list of Image
            Of each view; masks of views without one lie where the first lies.
        """
        kept = [layer for layer in self.layers if layer in self.viewer.layers]
        parts = list(zip(components.masks, components.windows, strict=True))
        for layer in kept[len(parts) :]:
            self.viewer.layers.remove(layer)
        self.layers = kept[: len(parts)]
        strength = max(_strength(masks[index]) for masks, _ in parts)
        for k, (masks, (view, window)) in enumerate(parts):
            if k == len(self.layers):
                self.layers.append(self._add(masks[index]))
            layer = self.layers[k]
            video = videos[view] if view < len(videos) else (videos[0] if videos else None)
            layer.data = masks[index]
            layer.contrast_limits = (-strength, strength)
            layer.name = f"component {index + 1} of {components.label}"
            scale, start = _place(video)
            # The first square's middle, from the middle of its first pixel.
            first = np.array([window.y0, window.x0]) + (components.bin - 1) / 2
            layer.scale, layer.translate = scale * components.bin, start + scale * first

    def hide(self) -> None:
        """Take the mask away."""
        for layer in self.layers:
            if layer in self.viewer.layers:
                self.viewer.layers.remove(layer)
        self.layers = []

    def _add(self, mask: np.ndarray) -> Image:
        active = self.viewer.layers.selection.active
        layer = self.viewer.add_image(
            mask,
            colormap=DIVERGING,
            contrast_limits=(-1, 1),
            blending="translucent",
            axis_labels=("y", "x"),
            units=("pixel", "pixel"),
            metadata={OVERLAY: True},
        )
        if active is not None:
            self.viewer.layers.selection.active = active
        return layer


def add_motion_energy(viewer: Any, video: Image) -> Image:
    """Add a layer of each frame's change from the one before, computed when it is looked at.

    Parameters
    ----------
    viewer : napari viewer
        Where to add it.
    video : Image
        A grey video layer.

    Returns
    -------
    Image
        On the same clock; the first frame is black.
    """
    metadata = {key: value for key, value in video.metadata.items() if key != VIDEO}
    return bare(viewer).add_image(
        filtered(video.data, "movement", 0),
        name=f"{video.name} motion energy",
        scale=video.scale,
        translate=video.translate,
        units=video.units,
        axis_labels=video.axis_labels,
        contrast_limits=(0, 64),
        colormap="magma",
        blending="additive",
        metadata={**metadata, OVERLAY: True},
    )


def result_layers(result: MotionResult, name: str) -> list[LayerData]:
    """Layers of what a file holds: the regions of each view; the first carries everything."""
    layers = []
    for view in range(max(len(result.regions.sizes), 1)):
        own = [region for region in result.regions if region.view == view]
        suffix = f" of view {view}" if view else ""
        data, attributes, kind = region_layer_data(own, f"{name} regions{suffix}")
        if not view:
            attributes["metadata"][MOTION] = result
        if own or not view:
            layers.append((data, attributes, kind))
    return layers


def _strength(mask: np.ndarray) -> float:
    inside = np.abs(mask[mask != 0])
    return float(np.percentile(inside, _LOUDEST)) if len(inside) else 1.0


def _place(video: Layer | None) -> tuple[np.ndarray, np.ndarray]:
    if video is None:
        return np.ones(2), np.zeros(2)
    return np.asarray(video.scale[-2:], float), np.asarray(video.translate[-2:], float)
