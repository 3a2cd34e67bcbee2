from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_facemap.movement.regions import KINDS, OPTIONS, Region, Regions

SIZE = (120, 160)


def _turned(vertices, degrees, about):
    turn = np.deg2rad(degrees)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return (np.asarray(vertices, float) - about) @ matrix.T + about


def test_an_upright_rectangle_holds_its_corners():
    region = Region.rectangle("a", "motion", 10, 20, 14, 22)
    assert region.window(*SIZE) == (20, 23, 10, 15)
    assert region.mask(*SIZE).all()


@pytest.mark.parametrize("degrees", [0, 30, 45, 200])
def test_shapes_may_be_turned(degrees):
    corners = _turned([[50, 40], [110, 40], [110, 80], [50, 80]], degrees, [80, 60])
    area = {
        shape: Region("a", "motion", corners, shape).mask(*SIZE).sum()
        for shape in ("rectangle", "ellipse", "polygon")
    }
    assert abs(area["rectangle"] / (61 * 41) - 1) < 0.06
    assert abs(area["ellipse"] / (np.pi * 30 * 20) - 1) < 0.02
    assert abs(area["polygon"] / area["rectangle"] - 1) < 0.04


def test_edges_of_a_polygon_belong_to_it():
    square = [[5, 5], [9, 5], [9, 9], [5, 9]]
    for corners in (square, square[::-1]):
        assert Region("a", "motion", corners, "polygon").mask(*SIZE).sum() == 25


@given(x=st.floats(20, 140), y=st.floats(20, 100), a=st.floats(1, 60), b=st.floats(1, 60))
def test_a_mask_is_the_pixels_whose_centres_lie_inside(x, y, a, b):
    region = Region.ellipse("a", "pupil", x, y, a, b)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    expected = ((columns - x) / a) ** 2 + ((rows - y) / b) ** 2 <= 1 + 1e-9
    window = region.window(*SIZE)
    assert np.array_equal(region.mask(*SIZE), window.of(expected))
    assert region.mask(*SIZE).sum() == expected.sum()


def test_what_sticks_out_is_cut_off_and_what_lies_outside_is_refused():
    region = Region.rectangle("edge", "motion", -50, -50, 4, 3)
    assert region.window(*SIZE) == (0, 4, 0, 5)
    with pytest.raises(ValueError, match=r"'gone'.*nothing of it inside"):
        Region.rectangle("gone", "motion", 500, 5, 600, 50).window(*SIZE)


def test_regions_are_stretched_with_their_frames():
    region = Region.ellipse("a", "pupil", 50, 40, 21, 15)
    drawn = Regions((region,), (SIZE,))
    larger = drawn.fitted_to([(240, 320)])
    assert larger.sizes == ((240, 320),)
    # Pixels are squares: the same part of the frame is covered.
    assert larger[0].mask(240, 320).sum() / region.mask(*SIZE).sum() == pytest.approx(4, rel=0.06)
    back = larger.fitted_to([SIZE])[0].vertices
    np.testing.assert_allclose(back, region.vertices, atol=1e-9)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("pupil", {"threshold": np.nan}),
        ("pupil", {"threshold": "60"}),
        ("blink", {"threshold": None}),
        ("pupil", {"bright": 1.0}),
        ("pupil", {"mm_per_pixel": 0.0}),
        ("running", {"cm_per_pixel": -2}),
    ],
)
def test_options_that_mean_nothing_are_refused(kind, options):
    (name,) = options
    with pytest.raises(ValueError, match=f"'a'.* as its {name}"):
        Region("a", kind, [[0, 0], [9, 0], [9, 9], [0, 9]], options=options)


def test_options_are_those_of_the_kind():
    for kind in KINDS:
        assert Region.rectangle("a", kind, 0, 0, 9, 9).options == OPTIONS[kind]
    region = Region("a", "pupil", [[0, 0], [9, 0], [9, 9], [0, 9]], options={"threshold": 40.0})
    assert region.options == {"threshold": 40.0, "bright": False, "mm_per_pixel": None}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": ""}, "a name for each region"),
        ({"kind": "tail"}, "'a'.*kind of motion, pupil"),
        ({"shape": "line"}, "'a'.*shape of rectangle"),
        ({"vertices": [[0, 0], [1, 1]]}, "'a'.*4 corners"),
        ({"vertices": [[0, 0], [1, 1]], "shape": "polygon"}, "3 or more"),
        ({"vertices": [[0, 0], [1, 0], [1, np.nan], [0, 1]]}, "finite"),
        ({"options": {"threshold": 3.0}}, "'a'.*options of none for motion; found threshold"),
    ],
)
def test_what_is_no_region_is_said(changes, words):
    given_ = {"name": "a", "kind": "motion", "vertices": [[0, 0], [1, 0], [1, 1], [0, 1]]}
    with pytest.raises(ValueError, match=words):
        Region(**(given_ | changes))


def test_views_and_names_are_checked():
    a, b = (Region.rectangle(n, "motion", 0, 0, 9, 9) for n in "ab")
    with pytest.raises(ValueError, match="several called a"):
        Regions((a, a), (SIZE,))
    other = Region("c", "motion", a.vertices, view=1)
    with pytest.raises(ValueError, match=r"'c'.*view of 0 to 0"):
        Regions((a, b, other), (SIZE,))
    both = Regions((a, b, other), (SIZE, SIZE))
    assert both.of("motion") == [a, b, other]
    assert both.of("motion", 1) == [other]
    assert both.of("pupil") == []
    assert len(both) == 3
    with pytest.raises(ValueError, match=r"Expected 2 videos.*found 1"):
        both.fitted_to([SIZE])
