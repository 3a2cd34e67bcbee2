"""Keypoints on disk, in the layout that Facemap reads and writes.

``Facemap/<keypoint>/{x, y, likelihood}`` is Facemap's own, one float32 value a frame, and holds
the points as they are now, edits included; Facemap opens it. What Facemap has no place for lies
beside it under ``napari_facemap``: times in seconds, which points were edited, what error the
tracker expects and what it had found before cleaning and edits (where the poses carry it), and as
attributes where the result came from and how it was cleaned.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr

from napari_facemap.files.atomic import atomic_path
from napari_facemap.keypoints.poses import check_poses, make_poses

LAYOUT_VERSION = 1
_EXTRAS = ("expected_error", "tracked_position", "tracked_confidence", "cleaned_position")


class PosesFileError(ValueError):
    """A keypoint file that is missing, damaged or something else."""


def write_poses(poses: xr.Dataset, path: str | Path) -> None:
    """Write poses as a ``_FacemapPose.h5`` file.

    Parameters
    ----------
    poses : xarray.Dataset
        As from `track`. Further variables are kept when they are there: ``expected_error``,
        ``tracked_position`` and ``tracked_confidence`` (what the tracker found, before cleaning
        and edits), and ``cleaned_position`` (before edits).
    path : str or Path
        Where the file is to be. It appears whole or not at all.

    Raises
    ------
    ValueError
        When `poses` is not poses, or a keypoint's name contains "/".
    """
    check_poses(poses)
    names = [str(name) for name in poses["keypoint"].values]
    if any("/" in name for name in names):
        raise ValueError(f"{path}: keypoint names may not contain '/'; found {names}.")
    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        for k, name in enumerate(names):
            group = file.create_group(f"Facemap/{name}")
            group["x"] = poses["position"].values[:, 0, k].astype(np.float32)
            group["y"] = poses["position"].values[:, 1, k].astype(np.float32)
            group["likelihood"] = poses["confidence"].values[:, k].astype(np.float32)
        extra = file.create_group("napari_facemap")
        extra.attrs["layout_version"] = LAYOUT_VERSION
        extra["keypoints"] = names
        extra["times"] = poses["time"].values
        extra.create_dataset("edited", data=poses["edited"].values, compression="gzip")
        for name in _EXTRAS:
            if name in poses:
                extra.create_dataset(name, data=poses[name].values, compression="gzip")
        provenance = extra.create_group("provenance")
        for key, value in poses.attrs.items():
            provenance.attrs[str(key)] = value


def read_poses(path: str | Path) -> xr.Dataset:
    """Read poses from our files, and from Facemap's of version 1.0 and of those before.

    Parameters
    ----------
    path : str or Path
        A ``_FacemapPose.h5`` file.

    Returns
    -------
    xarray.Dataset
        Poses. Facemap's files hold no times: then ``time`` counts frames and
        ``attrs["times_known"]`` is 0.

    Raises
    ------
    PosesFileError
        When the file is missing, damaged or holds no keypoints.
    """
    path = Path(path)
    if not path.is_file():
        raise PosesFileError(f"{path}: no such keypoint file.")
    try:
        with h5py.File(path, "r") as file:
            if "Facemap" in file:
                return _read_groups(file)
            if "df_with_missing" in file:
                return _read_pandas_table(file["df_with_missing"])
            found = ", ".join(sorted(file)) or "nothing"
    except OSError as error:
        raise PosesFileError(
            f"{path}: expected an HDF5 file with keypoints, but it cannot be opened as one. "
            "Choose a _FacemapPose.h5 file, or track the video again."
        ) from error
    except (KeyError, IndexError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise PosesFileError(
            f"{path}: its keypoints are damaged or incomplete: {error}."
        ) from error
    raise PosesFileError(
        f"{path}: expected keypoints in a group 'Facemap', found {found}. "
        "Choose a _FacemapPose.h5 file."
    )


def _read_groups(file: h5py.File) -> xr.Dataset:
    facemap = file["Facemap"]
    extra = file.get("napari_facemap")
    names = list(extra["keypoints"].asstr()) if extra is not None else list(facemap)
    if not names:
        raise ValueError("the group 'Facemap' is empty")
    columns = {
        part: np.stack([facemap[name][part][:] for name in names], axis=1)
        for part in ("x", "y", "likelihood")
    }
    position = np.stack([columns["x"], columns["y"]], axis=1)
    if extra is None:
        return _without_times(position, columns["likelihood"], names)
    attrs = {key: _plain(value) for key, value in extra["provenance"].attrs.items()}
    poses = make_poses(
        position, columns["likelihood"], names, extra["times"][:], extra["edited"][:], attrs
    )
    for name in _EXTRAS:
        if name in extra:
            like = "position" if name.endswith("position") else "confidence"
            poses[name] = (poses[like].dims, extra[name][:])
    return poses


def _read_pandas_table(table: h5py.Group) -> xr.Dataset:
    """Read a pandas "fixed" or "table" HDF with columns scorer / bodypart / x, y, likelihood."""
    if "block0_values" not in table:
        raise ValueError("the table of an old Facemap file is not in pandas' fixed format")
    levels = [[_text(v) for v in table[f"axis0_level{k}"][:]] for k in range(3)]
    labels = [table[f"axis0_label{k}"][:] for k in range(3)]
    columns = list(
        zip(
            *([level[i] for i in label] for level, label in zip(levels, labels, strict=True)),
            strict=False,
        )
    )
    items = [table[f"block0_items_label{k}"][:] for k in range(3)]
    item_levels = [[_text(v) for v in table[f"block0_items_level{k}"][:]] for k in range(3)]
    stored = list(
        zip(
            *([level[i] for i in label] for level, label in zip(item_levels, items, strict=True)),
            strict=False,
        )
    )
    values = {column: table["block0_values"][:, k] for k, column in enumerate(stored)}
    names = list(dict.fromkeys(bodypart for _, bodypart, _ in columns))
    scorer = columns[0][0]

    def stack(part: str) -> np.ndarray:
        return np.stack([values[scorer, name, part] for name in names], axis=1)

    position = np.stack([stack("x"), stack("y")], axis=1)
    return _without_times(position, stack("likelihood"), [_RENAMED.get(n, n) for n in names])


_RENAMED = {
    "whisker(c1)": "whisker(I)",
    "whisker(d2)": "whisker(III)",
    "whisker(c2)": "whisker(III)",
    "whisker(d1)": "whisker(II)",
}


def _without_times(position: np.ndarray, confidence: np.ndarray, names: list[str]) -> xr.Dataset:
    return make_poses(
        position, confidence, names, np.arange(len(position)), attrs={"times_known": 0}
    )


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _plain(value: Any) -> Any:
    return _text(value) if isinstance(value, bytes | str) else value
