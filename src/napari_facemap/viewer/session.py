"""What the plugin keeps for each viewer: its keypoint layers, followed as they come and go."""

from __future__ import annotations

from functools import cache, cached_property, partial
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import napari
from napari.layers import Layer, Points
from napari.utils.notifications import show_warning
from psygnal import Signal

from napari_facemap.viewer.keypoint_layer import KeypointLayer
from napari_facemap.viewer.layers import MOTION, STORE, VIDEO, bare, is_video, store_of, time_axis
from napari_facemap.viewer.system import crashing_qt

if TYPE_CHECKING:
    from napari_facemap.movement.results import MotionResult
    from napari_facemap.viewer.labelling import Labelling
    from napari_facemap.viewer.linked_plot import LinkedPlot


class Session:
    """Brings to life the keypoint layers of one viewer, and starts its videos at frame 0.

    Use `session_of`, which makes one session a viewer. It listens as long as the viewer lives.

    Parameters
    ----------
    viewer : napari viewer
        Real or a `ViewerModel`.
    """

    edited = Signal()
    """Keypoints of any layer were corrected."""
    measured = Signal()
    """Motion was measured, or opened."""
    models_changed = Signal()
    """A keypoint model was made, fetched or removed."""
    chosen = Signal()
    """Another keypoint of any layer is the current one, or its points look different."""
    frame_asked = Signal()
    """A person wants to type the number of a frame."""
    layers_changed = Signal()
    """Layers were added or removed, and what is kept of them is up to date."""

    def __init__(self, viewer: Any) -> None:
        self.viewer = viewer
        self._keypoints: dict[Points, KeypointLayer] = {}
        self._units_told = False
        self._motion: MotionResult | None = None
        for layer in list(viewer.layers):
            self._adopt(layer)
        # Last, so that the viewer has made room for the layer when we look at it. As partials,
        # which napari holds strongly where it holds methods weakly: so the session lives as
        # long as its viewer and not longer.
        events = viewer.layers.events
        events.inserted.connect(partial(Session._on_inserted, self), position="last")
        events.removed.connect(partial(Session._on_removed, self), position="last")

    @property
    def motion(self) -> MotionResult | None:
        """What was measured last in a video of the viewer."""
        return self._motion

    @motion.setter
    def motion(self, result: MotionResult) -> None:
        self._motion = result
        self.measured.emit()

    @cached_property
    def labelling(self) -> Labelling:
        """The project of labels that is open in the viewer, if any."""
        from napari_facemap.viewer.labelling import Labelling

        return Labelling(self)

    @cached_property
    def plot(self) -> LinkedPlot:
        """The viewer's plot of traces, made when first asked for; needs Qt."""
        from napari_facemap.viewer.linked_plot import LinkedPlot

        return LinkedPlot(self.viewer)

    @property
    def keypoint_layers(self) -> list[KeypointLayer]:
        """Keypoint layers of the viewer, in the order in which they were added."""
        return list(self._keypoints.values())

    def keypoints_of(self, layer: Layer | None) -> KeypointLayer | None:
        """Give the controller of a layer, or None when it is not a keypoint layer."""
        return self._keypoints.get(bare(layer)) if layer is not None else None

    def active(self) -> KeypointLayer | None:
        """Keypoint layer that is selected, else that is labelled, else the topmost, else None."""
        selected = self.keypoints_of(self.viewer.layers.selection.active)
        if selected is not None:
            return selected
        labelled = self.labelling.keypoints
        if labelled is not None and labelled.layer in self._keypoints:
            return labelled
        for layer in reversed(self.viewer.layers):
            if layer in self._keypoints:
                return self._keypoints[layer]
        return None

    def add_keypoints(self, layer_data: tuple) -> KeypointLayer:
        """Add a layer made by `keypoint_layer.layer_data` and give its controller."""
        data, attributes, _ = layer_data
        layer = self.viewer.add_points(data, **attributes)
        return self._keypoints[layer]

    def _on_inserted(self, event: Any) -> None:
        self._adopt(event.value)
        if VIDEO in event.value.metadata and self._only_video(event.value):
            # napari starts in the middle, where a long video takes longest to decode.
            self.viewer.dims.set_point(self.viewer.dims.ndim - 3, _start_of(event.value))
        self._check_units(event.value)
        if MOTION in event.value.metadata and hasattr(self.viewer, "window"):
            self.viewer.window.add_plugin_dock_widget("napari-facemap", "Motion and pupil")
        for keypoints in self.keypoint_layers:
            keypoints.layers_changed()
        self.layers_changed.emit()

    def _on_removed(self, event: Any) -> None:
        keypoints = self._keypoints.pop(event.value, None)
        if keypoints is not None:
            keypoints.disconnect()
        for other in self.keypoint_layers:
            other.layers_changed()
        self.layers_changed.emit()

    def _adopt(self, layer: Layer) -> None:
        store = store_of(layer)
        if store is None or layer in self._keypoints:
            return
        if any(other.store is store for other in self._keypoints.values()):
            # "Duplicate layer" shares the metadata: the copy shall not write to the original.
            layer.metadata = {**layer.metadata, STORE: store.copy()}
        keypoints = self._keypoints[layer] = KeypointLayer(self.viewer, layer)
        keypoints.edited.connect(self.edited.emit)
        keypoints.chosen.connect(self.chosen.emit)
        keypoints.frame_asked.connect(self.frame_asked.emit)

    def _only_video(self, layer: Layer) -> bool:
        return not any(other is not layer and other.ndim >= 3 for other in self.viewer.layers)

    def _check_units(self, layer: Layer) -> None:
        """Say so when seconds and plain frame numbers meet on the slider: napari does not."""
        videos = [v for v in self.viewer.layers if is_video(v) and VIDEO in v.metadata]
        if self._units_told or layer.ndim < 3 or not videos:
            return
        odd = [x for x in self.viewer.layers if x.ndim >= 3 and not _in_seconds(x)]
        if odd:
            self._units_told = True
            show_warning(
                f"Layer {odd[0].name!r} has no seconds on its time axis, so its frames do not "
                "line up with the video. Set its scale to the seconds of a frame and its unit "
                'to "s".'
            )


def _start_of(layer: Layer) -> float:
    return float(layer.translate[time_axis(layer)])


def _in_seconds(layer: Layer) -> bool:
    return layer.units[time_axis(layer)].is_compatible_with("s")


_sessions: WeakValueDictionary[int, Session] = WeakValueDictionary()  # by id of the viewer


def session_of(viewer: Any) -> Session:
    """Session of a viewer, made when first asked for."""
    viewer = bare(viewer)
    session = _sessions.get(id(viewer))
    if session is None or session.viewer is not viewer:
        session = _sessions[id(viewer)] = Session(viewer)
    return session


def follow_current_viewer() -> None:
    """Have the viewer that is about to receive layers followed.

    Readers and samples give layers and never see the viewer they go to; napari opens files in
    the current one.
    """
    viewer = napari.current_viewer()
    if viewer is not None:
        session_of(viewer)
        _warn_of_crashing_qt()


@cache
def _warn_of_crashing_qt() -> None:
    warning = crashing_qt()
    if warning:
        show_warning(warning)
