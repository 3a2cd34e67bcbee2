"""Keypoints of a project as a tree of groups: added, renamed, removed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtWidgets import (
    QAbstractItemView,
    QGridLayout,
    QGroupBox,
    QInputDialog,
    QLabel,
    QMessageBox,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_facemap.keypoints.skeleton import color_of, group_of
from napari_facemap.viewer.color_dot import dot
from napari_facemap.viewer.name_list import KeypointsDialog
from napari_facemap.viewer.session import Session


class SkeletonPanel(QGroupBox):
    """Groups and points of the project that is open.

    Parameters
    ----------
    viewer : napari viewer
        To follow.
    session : Session
        Of that viewer.
    """

    def __init__(self, viewer: Any, session: Session, parent: QWidget | None = None) -> None:
        super().__init__("Skeleton", parent)
        self.session = session
        self.labelling = session.labelling
        self.tree = QTreeWidget()
        self.state = QLabel()
        self._build()
        self.labelling.changed.connect(self.refresh)
        self.refresh()

    def _build(self) -> None:
        self.tree.setHeaderHidden(True)
        self.tree.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.tree.setMinimumHeight(320)
        self.tree.setToolTip("Double-click a point or group to rename it")
        self.tree.setExpandsOnDoubleClick(False)
        self.tree.itemDoubleClicked.connect(self._on_rename)
        self.state.setWordWrap(True)
        self.add = _button("Add point…", "To the group of the selected point")
        self.add_group = _button("Add group…", "A name and its points, such as paw: left, right")
        self.rename = _button("Rename…", "Its labels stay, and models know it as before")
        self.remove = _button("Remove", "Labels are put aside in the project's folder")
        self.replace = _button("New skeleton…", "Another list of points")
        for button, slot in (
            (self.add, self._on_add),
            (self.add_group, self._on_add_group),
            (self.rename, self._on_rename),
            (self.remove, self._on_remove),
            (self.replace, self._on_replace),
        ):
            button.clicked.connect(slot)
        grid = QGridLayout()
        grid.addWidget(self.add, 0, 0)
        grid.addWidget(self.add_group, 0, 1)
        grid.addWidget(self.rename, 1, 0)
        grid.addWidget(self.remove, 1, 1)
        grid.addWidget(self.replace, 2, 0, 1, 2)
        column = QVBoxLayout(self)
        column.addWidget(self.tree)
        column.addLayout(grid)
        column.addWidget(self.state)

    # -- what is shown ----------------------------------------------------------------------------

    def refresh(self) -> None:
        """Show the project's keypoints."""
        project = self.labelling.project
        self.setEnabled(project is not None)
        names = project.keypoints if project is not None else ()
        if list(names) != [name for item in self._groups() for name in _names_of(item)]:
            self._fill(names)
        if project is None:
            self.state.setText("Make or open a project first.")
            return
        old = [f"{new} was {first}" for new, first in project.origin.items()]
        self.state.setText(
            f"{len(names)} points. New ones are learnt from your labels; the rest stays as the "
            f"model knows it.{' Renamed: ' + ', '.join(old) + '.' if old else ''}"
        )

    def _groups(self) -> list[QTreeWidgetItem]:
        found = (self.tree.topLevelItem(k) for k in range(self.tree.topLevelItemCount()))
        return [item for item in found if item is not None]

    def _fill(self, names: Sequence[str]) -> None:
        self.tree.clear()
        group: QTreeWidgetItem | None = None
        for k, name in enumerate(names):
            if group is None or group.text(0) != group_of(name):
                alone = name == group_of(name) and name not in map(group_of, names[k + 1 : k + 2])
                group = QTreeWidgetItem([group_of(name)])
                self.tree.addTopLevelItem(group)
                group.setExpanded(True)
                if alone:
                    group.setIcon(0, dot(color_of(name)))
                    continue
            point = QTreeWidgetItem([name])
            point.setIcon(0, dot(color_of(name)))
            group.addChild(point)
        self.tree.expandAll()

    def selected(self) -> list[str]:
        """Points that are selected, with all of those in selected groups."""
        names = [name for item in self.tree.selectedItems() for name in _names_of(item)]
        return list(dict.fromkeys(names))

    # -- changes ----------------------------------------------------------------------------------

    def add_points(self, names: Sequence[str], after: str | None = None) -> bool:
        """Add points after one, or at the end."""
        project = self.labelling.project
        if project is None:
            return False
        known = list(project.keypoints)
        at = known.index(after) + 1 if after in known else len(known)
        return self._set([*known[:at], *names, *known[at:]], {})

    def rename_point(self, old: str, new: str) -> bool:
        """Give a point another name; its labels stay."""
        return self._rename({old: new})

    def rename_group(self, old: str, new: str) -> bool:
        """Give a group another name, and so all of its points."""
        project = self.labelling.project
        known = project.keypoints if project is not None else ()
        renamed = {}
        for name in (n for n in known if group_of(n) == old):
            _, bracket, rest = name.partition("(")
            if name == old:
                renamed[name] = new
            else:
                renamed[name] = f"{new}({rest}" if bracket else f"{new}({name})"
        return self._rename(renamed)

    def _rename(self, renamed: dict[str, str]) -> bool:
        project = self.labelling.project
        if project is None:
            return False
        return self._set([renamed.get(n, n) for n in project.keypoints], renamed)

    def remove_points(self, names: Sequence[str]) -> bool:
        """Remove points; their labels are put aside."""
        project = self.labelling.project
        if project is None:
            return False
        return self._set([n for n in project.keypoints if n not in names], {})

    def _set(self, keypoints: Sequence[str], renamed: dict[str, str]) -> bool:
        try:
            self.labelling.set_keypoints(keypoints, renamed)
        except (OSError, ValueError) as error:
            self.state.setText(f'<span style="color: #ff8a80;">{error}</span>')
            return False
        return True

    def lost(self, names: Sequence[str]) -> str:
        """Say what becomes of the labels when points are removed."""
        project = self.labelling.project
        if project is None:
            return ""
        n_frames = n_labels = 0
        for video in project.videos:
            for points in project.labels(video).values():
                here = sum(name in points for name in names)
                n_labels += here
                n_frames += bool(here)
        if not n_labels:
            return "None of your frames has labels of it." if len(names) == 1 else "No labels yet."
        return (
            f"{n_labels:,} labels in {n_frames:,} frames are put aside: they stay in the "
            "project's folder, as removed-….csv, but are no longer learnt from."
        )

    # -- what buttons do --------------------------------------------------------------------------

    def _on_add(self) -> None:
        chosen = self.selected()
        group = group_of(chosen[-1]) if chosen else ""
        hint = f"{group}(…)" if group else ""
        name = self._ask("Add a point", "Name, such as paw(left) or tongue", hint)
        if name:
            self.add_points([name], chosen[-1] if chosen and group == group_of(name) else None)

    def _on_add_group(self) -> None:
        text = self._ask("Add a group", "Group and its points, such as paw: left, right", "")
        group, _, points = text.partition(":")
        names = [part.strip() for part in points.split(",") if part.strip()]
        if group.strip():
            self.add_points([f"{group.strip()}({name})" for name in names] or [group.strip()])

    def _on_rename(self, *clicked: Any) -> None:
        items = self.tree.selectedItems()
        if len(items) != 1:
            self.state.setText("Select one point or group.")
            return
        item, old = items[0], items[0].text(0)
        new = self._ask("Rename", f"New name of “{old}”; labels stay", old)
        if new and new != old:
            if item.childCount():
                self.rename_group(old, new)
            else:
                self.rename_point(old, new)

    def _on_remove(self) -> None:
        names = self.selected()
        if not names:
            self.state.setText("Select points or groups first.")
        elif self._agreed(f"Remove {', '.join(names)}?\n\n{self.lost(names)}"):
            self.remove_points(names)

    def _on_replace(self) -> None:
        project = self.labelling.project
        if project is None:
            return
        layers = {"the project's own": project.keypoints}
        dialog = KeypointsDialog("New skeleton", layers, with_folder=False, parent=self)
        if not dialog.exec():
            return
        keypoints = dialog.keypoints()
        gone = [name for name in project.keypoints if name not in keypoints]
        if not gone or self._agreed(f"This removes {', '.join(gone)}.\n\n{self.lost(gone)}"):
            self._set(keypoints, {})

    def _ask(self, title: str, text: str, value: str) -> str:
        answer, ok = QInputDialog.getText(self, title, text, text=value)
        return answer.strip() if ok else ""

    def _agreed(self, question: str) -> bool:
        answer = QMessageBox.question(self, "Skeleton", question)
        return answer == QMessageBox.StandardButton.Yes

    def disconnect_viewer(self) -> None:
        """Let go of the viewer."""
        self.labelling.changed.disconnect(self.refresh)


def _names_of(item: QTreeWidgetItem) -> list[str]:
    children = [item.child(k) for k in range(item.childCount())]
    return [child.text(0) for child in children if child is not None] or [item.text(0)]


def _button(text: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    return button
