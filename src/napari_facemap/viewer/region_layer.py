"""Regions of a video as an ordinary Shapes layer: names, kinds and options ride as features."""

from __future__ import annotations

import re
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from napari.layers import Layer, Shapes
from psygnal import Signal

from napari_facemap.movement.regions import KINDS, OPTIONS, SHAPES, Region, Regions
from napari_facemap.viewer.layers import REGIONS_OF, bare, frame_size

if TYPE_CHECKING:
    from napari_facemap.viewer.readers import LayerData

COLORS = {
    "motion": "#4fc3f7",
    "pupil": "#ffd166",
    "blink": "#f48fb1",
    "running": "#aed581",
    "glint": "#ce93d8",
}
_DRAWN_AS = {"pupil": "add_ellipse", "glint": "add_ellipse"}
_OPTIONS = sorted({option for options in OPTIONS.values() for option in options})
_NUMBERED = re.compile(r"(.*?)(?: (\d+))?")
_COLUMNS = ("name", "kind", *_OPTIONS)


def region_layer_data(
    regions: Sequence[Region], name: str, video: Layer | None = None
) -> LayerData:
    """Shapes layer of the regions of one view.

    Parameters
    ----------
    regions : sequence of Region
        In pixels of the video's frames; none is fine.
    name : str
        Of the layer.
    video : Image, optional
        The layer that they are drawn on.

    Returns
    -------
    layer data
    """
    options = [{"name": r.name, "kind": r.kind, **r.options} for r in regions]
    attributes = {
        "name": name,
        "shape_type": [region.shape for region in regions],
        "features": _table(options),
        "feature_defaults": _row("", "motion"),
        "text": {"string": "{name}", "size": 9, "anchor": "upper_left", "color": "white"},
        "edge_color": [COLORS[region.kind] for region in regions] or "white",
        "edge_width": 1.0,
        "face_color": "transparent",
        "ndim": 2,
        "axis_labels": ("y", "x"),
        "units": ("pixel", "pixel"),
        "metadata": {REGIONS_OF: _nobody},
    }
    if video is not None:
        attributes |= {
            "edge_width": _width(video),
            "scale": video.scale[-2:],
            "translate": video.translate[-2:],
            "metadata": {REGIONS_OF: weakref.ref(bare(video))},
        }
    return [region.vertices[:, ::-1] for region in regions] or None, attributes, "shapes"


def is_region_layer(layer: Layer) -> bool:
    """Whether a layer was made to hold regions."""
    return isinstance(layer, Shapes) and REGIONS_OF in layer.metadata


def region_layer_of(viewer: Any, video: Layer | None) -> Shapes | None:
    """Topmost layer of regions of a video, or None.

    One that came from a file before its video was opened belongs to the first video that asks.
    """
    if video is None:
        return None
    free = None
    for layer in reversed(bare(viewer).layers):
        if is_region_layer(layer):
            owner = layer.metadata[REGIONS_OF]()
            if owner is bare(video):
                return layer
            free = layer if owner is None and free is None else free
    if free is not None:
        free.metadata[REGIONS_OF] = weakref.ref(bare(video))
        free.scale, free.translate = video.scale[-2:], video.translate[-2:]
        free.edge_width = _width(video)
    return free


def has_regions(viewer: Any, video: Layer) -> bool:
    """Whether a layer of the viewer holds regions of just this video."""
    own = [x for x in bare(viewer).layers if is_region_layer(x)]
    return any(x.metadata[REGIONS_OF]() is bare(video) and x.nshapes for x in own)


def layer_for_regions(viewer: Any, video: Layer) -> Shapes:
    """Layer of regions of a video, which is added when there is none."""
    layer = region_layer_of(viewer, video)
    if layer is not None:
        return layer
    data, attributes, _ = region_layer_data((), f"{video.name} regions", video)
    return bare(viewer).add_shapes(data, **attributes)


def regions_of(layer: Shapes, view: int = 0) -> list[Region]:
    """The regions that a layer shows.

    Parameters
    ----------
    layer : Shapes
        Of regions, or any other: its shapes are then motion regions.
    view : int
        Which camera it lies on.

    Returns
    -------
    list of Region
        Lines and paths, which hold no pixels, are left out.

    Raises
    ------
    ValueError
        When a shape cannot be a region.
    """
    found = []
    rows = _rows(layer)
    for row, vertices, shape in zip(rows, layer.data, layer.shape_type, strict=True):
        if shape in SHAPES:
            kind = row["kind"]
            options = {o: row[o] for o in OPTIONS[kind] if row[o] is not None}
            found.append(
                Region(row["name"], kind, vertices[:, -2:][:, ::-1], shape, view, options)
            )
    return found


class RegionLayer:
    """Keeps names unique, kinds known and colours right while a person draws.

    Parameters
    ----------
    layer : Shapes
        Made by `region_layer_data`.
    """

    changed = Signal()
    """Shapes, names, kinds or options are others now."""

    def __init__(self, layer: Shapes) -> None:
        self.layer = layer
        self._tidying = False
        layer.events.features.connect(self._on_changed)
        layer.events.data.connect(self._on_data)
        self._tidy()

    def disconnect(self) -> None:
        """Let go of the layer."""
        self.layer.events.features.disconnect(self._on_changed)
        self.layer.events.data.disconnect(self._on_data)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Name, kind and options of each shape; options that are not set are None."""
        return _rows(self.layer)

    def draw(self, kind: str) -> None:
        """Let the next shapes be of a kind, and put the pencil in the person's hand."""
        with self.layer.block_update_properties():  # the selected ones stay what they are
            self.layer.feature_defaults = _row("", kind)
            self.layer.current_edge_color = COLORS[kind]
        self.layer.selected_data = set()
        self.layer.mode = _DRAWN_AS.get(kind, "add_rectangle")

    def set(self, index: int, **values: Any) -> None:
        """Change name, kind or options of a shape."""
        rows = self.rows
        rows[index] |= values
        self._write(rows)

    def add(self, regions: Sequence[Region]) -> None:
        """Add regions to those that are there; names that are taken get a number."""
        rows = self.rows
        for region in regions:
            self.layer.add(region.vertices[:, ::-1], shape_type=region.shape)
            rows.append({"name": region.name, "kind": region.kind, **region.options})
        self._write(rows)

    def _on_data(self, event: Any) -> None:
        if event.action == "changed":  # moved or resized
            self.changed.emit()

    def _on_changed(self, event: Any = None) -> None:
        # While a shape is being drawn its row may not be there yet.
        if not self._tidying and len(self.layer.features) == self.layer.nshapes:
            self._tidy()
            self.changed.emit()

    def _tidy(self) -> None:
        rows = self.rows
        if _table(rows).equals(self.layer.features) and self._colored_as(rows):
            return
        self._write(rows, tell=False)

    def _colored_as(self, rows: Sequence[Mapping[str, Any]]) -> bool:
        wanted = [_rgb(COLORS[row["kind"]]) for row in rows]
        return not rows or np.allclose(self.layer.edge_color[:, :3], wanted, atol=1e-3)

    def _write(self, rows: Sequence[Mapping[str, Any]], tell: bool = True) -> None:
        self._tidying = True
        try:
            self.layer.features = _table(_named(rows))  # which draws the names anew
            if not self._colored_as(rows):
                self.layer.edge_color = [COLORS[row["kind"]] for row in rows]
        finally:
            self._tidying = False
        if tell:
            self.changed.emit()


def regions_in(layers: Sequence[Shapes | None], sizes: Sequence[tuple[int, int]]) -> Regions:
    """Regions of all views.

    Parameters
    ----------
    layers : sequence of Shapes or None
        Of each view.
    sizes : sequence of (int, int)
        Rows and columns of each view's frames.

    Returns
    -------
    Regions
        A name that an earlier view has already is followed by the view's number.

    Raises
    ------
    ValueError
        When a shape cannot be a region.
    """
    found: list[Region] = []
    for view, layer in enumerate(layers):
        taken = {region.name for region in found}
        for region in regions_of(layer, view) if layer is not None else ():
            name = f"{region.name} of view {view}" if region.name in taken else region.name
            found.append(replace(region, name=name))
    return Regions(tuple(found), tuple(sizes))


def _width(video: Layer) -> float:
    return max(1.0, 0.003 * max(frame_size(video)))


def _nobody() -> None:
    return None


def _row(name: str, kind: str) -> pd.DataFrame:
    return _table([{"name": name, "kind": kind}])


def _table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Features: text, and numbers with NaN for what is not set."""
    columns = {
        column: [row.get(column) for row in rows]
        if column in ("name", "kind")
        else [np.nan if row.get(column) is None else float(row[column]) for row in rows]
        for column in _COLUMNS
    }
    dtypes = {c: object if c in ("name", "kind") else float for c in _COLUMNS}
    return pd.DataFrame(columns).astype(dtypes)


def _rows(layer: Shapes) -> list[dict[str, Any]]:
    """Rows of `_table`, mended: kinds are known, names are there and unique."""
    table = layer.features
    rows = []
    for k in range(layer.nshapes):
        row = table.iloc[k].to_dict() if k < len(table) else {}
        kind = row.get("kind")
        mended: dict[str, Any] = {
            "name": str(row.get("name") or ""),
            "kind": kind if kind in KINDS else "motion",
        }
        for option in _OPTIONS:
            value = row.get(option, np.nan)
            there = isinstance(value, int | float) and np.isfinite(value)
            mended[option] = (bool(value) if option == "bright" else value) if there else None
        rows.append(mended)
    return _named(rows)


def _named(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Give names to those without, and the next number to those whose name is taken."""
    taken: set[str] = set()
    named = []
    for row in rows:
        name = str(row["name"]).strip() or f"{row['kind']} 1"
        while name in taken:
            stem, number = _NUMBERED.fullmatch(name).groups()  # type: ignore[union-attr]
            name = f"{stem} {int(number or 1) + 1}"
        taken.add(name)
        named.append({**row, "name": name})
    return named


def _rgb(color: str) -> tuple[float, ...]:
    return tuple(int(color[k : k + 2], 16) / 255 for k in (1, 3, 5))
