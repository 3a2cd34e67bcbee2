"""What the window needs from the system, checked before Qt is imported.

Qt ends the process when a library is missing, so it is better to look first::

    python -m napari_facemap.viewer.system            # says what to install
    python -m napari_facemap.viewer.system --install  # installs it (root, Debian or Ubuntu)
    python -m napari_facemap.viewer.system --tests    # the same with Xvfb, which tests draw on
"""

from __future__ import annotations

import argparse
import ctypes
import os
import shutil
import subprocess
import sys

# Shared object -> Debian package. What Qt's xcb platform plugin and OpenGL under X load.
_LIBRARIES: dict[str, str] = {
    "libEGL.so.1": "libegl1",
    "libGL.so.1": "libgl1",
    "libGLX_mesa.so.0": "libglx-mesa0",
    "libOpenGL.so.0": "libopengl0",
    "libX11-xcb.so.1": "libx11-xcb1",
    "libdbus-1.so.3": "libdbus-1-3",
    "libfontconfig.so.1": "libfontconfig1",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-image.so.0": "libxcb-image0",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-randr.so.0": "libxcb-randr0",
    "libxcb-render-util.so.0": "libxcb-render-util0",
    "libxcb-render.so.0": "libxcb-render0",
    "libxcb-shape.so.0": "libxcb-shape0",
    "libxcb-shm.so.0": "libxcb-shm0",
    "libxcb-sync.so.1": "libxcb-sync1",
    "libxcb-xfixes.so.0": "libxcb-xfixes0",
    "libxcb-xinerama.so.0": "libxcb-xinerama0",
    "libxcb-xkb.so.1": "libxcb-xkb1",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
    "libxkbcommon.so.0": "libxkbcommon0",
}


def missing_libraries() -> list[str]:
    """Find the shared libraries that a window needs and the system does not have.

    Returns
    -------
    list of str
        Names such as ``"libEGL.so.1"``. Always empty but on Linux, where Qt's packages bring
        everything else.
    """
    if not sys.platform.startswith("linux"):
        return []
    return [name for name in _LIBRARIES if not _loads(name)]


def packages_of(libraries: list[str]) -> list[str]:
    """Debian and Ubuntu packages that hold these libraries, each once and sorted."""
    return sorted({_LIBRARIES[name] for name in libraries})


def install_command(packages: list[str]) -> str:
    """Line that installs packages on Debian and Ubuntu."""
    prefix = "" if _is_root() else "sudo "
    return f"{prefix}apt-get install -y {' '.join(packages)}"


def crashing_qt() -> str | None:
    """Say what is wrong with the Qt binding in use, or give None.

    PySide6 6.12.0 loses a reference to None at every call from Qt into Python; before Python
    3.12 that ends the process after some thousand frames.
    """
    import qtpy

    version = getattr(qtpy, "PYSIDE_VERSION", None)
    if qtpy.API_NAME == "PySide6" and version == "6.12.0" and sys.version_info < (3, 12):
        return (
            "PySide6 6.12.0 crashes napari on Python before 3.12 after a few thousand frames: "
            'install "PySide6<6.12" or PyQt6.'
        )
    return None


def ensure(install: bool = False, tests: bool = False) -> bool:
    """Check that everything is there; where it is not, install it or say how, in one line.

    Parameters
    ----------
    install : bool
        Install what is missing where that can be done: as root, with apt-get.
    tests : bool
        Ask for Xvfb too.

    Returns
    -------
    bool
        Whether everything is there now.
    """
    packages = packages_of(missing_libraries())
    if tests and sys.platform.startswith("linux") and not shutil.which("xvfb-run"):
        packages += ["xauth", "xvfb"]
    if packages and install and _is_root() and shutil.which("apt-get"):
        return _install(packages)
    if packages:
        print(f"Missing system libraries. Install them with: {install_command(packages)}")
    return not packages


def main(arguments: list[str] | None = None) -> int:
    """Check, or with ``--install`` install; gives 0 when nothing is missing."""
    parser = argparse.ArgumentParser(
        prog="python -m napari_facemap.viewer.system", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--install", action="store_true", help="install with apt-get, as root")
    parser.add_argument("--tests", action="store_true", help="what the tests need as well")
    chosen = parser.parse_args(arguments)
    return 0 if ensure(chosen.install, chosen.tests) else 1


def _install(packages: list[str]) -> bool:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update"],
        ["apt-get", "install", "-y", "--no-install-recommends", *packages],
    ):
        done = subprocess.run(command, env=environment, check=False)
        if done.returncode:
            print(f"Failed: {' '.join(command)}")
            return False
    left = missing_libraries()
    print(f"Still missing: {' '.join(left)}" if left else "Installed.")
    return not left


def _loads(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


if __name__ == "__main__":
    sys.exit(main())
