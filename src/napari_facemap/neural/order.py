"""Orders of neurons in which those that go together lie side by side."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np

ORDERS = ("first component", "rastermap")
_MOST_TIMES = 4000  # are looked at: a order needs no more


def known_orders() -> list[str]:
    """Those that can be computed here: rastermap is a package of its own."""
    return [name for name in ORDERS if name != "rastermap" or find_spec("rastermap")]


def neuron_order(activity: np.ndarray, by: str = "first component") -> np.ndarray:
    """Sort neurons.

    Parameters
    ----------
    activity : ndarray, shape (neuron, time)
        Finite. Of long recordings evenly spaced samples are looked at.
    by : {"first component", "rastermap"}
        By each z-scored neuron's weight in the first principal component, or as Rastermap
        (Stringer et al., Nature Neuroscience 2025) sorts, when that package is installed.

    Returns
    -------
    ndarray of int, shape (neuron,)
        Rows of `activity`; neurons that do not change come last.

    Raises
    ------
    ValueError
        When the order is not known here.
    """
    if by not in known_orders():
        raise ValueError(
            f"Expected an order of {', '.join(known_orders())}; found {by!r}."
            + (" Install it with: pip install rastermap" if by == "rastermap" else "")
        )
    some = np.asarray(activity[:, :: max(1, activity.shape[1] // _MOST_TIMES)], np.float32)
    spread = some.std(axis=1)
    moving = np.flatnonzero(spread > 0)
    still = np.flatnonzero(~(spread > 0))
    if len(moving) < 2:
        return np.concatenate([moving, still])
    scored = some[moving]
    scored = (scored - scored.mean(axis=1, keepdims=True)) / spread[moving, None]
    ranks = _by_rastermap(scored) if by == "rastermap" else np.argsort(-_weights(scored))
    return np.concatenate([moving[ranks], still])


def _weights(scored: np.ndarray) -> np.ndarray:
    """Of each neuron in the first component; the largest is positive."""
    weights = np.random.default_rng(0).standard_normal(len(scored)).astype(np.float32)
    for _ in range(50):  # by powers: neighbours in rank may be told apart badly, and do not matter
        weights = scored @ (scored.T @ weights)
        weights /= np.linalg.norm(weights)
    return weights * np.sign(weights[np.abs(weights).argmax()])


def _by_rastermap(scored: np.ndarray) -> np.ndarray:
    from rastermap import Rastermap

    few = min(100, len(scored) // 2)
    model = Rastermap(n_clusters=few, n_PCs=min(128, *scored.shape), verbose=False)
    return np.asarray(model.fit(scored).isort)
