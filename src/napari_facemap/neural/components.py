"""A prediction seen through the neural principal components."""

from __future__ import annotations

import numpy as np
import xarray as xr

from napari_facemap.neural.encoder import Encoder
from napari_facemap.neural.scores import variance_explained
from napari_facemap.neural.targets import N_COMPONENTS, NeuralSpace


def component_prediction(
    prediction: xr.Dataset, encoder: Encoder | None = None, n_components: int = N_COMPONENTS
) -> xr.Dataset:
    """Project measured and predicted activity onto neural principal components.

    Parameters
    ----------
    prediction : xarray.Dataset
        As from `predict_recording`.
    encoder : Encoder, optional
        Whose components are taken. Those of the measured activity at times that are not tested
        are found, where it predicts neurons directly or is not given.
    n_components : int
        Components at most, where they have to be found.

    Returns
    -------
    xarray.Dataset
        ``measured (component, time)``; ``predicted (component, time)``, NaN where there is no
        behaviour; ``variance_explained (component)`` and ``test (time)`` as of the neurons. The
        coordinate ``component`` counts from 1, the largest variance first.

    Raises
    ------
    ValueError
        When no neuron changes.
    """
    test = prediction["test"].values
    measured = prediction["measured"].values
    space = encoder.space if encoder is not None else None
    if space is None or space.components is None:
        # Where all times are tested, there is nothing else to find them on.
        space = NeuralSpace.of_components(
            measured, n_components, ~test if (~test).sum() > 1 else test
        )
    scores = [space.to_targets(of).T for of in (measured, prediction["predicted"].values)]
    return xr.Dataset(
        {
            "measured": (("component", "time"), scores[0]),
            "predicted": (("component", "time"), scores[1]),
            "variance_explained": (
                "component", variance_explained(*(of[:, test] for of in scores))
            ),
            "test": ("time", test),
        },
        coords={
            "component": np.arange(1, space.n_targets + 1),
            "time": prediction["time"],
        },
    )  # fmt: skip
