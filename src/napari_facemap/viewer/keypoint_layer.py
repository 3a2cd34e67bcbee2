"""The keypoint layer: an ordinary Points layer of one frame, kept in step with a store.

A layer of all points of a long video costs seconds a step in napari; one of a few rows costs
milliseconds at any length. So row k of the layer is keypoint k of the frame that is shown, and
the `KeypointStore` in the layer's metadata holds the rest. Whatever a person does to the rows
is written to the store by keypoint name and frame.
"""

from __future__ import annotations

from operator import attrgetter
from typing import Any

import numpy as np
from napari.layers import Points
from napari.utils.notifications import show_info
from psygnal import Signal

from napari_facemap.keypoints.store import FramePoints, KeypointStore
from napari_facemap.viewer.clock import FrameClock
from napari_facemap.viewer.keypoint_style import (
    ERROR,
    HIDDEN_SIZE,
    features_of,
    marker_size,
    names_beside,
    rows_of,
    sizes_of,
    style_of,
    usual_size,
    values_of,
)
from napari_facemap.viewer.keys import KEYS
from napari_facemap.viewer.layers import STORE, bare, times_of
from napari_facemap.viewer.placing import Placing


def layer_data(store: KeypointStore, name: str = "keypoints", **extra: Any) -> tuple:
    """Layer of a store's first frame, as readers give layers to napari.

    Parameters
    ----------
    store : KeypointStore
        Rides along in the layer's metadata.
    name : str
        Of the layer.
    **extra : Any
        More metadata.

    Returns
    -------
    tuple
        Data (y, x), attributes, ``"points"``.
    """
    points = store.frame(0)
    style, size = style_of(store, points), marker_size(store)
    attributes = {
        "name": name,
        "features": features_of(store, points),
        "size": sizes_of(np.full(len(store.keypoints), size), style["shown"], size),
        "symbol": "disc",
        "axis_labels": ("y", "x"),
        "units": ("pixel", "pixel"),
        "metadata": {STORE: store, **extra},
        **style,
    }
    return rows_of(points.position), attributes, "points"


class KeypointLayer:
    """Keeps one Points layer and its store in step with each other and with the slider.

    Parameters
    ----------
    viewer : napari viewer
        Where the layer is.
    layer : Points
        Made from `layer_data`.

    Attributes
    ----------
    store : KeypointStore
        Of all frames.
    clock : FrameClock
        Which frame is shown.
    threshold : float
        Keypoints below this confidence are unsure.
    placing : Placing
        The keypoint that a click places.
    """

    edited = Signal()
    """A correction was made or taken back."""
    touched = Signal(tuple)
    """Frames that a person has just corrected one by one."""
    taken_back = Signal(tuple)
    """Frames of a step that was undone, or done again."""
    store_changed = Signal()
    """The layer shows another store."""
    chosen = Signal()
    """Another keypoint is the current one, or how points look or are placed changed."""
    frame_asked = Signal()
    """A person wants to type a frame's number."""

    def __init__(self, viewer: Any, layer: Points) -> None:
        self.viewer = bare(viewer)
        self.layer = bare(layer)
        self.store: KeypointStore = self.layer.metadata[STORE]
        self.clock = FrameClock(self.viewer, self.store.times, name=_video_name(self.store))
        self.threshold = 0.5
        self.placing = Placing(self)
        self._size = usual_size(np.asarray(self.layer.size))
        self._names_shown = False
        self._shown: int | None = None
        self._writing = False
        self._copied: dict[str, tuple[float, float]] = {}
        self._connect()
        self.layers_changed()

    def _connect(self) -> None:
        self.viewer.dims.events.current_step.connect(self.refresh)
        if np.max(self.layer.size) > HIDDEN_SIZE:
            self.layer.current_size = float(np.max(self.layer.size))
        self.layer.events.current_size.connect(self._on_size)
        self.layer.events.data.connect(self._on_data)
        self.layer.selected_data.events.items_changed.connect(self._on_selected)
        for key in KEYS:
            self.layer.bind_key(key.binding, attrgetter(key.method)(self), overwrite=True)

    def disconnect(self) -> None:
        """Let go of the viewer and the layer, which may be removed or shown elsewhere."""
        self.viewer.dims.events.current_step.disconnect(self.refresh)
        self.layer.events.current_size.disconnect(self._on_size)
        self.layer.events.data.disconnect(self._on_data)
        self.layer.selected_data.events.items_changed.disconnect(self._on_selected)
        for key in KEYS:
            self.layer.bind_key(key.binding, None, overwrite=True)

    @property
    def frame(self) -> int:
        """Frame that is shown."""
        return self.clock.frame()

    @property
    def names(self) -> tuple[str, ...]:
        """Keypoints, one a row of the layer."""
        return self.store.keypoints

    def layers_changed(self) -> None:
        """Look again for the video; take its times where the keypoints came without."""
        video = self.clock.video_layer()
        if video is not None and not self.store.attrs.get("times_known", 1):
            self.store.times = times_of(video)
            self.store.attrs.pop("times_known")
            self.clock.times = self.store.times
        self.refresh(force=True)

    def set_store(self, store: KeypointStore) -> None:
        """Show other keypoints of the same video in this layer."""
        self.store = store
        self.layer.metadata[STORE] = store
        self.clock.times, self.clock.name = store.times, _video_name(store)
        self.refresh(force=True)
        self.store_changed.emit()

    @property
    def size(self) -> float:
        """Diameter of the points, in pixels of the frame."""
        return self._size

    def resize(self, size: float) -> None:
        """Show all keypoints at one diameter, in pixels of the frame."""
        self._size = float(size)
        writing, self._writing = self._writing, True
        self.layer.current_size = self._size  # of the next point that is added
        self._writing = writing
        self.layer.size = np.where(self.layer.shown, self._size, HIDDEN_SIZE)
        if self._names_shown:
            self._write_names()
        self.chosen.emit()

    @property
    def names_shown(self) -> bool:
        """Whether names stand beside the points."""
        return self._names_shown

    def show_names(self, shown: bool) -> None:
        """Write names beside the points, or take them off."""
        self._names_shown = shown
        self._write_names()
        self.chosen.emit()

    def toggle_names(self, layer: Any = None) -> None:
        """Write names beside the points, or take them off."""
        self.show_names(not self._names_shown)

    def ask_for_frame(self, layer: Any = None) -> None:
        """Put the typing cursor where a frame's number is typed."""
        self.frame_asked.emit()

    # -- store to layer ---------------------------------------------------------------------

    def refresh(self, event: Any = None, force: bool = False) -> None:
        """Show the store's keypoints of the current frame."""
        frame = self.frame
        if frame == self._shown and not force:
            return
        points = self.store.frame(frame)
        rows = rows_of(points.position)
        self._writing = True
        try:
            if self.layer.data.shape == rows.shape:
                # In place and without a data event: 20 times faster, and no write-back.
                self.layer.data[:] = rows
            else:
                self._size = usual_size(self.layer.size, self._size)
                self.layer.selected_data = set()
                self.layer.data = rows
                self.layer.size = self._size
            self._dress(points)
        finally:
            self._writing = False
        self._shown = frame
        self.layer.refresh(extent=False, thumbnail=False)

    def _dress(self, points: FramePoints) -> None:
        style = style_of(self.store, points, self.placing.current)
        self._size = usual_size(self.layer.size, self._size)
        style["size"] = sizes_of(self.layer.size, style["shown"], self._size)
        seen = not np.array_equal(self.layer.shown, style["shown"])
        with self.layer.events.blocker_all():
            for name, values in style.items():
                if not np.array_equal(getattr(self.layer, name), values):
                    setattr(self.layer, name, values)
            features, columns = self.layer.features, values_of(points)
            named = list(features.get("keypoint", ())) == list(self.names)
            if named and (ERROR in features) == (ERROR in columns):
                # The status bar and tooltip read these; a new table costs a redraw.
                for name, values in columns.items():
                    features[name] = values
            else:
                self.layer.features = features_of(self.store, points)
        if self._names_shown and (seen or not named):
            self._write_names()

    def _write_names(self) -> None:
        if self._names_shown:
            self.layer.text = names_beside(self.store, self.layer.shown, self._size)
        else:
            self.layer.text = None

    def show_current(self) -> None:
        """Mark the current keypoint with a broad ring."""
        self.refresh(force=True)
        self.chosen.emit()

    # -- layer to store ---------------------------------------------------------------------

    def _on_data(self, event: Any) -> None:
        if self._writing:
            return
        action = str(getattr(event.action, "value", event.action))
        if action == "changed":
            self._moved(event.data_indices)
        elif action == "removed":
            self._removed(event.data_indices)
        elif action == "added":
            self._added()

    def _on_selected(self, *event: Any) -> None:
        """Make the one keypoint that is selected the current one, where there is one."""
        selected = [i for i in self.layer.selected_data if i < len(self.names)]
        if self.placing.current is not None and len(selected) == 1 and not self._writing:
            self.placing.choose(self.names[selected[0]])

    def _on_size(self, event: Any = None) -> None:
        """Resize all keypoints with napari's slider when none is selected."""
        if not self.layer.selected_data and not self._writing:
            self.resize(self.layer.current_size)

    def _moved(self, indices: Any) -> None:
        if len(self.layer.data) != len(self.names):
            self.refresh(force=True)
            return
        before = self.store.frame(self.frame).position
        moved = {}
        for index in sorted({int(i) % len(self.names) for i in indices}):
            y, x = self.layer.data[index]
            if not np.allclose((x, y), before[index], atol=1e-4):  # NaN is close to nothing
                moved[index] = (float(x), float(y))
        hidden = [i for i in moved if not self.layer.shown[i]]
        for index in hidden:
            del moved[index]
        if moved:
            self.store.place(self.frame, {self.names[i]: point for i, point in moved.items()})
        self.after_edit()

    def _removed(self, indices: Any) -> None:
        gone = [self.names[int(i)] for i in indices if 0 <= int(i) < len(self.names)]
        visible = np.isfinite(self.store.frame(self.frame).position[:, 0])
        self.store.delete(self.frame, [n for n in gone if visible[self.names.index(n)]])
        self.after_edit()

    def _added(self) -> None:
        """Place the current keypoint where the click was; without one the first hidden ones."""
        new = self.layer.data[len(self.names) :]
        current = self.placing.current
        if current in self.names and len(new) == 1:
            names = [current]
        else:
            current = None
            hidden = np.isnan(self.store.frame(self.frame).position[:, 0])
            names = [name for name, out in zip(self.names, hidden, strict=True) if out]
        placed = {n: (float(x), float(y)) for n, (y, x) in zip(names, new, strict=False)}
        if placed:
            self.store.place(self.frame, placed)
        if len(placed) < len(new):
            show_info("All keypoints of this frame are placed: drag one instead of adding.")
        elif current is None:
            show_info(f"Placed {', '.join(placed)}.")
        self.after_edit()
        if current is not None:
            self.placing.go_on()

    def after_edit(self) -> None:
        """Tell of a correction of the frame that is shown, and show it."""
        # First, so that it is on disk before anything else can go wrong.
        self.touched.emit((self.frame,))
        self.refresh(force=True)
        self.edited.emit()

    # -- what keys and buttons do (napari hands the layer to a key's function) ----------------

    def undo(self, layer: Any = None) -> None:
        """Take back the last correction, and show where it was."""
        self._show_change(self.store.undo(), "Nothing to undo.")

    def redo(self, layer: Any = None) -> None:
        """Do again what was taken back last."""
        self._show_change(self.store.redo(), "Nothing to redo.")

    def copy(self, layer: Any = None) -> None:
        """Remember the selected keypoints of this frame (all, when none is selected)."""
        points = self.store.frame(self.frame)
        chosen = sorted(self.layer.selected_data) or range(len(self.names))
        self._copied = {
            self.names[i]: (float(points.position[i, 0]), float(points.position[i, 1]))
            for i in chosen
            if np.isfinite(points.position[i]).all()
        }
        show_info(f"Copied {len(self._copied)} keypoints of frame {self.frame}.")

    def paste(self, layer: Any = None) -> None:
        """Put the remembered keypoints on this frame, each by its name."""
        known = {n: point for n, point in self._copied.items() if n in self.names}
        if not known:
            show_info("Nothing to paste: copy the keypoints of a frame first.")
            return
        self.store.place(self.frame, known)
        self.after_edit()

    def restore(self, layer: Any = None) -> None:
        """Bring back the predictions of the selected keypoints of this frame (all if none)."""
        chosen = [self.names[i] for i in sorted(self.layer.selected_data)]
        self.store.restore(self.frame, chosen or None)
        self.after_edit()

    def next_low_confidence(self, layer: Any = None, step: int = 1) -> None:
        """Show the next frame with an unsure keypoint."""
        frame = self.store.next_low_confidence(self.frame, step, self.threshold)
        self._show_found(frame, f"keypoint below confidence {self.threshold:g}", step)

    def previous_low_confidence(self, layer: Any = None) -> None:
        """Show the frame before with an unsure keypoint."""
        self.next_low_confidence(step=-1)

    def next_edited(self, layer: Any = None, step: int = 1) -> None:
        """Show the next frame that a person corrected."""
        self._show_found(self.store.next_edited(self.frame, step), "corrected keypoint", step)

    def previous_edited(self, layer: Any = None) -> None:
        """Show the frame before that a person corrected."""
        self.next_edited(step=-1)

    def _show_change(self, frame: int | None, nothing: str) -> None:
        if frame is None:
            show_info(nothing)
            return
        changed = self.store.last_changed
        self.taken_back.emit(changed)
        if self.frame not in changed:
            self.clock.go_to_frame(frame)
        self.refresh(force=True)
        self.edited.emit()

    def _show_found(self, frame: int | None, what: str, step: int) -> None:
        if frame is None:
            show_info(f"No {what} {'after' if step > 0 else 'before'} this frame.")
        else:
            self.clock.go_to_frame(frame)


def _video_name(store: KeypointStore) -> str:
    return str(store.attrs.get("video", ""))
