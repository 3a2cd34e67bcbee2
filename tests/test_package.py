from __future__ import annotations

import subprocess
import sys

import pytest

import napari_facemap

HEAVY = ("torch", "napari", "qtpy", "PyQt6", "pyqtgraph", "scipy", "xarray")


def test_import_is_light():
    code = (
        "import sys, napari_facemap; "
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )  # fmt: skip
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stdout + result.stderr


@pytest.mark.parametrize("name", napari_facemap.__all__)
def test_every_verb_is_there(name):
    assert callable(getattr(napari_facemap, name))


def test_other_names_are_not():
    with pytest.raises(AttributeError, match="tell_fortunes"):
        napari_facemap.tell_fortunes  # noqa: B018
