from __future__ import annotations

import pytest

from napari_facemap.files.atomic import atomic_path, unused_path


def test_atomic_files_appear_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "file.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("whole")
        assert temporary.suffix == ".txt"
        assert not path.exists()
    with pytest.raises(RuntimeError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_permissions_are_the_usual_ones(tmp_path):
    (tmp_path / "usual").touch()
    with atomic_path(tmp_path / "new") as temporary:
        temporary.write_text("private")
        temporary.chmod(0o600)
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_names_that_are_taken_get_a_number(tmp_path):
    for expected in ("a.b.csv", "a.b-2.csv", "a.b-3.csv"):
        free = unused_path(tmp_path / "a.b.csv")
        assert free == tmp_path / expected
        free.touch()
