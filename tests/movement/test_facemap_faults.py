"""What Facemap 1.0.8 gets wrong in motion, pupils, blinks and running, done right here.

Faults 15, 14 and 16 have their tests in `test_analysis`, 20 in `test_running`, and 24, which is
about its window, in `viewer/test_motion_dock`.
"""

from __future__ import annotations

import numpy as np
import pytest

from napari_facemap.files.facemap_proc_write import write_facemap_proc
from napari_facemap.movement.analysis import motion
from napari_facemap.movement.pupil_traces import smooth_pupil
from napari_facemap.movement.regions import Region
from napari_facemap.video.arrays import ArrayVideo

RNG = np.random.default_rng(0)


def _noise(n, rows=16, columns=20):
    return RNG.integers(0, 256, (n, rows, columns), np.uint8)


def _eye(n, x=31.0, y=22.0, a=12.0, b=8.0):
    """A dark upright ellipse in every frame."""
    row, column = np.mgrid[:48, :64]
    away = np.hypot((column - x) / a, (row - y) / b)
    frame = np.clip(40 + 150 * (away - 1) * np.sqrt(a * b), 40, 190)
    noisy = frame + RNG.normal(0, 2, (n, 48, 64))
    return np.clip(noisy, 0, 255).astype(np.uint8)


def test_fault_13_motion_energy_is_not_a_frame_early_before_frame_500():
    frames = _noise(1100)
    energy = motion(frames, components=0).traces["motion_energy"].values[:, 0]
    expected = np.abs(np.diff(frames.astype(int), axis=0)).sum((1, 2))
    assert np.isnan(energy[0])
    np.testing.assert_array_equal(energy[1:], expected)


@pytest.mark.parametrize("n", [30, 1999, 2100])
def test_fault_14_masks_have_length_1_however_short_the_video(n):
    found = motion(_noise(n), components=8, sources=("motion", "movie"), bin=2).components
    assert len(found) == 2
    for one in found:
        masks = one.masks[0].reshape(8, -1)
        np.testing.assert_allclose(masks @ masks.T, np.eye(8), atol=1e-4)
        assert (one.singular_values > 0).all()


def test_fault_17_pupils_and_blinks_leave_the_frame_as_it_is():
    frames = _eye(60)
    given = frames.copy()
    regions = [
        Region.ellipse("eye", "pupil", 31, 22, 25, 18),
        Region.ellipse("lids", "blink", 31, 22, 25, 18),
    ]
    alone, beside = motion(frames, components=5), motion(frames, regions, components=5)
    np.testing.assert_array_equal(frames, given)
    np.testing.assert_array_equal(alone.traces["motion_energy"], beside.traces["motion_energy"])
    np.testing.assert_array_equal(alone.components[0].scores, beside.components[0].scores)


def test_fault_18_each_pixel_varies_about_its_own_mean_over_time():
    # The whole picture flickers: less each frame's own mean, nothing of it would be left.
    flicker = np.round(40 * np.sin(np.arange(200) / 7))[:, None, None]
    still = RNG.integers(60, 180, (1, 16, 20))
    frames = (still + flicker + RNG.integers(-2, 3, (200, 16, 20))).astype(np.uint8)
    (found,) = motion(frames, components=3, sources=("movie",), bin=2).components
    assert found.singular_values[0] ** 2 / found.variance > 0.99
    np.testing.assert_allclose(found.masks[0][0], 80**-0.5, atol=0.01)
    np.testing.assert_allclose(found.scores.mean(axis=0), 0, atol=0.01)
    assert np.corrcoef(found.scores[:, 0], flicker[:, 0, 0])[0, 1] > 0.999


@pytest.mark.parametrize("region", [None, Region.rectangle("r", "motion", 0, 0, 19, 15)])
@pytest.mark.parametrize("place", [(15, 3), (4, 19), (15, 19), (0, 0)])
def test_fault_19_the_last_bins_count_in_both_directions(region, place):
    frames = np.full((40, 16, 20), 100, np.uint8)
    frames[::2, place[0], place[1]] = 200
    regions = [region] if region else []
    found = motion(
        frames, regions, components=1, sources=("movie",), bin=4, whole=region is None
    ).components[0]
    assert found.masks[0].shape == (1, 4, 5)
    alone = np.zeros((4, 5))
    alone[place[0] // 4, place[1] // 4] = 1
    np.testing.assert_allclose(np.abs(found.masks[0][0]), alone, atol=1e-4)


def test_fault_21_blinks_are_found_in_the_dark_area_and_it_stays_as_measured():
    frames = _eye(200)
    frames[90:96] = 190
    lids = Region.ellipse("lids", "blink", 31, 22, 25, 18)
    result = motion(ArrayVideo(frames, fps=30.0), [lids], components=0)
    window, inside = lids.window(48, 64), lids.mask(48, 64)
    dark = (np.maximum(0, 60 - window.of(frames).astype(float)) * inside).sum((1, 2))
    np.testing.assert_allclose(result.traces["blink_dark"].values[:, 0], dark)
    closed = result.traces["blink_closed"].values[:, 0]
    assert closed[90:96].all()
    assert closed.sum() <= 8
    assert len(result.blinks) == 1


def test_fault_22_smoothing_lowers_no_end_and_leaves_noise_what_it_is(tmp_path):
    times = np.arange(3000) / 30
    values = RNG.normal(100, 10, len(times))
    kept = smooth_pupil(values, times, seconds=0)
    assert (kept != values).mean() < 0.001
    smooth = smooth_pupil(values, times)
    assert abs(smooth[:15].mean() / 100 - 1) < 0.05
    assert abs(smooth[-15:].mean() / 100 - 1) < 0.05
    # So does what is written for Facemap's readers.
    eye = Region.ellipse("eye", "pupil", 31, 22, 25, 18)
    result = motion(ArrayVideo(_eye(100), fps=30.0), [eye], components=0)
    path = write_facemap_proc(result, tmp_path / "eye_proc.npy")
    area = np.load(path, allow_pickle=True).item()["pupil"][0]["area_smooth"]
    np.testing.assert_allclose(area[[0, 1, -2, -1]], np.median(area), rtol=0.02)


def test_fault_23_pupils_are_in_the_full_frame_with_true_semi_axes():
    eye = Region.rectangle("eye", "pupil", 8, 5, 60, 44)
    pupil = motion(_eye(20), [eye], components=0).traces.isel(pupil=0, time=5)
    expected = {"x": 31, "y": 22, "major": 12.5, "minor": 8.5, "angle": 0}
    for name, value in expected.items():
        assert float(pupil[f"pupil_{name}"]) == pytest.approx(value, abs=0.6), name
    area = np.pi * float(pupil["pupil_major"]) * float(pupil["pupil_minor"])
    assert float(pupil["pupil_area"]) == pytest.approx(area)


def test_the_same_again_is_the_same_to_the_last_bit():
    frames = _noise(300, 24, 32)
    options = {"components": 20, "sources": ("motion", "movie"), "bin": 2}
    one, other = motion(frames, **options), motion(frames, **options)
    for a, b in zip(one.components, other.components, strict=True):
        np.testing.assert_array_equal(a.scores, b.scores)
        np.testing.assert_array_equal(a.masks[0], b.masks[0])
        np.testing.assert_array_equal(a.singular_values, b.singular_values)
