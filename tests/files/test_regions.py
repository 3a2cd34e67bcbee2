from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_facemap.files.regions import (
    RegionsFileError,
    read_regions,
    regions_from_text,
    regions_to_text,
    write_regions,
)
from napari_facemap.movement.regions import OPTIONS, Region, Regions


@pytest.fixture
def regions():
    return Regions(
        (
            Region.rectangle("whisker pad", "motion", 10, 20, 99, 79),
            Region("nose “tip”\n", "motion", [[1, 2], [3, 4.5], [0.1, 7]], "polygon", view=1),
            Region(
                "pupil",
                "pupil",
                [[30.5, 20], [60, 25], [58, 50], [28, 45]],
                "ellipse",
                options={"threshold": 45.5, "bright": True, "mm_per_pixel": 0.0123},
            ),
            Region.ellipse("glint", "glint", 50, 40, 3, 2.5),
        ),
        ((480, 640), (300, 200)),
    )


def same(a: Regions, b: Regions) -> bool:
    def told(regions: Regions):
        return [
            (r.name, r.kind, r.shape, r.view, r.vertices.tolist(), dict(r.options))
            for r in regions
        ]

    return told(a) == told(b) and a.sizes == b.sizes


def test_what_is_read_is_what_was_written(regions, tmp_path):
    path = write_regions(regions, tmp_path / "regions.json")
    assert same(read_regions(path), regions)
    assert list(tmp_path.iterdir()) == [path]
    bright = read_regions(path)[2].options["bright"]
    assert bright is True


number = st.floats(-1e6, 1e6, allow_nan=False)


@given(
    st.text(min_size=1),
    st.sampled_from(sorted(OPTIONS)),
    st.lists(st.tuples(number, number), min_size=3, max_size=6),
    st.floats(0, 255),
)
def test_any_region_survives(name, kind, vertices, threshold):
    options = {"threshold": threshold} if "threshold" in OPTIONS[kind] else {}
    regions = Regions((Region(name, kind, vertices, "polygon", options=options),), ((9, 9),))
    text = regions_to_text(regions).encode("utf-8").decode("utf-8")
    assert same(regions_from_text(text, "text"), regions)


def test_people_can_read_it(regions, tmp_path):
    text = write_regions(regions, tmp_path / "regions.json").read_text(encoding="utf-8")
    assert '"vertices": [[10.0, 20.0], [99.0, 20.0], [99.0, 79.0], [10.0, 79.0]]' in text
    assert '"frames": [{"rows": 480, "columns": 640}, {"rows": 300, "columns": 200}]' in text
    assert json.loads(text)["version"] == 1


def test_no_regions_at_all(tmp_path):
    none = Regions((), ((4, 5),))
    assert same(read_regions(write_regions(none, tmp_path / "r.json")), none)


def test_options_that_json_cannot_hold(tmp_path):
    for value in (np.nan, np.inf, "60"):
        region = Region.ellipse("p", "pupil", 5, 5, 2, 2)
        region.options["threshold"] = value
        with pytest.raises(ValueError, match="threshold"):
            write_regions(Regions((region,), ((9, 9),)), tmp_path / "r.json")
    assert not list(tmp_path.iterdir())


def test_bad_json_gets_one_line(regions, tmp_path):
    path = tmp_path / "regions.json"
    with pytest.raises(RegionsFileError, match="no such file"):
        read_regions(path)
    whole = regions_to_text(regions)
    good = json.loads(whole)
    first = good["regions"][0]

    def changed(**new):
        return json.dumps({**good, **new})

    bad = [
        "",
        whole[:200],
        "[1, 2]",
        '{"format": "other"}',
        "[" * 100_000,
        changed(version=2),
        changed(frames=[{"rows": 0, "columns": 5}] * 2),
        changed(frames=[{"rows": 10}] * 2),
        changed(regions=[{**first, "kind": "tail"}]),
        changed(regions=[{**first, "shape": "line"}]),
        changed(regions=[{**first, "vertices": [[1, 2], [3]]}]),
        changed(regions=[{**first, "vertices": [[1, 2]] * 3}]),
        changed(regions=[{**first, "view": 7}]),
        changed(regions=[{**first, "name": 5}]),
        changed(regions=[{**first, "options": {"threshold": 3}}]),
        changed(regions=[first, first]),
        changed(regions=[{k: v for k, v in first.items() if k != "kind"}]),
        changed(regions=5),
        whole.replace("10.0", "NaN"),
    ]
    for text in bad:
        path.write_text(text)
        with pytest.raises(RegionsFileError, match=r"regions\.json: ") as caught:
            read_regions(path)
        assert "\n" not in str(caught.value), text
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RegionsFileError, match="other bytes"):
        read_regions(path)


def write_shapes(path, shapes, axes=2):
    """As napari saves shapes: one row a corner."""
    lines = ["index,shape-type,vertex-index," + ",".join(f"axis-{n}" for n in range(axes))]
    for n, (kind, corners) in enumerate(shapes):
        for m, corner in enumerate(corners):
            values = ",".join(map(str, [5.0] * (axes - 2) + list(corner)))
            lines.append(f"{float(n)},{kind},{float(m)},{values}")
    path.write_text("\n".join(lines) + "\n")


CORNERS = [(20.0, 10.0), (20.0, 40.5), (35.0, 40.5), (35.0, 10.0)]


@pytest.mark.parametrize("axes", [2, 3, 4])
def test_shapes_of_napari(tmp_path, axes):
    path = tmp_path / "shapes.csv"
    kinds = ("rectangle", "ellipse", "polygon")
    shapes = [(kind, CORNERS if n < 2 else CORNERS[:3]) for n, kind in enumerate(kinds)]
    write_shapes(path, shapes, axes)
    read = read_regions(path, size=(100, 200))
    assert read.sizes == ((100, 200),)
    assert [r.name for r in read] == ["region 1", "region 2", "region 3"]
    assert [r.kind for r in read] == ["motion"] * 3
    assert [r.shape for r in read] == list(kinds)
    np.testing.assert_array_equal(read[0].vertices, [(x, y) for y, x in CORNERS])
    np.testing.assert_array_equal(read[2].vertices, [(x, y) for y, x in CORNERS[:3]])


def test_shapes_that_are_no_regions(tmp_path):
    path = tmp_path / "shapes.csv"
    write_shapes(path, [("rectangle", CORNERS)])
    with pytest.raises(RegionsFileError, match=r"shapes\.csv.*size=\(rows, columns\)"):
        read_regions(path)
    for kind in ("line", "path"):
        write_shapes(path, [("rectangle", CORNERS), (kind, CORNERS[:2])])
        with pytest.raises(RegionsFileError, match=f"found otherwise: a '{kind}' in line 6"):
            read_regions(path, size=(9, 9))
    for text in (
        "",
        "a,b\n1,2\n",
        "index,shape-type,vertex-index,axis-0\n0,rectangle,0,1\n",
        "index,shape-type,vertex-index,axis-0,axis-1\n0,rectangle,0,1\n",
        "index,shape-type,vertex-index,axis-0,axis-1\n0,rectangle,0,1,nan\n",
        "index,shape-type,vertex-index,axis-0,axis-1\n0,rectangle,0,1,word\n",
        "index,shape-type,vertex-index,axis-0,axis-1\ninf,rectangle,0,1,1\n",
    ):
        path.write_text(text)
        with pytest.raises(RegionsFileError, match=r"shapes\.csv: expected") as caught:
            read_regions(path, size=(9, 9))
        assert "\n" not in str(caught.value)
