from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_facemap.movement.regions import Region
from napari_facemap.movement.running import RunningMeasure, running_traces

ROWS, COLUMNS = 100, 200
WHEEL = Region.rectangle("wheel", "running", 0, 0, COLUMNS - 1, ROWS - 1)


def _texture(kind, seed=0, size=512):
    """A picture that goes on at its ends, of even contrast."""
    rng = np.random.default_rng(seed)
    y, x = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)
    waves = np.fft.rfft2(rng.standard_normal((size, size)))
    radius = np.hypot(y, x)
    radius[0, 0] = 1
    if kind == "natural":
        picture = np.fft.irfft2(waves / radius, (size, size))
    elif kind == "dots":
        dots = (rng.random((size, size)) < 0.004).astype(float)
        picture = np.fft.irfft2(np.fft.rfft2(dots) * np.exp(-200 * radius**2), (size, size))
    else:  # bars of many widths across the way, with some grain
        bars = np.repeat(rng.integers(0, 2, size // 4), 4) * np.ones((size, 1))
        picture = bars + 0.3 * np.fft.irfft2(waves / radius, (size, size)) / (size / 20)
    return picture / picture.std()


def _view(texture, x, y, rows=ROWS, columns=COLUMNS):
    """The texture moved right and down by parts of pixels, seen through a window."""
    fy, fx = np.fft.fftfreq(len(texture))[:, None], np.fft.fftfreq(len(texture))
    turn = np.exp(-2j * np.pi * (fx * x + fy * y))
    moved = np.fft.ifft2(np.fft.fft2(texture) * turn).real
    return moved[100 : 100 + rows, 100 : 100 + columns]


def _grey(picture, noise=0.0, seed=0):
    noisy = 120 + 35 * picture + noise * np.random.default_rng(seed).standard_normal(picture.shape)
    return np.clip(np.round(noisy), 0, 255).astype(np.uint8)


def _frames(kind, path, noise=3.0):
    texture = _texture(kind)
    return np.stack([_grey(_view(texture, x, y), noise, k) for k, (x, y) in enumerate(path)])


@pytest.mark.parametrize("kind", ["natural", "dots", "bars"])
def test_steps_are_found_between_pixels(kind):
    t = np.arange(80)
    speed = 2.2 * np.sin(t / 9) + 0.7
    path = np.stack([np.cumsum(speed), 0.3 * np.cumsum(speed)], axis=1)
    frames = _frames(kind, path)
    found = RunningMeasure(WHEEL, ROWS, COLUMNS).work(frames[0], frames)[1:]
    steps = np.diff(path, axis=0)
    off = np.abs(found[:, :2] - steps).max(0)
    assert off[0] <= 0.1
    assert off[1] <= (0.2 if kind == "bars" else 0.1)  # along bars there is little to see
    assert np.corrcoef(found[:, 0], steps[:, 0])[0, 1] >= 0.99
    assert abs(np.mean(found[:, 0] - steps[:, 0])) < 0.02
    assert found[:, 2].min() > 0.4


@pytest.mark.parametrize("shift", [(2, 1), (5, -3)])
def test_fault_20_shifts_that_facemap_gets_wrong(shift):
    y, x = shift
    texture = _texture("natural")
    frames = np.stack([_grey(_view(texture, 0, 0)), _grey(_view(texture, x, y))])
    found = RunningMeasure(WHEEL, ROWS, COLUMNS).work(frames[0], frames[1:])[0]
    assert np.allclose(found[:2], [x, y], atol=0.02)


@settings(max_examples=20, deadline=None)
@given(x=st.integers(-40, 40), y=st.integers(-20, 20))
def test_any_whole_step_within_reach_is_found_and_backwards_is_its_reverse(x, y):
    texture = _texture("natural", 3)
    one, other = _grey(_view(texture, 0, 0)), _grey(_view(texture, x, y))
    measure = RunningMeasure(WHEEL, ROWS, COLUMNS)
    there, back = measure.work(one, other[None])[0], measure.work(other, one[None])[0]
    assert np.allclose(there[:2], [x, y], atol=0.1)
    assert np.allclose(back, there * [-1, -1, 1], atol=1e-3)


def test_whiskers_before_the_belt_do_not_carry_it_along():
    # A slow belt in poor light; thin bright lines across all of it move on their own.
    texture, path = _texture("natural"), np.cumsum(0.3 * np.sin(np.arange(30) / 4))
    y, x = np.mgrid[:ROWS, :COLUMNS]
    frames = []
    for k, at in enumerate(path):
        picture = 40 + 8 * _view(texture, at, 0)
        sweep = 3 * np.sin(k * 1.3)
        for foot, lean in ((20, 0.3), (60, -0.2), (95, 0.5), (130, 0.0), (170, -0.4)):
            away = np.abs(x - foot - lean * y - sweep * (1 + y / ROWS))
            picture = picture + 25 * np.clip(1 - away, 0, 1)
        noise = np.random.default_rng(k).normal(0, 3, picture.shape)
        frames.append(np.clip(np.round(picture + noise), 0, 255).astype(np.uint8))
    found = RunningMeasure(WHEEL, ROWS, COLUMNS).work(frames[0], np.stack(frames))[1:]
    assert np.sqrt(np.mean((found[:, 0] - np.diff(path)) ** 2)) <= 0.1
    assert np.abs(found[:, 1]).max() <= 0.1


def test_what_stands_still_has_not_moved():
    one = _grey(_texture("natural")[:ROWS, :COLUMNS])
    found = RunningMeasure(WHEEL, ROWS, COLUMNS).work(one, one[None])
    np.testing.assert_allclose(found, [[0, 0, 1]], atol=1e-5)


def test_pictures_with_nothing_in_common_have_no_step():
    frames = np.stack([_grey(_texture("natural", k)[:ROWS, :COLUMNS]) for k in range(8)])
    found = RunningMeasure(WHEEL, ROWS, COLUMNS).work(frames[0], frames)[1:]
    assert np.isnan(found[:, :2]).all()
    assert found[:, 2].max() < 0.12


def test_no_texture_has_no_step():
    even = np.full((2, ROWS, COLUMNS), 77, np.uint8)
    found = RunningMeasure(WHEEL, ROWS, COLUMNS).work(even[0], even)
    assert np.isnan(found[:, :2]).all()
    assert not found[:, 2].any()


def test_only_the_region_is_looked_at():
    texture = _texture("natural")
    frames = np.stack([_grey(_view(texture, k, 0, 160, 260)) for k in (0, 3)])
    still = _grey(_texture("natural", 9)[:160, :260])
    region = Region.ellipse("ball", "running", 130, 80, 90, 60)
    inside = np.zeros((160, 260), bool)
    window = region.window(160, 260)
    window.of(inside)[:] = region.mask(160, 260)
    frames = np.where(inside, frames, still)
    found = RunningMeasure(region, 160, 260).work(frames[0], frames[1:])[0]
    assert np.allclose(found[:2], [3, 0], atol=0.05)


def test_batches_make_no_difference():
    frames = _frames("natural", [(k * 1.3, k * -0.4) for k in range(6)])
    measure = RunningMeasure(WHEEL, ROWS, COLUMNS)
    one_by_one = [measure.work(frames[max(k - 1, 0)], frames[k : k + 1])[0] for k in range(6)]
    assert np.array_equal(measure.work(frames[0], frames), np.stack(one_by_one))


def test_speed_is_along_the_way_in_seconds_and_centimetres():
    times = np.array([0, 0.1, 0.2, 0.5, 0.5])
    found = np.array([[9, 9, 1], [-3, -4, 1], [-6, -8, 1], [3, 4, 1], [3, 4, 0.5]])
    traces = running_traces(found, times, cm_per_pixel=0.2)
    assert np.isnan([traces[name][0] for name in ("x", "y", "quality", "speed")]).all()
    # 5 pixels of 0.2 cm in 0.1 s; backwards for a while; two frames at one time have no speed.
    np.testing.assert_allclose(traces["speed"][1:4], [10, 20, -10 / 3], rtol=1e-6)
    assert np.isnan(traces["speed"][4])
    assert "speed" not in running_traces(found, times)


def test_nothing_found_has_no_speed():
    traces = running_traces(np.full((3, 3), np.nan), np.arange(3.0), 1.0)
    assert np.isnan(traces["speed"]).all()
