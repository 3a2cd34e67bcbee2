"""Going through the frames that are to be labelled."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_info, show_warning

from napari_facemap.viewer.placing import NEXT_KEYPOINT
from napari_facemap.viewer.tasks import one_line

if TYPE_CHECKING:
    from napari_facemap.viewer.labelling import Labelling


class FrameList:
    """Frames of the video that is labelled: to be labelled, and labelled.

    Parameters
    ----------
    labelling : Labelling
        Whose project and video.

    Attributes
    ----------
    problem : str
        Why the list could not be written; "" while all is well.
    """

    def __init__(self, labelling: Labelling) -> None:
        self._labelling = labelling
        self.forget()

    def forget(self) -> None:
        """Give up what could not be written."""
        self.problem = ""
        self._unsaved: list[int] | None = None

    @property
    def to_label(self) -> list[int]:
        """Frames of the video that somebody or something proposed to label."""
        if self._unsaved is not None:
            return list(self._unsaved)
        project, video = self._labelling.project, self._labelling.video_name
        return [] if project is None or video is None else project.to_label(video)

    @property
    def listed(self) -> list[int]:
        """Frames that are to be labelled, or are."""
        return sorted({*self.to_label, *self._labelling.labelled})

    def set(self, frames: Iterable[int]) -> None:
        """Put another list of frames to label on disk."""
        labelling = self._labelling
        if labelling.project is None or labelling.video_name is None:
            return
        wanted = sorted(set(frames))
        try:
            labelling.project.set_to_label(labelling.video_name, wanted)
        except (OSError, ValueError) as error:
            self._unsaved = wanted
            self.problem = f"The list of frames is not saved: {one_line(error)}"
            show_warning(self.problem)
        else:
            self.forget()
        labelling.changed.emit()

    def toggle(self, layer: Any = None) -> None:
        """Put the frame that is shown on the list, or take it off."""
        if self._labelling.keypoints is None:
            return
        frame, frames = self._labelling.keypoints.frame, set(self.to_label)
        self.set(frames ^ {frame})
        done = "off" if frame in frames else "on"
        show_info(f"Frame {frame} is {done} the list of frames to label.")

    def go_to(self, frame: int) -> None:
        """Show a frame, and begin with its first keypoint without a label."""
        if self._labelling.keypoints is not None:
            self._labelling.keypoints.clock.go_to_frame(frame)
            self.begin()

    def next_listed(self, layer: Any = None, step: int = 1) -> None:
        """Show the next frame of the list."""
        self._step(self.listed, step, "on the list")

    def previous_listed(self, layer: Any = None) -> None:
        """Show the frame of the list before this one."""
        self.next_listed(step=-1)

    def next_unlabelled(self, layer: Any = None, step: int = 1) -> None:
        """Show the next frame of the list that has no labels."""
        labelled = set(self._labelling.labelled)
        self._step([f for f in self.to_label if f not in labelled], step, "without labels")

    def previous_unlabelled(self, layer: Any = None) -> None:
        """Show the frame of the list before this one that has no labels."""
        self.next_unlabelled(step=-1)

    def _step(self, frames: Sequence[int], step: int, what: str) -> None:
        if self._labelling.keypoints is None:
            return
        here = self._labelling.keypoints.frame
        found = [f for f in frames if (f - here) * step > 0]
        if found:
            self.go_to(min(found, key=lambda f: abs(f - here)))
        else:
            show_info(f"No frame {what} {'after' if step > 0 else 'before'} this one.")

    def after(self, frame: int) -> int | None:
        """Give the frame to label after one: the next of the list, or without a list of the video.

        A new keypoint is to be placed in frames that have labels too.
        """
        if not self.to_label:
            return frame + 1
        return next((f for f in self.listed if f > frame), None)

    def begin(self) -> None:
        """Make the first keypoint without a label in this frame the current one."""
        keypoints, project = self._labelling.keypoints, self._labelling.project
        if keypoints is None or project is None:
            return
        placing = keypoints.placing
        if placing.after == NEXT_KEYPOINT or placing.current not in project.keypoints:
            done = keypoints.store.corrections(keypoints.frame)
            waiting = [name for name in project.keypoints if name not in done]
            placing.choose((waiting or project.keypoints)[0])
