"""Where results come from."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def software() -> str:
    """Name and version of this package, as written into every output."""
    try:
        return f"napari-facemap {version('napari-facemap')}"
    except PackageNotFoundError:
        return "napari-facemap (not installed)"
