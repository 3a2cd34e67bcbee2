from __future__ import annotations

import re

import pytest

from napari_facemap.keypoints.skeleton import (
    FACEMAP_KEYPOINTS,
    GROUPS,
    KEYPOINTS,
    color_of,
    group_of,
)


def test_facemaps_order_is_kept():
    assert len(FACEMAP_KEYPOINTS) == 15
    assert FACEMAP_KEYPOINTS[-3:] == ("whisker(I)", "whisker(III)", "whisker(II)")
    assert KEYPOINTS[:15] == FACEMAP_KEYPOINTS


def test_every_keypoint_has_one_group_and_its_own_colour():
    assert sorted(name for members in GROUPS.values() for name in members) == sorted(KEYPOINTS)
    assert len({color_of(name) for name in KEYPOINTS}) == len(KEYPOINTS)


@pytest.mark.parametrize("name", ["tail", "ear(left)", "tongue (tip)"])
def test_other_names_get_a_group_and_a_steady_colour(name):
    assert re.fullmatch("#[0-9a-f]{6}", color_of(name))
    assert color_of(name) == color_of(name)
    assert group_of(name) == name.split("(")[0].strip()
