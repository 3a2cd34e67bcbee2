from __future__ import annotations

from napari_facemap.files.set_aside import set_aside

NAN = float("nan")


def test_each_table_is_a_file_of_its_own(tmp_path):
    first = set_aside(tmp_path / "video", {7: {"paw": (1.5, 2)}, 3: {"eye(top)": (NAN, NAN)}})
    second = set_aside(tmp_path / "video", {1: {"paw": (0, 0)}})
    assert first.name == "replaced.csv"
    assert second.name == "replaced-2.csv"
    assert first.read_text().split() == ["frame,keypoint,x,y", "3,eye(top),,", "7,paw,1.500,2.000"]
