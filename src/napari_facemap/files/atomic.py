"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile


def check_writable(path: str | Path) -> None:
    """Find out before long work that a file could not be written after it.

    Makes the folder that the file is to be in.

    Parameters
    ----------
    path : str or Path
        Where a file is to be.

    Raises
    ------
    OSError
        When nothing can be written there.
    """
    folder = Path(path).parent
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryFile(dir=folder):
        pass


def unused_path(path: str | Path) -> Path:
    """Give a path, with a number behind its name where something of that name exists.

    Parameters
    ----------
    path : str or Path
        Where a file would be: ``NAME.csv``.

    Returns
    -------
    Path
        ``NAME.csv``, or the first of ``NAME-2.csv``, ``NAME-3.csv`` and so on that is free.
    """
    path = free = Path(path)
    k = 1
    while free.exists():
        k += 1
        free = path.with_name(f"{path.stem}-{k}{path.suffix}")
    return free


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path` that takes its place when the block ends well.

    The temporary name keeps the suffix, since many writers choose their format by it. When the
    block raises, the temporary file is removed and whatever stood at `path` stays as it was.

    Parameters
    ----------
    path : str or Path
        Where the finished file is to be. Its folder is made if it is missing.

    Yields
    ------
    Path
        The name to write to, in the same folder, so that the final rename is atomic.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}-{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        temporary.touch()
        permissions = temporary.stat().st_mode
        yield temporary
        # Some libraries write files that only their owner may read.
        temporary.chmod(permissions)
        with open(temporary, "rb+") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
