"""Folders of suite2p: traces, which of them are cells, where they lie and how fast they ran.

Of its files those with plain arrays are memory-mapped; those with pickles (``stat``, ``ops`` and,
from version 1.0, ``settings``, ``db`` and ``reg_outputs``) go through `load_plain`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from napari_facemap.files.matrices import (
    copy_rows,
    finite_rows,
    load_arrays,
    make_recording,
    pieces,
)
from napari_facemap.files.times import Clock
from napari_facemap.files.unpickle import load_plain
from napari_facemap.neural.recording import Footprint, Recording

NEUROPIL = 0.7
"""suite2p's share of the neuropil that is taken off, where a folder does not say its own."""

SIGNALS = {
    "spks": ("spks",),
    "F": ("F",),
    "F-Fneu": ("F", "Fneu"),
    "dF/F": ("F", "Fneu"),
}
"""What can be read, and the files that it takes."""

_FILES = ("spks.npy", "F.npy")
_SHARED_CLOCK = 1  # frames by which planes may differ in length: the last volume may be cut short


def find_planes(folder: str | Path) -> list[Path]:
    """Find the folders with suite2p's files of each plane.

    Parameters
    ----------
    folder : str or Path
        A plane's folder, the ``suite2p`` folder of several, or the folder that this is in.

    Returns
    -------
    list of Path
        In order of their numbers; empty where there are none.
    """
    folder = Path(folder)
    if any((folder / name).is_file() for name in _FILES):
        return [folder]
    for parent in (folder, folder / "suite2p"):
        found = [
            (int(number[1]), plane)
            for plane in (parent.iterdir() if parent.is_dir() else ())
            if (number := re.fullmatch(r"plane(\d+)", plane.name))
            and any((plane / name).is_file() for name in _FILES)
        ]
        if found:
            return [plane for _, plane in sorted(found)]
    return []


def read_suite2p(
    folder: str | Path,
    times: str | Path | np.ndarray | None = None,
    rate: float | None = None,
    *,
    signal: str = "spks",
    cells_only: bool = True,
) -> Recording:
    """Read a folder of suite2p, of any version.

    Planes are put one after another and taken as sampled at the same times. Neurons whose signal
    is not finite throughout are left out, and ``warnings`` names them.

    Parameters
    ----------
    folder : str or Path
        Of one plane, of several (``suite2p``), or the one above.
    times : str, Path or array-like, optional
        Seconds of the frames.
    rate : float, optional
        Frames a second (of one plane) instead. Without both the rate of ``settings.npy`` or
        ``ops.npy`` is used, and ``warnings`` says so.
    signal : {"spks", "F", "F-Fneu", "dF/F"}
        Deconvolved activity; fluorescence; fluorescence less neuropil, F - c Fneu with c as in the
        folder's settings, or 0.7; or that one's change over its median, (f - f0) / f0, which takes
        off no slow drift. Spikes of one plane stay a memory map when all its rows are kept.
    cells_only : bool
        Only what ``iscell.npy`` calls a cell.

    Returns
    -------
    Recording
        Names are suite2p's numbers, with the plane before them where there are several, as in
        ``plane0/12``; positions are suite2p's ``med``, with z counting the planes from 0.

    Raises
    ------
    ValueError
        When there is no such folder, its files do not fit together, or it holds a pickle of more
        than plain data. One line, with what to do.
    """
    folder = Path(folder)
    if signal not in SIGNALS:
        raise ValueError(f"{folder}: expected signal {', '.join(SIGNALS)}; found {signal}.")
    planes = [_Plane(path, signal, cells_only) for path in find_planes(folder)]
    if not planes:
        raise ValueError(
            f"{folder}: expected a folder of suite2p with spks.npy or F.npy, or with plane0, "
            "plane1, ..., found neither; choose the folder that suite2p wrote."
        )
    clock = Clock.said(folder, times, rate)
    n_frames, cut = _shared_length(folder, [plane.n_frames for plane in planes])
    clock, assumed = clock.or_rate(folder, *planes[0].rate())
    seconds = clock.seconds(folder, (sum(plane.n_rois for plane in planes), n_frames))
    activity, dropped = _activity(folder, planes, n_frames)
    remarks = [remark for plane in planes for remark in plane.remarks]
    return make_recording(
        folder,
        activity,
        seconds,
        remarks + cut + assumed + dropped,
        name=_name(folder),
        names=[
            str(roi) if len(planes) == 1 else f"{plane.path.name}/{roi}"
            for plane in planes
            for roi in plane.rows
        ],
        **_places(planes),
    )


class _Plane:
    """One plane's files, and which of its rows are kept."""

    def __init__(self, path: Path, signal: str, cells_only: bool) -> None:
        self.path, self.signal = path, signal
        self.remarks: list[str] = []
        self._read: dict[str, dict] = {}
        self.sources = [_matrix(path / f"{name}.npy") for name in SIGNALS[signal]]
        if len({source.shape for source in self.sources}) > 1:
            raise ValueError(
                f"{path}: expected F.npy and Fneu.npy of one shape, found "
                f"{' and '.join(str(source.shape) for source in self.sources)}; run suite2p's "
                "extraction again."
            )
        self.n_rois, self.n_frames = self.sources[0].shape
        self.rows = np.arange(self.n_rois)
        if cells_only:
            self.rows = self._cells()

    def _cells(self) -> np.ndarray:
        path = self.path / "iscell.npy"
        if not path.is_file():
            self.remarks.append(f"{path}: no such file; all {self.n_rois} ROIs are kept.")
            return self.rows
        iscell = np.asarray(load_arrays(path))
        labels = iscell[:, 0] if iscell.ndim == 2 and iscell.shape[1] else iscell
        if labels.shape != (self.n_rois,) or labels.dtype.kind not in "fiub":
            raise ValueError(
                f"{path}: expected a label for each of the {self.n_rois} ROIs, found shape "
                f"{iscell.shape}; it is of another run of suite2p."
            )
        return np.flatnonzero(labels > 0)

    def _settings(self, name: str) -> dict:
        if name not in self._read:
            path = self.path / name
            found = load_plain(path) if path.is_file() else {}
            if not isinstance(found, dict):
                raise ValueError(f"{path}: expected suite2p's dict, found {type(found).__name__}.")
            self._read[name] = found
        return self._read[name]

    def setting(self, *places: tuple[str, ...]) -> tuple[Any, str]:
        """Value at the first of some places (file, key, key, ...), and the file's name."""
        for file, *keys in places:
            found: Any = self._settings(file)
            for key in keys:
                found = found.get(key) if isinstance(found, dict) else None
            if found is not None:
                return found, file
        return None, ""

    def rate(self) -> tuple[float | None, str]:
        """Frames a second, and where it is said."""
        rate, file = self.setting(("settings.npy", "fs"), ("ops.npy", "fs"))
        number = isinstance(rate, int | float | np.number) and not isinstance(rate, bool)
        return (float(rate) if number else None), str(self.path / file)

    def neuropil(self) -> float:
        """Share of the neuropil that is taken off."""
        share, _ = self.setting(
            ("settings.npy", "extraction", "neuropil_coefficient"),
            ("ops.npy", "extraction", "neuropil_coefficient"),
            ("ops.npy", "neucoeff"),
        )
        if not isinstance(share, int | float | np.number) or not np.isfinite(share):
            share = NEUROPIL
            self.remarks.append(
                f"{self.path}: no neuropil coefficient in ops.npy or settings.npy; {NEUROPIL} "
                "was used."
            )
        return float(share)

    def mean_image(self) -> np.ndarray | None:
        """Mean of the registered frames."""
        image, _ = self.setting(
            ("reg_outputs.npy", "meanImg"), ("ops.npy", "meanImg"), ("db.npy", "meanImg")
        )
        fits = isinstance(image, np.ndarray) and image.ndim == 2 and image.dtype.kind in "fiu"
        return image if fits else None

    def fill(self, out: np.ndarray) -> None:
        """Write the kept rows; those without a baseline become NaN."""
        copy_rows(self.sources[0], self.rows, out.shape[1], out)
        if len(self.sources) == 1:
            return
        share = np.float32(self.neuropil())
        neuropil = self.sources[1]
        for part in pieces(*out.shape):
            with np.errstate(invalid="ignore", over="ignore"):  # looked at when all is done
                out[part] -= share * neuropil[self.rows[part], : out.shape[1]].astype(np.float32)
                if self.signal == "dF/F":
                    baseline = np.median(out[part], axis=1, keepdims=True)
                    baseline[~(baseline > 0)] = np.nan
                    out[part] /= baseline
                    out[part] -= 1

    def stat(self) -> tuple[np.ndarray, list[Footprint]] | None:
        """Centres (x, y) and footprints of the kept rows."""
        path = self.path / "stat.npy"
        if not path.is_file():
            return None
        stat = load_plain(path)
        if not isinstance(stat, np.ndarray | list) or len(stat) != self.n_rois:
            n = len(stat) if hasattr(stat, "__len__") else 0
            raise ValueError(
                f"{path}: expected an entry for each of the {self.n_rois} ROIs, found {n}; it "
                "is of another run of suite2p."
            )
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                footprints = [_footprint(stat[roi]) for roi in self.rows]
                centres = [stat[roi]["med"][1::-1] for roi in self.rows]
                return np.array(centres, np.float32).reshape(-1, 2), footprints
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ValueError(
                f"{path}: expected suite2p's ypix, xpix, lam and med of each ROI, found "
                f"otherwise ({' '.join(str(error).split())[:80]}); run suite2p again, or take "
                "the file away to read the folder without positions."
            ) from error


def _matrix(path: Path) -> np.ndarray:
    found = load_arrays(path)
    if not isinstance(found, np.ndarray) or found.ndim != 2 or found.dtype.kind not in "fiu":
        raise ValueError(
            f"{path}: expected suite2p's array of (ROI, frame), found "
            f"{getattr(found, 'dtype', 'an archive')} of shape {getattr(found, 'shape', '')}."
        )
    return found


def _footprint(roi: dict) -> Footprint:
    y, x = (np.asarray(roi[key]).ravel().astype(np.int32) for key in ("ypix", "xpix"))
    return y, x, np.asarray(roi["lam"], np.float32).ravel()


def _shared_length(folder: Path, lengths: list[int]) -> tuple[int, list[str]]:
    shortest, longest = min(lengths), max(lengths)
    if longest - shortest > _SHARED_CLOCK:
        raise ValueError(
            f"{folder}: expected planes of the same recording, found {lengths} frames; read the "
            "planes one by one."
        )
    if longest == shortest:
        return shortest, []
    return shortest, [
        f"{folder}: planes have {shortest} or {longest} frames; the last frame was left out."
    ]


def _activity(folder: Path, planes: list[_Plane], n_frames: int) -> tuple[np.ndarray, list[str]]:
    """Rows of all planes, without those that are not finite, which the planes forget as well."""
    n_kept = sum(len(plane.rows) for plane in planes)
    if n_kept == 0:
        raise ValueError(
            f"{folder}: none of {sum(plane.n_rois for plane in planes)} ROIs is a cell by "
            "iscell.npy; give cells_only=False to read all."
        )
    first = planes[0]
    activity = first.sources[0]
    if len(planes) > 1 or len(first.sources) > 1 or len(first.rows) < first.n_rois:
        activity = np.empty((n_kept, n_frames), np.float32)
        start = 0
        for plane in planes:
            plane.fill(activity[start : start + len(plane.rows)])
            start += len(plane.rows)
    finite = finite_rows(activity)
    if finite.all():
        return activity, []
    if not finite.any():
        raise ValueError(
            f"{folder}: expected finite activity, found NaN or infinity in every one of "
            f"{n_kept} neurons; look at the frames for which suite2p gave none."
        )
    dropped, start = [], 0
    for plane in planes:
        good = finite[start : start + len(plane.rows)]
        prefix = f"{plane.path.name}/" if len(planes) > 1 else ""
        dropped += [f"{prefix}{roi}" for roi in plane.rows[~good]]
        start += len(plane.rows)
        plane.rows = plane.rows[good]
    activity = _keep_rows(activity, np.flatnonzero(finite))
    more = f" and {len(dropped) - 20} more" if len(dropped) > 20 else ""
    remark = (
        f"{folder}: {len(dropped)} of {n_kept} neurons were left out, since their "
        f"{first.signal} is not finite throughout: {', '.join(dropped[:20])}{more}."
    )
    return activity, [remark]


def _keep_rows(activity: np.ndarray, rows: np.ndarray) -> np.ndarray:
    if not activity.flags.writeable:
        return copy_rows(activity, rows, activity.shape[1])
    for new, old in enumerate(rows):  # in place, since there may be no room for a copy
        activity[new] = activity[old]
    return activity[: len(rows)]


def _places(planes: list[_Plane]) -> dict[str, Any]:
    """Positions, footprints and mean image as `Recording` takes them, where all planes have them."""
    places: dict[str, Any] = {}
    stats = [plane.stat() for plane in planes]
    if all(stat is not None for stat in stats):
        centres = [stat[0] for stat in stats if stat is not None]
        if len(planes) > 1:
            centres = [
                np.column_stack([centre, np.full(len(centre), z, np.float32)])
                for z, centre in enumerate(centres)
            ]
        places["positions"] = np.concatenate(centres)
        places["footprints"] = [one for stat in stats if stat is not None for one in stat[1]]
    images = [plane.mean_image() for plane in planes]
    if len({None if image is None else image.shape for image in images}) == 1:
        places["mean_image"] = images[0] if len(planes) == 1 else _stacked(images)
    return places


def _stacked(images: list[np.ndarray | None]) -> np.ndarray | None:
    return (
        None if images[0] is None else np.stack([image for image in images if image is not None])
    )


def _name(folder: Path) -> str:
    """The folder that says which mouse, rather than suite2p's own."""
    for part in (folder.resolve(), *folder.resolve().parents):
        if part.name not in ("suite2p", "combined") and not re.fullmatch(r"plane\d+", part.name):
            return part.name or folder.name
    return folder.name
