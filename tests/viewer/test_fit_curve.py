from __future__ import annotations

import numpy as np

from napari_facemap.viewer.fit_curve import FitCurve


def test_the_axis_counts_whole_steps_from_the_first_point_on(qtbot):
    curve = FitCurve("error (%)", ("95th percentile", "median"), scale=1.0, rises=False)
    qtbot.addWidget(curve)
    assert curve.isHidden()
    curve.watch(0, 2.0, 1.0)
    left, right = curve.plot.viewRange()[0]
    assert -1 < left <= 0 < 1 <= right < 2
    assert curve.plot.getAxis("bottom").autoSIPrefixScale == 1.0
    curve.watch(240, np.nan, 0.5)
    left, right = curve.plot.viewRange()[0]
    assert -20 < left <= 0 < 240 <= right < 260
