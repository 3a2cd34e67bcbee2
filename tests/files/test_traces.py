from __future__ import annotations

import numpy as np
import pytest

from napari_facemap.files.traces import read_traces


def test_columns_are_traces_on_the_clock_of_one(tmp_path):
    path = tmp_path / "wheel.csv"
    path.write_text("running,Time,lick\n0.5,1.0,0\n0.7,1.1,\n\n0.9,1.3,1\n", encoding="utf-8-sig")
    traces = read_traces(path)
    assert list(traces) == ["running", "lick"]
    np.testing.assert_array_equal(traces["time"], [1.0, 1.1, 1.3])
    np.testing.assert_array_equal(traces["running"], [0.5, 0.7, 0.9])
    np.testing.assert_array_equal(traces["lick"], [0, np.nan, 1])
    path.with_suffix(".tsv").write_text("t\tx\n0\t1\n1\t2\n")
    assert read_traces(path.with_suffix(".tsv"))["x"].values.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "found none"),
        ("running,lick\n1,2\n", "found running, lick"),
        ("time\n1\n2\n", "columns named time"),
        ("time,a,a\n1,2,3\n", "columns named time"),
        ("time,a,\n1,2,3\n", "columns named time"),
        ("time,a\n1,fast\n2,3\n", "numbers in line 2"),
        ("time,a\n1,2,3\n", "found 3 in line 2"),
        ("time,a\n1,2\n1,3\n", "times that increase"),
        ("time,a\n,2\n1,3\n", "finite times"),
        ("time,a\n", "at least two times"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(tmp_path, text, said):
    path = tmp_path / "wheel.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=said) as caught:
        read_traces(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_missing_and_binary_files(tmp_path):
    with pytest.raises(ValueError, match="no such file"):
        read_traces(tmp_path / "none.csv")
    (tmp_path / "b.csv").write_bytes(bytes(range(256)))
    with pytest.raises(ValueError, match=r"b\.csv"):
        read_traces(tmp_path / "b.csv")


@pytest.mark.parametrize("header", ["t,time,a", "time,t,a", "Time,time,a"])
def test_of_several_columns_of_times_the_plainest_name_counts(tmp_path, header):
    path = tmp_path / "wheel.csv"
    rows = {name: (k, k + 1) for k, name in enumerate(header.split(","))}
    path.write_text(
        header
        + "\n"
        + "\n".join(",".join(map(str, row)) for row in zip(*rows.values(), strict=True))
    )
    traces = read_traces(path)
    assert set(traces) == set(rows) - {"time"}
    assert traces["time"].values.tolist() == list(rows["time"])
