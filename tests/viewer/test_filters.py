from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from scipy import ndimage

from napari_facemap.viewer.filters import filter_video, filtered

FRAMES = np.random.default_rng(0).integers(0, 256, (50, 20, 24), np.uint8)


@pytest.mark.parametrize("chunk", [1, 7, 50])
def test_filters_are_the_same_in_every_chunk(chunk):
    lazy = da.from_array(FRAMES, chunks=(chunk, 20, 24))
    smooth = ndimage.gaussian_filter(FRAMES, (0, 2, 2), mode="nearest")
    np.testing.assert_array_equal(filtered(lazy, "smooth", 2.0).compute(), smooth)
    median = ndimage.median_filter(FRAMES, (1, 3, 3), mode="nearest")
    np.testing.assert_array_equal(filtered(lazy, "remove specks", 1.0).compute(), median)
    movement = np.abs(np.diff(FRAMES.astype(int), axis=0))
    found = filtered(lazy, "movement", 1.0).compute()
    np.testing.assert_array_equal(found[1:], movement)
    assert found[0].max() == 0


def test_the_widget_gives_a_layer_on_the_same_clock(viewer, add_video):
    layer = add_video(viewer, n_frames=30)
    data, attributes, kind = filter_video()(video=layer, kind="movement")
    added = viewer._add_layer_from_data(data, attributes, kind)[0]
    assert added.data.shape == layer.data.shape
    np.testing.assert_array_equal(added.scale, layer.scale)
    assert "napari_facemap video" not in added.metadata


def test_other_layers_are_refused(viewer):
    layer = viewer.add_image(np.zeros((5, 5)))
    with pytest.raises(ValueError, match="grey video"):
        filter_video()(video=layer)
