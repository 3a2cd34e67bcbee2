from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_facemap.keypoints.decode import decode_maps, peak_share


@given(row=st.floats(0, 63), column=st.floats(0, 63))
def test_true_maps_give_back_the_place_to_rounding(row, column):
    axis = torch.arange(64.0)
    d_row, d_column = torch.meshgrid(axis - row, axis - column, indexing="ij")
    heat = torch.exp(-(d_row**2 + d_column**2) / 18)[None, None]
    xy, _ = decode_maps(heat, d_row[None, None] / 6, d_column[None, None] / 6)
    expected = torch.tensor([[[column * 4], [row * 4]]])
    torch.testing.assert_close(xy, expected, atol=1e-3, rtol=0)


def test_share_tells_one_peak_from_many_and_from_none():
    heat = torch.zeros(1, 4, 64, 64)
    heat[0, 0, 10, 20] = 7
    heat[0, 1, 10, 20] = heat[0, 1, 50, 50] = 0.01
    heat[0, 2] = 1
    share = peak_share(heat)[0]
    torch.testing.assert_close(share[:2], torch.tensor([1.0, 0.5]))
    assert share[2] < 0.1
    assert share[3] == 0
