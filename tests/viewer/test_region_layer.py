from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Shapes

from napari_facemap.files.regions import read_regions, write_regions
from napari_facemap.movement.regions import Region, Regions
from napari_facemap.viewer.region_layer import (
    COLORS,
    RegionLayer,
    layer_for_regions,
    region_layer_data,
    region_layer_of,
    regions_in,
    regions_of,
)

REGIONS = (
    Region.ellipse("left pupil", "pupil", 30, 20, 8, 6),
    Region("pad", "motion", [[2, 3], [20, 4], [9, 15]], "polygon"),
    Region.rectangle("belt", "running", 5, 40, 60, 55),
)
BOX = np.array([[10.0, 10], [10, 20], [20, 20], [20, 10]])


def _layer(regions=REGIONS):
    data, attributes, _ = region_layer_data(regions, "regions")
    return Shapes(data, **attributes)


def test_regions_come_back_from_their_layer():
    options = {"threshold": 70.0, "mm_per_pixel": 0.01}
    pupil = Region("eye", "pupil", REGIONS[0].vertices, "ellipse", options=options)
    back = regions_of(_layer((pupil, *REGIONS[1:])))
    for expected, found in zip((pupil, *REGIONS[1:]), back, strict=True):
        assert (found.name, found.kind, found.shape) == (
            expected.name, expected.kind, expected.shape,
        )  # fmt: skip
        np.testing.assert_allclose(found.vertices, expected.vertices)
        assert found.options == expected.options


def test_drawn_shapes_get_names_kinds_and_colours():
    layer = _layer(())
    controller = RegionLayer(layer)
    told = []
    controller.changed.connect(lambda: told.append(len(layer.data)))
    controller.draw("pupil")
    assert layer.mode == "add_ellipse"
    layer.add(BOX, shape_type="ellipse")
    controller.draw("motion")
    assert layer.mode == "add_rectangle"
    layer.add(BOX + 20)
    layer.add(BOX + 40)
    assert [r["name"] for r in controller.rows] == ["pupil 1", "motion 1", "motion 2"]
    assert [r.kind for r in regions_of(layer)] == ["pupil", "motion", "motion"]
    assert told
    layer.selected_data = {0}
    controller.draw("blink")  # the pupil stays one though it was selected
    assert controller.rows[0]["kind"] == "pupil"
    hexes = ["#" + "".join(f"{round(255 * c):02x}" for c in rgba[:3]) for rgba in layer.edge_color]
    assert hexes == [COLORS["pupil"], COLORS["motion"], COLORS["motion"]]


def test_names_that_are_taken_get_a_number():
    layer = _layer()
    controller = RegionLayer(layer)
    controller.set(1, name="left pupil")
    assert [r["name"] for r in controller.rows] == ["left pupil", "left pupil 2", "belt"]
    controller.set(1, name="  ")
    assert controller.rows[1]["name"] == "motion 1"
    controller.add([REGIONS[2]])
    assert [r["name"] for r in controller.rows][-1] == "belt 2"


def test_a_copy_in_the_layer_is_a_region_of_its_own():
    layer = _layer()
    controller = RegionLayer(layer)
    layer.selected_data = {0}
    layer._copy_data()
    layer._paste_data()
    assert [r["name"] for r in controller.rows] == ["left pupil", "pad", "belt", "left pupil 2"]
    layer.remove([0])
    assert [r["name"] for r in controller.rows] == ["pad", "belt", "left pupil 2"]
    assert [r["kind"] for r in controller.rows] == ["motion", "running", "pupil"]


def test_lines_are_no_regions():
    layer = _layer()
    layer.add(np.array([[0.0, 0], [5, 5]]), shape_type="line")
    assert len(regions_of(layer)) == 3


def test_a_changed_kind_takes_its_own_options():
    layer = _layer()
    controller = RegionLayer(layer)
    controller.set(0, threshold=80.0, mm_per_pixel=0.02)
    assert regions_of(layer)[0].options["threshold"] == 80
    controller.set(0, kind="blink")
    assert regions_of(layer)[0].options == {"threshold": 80}


def test_layers_of_two_videos(viewer, add_video):
    first, second = add_video(viewer), add_video(viewer)
    layers = [layer_for_regions(viewer, video) for video in (first, second)]
    assert region_layer_of(viewer, first) is layers[0]
    assert layer_for_regions(viewer, second) is layers[1]
    for layer in layers:
        RegionLayer(layer).draw("motion")
        layer.add(BOX)
    found = regions_in(layers, [(60, 80), (60, 80)])
    assert [(r.name, r.view) for r in found] == [("motion 1", 0), ("motion 1 of view 1", 1)]


def test_regions_opened_before_their_video_go_to_it(viewer, add_video):
    data, attributes, _ = region_layer_data(REGIONS, "regions")
    layer = viewer.add_shapes(data, **attributes)
    video = add_video(viewer)
    video.translate = (0, 100, 200)
    assert region_layer_of(viewer, video) is layer
    assert tuple(layer.translate) == (100, 200)
    other = add_video(viewer)
    assert region_layer_of(viewer, other) is None


def test_saving_and_opening_in_napari(viewer, add_video, tmp_path):
    from napari_facemap.viewer.motion_files import (
        get_region_reader,
        read_region_layers,
        write_region_layer,
    )

    video = add_video(viewer)
    layer = layer_for_regions(viewer, video)
    RegionLayer(layer).add(REGIONS)
    data, attributes, _ = layer.as_layer_data_tuple()
    path = tmp_path / "mine"
    (written,) = write_region_layer(str(path), data, attributes)
    assert written == str(tmp_path / "mine.json")
    saved = read_regions(written)
    assert saved.sizes == ((60, 80),)
    assert [r.name for r in saved] == [r.name for r in REGIONS]
    assert get_region_reader(written) is read_region_layers
    ((again, found, kind),) = read_region_layers(written)
    assert kind == "shapes"
    assert len(again) == 3
    assert found["features"]["kind"].tolist() == ["pupil", "motion", "running"]
    other = tmp_path / "other.json"
    other.write_text('{"a": 1}')
    assert get_region_reader(str(other)) is None
    assert get_region_reader(str(tmp_path / "none.json")) is None


def test_ordinary_shapes_are_not_saved_as_regions(tmp_path):
    from napari_facemap.viewer.motion_files import write_region_layer

    data, attributes, _ = Shapes([BOX], name="boxes").as_layer_data_tuple()
    with pytest.raises(ValueError, match="boxes"):
        write_region_layer(str(tmp_path / "r.json"), data, attributes)
    assert not list(tmp_path.iterdir())


def test_regions_of_two_views_are_two_layers(tmp_path):
    from napari_facemap.viewer.motion_files import read_region_layers

    side = Region("side", "motion", REGIONS[1].vertices, "polygon", view=1)
    path = write_regions(Regions((*REGIONS, side), ((60, 80), (30, 40))), tmp_path / "two.json")
    first, second = read_region_layers(str(path))
    assert len(first[0]) == 3
    assert second[1]["name"] == "two of view 1"
