from __future__ import annotations

import subprocess
import sys

import pytest

from napari_facemap.viewer import system


@pytest.fixture
def linux_without(monkeypatch):
    def without(*missing):
        monkeypatch.setattr(system.sys, "platform", "linux")
        monkeypatch.setattr(system, "_loads", lambda name: name not in missing)

    return without


def test_missing_libraries_become_one_command(linux_without, monkeypatch, capsys):
    linux_without("libEGL.so.1", "libxcb-cursor.so.0")
    monkeypatch.setattr(system, "_is_root", lambda: False)
    assert system.missing_libraries() == ["libEGL.so.1", "libxcb-cursor.so.0"]
    assert system.main([]) == 1
    out = capsys.readouterr().out
    assert out.endswith("sudo apt-get install -y libegl1 libxcb-cursor0\n")
    assert out.count("\n") == 1


def test_nothing_missing(linux_without, capsys):
    linux_without()
    assert system.main([]) == 0
    assert capsys.readouterr().out == ""


def test_other_systems_need_nothing(monkeypatch):
    monkeypatch.setattr(system.sys, "platform", "darwin")
    monkeypatch.setattr(system, "_loads", lambda name: False)
    assert system.missing_libraries() == []


def test_install_runs_apt_as_root_only(linux_without, monkeypatch, capsys):
    ran = []

    def run(command, **options):
        ran.append(command)
        linux_without()
        return subprocess.CompletedProcess(command, 0)

    linux_without("libGL.so.1")
    monkeypatch.setattr(system.subprocess, "run", run)
    monkeypatch.setattr(system.shutil, "which", {"apt-get": "/usr/bin/apt-get"}.get)
    monkeypatch.setattr(system, "_is_root", lambda: False)
    assert system.main(["--install", "--tests"]) == 1
    assert ran == []
    assert "libgl1 xauth xvfb" in capsys.readouterr().out
    monkeypatch.setattr(system, "_is_root", lambda: True)
    assert system.main(["--install", "--tests"]) == 0
    assert ran[0] == ["apt-get", "update"]
    assert ran[1][-3:] == ["libgl1", "xauth", "xvfb"]


def test_looking_imports_no_qt():
    code = (
        "import sys, napari_facemap.viewer.system as s; s.missing_libraries();"
        "print([m for m in sys.modules if m.split('.')[0] in"
        " ('qtpy', 'napari', 'torch', 'PyQt6', 'PySide6')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("api", "version", "python", "bad"),
    [
        ("PySide6", "6.12.0", (3, 11), True),
        ("PySide6", "6.12.0", (3, 12), False),
        ("PySide6", "6.11.3", (3, 11), False),
        ("PyQt6", None, (3, 11), False),
    ],
)
def test_the_crashing_binding_is_named(monkeypatch, api, version, python, bad):
    qtpy = pytest.importorskip("qtpy")
    monkeypatch.setattr(qtpy, "API_NAME", api)
    monkeypatch.setattr(qtpy, "PYSIDE_VERSION", version, raising=False)
    monkeypatch.setattr(system.sys, "version_info", python)
    assert bool(system.crashing_qt()) is bad
