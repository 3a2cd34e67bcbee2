from __future__ import annotations

import h5py
import numpy as np
import pytest

from napari_facemap.files.recordings import read_recording

N, T = 4, 30
DATA = np.random.default_rng(0).normal(size=(T, N))
TIMES = 7 + np.arange(T) / 5
PLANE = "processing/ophys/ImageSegmentation/PlaneSegmentation"
PIXELS = [("x", "u4"), ("y", "u4"), ("weight", "f4")]
VOXELS = [("x", "u4"), ("y", "u4"), ("z", "u4"), ("weight", "f4")]


def new(path):
    file = h5py.File(path, "w")
    file.attrs["nwb_version"] = "2.7.0"
    return file


def typed(file, place, kind):
    group = file.require_group(place)
    group.attrs["neurodata_type"] = kind
    return group


def add_series(
    file, place="Fluorescence/RoiResponseSeries", data=DATA, rois=None, times=TIMES, start=None
):
    group = typed(file, f"processing/ophys/{place}", "RoiResponseSeries")
    group["data"] = data
    if times is not None:
        group["timestamps"] = times
    if start is not None:
        group["starting_time"] = start[0]
        group["starting_time"].attrs["rate"] = start[1]
    if rois is not None:
        group["rois"] = rois
        group["rois"].attrs["table"] = file[PLANE].ref
    return group


def add_segmentation(file, ids=(10, 11, 12, 13, 14), description="cells", **columns):
    table = typed(file, PLANE, "PlaneSegmentation")
    table.attrs["description"] = description
    table["id"] = np.array(ids)
    for name, column in columns.items():
        table[name] = column
    return table


def pixel_mask(dtype=PIXELS):
    """Of ROI i the pixels (x, y) = (i, 5) and (i, 7), weighing 1 and 3."""
    mask = np.zeros(10, dtype)
    mask["x"] = np.repeat(np.arange(5), 2)
    mask["y"] = [5, 7] * 5
    mask["weight"] = [1, 3] * 5
    if "z" in mask.dtype.names:
        mask["z"] = 2
    return mask


ENDS = np.arange(2, 11, 2)


def refused(path, *arguments, **options):
    with pytest.raises(ValueError) as caught:
        read_recording(path, *arguments, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message


@pytest.fixture
def path(tmp_path):
    return tmp_path / "mouse.nwb"


def test_a_series_with_its_times(path):
    with new(path) as file:
        add_series(file)
    recording = read_recording(path)
    assert np.array_equal(recording.activity, DATA.T.astype(np.float32))
    assert np.array_equal(recording.times, TIMES)
    assert recording.names == ["0", "1", "2", "3"]
    assert recording.warnings == []
    assert recording.positions is None
    assert np.array_equal(read_recording(path, TIMES + 1).times, TIMES + 1)
    assert "leave the rate out" in refused(path, rate=3)
    assert "leave bin_seconds out" in refused(path, bin_seconds=0.1)


def test_a_steady_rate(path):
    with new(path) as file:
        add_series(file, times=None, start=(2.5, 20.0))
    assert np.allclose(read_recording(path).times, 2.5 + np.arange(T) / 20)
    with new(path) as file:
        add_series(file, times=None)
    assert read_recording(path, rate=4).rate == pytest.approx(4)
    assert "rate in Hz" in refused(path)


def test_pixel_masks_of_the_rows_that_the_series_is_of(path):
    with new(path) as file:
        add_segmentation(file, pixel_mask=pixel_mask(), pixel_mask_index=ENDS)
        add_series(file, rois=[4, 0, 2, 1])
        image = typed(file, "processing/ophys/Images", "Images")
        image["mean"] = np.arange(6).reshape(2, 3)
    recording = read_recording(path)
    assert recording.names == ["14", "10", "12", "11"]
    assert np.allclose(recording.positions, [[4, 6.5], [0, 6.5], [2, 6.5], [1, 6.5]])
    y, x, weights = recording.footprints[0]
    assert (y.tolist(), x.tolist(), weights.tolist()) == ([5, 7], [4, 4], [1, 3])
    assert np.array_equal(recording.mean_image, np.arange(6).reshape(2, 3).T)


def test_voxel_masks(path):
    with new(path) as file:
        add_segmentation(file, voxel_mask=pixel_mask(VOXELS), voxel_mask_index=ENDS)
        add_series(file, rois=[0, 1, 2, 3])
    recording = read_recording(path)
    assert recording.positions[1].tolist() == [1, 6.5, 2]


def test_image_masks_have_x_first(path, monkeypatch):
    monkeypatch.setattr("napari_facemap.files.matrices.AT_ONCE", 100)
    masks = np.zeros((5, 6, 9), np.float32)
    for i in range(5):
        masks[i, i, 5], masks[i, i, 7] = 1, 3
    with new(path) as file:
        add_segmentation(file, image_mask=masks)
        add_series(file, rois=[4, 0, 2, 1])
    recording = read_recording(path)
    assert np.allclose(recording.positions, [[4, 6.5], [0, 6.5], [2, 6.5], [1, 6.5]])
    assert [part.tolist() for part in recording.footprints[2]] == [[5, 7], [2, 2], [1, 3]]


def test_files_of_suite2p_have_y_first(path):
    with new(path) as file:
        iscell = np.array([[1, 0.9], [0, 0.1], [1, 0.8], [0, 0.2], [1, 1]])
        add_segmentation(
            file,
            description="suite2p output",
            iscell=iscell,
            pixel_mask=pixel_mask(),
            pixel_mask_index=ENDS,
        )
        for name in ("Fluorescence", "Neuropil", "Deconvolved"):
            data = DATA + len(name)
            add_series(file, f"{name}/{name}", data, [0, 1, 2, 3], times=None, start=(0.0, 5.0))
        file["processing/ophys/Backgrounds_0/meanImg"] = np.arange(6).reshape(2, 3)
    recording = read_recording(path)
    assert recording.names == ["10", "12"]
    assert np.array_equal(recording.activity, (DATA + 11).T[[0, 2]].astype(np.float32))
    assert np.allclose(recording.positions, [[6.5, 0], [6.5, 2]])
    assert recording.mean_image.shape == (2, 3)
    assert "processing/ophys/Deconvolved/Deconvolved was read" in recording.warnings[0]
    assert "2 of 4 ROIs were kept by" in recording.warnings[1]
    everything = read_recording(path, signal="F", cells_only=False)
    assert np.array_equal(everything.activity, (DATA + 12).T.astype(np.float32))
    assert everything.warnings == []


def test_which_series(path):
    with new(path) as file:
        add_series(file, "Fluorescence/RoiResponseSeries")
        add_series(file, "Fluorescence/Neuropil", DATA + 1)
        add_series(file, "DfOverF/RoiResponseSeries", DATA + 2)
    message = refused(path)
    for place in ("Fluorescence/RoiResponseSeries", "Fluorescence/Neuropil", "DfOverF/"):
        assert place in message
    for signal, added in (
        ("F", 0),
        ("Neuropil", 1),
        ("dF/F", 2),
        ("DfOverF/RoiResponseSeries", 2),
    ):
        found = read_recording(path, signal=signal)
        assert np.array_equal(found.activity, (DATA + added).T.astype(np.float32))
    assert "expected one that is RoiResponseSeries" in refused(path, signal="RoiResponseSeries")
    assert "expected one that is spks" in refused(path, signal="spks")


def test_data_against_the_schema(path):
    with new(path) as file:
        add_segmentation(file)
        add_series(file, data=DATA.T, rois=[0, 1, 2, 3])
    recording = read_recording(path)
    assert np.array_equal(recording.activity, DATA.T.astype(np.float32))
    assert "against the schema" in recording.warnings[0]
    with new(path) as file:
        add_segmentation(file)
        add_series(file, data=DATA, rois=[0, 1, 2])
    assert "does not fit 30 times and 3 ROIs" in refused(path)
    with new(path) as file:
        add_series(file, times=TIMES[:-1])
    assert "does not fit 29 times" in refused(path)


def test_factor_and_offset(path):
    with new(path) as file:
        data = add_series(file)["data"]
        data.attrs["conversion"], data.attrs["offset"] = 2.0, 1.0
    np.testing.assert_allclose(read_recording(path).activity, DATA.T * 2 + 1, rtol=1e-5)


def add_units(file, spikes, index, ids=None):
    units = typed(file, "units", "Units")
    units["spike_times"] = spikes
    units["spike_times_index"] = index
    if ids is not None:
        units["id"] = ids


def test_units_are_counted_in_bins(path):
    with new(path) as file:
        add_units(file, [0.05, 0.06, 0.95, 0.25, 0.31, 0.32], [3, 3, 6], [5, 6, 9])
    recording = read_recording(path)
    assert recording.names == ["5", "6", "9"]
    assert recording.activity.shape == (3, 10)
    assert recording.activity[0].tolist() == [2, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    assert recording.activity[1].sum() == 0
    assert recording.activity[2, 2:4].tolist() == [1, 2]
    assert np.allclose(recording.times, 0.05 + np.arange(10) / 10)
    assert read_recording(path, bin_seconds=0.5).activity[0].tolist() == [2, 1]
    assert read_recording(path, rate=2).activity[2].tolist() == [3, 0]
    assert read_recording(path, [0.25, 0.75]).activity[2].tolist() == [3, 0]


def test_units_beside_a_series(path):
    with new(path) as file:
        add_series(file, "Deconvolved/Deconvolved")
        add_units(file, [0.1, 0.9], [2])
    assert "Deconvolved/Deconvolved, units; say which by signal" in refused(path)
    assert read_recording(path, signal="units").n_neurons == 1
    assert read_recording(path, signal="spks").n_neurons == N


@pytest.mark.parametrize(
    ("spikes", "index"),
    [([0.1, 0.2], [1]), ([0.1, 0.2], [2, 1, 2]), ([0.1, np.nan], [2]), (np.zeros(0), [0])],
)
def test_units_that_lie(path, spikes, index):
    with new(path) as file:
        add_units(file, spikes, index)
    assert "expected finite units/spike_times" in refused(path)


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"pixel_mask": pixel_mask(), "pixel_mask_index": ENDS + 2}, "do not fit"),
        ({"pixel_mask": pixel_mask(), "pixel_mask_index": ENDS[::-1]}, "do not fit"),
        ({"pixel_mask": np.zeros((10, 3)), "pixel_mask_index": ENDS}, "do not fit"),
        ({"Accepted": np.zeros(5)}, "none of 4 ROIs is a cell"),
    ],
)
def test_segmentations_that_lie(path, columns, says):
    with new(path) as file:
        add_segmentation(file, **columns)
        add_series(file, rois=[0, 1, 2, 3])
    assert says in refused(path)


def test_missing_damaged_and_other_files(path):
    assert "no such file" in refused(path)
    with new(path) as file:
        file["acquisition/lick"] = np.zeros(3)
    assert "expected one series of ROIs or units, found none" in refused(path)
    with new(path) as file:
        add_series(file)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "damaged" in refused(path)
    path.write_bytes(b"")
    assert "damaged" in refused(path)
    with new(path) as file:
        add_series(file, data=np.zeros((3, 4, 5)))
    assert "(time, ROI), found shape (3, 4, 5)" in refused(path)
