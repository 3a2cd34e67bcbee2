"""The list of frames to label: suggested, added by hand, gone through."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QAbstractItemView,
    QGridLayout,
    QGroupBox,
    QHeaderView,
    QLabel,
    QMessageBox,
    QPushButton,
    QSpinBox,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_facemap.keypoints.corrections import is_tracked, tracked_keypoints
from napari_facemap.viewer.layers import video_of
from napari_facemap.viewer.run_row import RunRow
from napari_facemap.viewer.session import Session

_COLUMNS = ("Frame", "Time", "Labels")
_DONE, _SOME = QColor("#81c784"), QColor("#ffd54f")


class SuggestionPanel(QGroupBox):
    """Frames to label, of the video that is labelled.

    Parameters
    ----------
    viewer : napari viewer
        To follow.
    session : Session
        Of that viewer.
    """

    def __init__(self, viewer: Any, session: Session, parent: QWidget | None = None) -> None:
        super().__init__("Frames to label", parent)
        self.session = session
        self.viewer = session.viewer
        self.labelling = session.labelling
        self.wanted = QSpinBox()
        self.run_row = RunRow("Suggest", "frames")
        self.table = QTableWidget(0, len(_COLUMNS))
        self.state = QLabel()
        self._frames: list[int] = []  # of the rows
        self._tracked = np.zeros(0, bool)  # which of the layer's keypoints are
        self._for: tuple[str, str] | None = None  # project and video of the run that goes on
        self._build()
        self._connect()
        self.refresh()

    def _build(self) -> None:
        self.wanted.setRange(1, 1000)
        self.wanted.setValue(20)
        self.wanted.setSuffix(" frames")
        self.wanted.setToolTip("How many frames to suggest, beside those on the list")
        self.run_row.run.setToolTip(
            "Put hard frames that are unlike each other on the list: where points are unsure,\n"
            "jump, or are seen differently in a mirror. Without tracked keypoints frames are\n"
            "spread evenly over the video."
        )
        self.table.setHorizontalHeaderLabels(_COLUMNS)
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(22)
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setFixedHeight(136)
        self.table.setToolTip("Double-click a frame to go there")
        self.state.setWordWrap(True)
        self.run_row.buttons.insertWidget(0, self.wanted, stretch=2)  # what is said has all room
        self.add = _button("Add this frame", "Put the frame that is shown on the list (F)")
        self.remove = _button("Remove", "Take the selected frames off the list")
        self.previous = _button("◀", "Frame of the list before this one (Shift+L)")
        self.next = _button("▶", "Next frame of the list (L)")
        self.next_unlabelled = _button("Next unlabelled ▶", "Next frame without labels (U)")
        self.take_up = _button("Add corrected frames", "")
        grid = QGridLayout()
        grid.addWidget(self.previous, 0, 0)
        grid.addWidget(self.next, 0, 1)
        grid.addWidget(self.next_unlabelled, 0, 2)
        grid.addWidget(self.add, 1, 0, 1, 2)
        grid.addWidget(self.remove, 1, 2)
        grid.addWidget(self.take_up, 2, 0, 1, 3)
        for k, stretch in enumerate((1, 1, 2)):
            grid.setColumnStretch(k, stretch)
        column = QVBoxLayout(self)
        column.addWidget(self.run_row)
        column.addWidget(self.table)
        column.addWidget(self.state)
        column.addLayout(grid)

    def _connect(self) -> None:
        self.run_row.run.clicked.connect(self.suggest)
        self.run_row.finished.connect(self._on_suggested)
        self.table.cellDoubleClicked.connect(self._on_row)
        self.table.cellActivated.connect(self._on_row)
        self.add.clicked.connect(self._on_add)
        self.remove.clicked.connect(self._on_remove)
        self.previous.clicked.connect(self._on_previous)
        self.next.clicked.connect(self._on_next)
        self.next_unlabelled.clicked.connect(self._on_next_unlabelled)
        self.take_up.clicked.connect(self._on_take_up)
        self.labelling.changed.connect(self.refresh)
        self.session.edited.connect(self._refresh_corrected)
        self.viewer.dims.events.current_step.connect(self._mark_shown, position="last")

    # -- suggesting -------------------------------------------------------------------------------

    def suggest(self) -> None:
        """Look for frames to label, beside those on the list."""
        labelling = self.labelling
        if labelling.project is None or labelling.keypoints is None or labelling.video is None:
            self.run_row.show_error("Make or open a project and a video first.")
            return
        self._for = (str(labelling.project.folder), str(labelling.video_name))
        store, listed = labelling.keypoints.store, labelling.frames.listed
        if not is_tracked(store):
            self._on_suggested((spread(store.n_frames, self.wanted.value(), listed), False))
        else:
            video, poses = video_of(labelling.video), store.to_poses(predictions=False)
            known = np.isfinite(poses["position"].values).any(axis=(0, 1))
            poses = poses.isel(keypoint=known)  # points that no model knows are hard everywhere
            self.run_row.start(partial(_suggest, video, poses, self.wanted.value(), listed))

    def _on_suggested(self, result: tuple[list[int], bool]) -> None:
        frames, tracked = result
        project = self.labelling.project
        here = None if project is None else (str(project.folder), str(self.labelling.video_name))
        if self._for != here:
            self.run_row.show_text("Another video or project is open now; nothing was added.")
            return
        self.labelling.frames.set({*self.labelling.frames.to_label, *frames})
        text = f"{len(frames)} frames added"
        self.run_row.show_text(
            f"{text}: hard ones that are unlike each other."
            if tracked
            else f"{text}, spread evenly: nothing is tracked yet."
        )

    # -- the list ---------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Show the list as it is."""
        labelling, project = self.labelling, self.labelling.project
        self.setEnabled(project is not None and labelling.keypoints is not None)
        self._frames = labelling.frames.listed
        keypoints = labelling.keypoints
        labels = {}
        if project is not None and labelling.video_name is not None:
            labels = project.labels(labelling.video_name)
        n_keypoints = len(project.keypoints) if project is not None else 0
        times = keypoints.store.times if keypoints is not None else ()
        names = keypoints.names if keypoints is not None else ()
        if keypoints is not None:
            self._tracked = tracked_keypoints(keypoints.store)
        ours = np.isin(names, project.keypoints if project is not None else ())
        self.table.setRowCount(len(self._frames))
        for row, frame in enumerate(self._frames):
            n = len(labels.get(frame, ()))
            time = f"{times[frame]:.2f} s" if frame < len(times) else "beyond the video"
            whole = n > 0 and self._is_whole(frame, ours)
            done = f"{'✓ ' if whole else ''}{n} of {n_keypoints}" if n else "–"
            color = (_DONE if whole else _SOME) if n else None
            self._write_row(row, (f"{frame:,}", time, done), color)
        n_done = sum(frame in labels for frame in self._frames)
        self.state.setText(
            f"{n_done:,} of {len(self._frames):,} frames have labels."
            if self._frames
            else "No frames yet: press Suggest, or go to a frame and press Add this frame."
        )
        self._refresh_corrected()
        self._mark_shown()

    def _is_whole(self, frame: int, ours: np.ndarray) -> bool:
        """Whether all that is seen in a frame, of the keypoints `ours`, is labelled."""
        keypoints = self.labelling.keypoints
        if keypoints is None or frame >= keypoints.store.n_frames:
            return False
        points = keypoints.store.frame(frame)
        # What the tracker knows and does not see here either may stay without a label.
        unseen = self._tracked & ~np.isfinite(points.position[:, 0])
        return not (ours & ~points.edited & ~unseen).any()

    def _write_row(self, row: int, texts: Sequence[str], color: QColor | None) -> None:
        for column, text in enumerate(texts):
            item = self.table.item(row, column)
            if item is None:
                item = QTableWidgetItem()
                item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
                self.table.setItem(row, column, item)
            item.setText(text)
            item.setData(Qt.ItemDataRole.ForegroundRole, color)

    def _refresh_corrected(self) -> None:
        n = len(self.labelling.unlabelled_corrections())
        self.take_up.setVisible(bool(n))
        self.take_up.setText(f"Add corrected frames ({n:,})")
        self.take_up.setToolTip(
            f"{n:,} frames are corrected but are no labels, as after tracking or accepting a\n"
            "range. Make labels of their corrected points, to learn from."
        )

    def _mark_shown(self, event: Any = None) -> None:
        keypoints = self.labelling.keypoints
        if keypoints is None or keypoints.frame not in self._frames:
            self.table.clearSelection()
            return
        row = self._frames.index(keypoints.frame)
        selected = {index.row() for index in self.table.selectedIndexes()}
        if row not in selected:
            self.table.selectRow(row)
            self.table.scrollToItem(self.table.item(row, 0))

    def chosen(self) -> list[int]:
        """Frames whose rows are selected."""
        rows = {index.row() for index in self.table.selectedIndexes()}
        return [self._frames[row] for row in sorted(rows)]

    def _on_row(self, row: int, column: int) -> None:
        self.labelling.frames.go_to(self._frames[row])

    def _on_add(self) -> None:
        keypoints = self.labelling.keypoints
        if keypoints is not None:
            self.labelling.frames.set({*self.labelling.frames.to_label, keypoints.frame})

    def _on_remove(self) -> None:
        frames = self.chosen()
        labelled = [frame for frame in frames if frame in set(self.labelling.labelled)]
        if not frames:
            self.run_row.show_text("Select frames of the list first.")
        elif not labelled or self._agreed(labelled):
            self.labelling.unlabel(frames)

    def _agreed(self, labelled: Sequence[int]) -> bool:
        which = f"Frame {labelled[0]:,}" if len(labelled) == 1 else f"{len(labelled)} frames"
        question = (
            f"{which} of these {'has' if len(labelled) == 1 else 'have'} labels. Take them out of "
            "the project? Undo (Ctrl+Z) brings them back as long as the video is open."
        )
        answer = QMessageBox.question(self, "Remove labels", question)
        return answer == QMessageBox.StandardButton.Yes

    def _on_previous(self) -> None:
        self.labelling.frames.previous_listed()

    def _on_next(self) -> None:
        self.labelling.frames.next_listed()

    def _on_next_unlabelled(self) -> None:
        self.labelling.frames.next_unlabelled()

    def _on_take_up(self) -> None:
        n = self.labelling.add_corrected()
        self.run_row.show_text(f"The corrected points of {n:,} frames are labels now.")

    def disconnect_viewer(self) -> None:
        """Stop what is running and let go of the viewer."""
        self.run_row.stop()
        self.labelling.changed.disconnect(self.refresh)
        self.session.edited.disconnect(self._refresh_corrected)
        self.viewer.dims.events.current_step.disconnect(self._mark_shown)


def spread(n_frames: int, n: int, taken: Iterable[int] = ()) -> list[int]:
    """Frames spread evenly over a video, each in the middle of the widest gap that was left.

    Parameters
    ----------
    n_frames : int
        Of the video.
    n : int
        How many are wanted.
    taken : iterable of int
        Frames to stay away from.

    Returns
    -------
    list of int
        Fewer than `n` when the video is too short; increasing.
    """
    known = sorted({-1, n_frames, *(f for f in taken if 0 <= f < n_frames)})
    found: list[int] = []
    if len(known) == 2:
        found = np.unique(np.linspace(0, n_frames - 1, n + 2)[1:-1].round().astype(int)).tolist()
        return [frame for frame in found if 0 <= frame < n_frames]
    for _ in range(n):
        gaps = np.diff(known)
        widest = int(np.argmax(gaps))
        if gaps[widest] < 2:
            break
        frame = known[widest] + int(gaps[widest]) // 2
        known.insert(widest + 1, frame)
        found.append(frame)
    return sorted(found)


def _suggest(
    video: Any, poses: Any, n: int, listed: Sequence[int], progress: Any
) -> tuple[list[int], bool]:
    from napari_facemap.keypoints.models import ModelError, load_model
    from napari_facemap.keypoints.suggestion import suggest

    try:  # with the model that tracked, frames that it sees differently in a mirror count more
        model = load_model(poses.attrs["model"]) if "box" in poses.attrs else None
    except (KeyError, ModelError):
        model = None
    return suggest(video, poses, n, labelled=listed, model=model, progress=progress), True


def _button(text: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    return button
