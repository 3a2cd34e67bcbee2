"""Saving keypoint layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_facemap.viewer.layers import STORE


def write_keypoints(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Save all frames of a keypoint layer in Facemap's layout.

    Parameters
    ----------
    path : str
        Where the file is to be; ``.h5`` is added when it has no such ending.
    data : ndarray
        The rows that napari shows, one frame of them. What is saved comes from the store.
    attributes : dict
        Of the layer, its metadata included.

    Returns
    -------
    list of str
        The file that was written.

    Raises
    ------
    ValueError
        When the layer is not a keypoint layer.
    """
    from napari_facemap.files.poses import write_poses

    store = attributes.get("metadata", {}).get(STORE)
    if store is None:
        raise ValueError(
            f"{path}: layer {attributes.get('name')!r} holds ordinary points, not keypoints of a "
            "video. Save it with napari's own points writer (.csv)."
        )
    file = Path(path)
    if file.suffix.lower() != ".h5":
        file = file.with_name(file.name + ".h5")
    write_poses(store.to_poses(), file)
    return [str(file)]
