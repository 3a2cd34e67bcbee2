"""Labels made in the viewer, kept in a project on disk.

The labels of a frame are the corrected points of that frame in a keypoint layer. Whatever a
person does to a frame by hand is in the project before the next event is handled, so that a
crash loses nothing. Predictions never get there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Layer
from napari.utils.notifications import show_info, show_warning
from psygnal import Signal

from napari_facemap.files.label_project import LabelProject, Point
from napari_facemap.files.set_aside import set_aside
from napari_facemap.keypoints.corrections import (
    is_tracked,
    names_after,
    with_corrections,
)
from napari_facemap.viewer.frame_list import FrameList
from napari_facemap.viewer.keypoint_layer import KeypointLayer
from napari_facemap.viewer.keys import LABEL_KEYS
from napari_facemap.viewer.label_layer import keypoints_of, new_keypoints
from napari_facemap.viewer.layers import video_of
from napari_facemap.viewer.project_video import name_in
from napari_facemap.viewer.tasks import one_line

if TYPE_CHECKING:
    from napari_facemap.viewer.session import Session

_MOVED = 0.01  # pixels between places that are the same


class Labelling:
    """The project that is open in a viewer, and what it is labelled on.

    Parameters
    ----------
    session : Session
        Of the viewer.

    Attributes
    ----------
    project : LabelProject or None
        Where labels go.
    video : Image or None
        Layer of the video that is labelled.
    video_name : str or None
        Its name in the project.
    keypoints : KeypointLayer or None
        On which labels are made.
    frames : FrameList
        To be labelled, and labelled.
    """

    changed = Signal()
    """The project, the video, the keypoint layer, a skeleton or a label changed."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.project: LabelProject | None = None
        self.video: Image | None = None
        self.video_name: str | None = None
        self.keypoints: KeypointLayer | None = None
        self.frames = FrameList(self)
        self._problem = ""
        self._source: Any = None  # the video behind the layer
        self._by_hand: set[int] = set()  # frames that a person touched
        self._unsaved: set[int] = set()  # frames that could not be written
        self._laying = False
        session.layers_changed.connect(self._on_layers)

    # -- project and video ------------------------------------------------------------------

    def open_project(self, folder: str | Path, keypoints: Sequence[str] = ()) -> None:
        """Open a project, or make one, and show its labels on the video.

        Parameters
        ----------
        folder : str or Path
            Of the project.
        keypoints : sequence of str
            For a new project.

        Raises
        ------
        ValueError
            When there is no project and no keypoints are given, or it is damaged.
        """
        project = LabelProject(folder, keypoints)
        self._let_go()
        self.project = project
        try:
            self._take_up()
        except (OSError, ValueError):
            self.close()
            raise
        self.changed.emit()

    def use_video(self, layer: Layer | None) -> None:
        """Label another video of the viewer, or none.

        Raises
        ------
        OSError, ValueError
            When the project's labels of it cannot be read; then no video is labelled.
        """
        if layer is self.video:
            return
        self._let_go()
        self.video = layer if isinstance(layer, Image) else None
        try:
            self._take_up()
        except (OSError, ValueError):
            self._let_go()
            self.video = None  # so that choosing it again tries again
            raise
        finally:
            self.changed.emit()

    def close(self) -> None:
        """Close the project; its labels stay on disk and, as corrections, in the layers."""
        self._let_go()
        self.project = None
        self.changed.emit()

    def _take_up(self) -> None:
        """Find or make what labels of the video are made on."""
        if self.project is None or self.video is None:
            return
        self._source = video_of(self.video)
        self.video_name = name_in(self.project, self.video, self._source)
        found = keypoints_of(self.session, self.video)
        if found is None:
            found = new_keypoints(self.session, self.video, self.project.keypoints)
        if self.keypoints is not found:  # one that was made was taken up as it came
            self._attach(found)

    def _let_go(self) -> None:
        if self._unsaved:
            self._write(())  # the last time that it can be tried
        self._detach()
        self.video_name = self._source = None
        self._unsaved.clear()
        self._problem = ""
        self.frames.forget()

    def _attach(self, keypoints: KeypointLayer) -> None:
        self.keypoints = keypoints
        if self.video is not None:
            keypoints.clock.follow(self.video)
        keypoints.touched.connect(self._on_touched)
        keypoints.taken_back.connect(self._on_taken_back)
        keypoints.store_changed.connect(self._on_store)
        for key in LABEL_KEYS:
            keypoints.layer.bind_key(key.binding, attrgetter(key.method)(self), overwrite=True)
        self._by_hand = set()
        self._lay_labels()
        keypoints.placing.next_frame = self.frames.after
        self.frames.begin()

    def _detach(self) -> None:
        keypoints, self.keypoints = self.keypoints, None
        if keypoints is not None:
            keypoints.touched.disconnect(self._on_touched)
            keypoints.taken_back.disconnect(self._on_taken_back)
            keypoints.store_changed.disconnect(self._on_store)
            for key in LABEL_KEYS:
                keypoints.layer.bind_key(key.binding, None, overwrite=True)
            keypoints.placing.next_frame = keypoints.placing.names = None
            keypoints.placing.choose(None)

    def _lay_labels(self) -> None:
        """Show the project's keypoints and labels in the layer; they win where both differ."""
        keypoints, project = self.keypoints, self.project
        if keypoints is None or project is None or self.video_name is None:
            return
        store, ours = keypoints.store, set(project.keypoints)
        laid: dict[int, dict[str, Point]] = {}
        replaced: dict[int, dict[str, Point]] = {}
        for frame, labels in project.labels(self.video_name).items():
            if frame >= store.n_frames:
                continue
            before = store.corrections(frame)
            mine = {name: point for name, point in before.items() if name in ours}
            if not _alike(mine, labels):
                laid[frame] = {**{n: p for n, p in before.items() if n not in ours}, **labels}
                if mine:
                    replaced[frame] = mine
        if replaced:
            table = set_aside(project.folder / "labeled-data" / self.video_name, replaced)
            show_warning(
                f"{project.folder.name}: the project's labels of {len(replaced)} frames differ "
                f"from the corrections in layer {keypoints.layer.name!r}; the project's are shown, "
                f"the others are kept in {table}."
            )
        self._show(laid, {})

    def _show(
        self, corrections: Mapping[int, Mapping[str, Point]], renamed: Mapping[str, str]
    ) -> None:
        """Have the layer show all keypoints of the project, and these corrections."""
        assert self.keypoints is not None and self.project is not None
        self.keypoints.placing.names = self.project.keypoints
        store = self.keypoints.store
        known = names_after(store, renamed)
        names = [*known, *(name for name in self.project.keypoints if name not in known)]
        if corrections or names != list(store.keypoints):
            self._laying = True
            try:
                self.keypoints.set_store(with_corrections(store, names, corrections, renamed))
            finally:
                self._laying = False

    def _on_store(self) -> None:
        """Lay over keypoints that were tracked anew what they lack of keypoints and labels."""
        if self._laying or self.project is None or self.video_name is None:
            return
        assert self.keypoints is not None
        store = self.keypoints.store
        labels = self.project.labels(self.video_name).items()
        bare = {f: p for f, p in labels if f < store.n_frames and not store.corrections(f)}
        self._show(bare, {})
        self.changed.emit()

    def _on_layers(self) -> None:
        """Notice layers that came or went."""
        layers = self.session.viewer.layers
        if self.video is not None and self.video not in layers:
            self.use_video(None)
            return
        if self.keypoints is not None and self.keypoints.layer not in layers:
            self._detach()
            self.changed.emit()
        if self.keypoints is None and self.video is not None and self._source is not None:
            found = keypoints_of(self.session, self.video)
            if found is not None:
                self._attach(found)
                self.changed.emit()

    def show_layer(self) -> None:
        """Make a layer to label on where it was removed."""
        if self.keypoints is None:
            self._take_up()
            self.changed.emit()

    # -- labels -----------------------------------------------------------------------------

    @property
    def labelled(self) -> list[int]:
        """Frames of the video with labels in the project."""
        if self.project is None or self.video_name is None:
            return []
        return sorted(self.project.labels(self.video_name))

    def unlabelled_corrections(self) -> list[int]:
        """Frames of the layer with corrected points that are no labels, of the project's points."""
        if self.keypoints is None or self.project is None or self.video_name is None:
            return []
        store, ours = self.keypoints.store, set(self.project.keypoints)
        labels = self.project.labels(self.video_name)
        nothing: dict[str, Point] = {}
        return [
            frame
            for frame in store.edited_frames
            if (ours & store.corrections(frame).keys()) - labels.get(frame, nothing).keys()
        ]

    def add_corrected(self, frames: Iterable[int] | None = None) -> int:
        """Take corrected frames into the project (all, by default); gives how many."""
        chosen = self.unlabelled_corrections() if frames is None else list(frames)
        self._write(chosen)
        return len(chosen)

    def unlabel(self, frames: Iterable[int]) -> None:
        """Take frames off the list, and their labels out of the project (undo brings them back).

        Labels beyond the end of the video stay: undo could not bring them back.
        """
        gone = set(frames)
        if self.keypoints is not None:
            end = self.keypoints.store.n_frames
            beyond = sorted(frame for frame in gone & set(self.labelled) if frame >= end)
            if beyond:
                gone -= set(beyond)
                show_warning(
                    f"Frame {beyond[0]:,} is beyond the end of this video, which has {end:,} "
                    "frames. Its labels stay in the project: they may be of another recording."
                )
            labelled = sorted(gone & set(self.labelled))
            self.keypoints.store.restore_frames(labelled)
            self._on_touched(labelled)
            self.keypoints.refresh(force=True)
            self.keypoints.edited.emit()
        self.frames.set(set(self.frames.to_label) - gone)

    def _on_touched(self, frames: Sequence[int]) -> None:
        self._by_hand.update(frames)
        self._write(frames)

    def _on_taken_back(self, frames: Sequence[int]) -> None:
        """Write what was undone or done again, but not corrections that are no labels."""
        known = self._by_hand | set(self.labelled)
        self._write([frame for frame in frames if frame in known])

    def _write(self, frames: Iterable[int]) -> None:
        if self.project is None or self.video_name is None or self.keypoints is None:
            return
        self._unsaved.update(frames)
        problem = ""
        for frame in sorted(self._unsaved):  # one that cannot be written holds up no other
            try:
                self._write_frame(self.project, self.video_name, self.keypoints, frame)
            except (OSError, ValueError, IndexError) as error:
                problem = one_line(error)
            else:
                self._unsaved.discard(frame)
        if problem:
            n = len(self._unsaved)
            problem = f"Labels of {n:,} frame{'s' if n != 1 else ''} are not saved: {problem}"
            show_warning(problem)
        self._problem = problem
        self.changed.emit()

    def _write_frame(
        self, project: LabelProject, video: str, keypoints: KeypointLayer, frame: int
    ) -> None:
        points = keypoints.store.corrections(frame)
        unknown = [name for name in points if name not in project.keypoints]
        points = {name: point for name, point in points.items() if name in project.keypoints}
        known = project.labels(video)
        if points or frame in known:
            needed = bool(points) and not project.has_picture(video, frame)
            image = np.asarray(self._source[frame]) if needed else None
            if {"box", "facing"} <= set(keypoints.store.attrs):
                attrs = keypoints.store.attrs  # so that fine-tuning looks where tracking looks
                project.set_place(video, attrs["box"], str(attrs["facing"]))
            project.set_labels(video, frame, points, image)
        if unknown:
            show_info(
                f"{unknown[0]} is not one of the project's keypoints, so its correction is no "
                "label. Add it under Skeleton to have it learnt."
            )

    @property
    def problem(self) -> str:
        """Why labels, or the list of frames, could not be written; "" while all is well."""
        return self._problem or self.frames.problem

    def retry(self) -> None:
        """Try again to write what could not be written."""
        self.frames.set(self.frames.to_label)
        self._write(())

    # -- skeleton -----------------------------------------------------------------------------

    def set_keypoints(
        self, keypoints: Sequence[str], renamed: Mapping[str, str] | None = None
    ) -> None:
        """Change the project's skeleton, and that of the layer with it.

        Parameters
        ----------
        keypoints : sequence of str
            All names, in order.
        renamed : mapping of str to str, optional
            From old names to new ones.

        Raises
        ------
        ValueError
            When a name is empty, twice or holds a comma or slash.
        OSError
            When it cannot be written; the layer has the keypoints that the project has.
        """
        if self.project is None:
            return
        before = self.project.keypoints
        try:
            self.project.set_keypoints(keypoints, dict(renamed or {}))
        finally:  # a full disk may stop it halfway: layer and project must have the same names
            if self.project.keypoints != before:
                self._follow_skeleton(set(before) - set(self.project.keypoints), renamed or {})

    def _follow_skeleton(self, gone: set[str], renamed: Mapping[str, str]) -> None:
        gone -= set(renamed)
        if self.keypoints is not None and gone:
            self._forget(self.keypoints, gone)
        if self.keypoints is not None:
            self._show({}, renamed)
        self._keep_current(renamed)
        self.changed.emit()

    def _keep_current(self, renamed: Mapping[str, str]) -> None:
        """Have the current keypoint be one of the project's, also under its new name."""
        if self.keypoints is not None and self.project is not None:
            placing, names = self.keypoints.placing, self.project.keypoints
            current = renamed.get(placing.current or "", placing.current)
            placing.choose(current if current in names else names[0])

    def _forget(self, keypoints: KeypointLayer, gone: set[str]) -> None:
        """Take keypoints out of the layer, unless a model tracks them."""
        store = keypoints.store
        kept = [n for n in store.keypoints if n not in gone or is_tracked(store, n)]
        self._laying = True
        try:
            keypoints.set_store(with_corrections(store, kept, {}))
        finally:
            self._laying = False


def _alike(one: Mapping[str, Point], other: Mapping[str, Point]) -> bool:
    return one.keys() == other.keys() and all(
        np.allclose(one[name], other[name], atol=_MOVED, equal_nan=True) for name in one
    )
