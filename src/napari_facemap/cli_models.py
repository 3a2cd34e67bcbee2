"""The verb `models`: what keypoint models there are, and taking them in and out."""

from __future__ import annotations

import argparse
import signal
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_facemap.progress import INTERRUPTED, Interruptible, ProgressBar

if TYPE_CHECKING:
    from napari_facemap.keypoints.model_store import ModelInfo


def add_models(verbs: Any) -> None:
    """Add the verb to the command line."""
    verb = verbs.add_parser("models", help="list, add, remove, export and fetch keypoint models")
    verb.set_defaults(run=_list)
    what = verb.add_subparsers(metavar="WHAT")
    what.add_parser("list", help="all models, the default first").set_defaults(run=_list)
    add = what.add_parser("add", help="take a file in; it is checked and copied")
    add.add_argument(
        "file", type=Path, metavar="FILE",
        help=".safetensors, or Facemap's .pt with facemap_model_params.pth beside it",
    )  # fmt: skip
    add.add_argument("--name", help="by default the file's")
    add.set_defaults(run=_add)
    remove = what.add_parser("remove", help="take one of yours out; its files are kept aside")
    remove.add_argument("name", metavar="NAME")
    remove.set_defaults(run=_remove)
    export = what.add_parser("export", help="copy one to a file")
    export.add_argument("name", metavar="NAME")
    export.add_argument(
        "file", type=Path, metavar="FILE", help=".safetensors; .pt for Facemap's layout"
    )
    export.set_defaults(run=_export)
    fetch = what.add_parser("fetch", help="download Facemap's official model")
    fetch.add_argument("name", choices=("facemap",))
    fetch.add_argument("--yes", action="store_true", help="do not ask, the licence is known")
    fetch.set_defaults(run=_fetch)


def _list(options: argparse.Namespace) -> int:
    from napari_facemap.keypoints.model_store import describe_models
    from napari_facemap.keypoints.models import models_folder

    found = describe_models()
    rows = [("name", "from", "points", "date", "error"), *map(_row, found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(text.ljust(n) for text, n in zip(row, widths, strict=True)).rstrip())
    print(
        "\nerror: median on frames held out from its training, percent of the distance from eye "
        "to nose tip;\nthe frames differ from model to model. napari-facemap info NAME shows "
        f"more.\nYour models are in {models_folder()}"
    )
    for info in found:
        if info.problem:
            print(f"napari-facemap: warning: {info.name}: {info.problem}", file=sys.stderr)
    return 0


def _row(info: ModelInfo) -> tuple[str, ...]:
    error = "-" if info.error is None else f"{info.error:.2f} %"
    points = "-" if info.problem else str(len(info.keypoints))
    return info.name, info.origin, points, info.date or "-", error


def _add(options: argparse.Namespace) -> int:
    from napari_facemap.keypoints.model_store import add_model

    info = add_model(options.file, options.name)
    print(f"{info.name}: {len(info.keypoints)} keypoints, copied to {info.path}")
    return 0


def _remove(options: argparse.Namespace) -> int:
    from napari_facemap.keypoints.model_store import remove_model

    print(f"{options.name}: removed from the list, and kept as {remove_model(options.name)}")
    return 0


def _export(options: argparse.Namespace) -> int:
    from napari_facemap.keypoints.model_store import export_model

    for path in export_model(options.name, options.file):
        print(f"{path}: written")
    return 0


def _fetch(options: argparse.Namespace) -> int:
    from napari_facemap.download import DownloadStopped
    from napari_facemap.keypoints.facemap_weights import FetchRefused, fetch_facemap
    from napari_facemap.keypoints.models import RECORD, models_folder

    def confirm(about: str) -> bool:
        for line in about.splitlines():
            print("\n".join(textwrap.wrap(line, 100, subsequent_indent="  ")), flush=True)
        return options.yes or _asked()

    with Interruptible() as go, _Bars() as bars:

        def progress(done: int, total: int) -> bool:
            bars(done, total)
            return not go.stopped

        try:
            model = fetch_facemap(confirm, progress)
        except FetchRefused:
            print("nothing was fetched")
            return INTERRUPTED
        except DownloadStopped:
            print("interrupted; the same command goes on from there")
            return INTERRUPTED
    print(f"{model.name}: {len(model.keypoints)} keypoints, sha256 {model.sha256}")
    print(
        "The hash of the first fetch is trusted, since none is published; it is in "
        f"{models_folder() / RECORD}, and later fetches and loads are held against it."
    )
    return 0


def _asked() -> bool:
    if not sys.stdin.isatty():
        raise ValueError("Nobody is there to be asked: give --yes to fetch them all the same.")
    # Nothing is under way that an interruption would have to wait for.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return input("Fetch them? [y/N] ").strip().casefold() in ("y", "yes")
    except EOFError:
        return False
    finally:
        signal.signal(signal.SIGINT, before)


class _Bars:
    """A bar of progress for one file after another, from its first bytes."""

    def __init__(self) -> None:
        self._bar: ProgressBar | None = None
        self._done = 0

    def __call__(self, done: int, total: int) -> None:
        """Say how many bytes of a file have come."""
        if self._bar is None or done < self._done:
            self.__exit__()
            self._bar = ProgressBar("facemap", "B")
        self._bar(done, total)
        self._done = done

    def __enter__(self) -> _Bars:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.__exit__()
            self._bar = None
