from __future__ import annotations

import json
import os
import pickle

import numpy as np
import pytest
import xarray as xr
from scipy.io import loadmat

from napari_facemap.files.facemap_proc import FacemapFileError, read_facemap_proc
from napari_facemap.files.facemap_proc_write import write_facemap_proc
from napari_facemap.files.regions import outline_of_mask, regions_to_text
from napari_facemap.files.unpickle import UnsafeFileError
from napari_facemap.movement.regions import Region, Regions, Window
from napari_facemap.movement.results import Components, MotionResult

BIN = 4
SIZES = ((60, 90), (48, 64))
BINS = ((15, 22), (12, 16))


def ellipse_mask(height, width):
    y, x = np.mgrid[:height, :width]
    return (
        ((y - (height - 1) / 2) / (height / 2)) ** 2 + ((x - (width - 1) / 2) / (width / 2)) ** 2
    ) <= 1


def roi(number, kind, rtype, view, y, x, saturation=255, mask=None, reflectors=()):
    """A region as Facemap keeps it."""
    return {
        "rind": kind,
        "rtype": rtype,
        "iROI": number,
        "ivid": view,
        "color": (255, 0, 0),
        "yrange": np.arange(*y),
        "xrange": np.arange(*x),
        "saturation": saturation,
        "pupil_sigma": 2.0,
        "ellipse": np.ones((y[1] - y[0], x[1] - x[0]), bool) if mask is None else mask,
        "reflector": list(reflectors),
        "yrange_bin": np.arange(y[0] // BIN, (y[1] - 1) // BIN),
        "xrange_bin": np.arange(x[0] // BIN, (x[1] - 1) // BIN),
    }


ROIS = (
    roi(
        *(0, 0, "Pupil", 0, (8, 44), (26, 66), 60, ellipse_mask(36, 40)),
        [
            {
                "yrange": np.arange(13, 17),
                "xrange": np.arange(17, 22),
                "ellipse": np.ones((4, 5), bool),
            }
        ],
    ),
    roi(1, 1, "motion SVD", 1, (6, 39), (9, 50)),
    roi(2, 2, "Blink", 0, (5, 45), (20, 70), 90, ellipse_mask(40, 50)),
    roi(3, 1, "motion SVD", 0, (7, 31), (40, 81)),
    roi(4, 3, "Running", 1, (2, 46), (3, 60)),
)


def films(frames):
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (frames, *size)).astype(np.uint8) for size in SIZES]


def binned(film):
    rows, columns = film.shape[1] // BIN, film.shape[2] // BIN
    cut = film[:, : rows * BIN, : columns * BIN].astype(float)
    return cut.reshape(-1, rows, BIN, columns, BIN).mean((2, 4))


def flat_parts(pictures):
    """Whole frames of all views on end, then each motion region."""
    parts = [np.concatenate([p.reshape(len(p), -1) for p in pictures], 1)]
    for of in ROIS:
        if of["rtype"] == "motion SVD":
            part = pictures[of["ivid"]][:, of["yrange_bin"]][:, :, of["xrange_bin"]]
            parts.append(part.reshape(len(part), -1))
    return parts


def make_proc(frames=600, number=5, unit=False):
    """What Facemap makes of films, and the differences that it should have told."""
    views = [binned(film) for film in films(frames)]
    changes = [np.abs(np.diff(v, axis=0)) for v in views]
    means = {"mov": [v.mean(0) for v in views], "mot": [c.mean(0) for c in changes]}
    proc = {
        "filenames": [["v0.avi", "v1.avi"]],
        "save_path": None,
        "Ly": [60, 48],
        "Lx": [90, 64],
        "sbin": BIN,
        "fullSVD": True,
        "save_mat": False,
        "Lybin": np.array([15, 12], np.int32),
        "Lxbin": np.array([22, 16], np.int32),
        "sybin": np.zeros(2, int),
        "sxbin": np.array([0, 22]),
        "LYbin": 15,
        "LXbin": 38,
        "sy": np.zeros(2, int),
        "sx": np.array([0, 90]),
        "rois": list(ROIS),
        "avgframe": [m.astype(np.float32) for m in means["mov"]],
        "avgmotion": [m.astype(np.float32) for m in means["mot"]],
    }
    energy = [part.sum(1).astype(np.float32) for part in flat_parts(changes)]
    # Of its first batch a frame early, and 0 at its end.
    proc["motion"] = [np.insert(e, min(500, frames) - 1, 0) for e in energy]
    for key, pictures in (("mot", changes), ("mov", views)):
        centre = [m[None] for m in means[key]]
        proc[f"{key}Mask"], proc[f"{key}SVD"] = [], []
        for part, mean in zip(flat_parts(pictures), flat_parts(centre), strict=True):
            _, values, right = np.linalg.svd(part - mean, full_matrices=False)
            masks = right[:number].T * (1 if unit else values[:number])
            scores = ((part - mean) @ masks).astype(np.float32)
            first = scores[:1] if key == "mot" else scores[1:2]
            scores = np.concatenate([first, scores if key == "mot" else scores[1:]])
            proc[f"{key}Mask"].append(masks.astype(np.float32))
            proc[f"{key}SVD"].append(scores)
        last = values[:number] if unit else np.zeros(500)
        proc[f"{key}Sv"] = last.astype(np.float32)
    angle = np.deg2rad(np.linspace(-80, 80, frames))
    axes = np.stack([np.sin(angle), np.cos(angle)]), np.stack([np.cos(angle), -np.sin(angle)])
    squares = np.stack([np.full(frames, 144.0), np.full(frames, 64.0)], 1)
    # Facemap does not sort them.
    axdir = np.stack([np.where(angle < 0, *axes).T, np.where(angle < 0, *axes[::-1]).T], 2)
    squares[angle >= 0] = squares[angle >= 0, ::-1]
    area = np.pi * np.sqrt(squares.prod(1))
    com = np.stack([17 + np.sin(angle), 19 + np.cos(angle)], 1)
    area[frames // 2] = com[frames // 2] = np.nan
    proc["pupil"] = [
        {
            "area": area,
            "com": com,
            "axdir": axdir,
            "axlen": squares,
            "area_smooth": area,
            "com_smooth": com,
        }
    ]
    proc["blink"] = [np.arange(frames, dtype=float)]
    proc["running"] = [np.stack([np.arange(frames) % 3, np.arange(frames) % 5], 1).astype(float)]
    return proc, energy


@pytest.fixture(scope="module")
def made():
    return make_proc()


def saved(proc, path):
    np.save(path, proc)
    return path


@pytest.fixture
def path(made, tmp_path):
    return saved(made[0], tmp_path / "v0_proc.npy")


def test_regions(path):
    regions = read_facemap_proc(path).regions
    assert regions.sizes == SIZES
    told = [(r.name, r.kind, r.shape, r.view) for r in regions]
    assert told == [
        ("pupil 1", "pupil", "ellipse", 0),
        ("glint 1", "glint", "rectangle", 0),
        ("motion 1", "motion", "rectangle", 1),
        ("blink 1", "blink", "ellipse", 0),
        ("motion 2", "motion", "rectangle", 0),
        ("running 1", "running", "rectangle", 1),
    ]
    assert [r.options.get("threshold") for r in regions] == [60, None, None, 90, None, None]
    for region, of in zip([r for r in regions if r.kind != "glint"], ROIS, strict=True):
        size = SIZES[region.view]
        window = region.window(*size)
        y, x = of["yrange"], of["xrange"]
        assert window == Window(y[0], y[-1] + 1, x[0], x[-1] + 1)
        np.testing.assert_array_equal(region.mask(*size), of["ellipse"])
    # The glint lies 13 rows and 17 columns from the pupil's corner.
    assert regions.of("glint")[0].window(60, 90) == Window(21, 25, 43, 48)


@pytest.mark.parametrize("frames", [3, 499, 500, 501, 620])
def test_motion_energy_stands_at_the_later_of_its_frames(tmp_path, frames):
    proc, energy = make_proc(frames, number=1)
    traces = read_facemap_proc(saved(proc, tmp_path / "a_proc.npy")).traces
    assert list(traces["motion"].values) == ["whole frames", "motion 1", "motion 2"]
    found = traces["motion_energy"].values
    assert np.isnan(found[0]).all()
    np.testing.assert_array_equal(found[1:], np.stack(energy, 1))
    pixels = [
        15 * 22 + 12 * 16,
        *(len(r["yrange_bin"]) * len(r["xrange_bin"]) for r in ROIS[1::2]),
    ]
    np.testing.assert_allclose(traces["motion_mean"].values[1:], found[1:] / pixels, rtol=1e-6)


def test_motion_energy_that_is_right_stays(made, tmp_path):
    right = [np.insert(e, 0, 0) for e in made[1]]
    path = saved(made[0] | {"motion": right}, tmp_path / "a_proc.npy")
    found = read_facemap_proc(path).traces["motion_energy"].values
    np.testing.assert_array_equal(found[1:], np.stack(made[1], 1))


def test_pupil(made, path):
    traces = read_facemap_proc(path).traces.isel(pupil=0)
    com = made[0]["pupil"][0]["com"]
    np.testing.assert_array_equal(traces["pupil_x"], com[:, 1] + 26)
    np.testing.assert_array_equal(traces["pupil_y"], com[:, 0] + 8)
    assert (traces["pupil_major"] == 12).all()
    assert (traces["pupil_minor"] == 8).all()
    np.testing.assert_allclose(
        traces["pupil_angle"], np.deg2rad(np.linspace(-80, 80, 600)), atol=1e-9
    )
    assert traces["pupil_angle"].attrs["units"] == "rad"
    np.testing.assert_array_equal(traces["pupil_area"], made[0]["pupil"][0]["area"])
    np.testing.assert_allclose(
        traces["pupil_area"], np.pi / 4 * traces["pupil_diameter"] ** 2, rtol=1e-12
    )
    assert np.isnan(traces["pupil_x"][300])
    assert np.isnan(traces["pupil_quality"]).all()


def test_running_and_blink(made, path):
    traces = read_facemap_proc(path).traces
    shift = made[0]["running"][0]
    assert np.isnan(traces["running_x"][0]).all()
    np.testing.assert_array_equal(traces["running_y"][1:, 0], shift[1:, 0])
    np.testing.assert_array_equal(traces["running_x"][1:, 0], shift[1:, 1])
    np.testing.assert_array_equal(traces["blink_dark"][:, 0], made[0]["blink"][0])


@pytest.mark.parametrize("unit", [False, True])
def test_components_do_what_they_are_to(tmp_path, unit):
    """Scores are those of the films by the masks, in full-frame windows of all views."""
    proc, _ = make_proc(unit=unit)
    result = read_facemap_proc(saved(proc, tmp_path / "a_proc.npy"))
    assert [c.label for c in result.components] == [
        f"{source} of {name}"
        for source in ("motion", "movie")
        for name in ("whole frames", "motion 1", "motion 2")
    ]
    film = films(600)
    for of in result.components:
        assert of.bin == BIN
        expected = 0.0
        for (view, window), mask, mean in zip(of.windows, of.masks, of.means, strict=True):
            pictures = binned(window.of(film[view]))
            if of.source == "motion":
                pictures = np.abs(np.diff(pictures, axis=0, prepend=np.nan))
            assert mask.shape == (5, *mean.shape)
            expected = expected + np.einsum("tyx,cyx->tc", pictures - mean, mask)
        assert np.isnan(of.scores[0]).all()
        np.testing.assert_allclose(of.scores[1:], expected[1:], rtol=1e-3, atol=0.5)
        masks = np.concatenate([m.reshape(5, -1) for m in of.masks], 1)
        np.testing.assert_allclose(masks @ masks.T, np.eye(5), atol=1e-4)
        # Kept for the last region alone, or in the lengths of the masks.
        if unit and of.name != "motion 2":
            assert np.isnan(of.singular_values).all()
        else:
            lengths = np.sqrt((expected[of.source == "motion" :].astype(float) ** 2).sum(0))
            np.testing.assert_allclose(of.singular_values, lengths, rtol=1e-3)
        assert np.isnan(of.variance)
    assert result.components[0].windows == ((0, Window(0, 60, 0, 88)), (1, Window(0, 48, 0, 64)))
    assert result.components[1].windows == ((1, Window(4, 36, 8, 48)),)


def test_components_of_no_length_and_chunks_that_were_not_joined(made, tmp_path):
    masks = [m.copy() for m in made[0]["motMask"]]
    masks[1][:, 4] = 1e-12 * masks[1][:, 3]
    masks[2][:, 4] = 0.5 * masks[2][:, 0] + masks[2][:, 4]
    path = saved(made[0] | {"motMask": masks}, tmp_path / "a_proc.npy")
    _, one, two = read_facemap_proc(path).components[:3]
    assert one.scores.shape == (600, 4)
    assert one.masks[0].shape[0] == 4
    assert np.isfinite(one.singular_values).all()
    assert two.scores.shape == (600, 5)
    assert np.isnan(two.singular_values).all()


def test_what_was_not_asked_for(made, tmp_path):
    """Empty entries for whole frames, empty lists for a source, zeros for motion."""
    none = np.zeros((0, 1), np.float32)
    proc = made[0] | {
        "motMask": [none, *made[0]["motMask"][1:]],
        "motSVD": [none, *made[0]["motSVD"][1:]],
        "motion": [np.zeros(0, np.float32), *made[0]["motion"][1:]],
        "movMask": [np.zeros((4, 4))] * 2,
        "movSVD": [],
    }
    result = read_facemap_proc(saved(proc, tmp_path / "a_proc.npy"))
    assert [c.label for c in result.components] == ["motion of motion 1", "motion of motion 2"]
    assert list(result.traces["motion"].values) == ["motion 1", "motion 2"]
    np.testing.assert_array_equal(result.traces["motion_energy"][1:, 0], made[1][1])
    proc |= {"motSVD": [], "motMask": [], "motion": [np.zeros(600, np.float32)] * 3}
    proc |= {"movSVD": made[0]["movSVD"], "movMask": made[0]["movMask"]}
    result = read_facemap_proc(saved(proc, tmp_path / "a_proc.npy"))
    assert "motion_energy" not in result.traces
    assert {c.source for c in result.components} == {"movie"}
    proc |= {"rois": [], "pupil": [], "running": [], "blink": [], "motion": [np.zeros(600)]}
    proc |= {"movSVD": made[0]["movSVD"][:1], "movMask": made[0]["movMask"][:1]}
    result = read_facemap_proc(saved(proc, tmp_path / "a_proc.npy"))
    assert result.traces.sizes["time"] == len(result.components[0].scores) == 600


def test_times(path):
    counted = read_facemap_proc(path).traces
    assert counted.attrs["times_known"] == 0
    np.testing.assert_array_equal(counted["time"], np.arange(600))
    times = np.arange(600) / 30 + 5
    known = read_facemap_proc(path, times).traces
    assert known.attrs["times_known"] == 1
    np.testing.assert_array_equal(known["time"], times)
    assert known["time"].attrs["units"] == "s"
    with pytest.raises(FacemapFileError, match=r"600 frames beside times of shape \(5,\)"):
        read_facemap_proc(path, times[:5])


def test_regions_alone(tmp_path):
    proc = {
        "Ly": [60, 48],
        "Lx": [90, 64],
        "sy": np.zeros(2),
        "sx": np.zeros(2),
        "LY": 60,
        "LX": 154,
        "sbin": 4,
        "fullSVD": True,
        "rois": list(ROIS),
        "motSVD": True,
        "movSVD": False,
        "save_mat": False,
        "save_path": None,
        "filenames": [["a.avi"]],
        "pose_settings": {"bbox": [], "bbox_set": False},
    }
    result = read_facemap_proc(saved(proc, tmp_path / "a_proc.npy"))
    assert len(result.regions) == 6
    assert result.components == ()
    assert not result.traces.variables
    again = write_facemap_proc(result, tmp_path / "b_proc.npy")
    assert regions_to_text(read_facemap_proc(again).regions) == regions_to_text(result.regions)
    assert isinstance(np.load(again, allow_pickle=True).item()["motSVD"], bool)


def assert_same(a: MotionResult, b: MotionResult):
    xr.testing.assert_allclose(a.traces, b.traces, rtol=1e-6 if a.traces.sizes else 0)
    assert regions_to_text(a.regions) == regions_to_text(b.regions)
    for one, other in zip(a.components, b.components, strict=True):
        for name in ("source", "name", "windows", "bin"):
            assert getattr(one, name) == getattr(other, name)
        np.testing.assert_array_equal(one.scores, other.scores)
        np.testing.assert_array_equal(one.singular_values, other.singular_values)
        np.testing.assert_array_equal(one.variance, other.variance)
        for name in ("masks", "means"):
            for x, y in zip(getattr(one, name), getattr(other, name), strict=True):
                np.testing.assert_array_equal(x, y)


def kinds(value):
    """Types and shapes of all that a dict holds."""
    if isinstance(value, dict):
        return {key: kinds(of) for key, of in value.items()}
    if isinstance(value, list | tuple):
        return [kinds(of) for of in value]
    if isinstance(value, np.ndarray):
        return value.dtype.kind, value.dtype.itemsize, value.shape
    return type(value)


def test_what_is_written_is_as_facemap_has_it(path, made, tmp_path):
    result = read_facemap_proc(path, np.arange(600) / 30)
    written = write_facemap_proc(result, tmp_path / "b_proc.npy", videos=["v0.avi", "v1.avi"])
    proc = np.load(written, allow_pickle=True).item()
    assert set(proc.pop("napari_facemap")) >= {"times", "regions", "components"}
    expected = {k: kinds(v) for k, v in made[0].items()}
    reshaped = {
        "avgframe_reshape": ("f", 4, (15, 38)),
        "avgmotion_reshape": ("f", 4, (15, 38)),
        **{
            f"{key}Mask_reshape": [
                ("f", 4, (15, 38, 5)),
                ("f", 4, (8, 10, 5)),
                ("f", 4, (6, 10, 5)),
            ]
            for key in ("mot", "mov")
        },
    }
    # All zeros in Facemap's.
    values = {"motSv": ("f", 4, (5,)), "movSv": ("f", 4, (5,)), "save_path": str}
    assert {k: kinds(v) for k, v in proc.items()} == expected | reshaped | values
    for key in ("Lybin", "Lxbin", "sybin", "sxbin", "sy", "sx", "Ly", "Lx"):
        np.testing.assert_array_equal(proc[key], made[0][key])
    for key in ("avgframe", "avgmotion", "blink", "running"):
        for x, y in zip(proc[key], made[0][key], strict=True):
            np.testing.assert_array_equal(x, y)
    for x, y in zip(proc["rois"], made[0]["rois"], strict=True):
        for key in ("rind", "rtype", "iROI", "ivid", "saturation"):
            assert x[key] == y[key]
        for key in ("yrange", "xrange", "ellipse", "yrange_bin", "xrange_bin"):
            np.testing.assert_array_equal(x[key], y[key])
        for one, other in zip(x["reflector"], y["reflector"], strict=True):
            for key in one:
                np.testing.assert_array_equal(one[key], other[key])
    pupil = proc["pupil"][0], made[0]["pupil"][0]
    for key in ("area", "com"):
        np.testing.assert_allclose(pupil[0][key], pupil[1][key], rtol=1e-12)
    assert np.isfinite(pupil[0]["area_smooth"]).all()
    for key in ("mot", "mov"):
        for n in range(3):
            lengths = np.linalg.norm(made[0][f"{key}Mask"][n], axis=0)
            for what in ("Mask", "SVD"):
                ours, theirs = proc[key + what][n], made[0][key + what][n] / lengths
                np.testing.assert_allclose(ours, theirs, rtol=1e-5)
        views = proc[f"{key}Mask_reshape"][0]
        whole = proc[f"{key}Mask"][0]
        np.testing.assert_array_equal(views[:, :22].reshape(-1, 5), whole[:330])
        np.testing.assert_array_equal(views[:12, 22:].reshape(-1, 5), whole[330:])
        assert not views[12:, 22:].any()
    for x, y in zip(proc["motion"], made[1], strict=True):
        np.testing.assert_array_equal(x[1:], y)


def test_what_is_read_is_what_was_written(path, tmp_path):
    result = read_facemap_proc(path, np.arange(600) / 30)
    # Ours go by regions first.
    ours = MotionResult(result.traces, result.components[::-1], result.regions)
    again = read_facemap_proc(write_facemap_proc(ours, tmp_path / "b" / "v0_proc.npy"))
    assert_same(again, ours)
    assert again.traces.attrs == result.traces.attrs
    assert json.loads(again.traces.attrs["facemap_filenames"]) == [["v0.avi", "v1.avi"]]


def test_result_of_ours(tmp_path):
    """Names, times, polygons and windows that Facemap has no place for."""
    regions = Regions(
        (
            Region("nose", "motion", [[5, 3], [30, 9], [12, 31]], "polygon"),
            Region.ellipse("left", "pupil", 60, 30, 12.5, 10),
            Region.ellipse("shine", "glint", 60, 30, 2, 2),
            Region.ellipse("elsewhere", "glint", 10, 10, 2, 2),
            Region.rectangle("wheel", "running", 0, 40, 20, 55),
        ),
        ((60, 90),),
    )
    rng = np.random.default_rng(0)
    energy = rng.random((20, 2)).astype(np.float32)
    energy[0] = np.nan
    traces = xr.Dataset(
        {
            "motion_energy": (("time", "motion"), energy * 25),
            "motion_mean": (("time", "motion"), energy / [12 * 18, 6 * 5]),
            "pupil_angle": (("time", "pupil"), np.full((20, 1), 0.5), {"units": "rad"}),
        },
        coords={
            "time": np.arange(20) / 25 + 3,
            "motion": ["whole frame", "nose"],
            "pupil": ["left"],
        },
        attrs={"video": "b.mp4"},
    )
    scores = rng.normal(size=(20, 2)).astype(np.float32)
    scores[0] = np.nan
    nose = Components(
        "motion",
        "nose",
        (np.eye(2, 30, dtype=np.float32).reshape(2, 6, 5),),
        ((0, Window(3, 33, 5, 30)),),
        5,
        scores,
        np.array([2.0, 1]),
        7.5,
        (np.ones((6, 5), np.float32),),
    )
    result = MotionResult(traces, (nose,), regions)
    path = write_facemap_proc(result, tmp_path / "a_proc.npy", videos=["a.mp4"])
    proc = np.load(path, allow_pickle=True).item()
    assert [r["rtype"] for r in proc["rois"]] == ["motion SVD", "Pupil", "Running"]
    assert len(proc["rois"][1]["reflector"]) == 1
    np.testing.assert_array_equal(proc["rois"][0]["ellipse"], regions[0].mask(60, 90))
    np.testing.assert_array_equal(proc["rois"][0]["yrange_bin"], np.arange(1, 7))
    direction = proc["pupil"][0]["axdir"][0, :, 0]
    np.testing.assert_allclose(direction, [np.sin(0.5), np.cos(0.5)])
    assert proc["filenames"] == [["a.mp4"]]
    unnamed = np.load(write_facemap_proc(result, tmp_path / "b_proc.npy"), allow_pickle=True)
    assert unnamed.item()["filenames"] == [["b.mp4"]]
    assert proc["motSVD"][0].shape == (0, 1)
    assert not proc["fullSVD"]
    assert np.isnan(proc["avgmotion"][0]).any()
    again = read_facemap_proc(path)
    assert regions_to_text(again.regions) == regions_to_text(regions)
    np.testing.assert_array_equal(again.traces["time"], traces["time"])
    # Of bins, as Facemap has it.
    np.testing.assert_array_equal(again.traces["motion_energy"], energy)
    np.testing.assert_allclose(again.traces["motion_mean"], traces["motion_mean"])
    np.testing.assert_allclose(again.traces["pupil_angle"], 0.5)
    assert np.isnan(again.traces["running_x"]).all()
    assert again.components[0].windows == nose.windows
    assert again.components[0].variance == 7.5
    np.testing.assert_array_equal(again.components[0].masks[0], nose.masks[0])
    np.testing.assert_array_equal(again.components[0].means[0], nose.means[0])
    assert write_facemap_proc(result, tmp_path / "c_proc.mat").is_file()


def test_traces_without_components(tmp_path):
    """Regions smaller than a bin, one of them without a trace, none of whole frames."""
    regions = Regions(
        (
            Region.rectangle("a", "motion", 1, 1, 2, 2),
            Region.rectangle("b", "motion", 5, 5, 25, 25),
            Region.ellipse("eye", "blink", 10, 10, 5, 5),
        ),
        ((30, 40),),
    )
    regions[2].options["threshold"] = 0.0
    energy = np.array([[np.nan], [1], [0]], np.float32)
    traces = xr.Dataset(
        {"motion_mean": (("time", "motion"), energy)},
        coords={"time": [0.0, 0.1, 0.2], "motion": ["a"]},
        attrs={"bin": 8},
    )
    path = write_facemap_proc(MotionResult(traces, (), regions), tmp_path / "a_proc.npy")
    again = read_facemap_proc(path)
    assert list(again.traces["motion"].values) == ["a"]
    np.testing.assert_array_equal(again.traces["motion_energy"], energy)
    assert np.load(path, allow_pickle=True).item()["rois"][2]["saturation"] == 0
    assert again.regions[2].options["threshold"] == 0


def test_whole_frames_of_several_views_are_taken_together(tmp_path):
    mean = np.array([[np.nan, np.nan], [1, 10], [2, 20]])
    names = ["whole frame of view 0", "whole frame of view 1"]
    traces = xr.Dataset(
        {"motion_mean": (("time", "motion"), mean)},
        coords={"time": [0.0, 0.1, 0.2], "motion": names},
    )
    result = MotionResult(traces, (), Regions((), SIZES))
    again = read_facemap_proc(write_facemap_proc(result, tmp_path / "a_proc.npy"))
    area = np.prod(SIZES, axis=1)
    np.testing.assert_allclose(
        again.traces["motion_mean"].sel(motion="whole frames"), mean @ area / area.sum(), rtol=1e-6
    )


def test_matlab_file(path, tmp_path):
    result = read_facemap_proc(path)
    write_facemap_proc(result, tmp_path / "a_proc.mat")
    found = loadmat(tmp_path / "a_proc.mat")
    proc = np.load(write_facemap_proc(result, tmp_path / "a_proc.npy"), allow_pickle=True).item()
    lists = ("avgframe", "avgmotion", "motion", "motMask", "motMask_reshape", "motSVD", "running")
    for key in (*lists, "movMask", "movMask_reshape", "movSVD", "blink"):
        for n, array in enumerate(proc[key]):
            np.testing.assert_array_equal(found[f"{key}_{n}"].squeeze(), array.squeeze())
    assert list(found["filenames"].ravel()) == ["v0.avi", "v1.avi"]
    assert found["rois"].shape == (1, 5)
    pupil = found["pupil"][0, 0][0, 0]
    np.testing.assert_array_equal(pupil["com"], proc["pupil"][0]["com"])
    one = found["rois"][0, 0][0, 0]
    assert one["rtype"].item() == "Pupil"
    np.testing.assert_array_equal(
        one["reflector"][0, 0][0, 0]["yrange"].ravel(), np.arange(13, 17)
    )
    assert found["save_mat"].item() == 1


def test_what_cannot_be_written(path, tmp_path):
    result = read_facemap_proc(path)
    with pytest.raises(ValueError, match=r"a\.nc: expected a name that ends in \.npy or \.mat"):
        write_facemap_proc(result, tmp_path / "a.nc")
    finer = Components(**{**vars(result.components[0]), "bin": 2})
    with pytest.raises(ValueError, match=r"one size of bins, found \[2, 4\]"):
        write_facemap_proc(
            MotionResult(result.traces, (finer, *result.components), result.regions),
            tmp_path / "a_proc.npy",
        )
    assert list(tmp_path.iterdir()) == [path]


def test_outlines():
    y, x = np.arange(10, 40), np.arange(100, 150)
    frame = 60, 200

    def shown(mask):
        shape, vertices = outline_of_mask(y, x, mask)
        region = Region("a", "blink", vertices, shape)
        drawn = np.zeros(frame, bool)
        window = region.window(*frame)
        drawn[window.y0 : window.y1, window.x0 : window.x1] = region.mask(*frame)
        return shape, drawn[10:40, 100:150]

    for mask in (None, np.ones((30, 50), bool)):
        shape, drawn = shown(mask)
        assert shape == "rectangle"
        assert drawn.all()
    rows, columns = np.mgrid[:30, :50]
    # Whole, off the middle, and cut off by the frame's edge.
    for cy, cx, b, a in ((14.5, 24.5, 15, 25), (12, 30, 8, 11.5), (2, 40, 14, 20)):
        mask = ((rows - cy) / b) ** 2 + ((columns - cx) / a) ** 2 <= 1
        shape, drawn = shown(mask)
        assert shape == "ellipse"
        assert (drawn != mask).sum() <= 0.03 * mask.sum()
    triangle = rows > columns
    shape, drawn = shown(triangle)
    assert shape == "polygon"
    np.testing.assert_array_equal(drawn, triangle)
    with pytest.raises(ValueError, match="a mask of"):
        outline_of_mask(y, x, triangle[1:])
    with pytest.raises(ValueError, match="without pixels"):
        outline_of_mask(y, x[:0], None)


def without(proc, *keys):
    return {key: value for key, value in proc.items() if key not in keys}


def test_other_and_damaged_files_get_one_line(made, tmp_path):
    proc, path = made[0], tmp_path / "a_proc.npy"
    rois = list(ROIS)
    bad = [
        {"a": 1},
        [1, 2],
        np.arange(5),
        without(proc, "motSVD"),
        without(proc, "Lybin"),
        without(proc, "pupil"),
        proc | {"Ly": [60]},
        proc | {"Ly": 60},
        proc | {"Lybin": np.array([15, 13])},
        proc | {"rois": 5},
        proc | {"rois": [5]},
        proc | {"rois": [{**rois[0], "rtype": "Tail"}]},
        proc | {"rois": [without(rois[0], "yrange")]},
        proc | {"rois": rois[:3]},
        proc | {"rois": [{**r, "ivid": 5} for r in rois]},
        proc | {"motion": [np.ones(3), np.ones(4)]},
        proc | {"motion": [1, 2, 3]},
        proc | {"motMask": [m[1:] for m in proc["motMask"]]},
        proc | {"motSVD": [s[1:] for s in proc["motSVD"]]},
        proc | {"blink": [np.ones(599)]},
        proc | {"pupil": [without(proc["pupil"][0], "com")]},
        proc | {"pupil": [proc["pupil"][0] | {"axdir": np.ones(600)}]},
        proc | {"napari_facemap": {"regions": "{"}},
        proc | {"napari_facemap": {"components": [1]}},
        proc | {"napari_facemap": {"times": 3}},
    ]
    for content in bad:
        array = np.empty((), object)
        array[()] = content
        np.save(path, array)
        with pytest.raises(FacemapFileError, match=r"a_proc\.npy: expected") as caught:
            read_facemap_proc(path)
        assert "\n" not in str(caught.value)


def test_nothing_of_a_file_runs(tmp_path):
    class Hostile:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "was_here"),)

    path = saved({"Ly": [1], "Lx": [1], "rois": [Hostile()]}, tmp_path / "a_proc.npy")
    with pytest.raises(UnsafeFileError, match="mkdir, which could run code"):
        read_facemap_proc(path)
    assert not (tmp_path / "was_here").exists()
    with pytest.raises(UnsafeFileError, match="no such file"):
        read_facemap_proc(tmp_path / "b_proc.npy")
    assert pickle.dumps(Hostile())


def test_file_that_facemap_wrote(shared_data, tmp_path):
    path = shared_data / "reference" / "proc" / "mouse_face_30s_proc.npy"
    if not path.is_file():
        pytest.skip(f"Facemap's own file is not at {path}")
    result = read_facemap_proc(path)
    proc = np.load(path, allow_pickle=True).item()
    assert [r.name for r in result.regions] == ["pupil 1", "blink 1", "motion 1", "running 1"]
    for region, of in zip(result.regions, proc["rois"], strict=True):
        np.testing.assert_array_equal(region.mask(480, 800), of["ellipse"])
        window = region.window(480, 800)
        assert (window.y0, window.x0) == (of["yrange"][0], of["xrange"][0])
    pupil = result.traces.isel(pupil=0, time=0)
    assert float(pupil["pupil_x"]) == pytest.approx(354.1, abs=0.05)
    assert float(pupil["pupil_y"]) == pytest.approx(279.1, abs=0.05)
    axes = result.traces["pupil_major"] * result.traces["pupil_minor"] * np.pi
    np.testing.assert_allclose(axes, result.traces["pupil_area"], rtol=1e-6)
    assert np.isnan(result.traces["motion_energy"][0]).all()
    assert np.isfinite(result.traces["motion_energy"][1:]).all()
    assert [c.scores.shape for c in result.components] == [(749, 500), (749, 90)] * 2
    for of in result.components:
        masks = np.concatenate([m.reshape(len(m), -1) for m in of.masks], 1)
        np.testing.assert_allclose(masks @ masks.T, np.eye(len(masks)), atol=1e-4)
        assert (np.diff(of.singular_values) <= 1e-6 * of.singular_values[0]).all()
    again = read_facemap_proc(write_facemap_proc(result, tmp_path / path.name))
    assert_same(again, result)
