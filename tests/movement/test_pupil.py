from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_facemap.keypoints.poses import make_poses
from napari_facemap.keypoints.skeleton import KEYPOINTS, PUPIL_KEYPOINTS
from napari_facemap.movement.pupil import PupilFit, PupilMeasure
from napari_facemap.movement.pupil_traces import pupil_from_keypoints, pupil_traces, smooth_pupil
from napari_facemap.movement.regions import Region

HEIGHT, WIDTH = 90, 116
FINER = 4


def ellipse(x, y, a, b, angle=0.0, height=HEIGHT, width=WIDTH):
    """Which parts, a quarter of a pixel wide, lie in an ellipse."""
    v, u = (np.mgrid[: height * FINER, : width * FINER] + 0.5) / FINER - 0.5
    cos, sin = np.cos(angle), np.sin(angle)
    along, across = (u - x) * cos + (v - y) * sin, (v - y) * cos - (u - x) * sin
    return (along / a) ** 2 + (across / b) ** 2 <= 1


def eye(x, y, a, b, angle=0.0, *, lid=None, glints=(), noise=3.0, blur=1.0, seed=0):
    """A dark pupil on an iris, with fur around; the lid is closed down to a row."""
    rng = np.random.default_rng(seed)
    fur = ndimage.gaussian_filter(rng.standard_normal((HEIGHT, WIDTH)), (1, 2))
    fur = np.kron(140 + 22 * fur / fur.std(), np.ones((FINER, FINER)))
    picture = np.where(ellipse(WIDTH / 2, HEIGHT / 2, 52, 38), 95.0, fur)
    picture[ellipse(x, y, a, b, angle)] = 30
    for place in glints:
        picture[ellipse(*place)] = 250
    if lid is not None:
        row, column = np.mgrid[: HEIGHT * FINER, : WIDTH * FINER] / FINER
        picture = np.where(row < lid + (column - WIDTH / 2) ** 2 / 400, fur, picture)
    picture = picture.reshape(HEIGHT, FINER, WIDTH, FINER).mean(axis=(1, 3))
    picture = ndimage.gaussian_filter(picture, blur) + rng.normal(0, noise, picture.shape)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def region(x0=0, y0=0, x1=WIDTH - 1, y1=HEIGHT - 1, **options):
    frame = Region.rectangle("eye", "pupil", x0, y0, x1, y1)
    return Region("eye", "pupil", frame.vertices, options=options)


def measure(**options):
    return PupilMeasure(region(**options), [], HEIGHT, WIDTH)


def pupils(n=40, smallest=5.0, largest=25.0, ratio=1.0, seed=1):
    """Places, semi-axes and angles of ellipses, shape (n, 5)."""
    rng = np.random.default_rng(seed)
    size = np.linspace(smallest, largest, n)
    x, y = 58 + rng.uniform(-6, 6, n), 45 + rng.uniform(-4, 4, n)
    angle = rng.uniform(-np.pi / 2, np.pi / 2, n)
    return np.stack([x, y, size * np.sqrt(ratio), size / np.sqrt(ratio), angle], axis=1)


def fitted(truth, hidden=lambda x, y, r: {}, measure=None, **drawn):
    frames = [
        eye(*row, seed=i, **drawn, **hidden(row[0], row[1], np.sqrt(row[2] * row[3])))
        for i, row in enumerate(truth)
    ]
    return (measure or globals()["measure"]()).work(frames[0], np.array(frames))


def compare(fits, truth):
    """Correlation and mean relative error of areas, and errors of centres in pixels."""
    area, true = fits[:, 2] * fits[:, 3], truth[:, 2] * truth[:, 3]
    away = np.hypot(fits[:, 0] - truth[:, 0], fits[:, 1] - truth[:, 1])
    return np.corrcoef(area, true)[0, 1], float((area / true - 1).mean()), away


@pytest.mark.parametrize(
    "drawn", [{}, {"noise": 8.0}, {"blur": 1.5}, {"noise": 0.0, "blur": 0.5}], ids=str
)
def test_areas_and_centres_are_those_of_the_truth(drawn):
    truth = pupils()
    r, bias, away = compare(fitted(truth, **drawn), truth)
    assert r >= 0.999
    assert abs(bias) <= 0.02
    assert away.max() <= 0.2


def test_small_pupils_are_measured_too():
    truth = pupils(smallest=4.0, largest=6.0)
    r, bias, away = compare(fitted(truth), truth)
    assert r >= 0.99
    assert abs(bias) <= 0.02
    assert away.max() <= 0.2


def test_axes_and_angle_of_an_ellipse():
    truth = pupils(ratio=1.5, smallest=7.0, largest=22.0)
    fits = fitted(truth)
    r, bias, away = compare(fits, truth)
    assert r >= 0.999 and abs(bias) <= 0.02 and away.max() <= 0.2
    # True lengths, not their squares.
    assert np.abs(fits[:, 2:4] / truth[:, 2:4] - 1).max() < 0.04
    turn = (fits[:, 4] - truth[:, 4] + np.pi / 2) % np.pi - np.pi / 2
    assert np.abs(np.degrees(turn)).max() < 1.5
    assert (fits[:, 4] >= -np.pi / 2).all() and (fits[:, 4] < np.pi / 2).all()


@pytest.mark.parametrize(
    "glints",
    [
        lambda x, y, r: [(x + 0.2 * r, y - 0.1 * r, 0.35 * r, 0.35 * r)],
        lambda x, y, r: [(x + 0.7 * r, y + 0.7 * r, 0.3 * r, 0.3 * r)],
        lambda x, y, r: [
            (x + 0.2 * r, y - 0.1 * r, 0.3 * r, 0.3 * r),
            (x - 0.95 * r, y, 0.3 * r, 0.3 * r),
        ],
    ],
    ids=["inside", "on the rim", "both"],
)
def test_glints_that_no_one_drew_do_not_bias(glints):
    truth = pupils(smallest=8.0)
    fits = fitted(truth, lambda x, y, r: {"glints": glints(x, y, r)})
    r, bias, away = compare(fits, truth)
    assert r >= 0.999 and abs(bias) <= 0.02
    assert np.percentile(away, 95) <= 0.2 and away.max() <= 0.35


def test_a_lid_over_the_top_does_not_shrink_the_pupil():
    truth = pupils(smallest=8.0)
    fits = fitted(truth, lambda x, y, r: {"lid": y - 0.5 * r})
    r, bias, away = compare(fits, truth)
    assert r >= 0.999 and abs(bias) <= 0.02
    assert np.median(away) <= 0.2 and away.max() <= 0.8
    # A fifth of the pupil is hidden, and the quality says so.
    assert (np.abs(fits[:, 5] - 0.75) < 0.15).all()


@pytest.mark.parametrize("threshold", [45.0, 60.0, 80.0])
def test_areas_hardly_depend_on_the_threshold(threshold):
    truth = pupils(n=20, smallest=8.0)
    r, bias, _ = compare(fitted(truth, measure=measure(threshold=threshold)), truth)
    assert r >= 0.999 and abs(bias) <= 0.02


def test_a_bright_pupil_is_a_dark_one_of_the_negative():
    frames = np.array([eye(*row) for row in pupils(n=4, ratio=1.3)])
    dark = measure(threshold=60.0).work(frames[0], frames)
    bright = measure(threshold=195.0, bright=True).work(frames[0], 255 - frames)
    np.testing.assert_allclose(bright, dark, atol=1e-6)


def test_nothing_is_found_where_no_pupil_is():
    rng = np.random.default_rng(0)
    row = np.mgrid[:HEIGHT, :WIDTH][0]
    frames = [np.full((HEIGHT, WIDTH), grey, float) for grey in (0, 30, 59, 61, 255)]
    frames += [eye(58, 45, 10, 10, lid=200, seed=i) for i in range(20)]
    frames += list(np.clip(rng.normal(60, 20, (5, HEIGHT, WIDTH)), 0, 255))
    frames += [np.where(abs(row - 45) < 3, 20.0, 140.0), np.where(row < 45, 20.0, 140.0)]
    frames += [np.pad(np.full((3, 3), 20.0), ((40, 47), (50, 63)), constant_values=140)]
    frames = np.array(frames).astype(np.uint8)
    assert np.isnan(measure().work(frames[0], frames)).all()


def test_a_closing_lid_ends_in_nothing():
    hidden = [eye(58, 45, 15, 15, lid=45 + part * 15) for part in (-2, -0.5, 0.6, 0.9, 2)]
    fits = measure().work(hidden[0], np.array(hidden))
    assert np.isfinite(fits[:2]).all()
    assert np.isnan(fits[2:]).all()


def test_a_whole_pupil_is_of_good_quality():
    assert measure().fit(eye(58, 45, 15, 12)).quality > 0.9


def test_drawn_glints_are_neither_pupil_nor_not():
    frame = eye(58, 45, 14, 14)
    dark = frame.copy()
    dark[20:50, 66:76] = 0  # a shadow on the rim, which the glint below takes out
    glint = Region.rectangle("shadow", "glint", 66, 20, 75, 49)
    other = Region.rectangle("other", "glint", 40, 30, 75, 60)
    other = Region("other", "glint", other.vertices, view=1)
    with_glint = PupilMeasure(region(), [glint, other], HEIGHT, WIDTH).fit(dark)
    clean = measure().fit(frame)
    np.testing.assert_allclose(with_glint[:4], clean[:4], atol=0.25)
    # Whatever the glint shows, the answer is the same.
    bright = dark.copy()
    bright[20:50, 66:76] = 255
    assert PupilMeasure(region(), [glint], HEIGHT, WIDTH).fit(bright) == with_glint


def test_a_pupil_at_the_regions_edge_is_not_cut_there():
    frame = eye(58, 45, 14, 14)
    fit = PupilMeasure(region(x0=48), [], HEIGHT, WIDTH).fit(frame)
    np.testing.assert_allclose(fit[:4], (58, 45, 14, 14), atol=0.4)


def test_the_pupil_is_the_compact_spot_and_not_a_shadow():
    frame = eye(58, 45, 12, 12)
    frame[:, :8] = 20
    frame[:5] = 20
    np.testing.assert_allclose(measure().fit(frame)[:4], (58, 45, 12, 12), atol=0.2)


@settings(max_examples=15)
@given(dx=st.integers(-20, 20), dy=st.integers(-12, 12), seed=st.integers(0, 3))
def test_moving_the_picture_moves_the_centre_and_nothing_else(dx, dy, seed):
    # Full-frame coordinates: the region lies elsewhere in a larger frame.
    picture = eye(58.3, 44.6, 13, 10, 0.4, seed=seed)
    frame = np.full((HEIGHT + 30, WIDTH + 50), 128, np.uint8)
    frame[12 + dy : 12 + dy + HEIGHT, 20 + dx : 20 + dx + WIDTH] = picture
    here = region(20 + dx, 12 + dy, 20 + dx + WIDTH - 1, 12 + dy + HEIGHT - 1)
    moved = PupilMeasure(here, [], *frame.shape).fit(frame)
    fit = measure().fit(picture)
    expected = fit._replace(x=fit.x + dx + 20, y=fit.y + dy + 12)
    np.testing.assert_allclose(moved, expected, atol=1e-9)


@settings(max_examples=10)
@given(dx=st.integers(-4, 4), dy=st.integers(-4, 4))
def test_moving_the_eye_within_the_region_moves_the_centre(dx, dy):
    frame = np.pad(eye(58.3, 44.6, 13, 10, 0.4), 6, mode="edge")
    moved = np.roll(frame, (dy, dx), axis=(0, 1))
    whole = region(x1=frame.shape[1] - 1, y1=frame.shape[0] - 1)
    fit, other = (PupilMeasure(whole, [], *frame.shape).fit(f) for f in (frame, moved))
    expected = fit._replace(x=fit.x + dx, y=fit.y + dy)
    np.testing.assert_allclose(other, expected, atol=1e-3)


@settings(max_examples=15)
@given(
    angle=st.floats(-1.4, 1.4),
    ratio=st.floats(1.2, 1.8),
    x=st.floats(52, 64),
    seed=st.integers(0, 9),
)
def test_a_mirrored_picture_mirrors_the_angle(angle, ratio, x, seed):
    frame = eye(x, 45.2, 11 * np.sqrt(ratio), 11 / np.sqrt(ratio), angle, seed=seed)
    fit, mirrored = measure().fit(frame), measure().fit(frame[:, ::-1])
    assert mirrored.x == pytest.approx(WIDTH - 1 - fit.x, abs=0.02)
    np.testing.assert_allclose(mirrored[1:4], fit[1:4], atol=0.03)
    turn = (mirrored.angle + fit.angle + np.pi / 2) % np.pi - np.pi / 2
    assert abs(turn) < 0.01


@settings(max_examples=10)
@given(order=st.permutations(range(40)))
def test_a_frame_is_fitted_as_if_alone(order):
    frames = _mixture()
    measured = measure()
    alone = np.array([measured.fit(frame) for frame in frames])
    together = measured.work(frames[0], frames[list(order)])
    np.testing.assert_array_equal(together, alone[list(order)])


@cache
def _mixture(n=40):
    truth = pupils(n=n)
    frames = [eye(*row, seed=i) for i, row in enumerate(truth)]
    frames[3] = np.zeros_like(frames[3])
    frames[17] = eye(58, 45, 10, 10, lid=200)
    stack = np.array(frames)
    stack.setflags(write=False)
    return stack


def test_threads_may_share_a_measure_and_frames_stay_as_they_are():
    frames = _mixture().copy()
    before = frames.copy()
    measured = measure()
    expected = measured.work(frames[0], frames)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: measured.work(frames[0], frames), range(8)):
            np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(frames, before)


def test_no_frames_give_no_fits():
    assert measure().work(np.zeros((HEIGHT, WIDTH), np.uint8), _mixture()[:0]).shape == (0, 6)


def test_frames_of_another_size_are_refused():
    with pytest.raises(ValueError, match="expected frames of shape"):
        measure().fit(np.zeros((10, 10), np.uint8))


def test_regions_of_any_size_are_measured():
    frame = eye(58, 45, 12, 12)
    for box in [(58, 45, 58, 45), (58, 40, 58, 50), (57, 44, 59, 46), (0, 45, 115, 45)]:
        assert np.isnan(PupilMeasure(region(*box), [], HEIGHT, WIDTH).fit(frame)).all()
    low = np.full((3, 3), 10, np.uint8)
    assert np.isnan(PupilMeasure(region(0, 0, 2, 2), [], 3, 3).fit(low)).all()


def test_the_pupil_of_a_real_mouse(shared_data):
    from napari_facemap import open_video

    # In a rectangle that holds dark fur and the dark corner of the eye as well.
    with open_video(shared_data / "videos" / "mouse_face_30s.mp4") as video:
        where = Region.rectangle("eye", "pupil", 265, 228, 425, 325)
        fits = PupilMeasure(where, [], *video.shape[1:]).work(video[0], video.read(0, 150))
    assert np.isfinite(fits).all()
    assert fits[:, 5].min() > 0.85
    # Frame 0 by hand: grey is halfway from pupil to iris at x 329.0 and 383.4, y 262.0 and 295.0.
    np.testing.assert_allclose(fits[0, :4], (356.2, 278.5, 27.2, 16.5), atol=0.7)
    traces = pupil_traces(fits)
    assert np.median(np.abs(np.diff(traces["area"])) / traces["area"][1:]) < 0.01


def test_traces_have_names_units_and_blinks():
    fits = np.array([[10.0, 20, 4, 3, 0.1, 0.9], [11, 21, 5, 5, 0, 0.8], [1, 1, 1, 1, 0, 0.7]])
    traces = pupil_traces(fits, np.array([False, False, True]), mm_per_pixel=0.02)
    assert list(traces) == [
        *("x", "y", "major", "minor", "angle", "area", "diameter", "quality", "diameter_mm")
    ]
    assert traces["area"][0] == pytest.approx(np.pi * 12)
    assert traces["diameter"][1] == pytest.approx(10)
    assert traces["diameter_mm"][1] == pytest.approx(0.2)
    assert all(np.isnan(trace[2]) and np.isfinite(trace[:2]).all() for trace in traces.values())
    assert np.isfinite(fits).all()
    assert "diameter_mm" not in pupil_traces(fits)


def test_traces_refuse_what_does_not_fit():
    with pytest.raises(ValueError, match=r"\(time, 6\)"):
        pupil_traces(np.zeros((3, 5)))
    with pytest.raises(ValueError, match="one blink or none"):
        pupil_traces(np.zeros((3, 6)), np.zeros(2, bool))
    with pytest.raises(ValueError, match="above 0"):
        pupil_traces(np.zeros((3, 6)), mm_per_pixel=0.0)


def rim_points(centre, major, minor, angle, n=1):
    """Poses whose pupil points are the ends of an ellipse's axes."""
    along = major * np.array([np.cos(angle), np.sin(angle)])
    down = minor * np.array([-np.sin(angle), np.cos(angle)])
    position = np.full((n, 2, len(KEYPOINTS)), np.nan)
    ends = {"back": -along, "bottom": down, "front": along, "top": -down}
    for name in PUPIL_KEYPOINTS:
        place = centre + ends[name[len("pupil(") : -1]]
        position[:, :, KEYPOINTS.index(name)] = place
    confidence = np.full((n, len(KEYPOINTS)), 0.9)
    return make_poses(position, confidence, KEYPOINTS, np.arange(n) / 50)


@given(
    x=st.floats(-50, 500),
    y=st.floats(-50, 500),
    minor=st.floats(2, 50),
    ratio=st.floats(1.05, 3),
    angle=st.floats(-1.5, 1.5),
    missing=st.sampled_from([None, *PUPIL_KEYPOINTS]),
)
def test_keypoints_give_the_ellipse_through_them(x, y, minor, ratio, angle, missing):
    poses = rim_points(np.array([x, y]), minor * ratio, minor, angle)
    if missing:
        poses["confidence"].loc[{"keypoint": missing}] = 0.1
    poses["confidence"].loc[{"keypoint": "nose(tip)"}] = 0.0
    found = {name: trace[0] for name, trace in pupil_from_keypoints(poses).items()}
    expected = {"x": x, "y": y, "major": minor * ratio, "minor": minor, "angle": angle}
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-3, rel=1e-3)
    assert found["area"] == pytest.approx(np.pi * minor**2 * ratio, rel=1e-3)
    assert found["quality"] == pytest.approx(0.9)


def test_two_keypoints_give_nothing():
    poses = rim_points(np.array([50.0, 40.0]), 9, 7, 0.2, n=3)
    index = [KEYPOINTS.index(name) for name in PUPIL_KEYPOINTS]
    poses["confidence"].values[1, index[:2]] = 0.2
    poses["position"].values[2, :, index] = np.nan
    traces = pupil_from_keypoints(poses, mm_per_pixel=0.01)
    assert list(traces) == list(pupil_traces(np.zeros((1, 6)), None, 0.01))
    for trace in traces.values():
        assert np.isfinite(trace).tolist() == [True, False, False]


def test_keypoints_without_a_pupil_are_refused():
    poses = rim_points(np.zeros(2), 9, 7, 0.2).drop_sel(keypoint="pupil(top)")
    with pytest.raises(ValueError, match=r"pupil\(top\) not found"):
        pupil_from_keypoints(poses)


def test_smoothing_keeps_both_ends():
    rng = np.random.default_rng(0)
    times = np.arange(0, 60, 0.02)
    values = rng.normal(100, 10, len(times))
    smooth = smooth_pupil(values, times)
    assert abs(smooth[:15].mean() - 100) < 6 and abs(smooth[-15:].mean() - 100) < 6
    slope = smooth_pupil(3 * times, times)
    np.testing.assert_allclose(slope, 3 * times, atol=1e-6)


def test_smoothing_leaves_white_noise_what_it_is():
    rng = np.random.default_rng(1)
    times = np.arange(0, 100, 0.02)
    values = rng.normal(100, 10, len(times))
    raw = values.copy()
    kept = smooth_pupil(values, times, seconds=0) == values
    assert kept.mean() > 0.999
    np.testing.assert_array_equal(values, raw)


@pytest.mark.parametrize("rate", [20, 50, 200])
def test_smoothing_is_over_seconds(rate):
    rng = np.random.default_rng(2)
    times = np.sort(rng.uniform(0, 120, 120 * rate))
    true = 100 + 20 * np.sin(2 * np.pi * 0.3 * times)
    smooth = smooth_pupil(true + rng.normal(0, 5, len(times)), times, seconds=0.15)
    # Of noise with this rate a Gaussian of 0.15 s leaves that much.
    expected = 5 / np.sqrt(2 * np.sqrt(np.pi) * 0.15 * rate)
    assert np.std(smooth - true) < 1.25 * expected + 1


def test_strays_are_taken_out_and_long_gaps_stay():
    times = np.arange(0, 20, 0.02)
    true = 100 + 10 * np.sin(times)
    values = true + np.random.default_rng(3).normal(0, 0.5, len(times))
    values[200:203] = 20
    values[400:410] = np.nan  # 0.22 s
    values[600:650] = np.nan  # 1.02 s
    values[:5] = np.nan
    smooth = smooth_pupil(values, times, seconds=0.1)
    gone = np.zeros(len(times), bool)
    gone[600:650] = gone[:5] = True
    np.testing.assert_array_equal(np.isnan(smooth), gone)
    assert np.abs(smooth - true)[~gone].max() < 1.5
    assert np.isnan(smooth_pupil(values, times, longest_gap=0.1)[400:410]).all()
    assert np.isfinite(smooth_pupil(values, times, longest_gap=2.0)[600:650]).all()


def test_smoothing_of_next_to_nothing():
    assert smooth_pupil(np.zeros(0), np.zeros(0)).shape == (0,)
    np.testing.assert_array_equal(smooth_pupil([5.0], [0.0]), [5.0])
    assert np.isnan(smooth_pupil([np.nan, np.nan], [0.0, 1.0])).all()
    np.testing.assert_allclose(smooth_pupil(np.full(100, 7.0), np.arange(100) / 30), 7.0)


def test_smoothing_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="one time for each"):
        smooth_pupil(np.zeros(3), np.zeros(2))
    with pytest.raises(ValueError, match="rise"):
        smooth_pupil(np.zeros(3), np.array([0.0, 2, 1]))
    with pytest.raises(ValueError, match="0 or more"):
        smooth_pupil(np.zeros(2), np.arange(2.0), seconds=-1)


def test_a_fit_names_its_columns():
    assert PupilFit._fields == ("x", "y", "major", "minor", "angle", "quality")
