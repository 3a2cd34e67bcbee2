from __future__ import annotations

import os
import sys
import tempfile

# Before napari is imported: it saves its settings, and tests shall not change a person's.
os.environ["NAPARI_CONFIG"] = os.path.join(
    tempfile.mkdtemp(prefix="napari-facemap-"), "settings.yaml"
)

# Docks alone need no screen; tests of the whole window, with OpenGL, skip without one.
if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import numpy as np
import pytest

from napari_facemap.keypoints.poses import make_poses
from napari_facemap.keypoints.store import KeypointStore

NAMES = ("eye(top)", "eye(back)", "nose(tip)", "mouth", "paw")


@pytest.fixture
def make_store():
    """Stores whose keypoint k of frame t lies at x = 10 k + t / 10, y = 20 + k."""

    def make(n_frames=100, fps=50.0, names=NAMES):
        frame = np.arange(n_frames)[:, None]
        row = np.arange(len(names))
        x = 10 * row + frame / 10
        y = np.broadcast_to(20 + row, x.shape)
        confidence = np.full(x.shape, 0.9, np.float32)
        poses = make_poses(
            np.stack([x, y], axis=1), confidence, names, frame[:, 0] / fps, attrs={"model": "m"}
        )
        return KeypointStore(poses)

    return make


@pytest.fixture
def viewer():
    from napari.components import ViewerModel

    return ViewerModel()


@pytest.fixture
def add_video():
    """Add an image over time with a scale in seconds, as the reader does."""

    def add(viewer, n_frames=100, fps=50.0, shape=(60, 80), **metadata):
        return viewer.add_image(
            np.zeros((n_frames, *shape), np.uint8),
            scale=(1 / fps, 1, 1),
            units=("s", "pixel", "pixel"),
            axis_labels=("time", "y", "x"),
            name="video",
            contrast_limits=(0, 255),
            metadata=metadata,
        )

    return add


@pytest.fixture
def drag(qtbot):
    """Drag with the left mouse button from one (x, y) of the frame to another."""
    from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
    from qtpy.QtGui import QMouseEvent
    from qtpy.QtOpenGLWidgets import QOpenGLWidget
    from qtpy.QtTest import QTest
    from qtpy.QtWidgets import QApplication

    left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier

    def drag_on_canvas(viewer, start, stop):
        (canvas,) = (
            widget
            for top in QApplication.topLevelWidgets()
            for widget in top.findChildren(QOpenGLWidget)
            if widget.isVisible() and widget.width() > 200
        )
        zoom, (_, cy, cx) = viewer.camera.zoom, viewer.camera.center
        middle = np.array([canvas.width(), canvas.height()]) / 2
        steps = np.linspace(start, stop, 5)
        path = [(step - (cx, cy)) * zoom + middle for step in (*steps, steps[-1])]
        points = [QPoint(*(int(v) for v in np.round(place))) for place in path]
        QTest.mouseMove(canvas, points[0])
        QTest.mousePress(canvas, left, pos=points[0])
        for point in points[1:]:
            qtbot.wait(30)  # napari leaves out moves that come too fast
            there, on_screen = QPointF(point), QPointF(canvas.mapToGlobal(point))
            no_button = Qt.MouseButton.NoButton
            move = QMouseEvent(QEvent.Type.MouseMove, there, on_screen, no_button, left, none)
            QApplication.sendEvent(canvas, move)
        qtbot.wait(30)
        QTest.mouseRelease(canvas, left, pos=points[-1])
        QApplication.processEvents()

    return drag_on_canvas
