from __future__ import annotations

import h5py
import numpy as np
import pytest
import xarray as xr

from napari_facemap.files.motion import MotionFileError, read_motion, write_motion
from napari_facemap.files.regions import regions_to_text
from napari_facemap.movement.regions import Region, Regions, Window
from napari_facemap.movement.results import Components, MotionResult


@pytest.fixture
def result():
    rng = np.random.default_rng(0)
    n = 30
    motion = rng.normal(size=(n, 2)).astype(np.float32)
    motion[0] = np.nan
    traces = xr.Dataset(
        {
            "motion_energy": (("time", "motion"), motion, {"units": "grey levels"}),
            "pupil_x": (("time", "pupil"), rng.normal(size=(n, 1)), {"units": "px", "raw": True}),
            "blinking": (("time", "pupil"), rng.random((n, 1)) > 0.5),
        },
        coords={
            "time": ("time", np.arange(n) / 30, {"units": "s"}),
            "motion": ["", "whisker pad å"],
            "pupil": ["left"],
        },
        attrs={
            "software": "napari-facemap",
            "bin": 2,
            "step": 0.1,
            "known": False,
            "nothing": None,
            "empty": "",
            "video_shape": [30, 12, 10],
            "notes of it": ["a", "ü"],
        },
    )
    regions = Regions(
        (
            Region.rectangle("whisker pad å", "motion", 1, 2, 6, 7),
            Region.ellipse("left", "pupil", 4, 5, 3, 2),
        ),
        ((12, 10), (6, 4)),
    )
    windows = ((0, Window(0, 12, 0, 10)), (1, Window(0, 6, 0, 4)))
    scores = rng.normal(size=(n, 3)).astype(np.float32)
    scores[4] = np.nan
    components = (
        Components(
            "motion",
            "",
            tuple(
                rng.normal(size=(3, *np.array(w.shape) // 2)).astype(np.float32)
                for _, w in windows
            ),
            windows,
            2,
            scores,
            np.array([3.0, 2, np.nan]),
            17.25,
            tuple(rng.normal(size=np.array(w.shape) // 2).astype(np.float32) for _, w in windows),
        ),
        Components(
            "movie",
            "whisker pad å",
            (np.zeros((0, 3, 3), np.float32),),
            ((0, Window(2, 8, 1, 7)),),
            2,
            np.zeros((n, 0), np.float32),
            np.zeros(0),
            np.nan,
            (np.ones((3, 3), np.float32),),
        ),
    )
    return MotionResult(traces, components, regions)


def assert_same_array(a, b):
    assert a.dtype == b.dtype
    np.testing.assert_array_equal(a, b)


def assert_same(a: MotionResult, b: MotionResult):
    assert list(a.traces.variables) == list(b.traces.variables)
    for name in a.traces.variables:
        assert a.traces[name].dims == b.traces[name].dims
        assert a.traces[name].attrs == b.traces[name].attrs
        assert_same_array(a.traces[name].values, b.traces[name].values)
    assert a.traces.attrs == b.traces.attrs
    assert {k: type(v) for k, v in a.traces.attrs.items()} == {
        k: type(v) for k, v in b.traces.attrs.items()
    }
    assert regions_to_text(a.regions) == regions_to_text(b.regions)
    assert len(a.components) == len(b.components)
    for one, other in zip(a.components, b.components, strict=True):
        for name in ("source", "name", "windows", "bin"):
            assert getattr(one, name) == getattr(other, name)
        assert_same_array(np.array(one.variance), np.array(other.variance))
        for name in ("scores", "singular_values"):
            assert_same_array(getattr(one, name), getattr(other, name))
        for name in ("masks", "means"):
            for x, y in zip(getattr(one, name), getattr(other, name), strict=True):
                assert_same_array(x, y)


def test_what_is_read_is_what_was_written(result, tmp_path):
    path = write_motion(result, tmp_path / "motion.nc")
    again = read_motion(path)
    assert_same(again, result)
    assert all(isinstance(window, Window) for _, window in again.components[0].windows)
    assert list(tmp_path.iterdir()) == [path]


def test_twice_gives_the_same_again(result, tmp_path):
    first = read_motion(write_motion(result, tmp_path / "a.nc"))
    assert_same(read_motion(write_motion(first, tmp_path / "b.nc")), result)


def test_plain_xarray_opens_the_traces(result, tmp_path):
    path = write_motion(result, tmp_path / "motion.nc")
    with xr.open_dataset(path) as file:
        assert file["motion_energy"].attrs["units"] == "grey levels"
        assert file["time"].dtype == np.float64
        whiskers = file["motion_energy"].sel(motion="whisker pad å").values
    np.testing.assert_array_equal(whiskers, result.traces["motion_energy"][:, 1])


def test_any_hdf5_reader_opens_the_components(result, tmp_path):
    path = write_motion(result, tmp_path / "motion.nc")
    with h5py.File(path) as file:
        np.testing.assert_array_equal(
            file["components/0/mask_1"][:], result.components[0].masks[1]
        )


def test_regions_alone(result, tmp_path):
    alone = MotionResult(xr.Dataset(), (), result.regions)
    again = read_motion(write_motion(alone, tmp_path / "motion.nc"))
    assert not again.traces.variables
    assert regions_to_text(again.regions) == regions_to_text(result.regions)


def test_the_result_itself_stays_as_it_is(result, tmp_path):
    before = dict(result.traces.attrs)
    write_motion(result, tmp_path / "motion.nc")
    assert result.traces.attrs == before
    assert result.traces["pupil_x"].attrs == {"units": "px", "raw": True}


def test_attributes_that_no_file_holds(result, tmp_path):
    path = tmp_path / "motion.nc"
    path.write_bytes(b"what was there")
    result.traces.attrs["video"] = object()
    with pytest.raises(ValueError, match="object called video"):
        write_motion(result, path)
    result.traces.attrs = {"regions": "mine"}
    with pytest.raises(ValueError, match="called regions"):
        write_motion(result, path)
    assert path.read_bytes() == b"what was there"
    assert list(tmp_path.iterdir()) == [path]


def test_missing_damaged_and_other_files(result, tmp_path):
    path = tmp_path / "motion.nc"
    with pytest.raises(MotionFileError, match="no such file"):
        read_motion(path)
    whole = write_motion(result, path).read_bytes()
    for content in (b"", b"words", whole[: len(whole) // 2], whole[:-1]):
        path.write_bytes(content)
        with pytest.raises(MotionFileError, match=r"motion\.nc: expected") as caught:
            read_motion(path)
        assert "\n" not in str(caught.value)
    xr.Dataset({"a": ("b", [1, 2])}).to_netcdf(path, engine="h5netcdf")
    with pytest.raises(MotionFileError, match="found 'no format' of version None"):
        read_motion(path)


def test_parts_that_are_missing_or_wrong(result, tmp_path):
    path = tmp_path / "motion.nc"

    def damage(change):
        write_motion(result, path)
        with h5py.File(path, "r+") as file:
            change(file)
        with pytest.raises(MotionFileError, match=r"motion\.nc: ") as caught:
            read_motion(path)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    def newer(file):
        file.attrs["format_version"] = 2

    def torn(file):
        del file["components/1"]

    def maskless(file):
        del file["components/0/mask_1"]

    def garbled(file):
        file.attrs["regions"] = "{"

    def odd(file):
        file["components/0"].attrs["source"] = "sound"

    assert "of version 2" in damage(newer)
    for change in (torn, maskless, odd):
        assert "found damage" in damage(change)
    assert "expected regions as JSON" in damage(garbled)
