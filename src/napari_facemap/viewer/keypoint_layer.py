"""The keypoint layer: an ordinary Points layer of one frame, kept in step with a store.

A layer of all points of a long video costs seconds a step in napari; one of a few rows costs
milliseconds at any length. So row k of the layer is keypoint k of the frame that is shown, and
the `KeypointStore` in the layer's metadata holds the rest. Whatever a person does to the rows
is written to the store by keypoint name and frame.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from napari.layers import Points
from napari.utils.notifications import show_info
from psygnal import Signal

from napari_facemap.keypoints.skeleton import color_of
from napari_facemap.keypoints.store import FramePoints, KeypointStore
from napari_facemap.viewer.clock import FrameClock
from napari_facemap.viewer.keys import KEYS
from napari_facemap.viewer.layers import STORE, bare, times_of

EDITED_BORDER = (1.0, 1.0, 1.0, 1.0)
PLAIN_BORDER = (0.0, 0.0, 0.0, 0.6)
ERROR = "expected error (px)"
_HIDDEN_SIZE = 0.01  # pixels: too small for the mouse
_FAINTEST = 0.25  # alpha of a keypoint of no confidence: dim, but still to be found


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
    style = _style(store, points)
    attributes = {
        "name": name,
        "features": _features(store, points),
        "size": _sizes(np.full(len(store.keypoints), marker_size(store)), style["shown"]),
        "symbol": "disc",
        "border_width": 0.14,
        "axis_labels": ("y", "x"),
        "units": ("pixel", "pixel"),
        "metadata": {STORE: store, **extra},
        **style,
    }
    return _rows(points.position), attributes, "points"


def marker_size(store: KeypointStore) -> float:
    """Diameter in pixels at which keypoints stay apart: 3 % of what the face spans."""
    some = np.linspace(0, store.n_frames - 1, min(store.n_frames, 50)).astype(int)
    places = np.concatenate([store.frame(int(i)).position for i in some])
    places = places[np.isfinite(places).all(axis=1)]
    span = float(np.ptp(places, axis=0).max()) if len(places) else 0.0
    return float(np.clip(0.03 * span, 3, 25)) if span else 8.0


def expected_error(points: FramePoints) -> np.ndarray | None:
    """Expected errors of one frame's predictions.

    Parameters
    ----------
    points : FramePoints
        Of the frame.

    Returns
    -------
    ndarray of float64, shape (keypoint,), or None
        Pixels, NaN where a keypoint is hidden or a person placed it; None for keypoints that
        came without expected errors.
    """
    error = getattr(points, "expected_error", None)
    if error is None:
        return None
    predicted = np.isfinite(points.position[:, 0]) & ~points.edited
    return np.where(predicted, np.asarray(error, np.float64), np.nan)


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
    """

    edited = Signal()
    """A correction was made or taken back."""
    touched = Signal(tuple)
    """Frames that a person has just corrected one by one."""
    taken_back = Signal(tuple)
    """Frames of a step that was undone, or done again."""
    store_changed = Signal()
    """The layer shows another store."""

    def __init__(self, viewer: Any, layer: Points) -> None:
        self.viewer = bare(viewer)
        self.layer = bare(layer)
        self.store: KeypointStore = self.layer.metadata[STORE]
        self.clock = FrameClock(self.viewer, self.store.times)
        self.threshold = 0.5
        self._shown: int | None = None
        self._writing = False
        self._copied: dict[str, tuple[float, float]] = {}
        self._connect()
        self.layers_changed()

    def _connect(self) -> None:
        self.viewer.dims.events.current_step.connect(self.refresh)
        self.layer.current_size = float(np.max(self.layer.size))
        self.layer.events.current_size.connect(self._on_size)
        self.layer.events.data.connect(self._on_data)
        for key in KEYS:
            self.layer.bind_key(key.binding, getattr(self, key.method), overwrite=True)

    def disconnect(self) -> None:
        """Let go of the viewer and the layer, which may be removed or shown elsewhere."""
        self.viewer.dims.events.current_step.disconnect(self.refresh)
        self.layer.events.current_size.disconnect(self._on_size)
        self.layer.events.data.disconnect(self._on_data)
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
        self.clock.times = store.times
        self.refresh(force=True)
        self.store_changed.emit()

    def resize(self, size: float) -> None:
        """Show all keypoints at one diameter, in pixels of the frame."""
        self.layer.size = np.where(self.layer.shown, size, _HIDDEN_SIZE)
        self._usual_size = size

    # -- store to layer ---------------------------------------------------------------------

    def refresh(self, event: Any = None, force: bool = False) -> None:
        """Show the store's keypoints of the current frame."""
        frame = self.frame
        if frame == self._shown and not force:
            return
        points = self.store.frame(frame)
        rows = _rows(points.position)
        self._writing = True
        try:
            if self.layer.data.shape == rows.shape:
                # In place and without a data event: 20 times faster, and no write-back.
                self.layer.data[:] = rows
            else:
                self.layer.data = rows
                self.layer.size = marker_size(self.store)
                self.layer.border_width = 0.14
            self._dress(points)
        finally:
            self._writing = False
        self._shown = frame
        self.layer.refresh(extent=False, thumbnail=False)

    def _dress(self, points: Any) -> None:
        style = _style(self.store, points)
        with self.layer.events.blocker_all():
            if not np.array_equal(self.layer.face_color, style["face_color"]):
                self.layer.face_color = style["face_color"]
            if not np.array_equal(self.layer.border_color, style["border_color"]):
                self.layer.border_color = style["border_color"]
            if not np.array_equal(self.layer.shown, style["shown"]):
                self.layer.shown = style["shown"]
            sizes = _sizes(self.layer.size, style["shown"])
            if not np.array_equal(self.layer.size, sizes):
                self.layer.size = sizes
            features, values = self.layer.features, _values(points)
            named = list(features.get("keypoint", ())) == list(self.names)
            if named and (ERROR in features) == (ERROR in values):
                # The status bar and tooltip read these; a new table costs a redraw.
                for name, value in values.items():
                    features[name] = value
            else:
                self.layer.features = _features(self.store, points)

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

    def _on_size(self, event: Any = None) -> None:
        """Resize all keypoints with napari's slider when none is selected."""
        if not self.layer.selected_data:
            shown = self.layer.shown
            self.layer.size = np.where(shown, self.layer.current_size, _HIDDEN_SIZE)

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
        self._after_edit()

    def _removed(self, indices: Any) -> None:
        gone = [self.names[int(i)] for i in indices if 0 <= int(i) < len(self.names)]
        visible = np.isfinite(self.store.frame(self.frame).position[:, 0])
        self.store.delete(self.frame, [n for n in gone if visible[self.names.index(n)]])
        self._after_edit()

    def _added(self) -> None:
        new = self.layer.data[len(self.names) :]
        hidden = np.flatnonzero(np.isnan(self.store.frame(self.frame).position[:, 0]))
        placed = {
            self.names[int(index)]: (float(x), float(y))
            for index, (y, x) in zip(hidden, new, strict=False)
        }
        if placed:
            self.store.place(self.frame, placed)
            show_info(f"Placed {', '.join(placed)}.")
        if len(placed) < len(new):
            show_info("All keypoints of this frame are placed: drag one instead of adding.")
        self._after_edit()

    def _after_edit(self) -> None:
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
        self._after_edit()

    def restore(self, layer: Any = None) -> None:
        """Bring back the predictions of the selected keypoints of this frame (all if none)."""
        chosen = [self.names[i] for i in sorted(self.layer.selected_data)]
        self.store.restore(self.frame, chosen or None)
        self._after_edit()

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
        self.clock.go_to_frame(frame)
        self.taken_back.emit(getattr(self.store, "last_changed", (frame,)))
        self.refresh(force=True)
        self.edited.emit()

    def _show_found(self, frame: int | None, what: str, step: int) -> None:
        if frame is None:
            show_info(f"No {what} {'after' if step > 0 else 'before'} this frame.")
        else:
            self.clock.go_to_frame(frame)


def _rows(position: np.ndarray) -> np.ndarray:
    """(y, x) as napari wants them; it cannot hold NaN, so what is hidden lies in a corner.

    Not at 0 sharp: there the mouse is thought to be before it has moved, and would hit it.
    """
    return np.nan_to_num(position[:, ::-1].astype(np.float64), nan=0.25)


def _style(store: KeypointStore, points: Any) -> dict[str, np.ndarray]:
    shown = np.isfinite(points.position[:, 0])
    color = np.array([_rgb(name) for name in store.keypoints], np.float32)
    alpha = _FAINTEST + (1 - _FAINTEST) * np.clip(points.confidence, 0, 1)
    border = np.where(points.edited[:, None], EDITED_BORDER, PLAIN_BORDER).astype(np.float32)
    border[:, 3] *= shown
    # napari 0.9 draws rows that are not `shown` all the same in a layer without a hidden axis,
    # so they are transparent, and too small to be hit, as well.
    face = np.column_stack([color, alpha * shown]).astype(np.float32)
    return {"face_color": face, "border_color": border, "shown": shown}


def _sizes(sizes: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """Sizes with hidden rows shrunk, and rows that came back as large as the others."""
    large = sizes[sizes > 2 * _HIDDEN_SIZE]
    usual = float(np.median(large)) if len(large) else 8.0
    return np.where(shown, np.where(sizes > 2 * _HIDDEN_SIZE, sizes, usual), _HIDDEN_SIZE)


def _features(store: KeypointStore, points: Any) -> pd.DataFrame:
    names = pd.Categorical(store.keypoints, categories=store.keypoints)
    return pd.DataFrame({"keypoint": names, **_values(points)})


def _values(points: Any) -> dict[str, np.ndarray]:
    error = expected_error(points)
    errors = {} if error is None else {ERROR: np.round(error, 1)}
    return {"confidence": np.round(points.confidence, 2), **errors, "edited": points.edited}


def _rgb(name: str) -> tuple[float, float, float]:
    code = color_of(name)
    return tuple(int(code[i : i + 2], 16) / 255 for i in (1, 3, 5))  # type: ignore[return-value]
