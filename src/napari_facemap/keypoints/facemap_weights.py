"""Facemap's official weights, fetched when somebody asks for them."""

from __future__ import annotations

import datetime
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pooch

from napari_facemap.download import DownloadError, Progress, ResumingDownloader
from napari_facemap.files.atomic import atomic_path
from napari_facemap.keypoints.model_store import remove_model
from napari_facemap.keypoints.models import (
    FACEMAP,
    FACEMAP_PARAMETERS,
    FACEMAP_STATE,
    RECORD,
    Model,
    ModelError,
    file_sha256,
    load_model,
    models_folder,
    own_models,
    read_record,
)
from napari_facemap.keypoints.network import KeypointNetwork
from napari_facemap.keypoints.safe_load import load_safely
from napari_facemap.keypoints.skeleton import FACEMAP_KEYPOINTS

FACEMAP_FILES: dict[str, str] = {
    FACEMAP_PARAMETERS: "https://osf.io/download/67f00beaba4331d9888b7f36/",
    FACEMAP_STATE: "https://osf.io/download/67f00be8959068ade6cf70f1/",
}
"""Where Facemap 1.0 gets its two files from, by name."""

LICENCE = (
    "These weights are Facemap's, made by its authors, and no part of napari-facemap. No licence "
    "is stated for them: Facemap's code is under the GPL 3, and the pictures that they were "
    "trained on are, as others say, under CC BY-NC 4.0, which allows no commercial use. Whether "
    "you may use them is for you to find out; cite Syeda et al., Nature Neuroscience 2024."
)


class FetchRefused(Exception):
    """Somebody did not want the files; nothing was fetched."""


def fetch_facemap(
    confirm: Callable[[str], bool],
    progress: Progress | None = None,
    files: Mapping[str, str] | None = None,
) -> Model:
    """Download Facemap's official model into the user's models, where it is called "facemap".

    Nobody has published a hash of the files. So that of the first fetch is written down and
    trusted: later fetches and loads are held against it. That shows later changes and damage, not
    whether the first fetch was what Facemap's authors put there; but nothing in the files is
    executed, and what is not exactly a network of Facemap's layout is refused.

    Parameters
    ----------
    confirm : callable
        Called with what there is to know about the files and their licence, before anything is
        fetched; says whether they are wanted.
    progress : callable, optional
        Called with bytes that have come and in all, of one file after the other; when it returns
        False the download stops, and the next one goes on from there.
    files : mapping of str to str, optional
        Addresses by file name; by default `FACEMAP_FILES`.

    Returns
    -------
    Model

    Raises
    ------
    FetchRefused
        When `confirm` said no.
    DownloadStopped
        When `progress` said so.
    DownloadError
        When the files cannot be fetched; says how to put them in place by hand.
    ModelError
        When they are not Facemap's network, or not those that were fetched before.
    """
    files = FACEMAP_FILES if files is None else files
    folder = models_folder() / FACEMAP
    if not all((folder / name).is_file() for name in files):
        if not confirm(about(files)):
            raise FetchRefused("nothing was fetched")
        part = models_folder() / f".{FACEMAP}-part"
        for name, url in files.items():
            _download(url, part / name, progress)
        try:
            hashes = _checked(part)
        except ModelError:
            shutil.rmtree(part)  # so that the next fetch does not find it whole
            raise
        _write_record(hashes, files)
        if FACEMAP in own_models():
            remove_model(FACEMAP)  # half of it, or somebody's of that name: kept all the same
        _put(part, folder)
    elif _recorded() is None:  # somebody put them there by hand
        _write_record(_checked(folder), files)
    return load_model(FACEMAP)


def about(files: Mapping[str, str] | None = None) -> str:
    """What somebody should know before fetching: the files, where they go, and their licence."""
    files = FACEMAP_FILES if files is None else files
    listed = "".join(f"  {name} from {url}\n" for name, url in files.items())
    return f"To be fetched into {models_folder() / FACEMAP}:\n{listed}{LICENCE}"


def by_hand(files: Mapping[str, str] | None = None) -> str:
    """How to get the files without fetching, in one line."""
    files = FACEMAP_FILES if files is None else files
    listed = " and ".join(f"{url} as {name}" for name, url in files.items())
    return (
        f"To do it by hand, download {listed} on another computer, and put both into "
        f"the folder {models_folder() / FACEMAP}, which you make."
    )


def _download(url: str, path: Path, progress: Progress | None) -> None:
    if path.is_file():  # whole, from a fetch that was stopped after it
        return
    part = path.with_name(f"{path.name}.part")
    try:
        with _quiet_pooch():
            pooch.retrieve(
                url, None, path.name, path.parent, downloader=ResumingDownloader(part, progress)
            )
    except DownloadError as error:
        if not any(path.parent.iterdir()):
            path.parent.rmdir()
        raise DownloadError(f"{error} {by_hand()}") from error


def _checked(folder: Path) -> dict[str, str]:
    """Hashes of the two files in a folder, which are Facemap's network and none but that."""
    state, parameters = folder / FACEMAP_STATE, folder / FACEMAP_PARAMETERS
    model = load_model(state)
    if not isinstance(model.network, KeypointNetwork):
        raise ModelError(f"{state}: expected a network of Facemap's layout; found another.")
    if sorted(model.keypoints) != sorted(FACEMAP_KEYPOINTS):
        raise ModelError(
            f"{state}: expected Facemap's {len(FACEMAP_KEYPOINTS)} keypoints; found "
            f"{', '.join(model.keypoints)}."
        )
    channels = load_safely(parameters)["params"].get("channels")
    if channels is not None and tuple(channels) != model.network.channels:
        raise ModelError(
            f"{parameters}: expected the channels of {FACEMAP_STATE}, {model.network.channels}; "
            f"found {tuple(channels)}. The two files do not belong together."
        )
    hashes = {path.name: file_sha256(path) for path in (parameters, state)}
    known = _recorded()
    changed = [name for name, value in hashes.items() if (known or hashes).get(name) != value]
    if known is not None and changed:
        raise ModelError(
            f"{folder / changed[0]}: is not the file that was fetched first: expected sha256 "
            f"{known.get(changed[0])}, found {hashes[changed[0]]}. It was damaged on its way, or "
            "another one is published now. If you know that and trust it, delete "
            f"{models_folder() / RECORD} and fetch again."
        )
    return hashes


def _recorded() -> dict[str, str] | None:
    record = read_record().get(FACEMAP)
    return None if record is None else {name: of["sha256"] for name, of in record["files"].items()}


def _write_record(hashes: Mapping[str, str], files: Mapping[str, str]) -> None:
    if _recorded() is not None:
        return
    content = read_record()
    content[FACEMAP] = {
        "date": datetime.date.today().isoformat(),
        "files": {name: {"sha256": sha, "url": files[name]} for name, sha in hashes.items()},
    }
    with atomic_path(models_folder() / RECORD) as temporary:
        temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")


def _put(part: Path, folder: Path) -> None:
    """Put both files in place, the weights last: without them there is no model."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (FACEMAP_PARAMETERS, FACEMAP_STATE):
        os.replace(part / name, folder / name)
    shutil.rmtree(part)


@contextmanager
def _quiet_pooch() -> Iterator[None]:
    # It advises programmers to write the hash into their code.
    logger = pooch.get_logger()
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)
