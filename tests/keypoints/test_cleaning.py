from __future__ import annotations

import json

import numpy as np
import pytest

from napari_facemap.files.poses import read_poses, write_poses
from napari_facemap.keypoints.cleaning import Cleaning, clean, face_unit
from napari_facemap.keypoints.poses import make_poses
from napari_facemap.keypoints.store import KeypointStore

NAMES = ("eye(back)", "nose(tip)", "paw")
FACE = 100.0


def truth(times):
    """Three points, 100 pixels from eye to nose, that move by a few cycles a second."""
    sway = np.stack([4 * np.sin(2 * np.pi * 1.5 * times), 3 * np.cos(2 * np.pi * times)], axis=1)
    rest = np.array([[50.0, 150, 120], [60, 60, 160]])
    return rest + sway[:, :, None] * np.array([0.2, 1, 2])


def poses(seconds=8.0, fps=50.0, noise=0.0, scale=1.0, seed=0, **extra):
    times = np.arange(0, seconds, 1 / fps)
    rng = np.random.default_rng(seed)
    position = (truth(times) + rng.normal(size=(len(times), 2, 3)) * noise) * scale
    confidence = np.full((len(times), 3), 0.9)
    return make_poses(position, confidence, NAMES, times, attrs={"model": "m"}, **extra)


def off(found, scale=1.0):
    times = found["time"].values
    return np.hypot(*np.moveaxis(found["position"].values / scale - truth(times), 1, 0))


def how(found):
    return json.loads(found.attrs["cleaning"])


def test_noise_goes_down_and_movement_stays():
    noisy = poses(noise=1.0)
    cleaned = clean(noisy)
    assert np.sqrt((off(cleaned) ** 2).mean()) < 0.8 * np.sqrt((off(noisy) ** 2).mean())
    smooth = poses()
    assert off(clean(smooth)).max() < 0.1


def test_outliers_are_taken_out_and_short_gaps_filled():
    spoiled = poses(noise=0.2)
    position = spoiled["position"].values
    position[100, 0, 1] += 40  # a jump for a frame
    position[200:204, 1, 0] -= 30  # and for four
    spoiled["confidence"].values[300:303, 2] = 0.01  # not sure at all
    position[300:303, :, 2] += 8
    position[150:153, :, 0] = np.nan  # hidden
    cleaned = clean(spoiled)
    assert how(cleaned)["removed"] == 8
    assert how(cleaned)["filled"] == 11
    assert np.isfinite(cleaned["position"]).all()
    assert off(cleaned).max() < 2


def test_a_jump_to_and_fro_is_too_fast_whatever_its_size():
    spoiled = poses()
    spoiled["position"].values[100, 0, 1] += 40
    assert how(clean(spoiled, farthest=10))["removed"] == 1
    assert how(clean(spoiled, farthest=10, fastest=30))["removed"] == 0


def test_a_keypoint_that_is_never_sure_is_not_taken_out():
    unsure = poses(noise=0.2)
    unsure["confidence"].values[:, 2] = 0.01
    assert how(clean(unsure))["removed"] == 0


def test_quick_movement_to_another_place_is_no_outlier():
    moved = poses()
    moved["position"].values[200:, 0, 1] += 30
    assert how(clean(moved))["removed"] == 0


def test_what_is_tracked_is_kept_below_and_confidence_stays():
    noisy = poses(noise=1.0, expected_error=np.full((400, 3), 2.0))
    before = noisy.copy(deep=True)
    cleaned = clean(noisy)
    assert noisy.identical(before)
    for name in ("position", "confidence"):
        np.testing.assert_array_equal(cleaned[f"tracked_{name}"], before[name])
    for name in ("confidence", "expected_error", "edited"):
        np.testing.assert_array_equal(cleaned[name], before[name])
    assert cleaned.attrs["model"] == "m"
    assert how(cleaned)["smoothing"] == Cleaning().smoothing


def test_corrections_are_kept_exactly_and_guide_their_neighbours():
    noisy = poses(noise=1.0)
    store = KeypointStore(noisy)
    store.place(100, {"paw": (300.0, 10.0)})
    store.place(200, {"paw": (130.0, 166.0)})
    store.delete(210, ["paw"])
    corrected = store.to_poses()
    cleaned = clean(corrected)
    at = cleaned["position"].values[..., 2]
    assert at[100].tolist() == [300, 10]
    assert at[200].tolist() == [130, 166]
    assert np.isnan(at[210]).all()
    without = clean(noisy)["position"].values[..., 2]
    pulled = np.linalg.norm(at - without, axis=1)
    assert pulled[201] > 0.5
    assert pulled[240] < 0.01
    np.testing.assert_array_equal(cleaned["tracked_position"], noisy["position"])


def test_long_gaps_and_ends_stay_nan():
    gappy = poses()
    for gap in (slice(0, 3), slice(100, 109), slice(200, 211), slice(395, 400)):
        gappy["position"].values[gap] = np.nan
    missing = np.isnan(clean(gappy, largest_gap=0.2)["position"].values[:, 0, 0])
    assert np.flatnonzero(missing).tolist() == [0, 1, 2, *range(200, 211), *range(395, 400)]
    assert np.isnan(clean(gappy, largest_gap=0)["position"].values[100:109]).all()


def test_a_keypoint_that_is_hardly_ever_seen():
    rare = poses()
    rare["position"].values[:, :, 0] = np.nan
    rare["position"].values[[10, 100], :, 1] = np.nan
    rare["position"].values[:, :, 2] = np.where(np.arange(400) == 7, 5.0, np.nan)[:, None]
    position = clean(rare)["position"].values
    assert np.isnan(position[:, :, 0]).all()
    assert np.isfinite(position[:, 0, 2]).sum() == 1
    assert np.isnan(clean(poses().isel(time=slice(0, 0)))["position"]).sum() == 0
    assert np.isfinite(clean(poses().isel(time=slice(0, 1)))["position"]).all()


def test_cleaning_again_changes_nothing():
    noisy = poses(noise=1.0)
    noisy["position"].values[100, 0, 1] += 40
    once = clean(noisy)
    assert clean(once).identical(once)
    nothing = clean(once, outliers=False, largest_gap=0, smoothing=0)
    np.testing.assert_array_equal(nothing["position"], noisy["position"])


@pytest.mark.parametrize("scale", [0.3, 4])
def test_the_size_of_the_picture_does_not_matter(scale):
    spoiled = poses(noise=0.5, scale=scale)
    spoiled["position"].values[100, 0, 1] += 25 * scale
    assert face_unit(spoiled["position"].values, NAMES) == pytest.approx(FACE * scale, rel=0.02)
    expected = poses(noise=0.5)
    expected["position"].values[100, 0, 1] += 25
    one, other = clean(spoiled), clean(expected)
    assert how(one)["removed"] == how(other)["removed"] == 1
    np.testing.assert_allclose(one["position"] / scale, other["position"], atol=0.01)


def test_the_cameras_rate_does_not_matter():
    """The same noise, of 25 frames a second, filmed with more of them."""
    rng = np.random.default_rng(1)
    slow_times = np.arange(0, 8, 0.04)
    wobble = rng.normal(size=(len(slow_times), 2, 3)) * 2
    results = []
    for fps in (100, 400):
        film = poses(fps=fps)
        times = film["time"].values
        for axis in range(2):
            for k in range(3):
                film["position"].values[:, axis, k] += np.interp(
                    times, slow_times, wobble[:, axis, k]
                )
        results.append(clean(film)["position"].values[:: fps // 100])
    assert np.abs(results[0] - results[1])[20:-20].max() < 0.2
    assert np.abs(results[0] - truth(np.arange(0, 8, 0.01)))[20:-20].max() > 1


def test_less_sure_points_are_smoothed_more():
    noisy = poses(noise=1.0)
    noisy["confidence"].values[:, 1] = 0.2
    cleaned, plain = clean(noisy), clean(poses(noise=1.0))
    rough = [
        np.abs(np.diff(one["position"].values[:, 0], 2, axis=0)).mean(axis=0)
        for one in (cleaned, plain)
    ]
    assert rough[0][1] < 0.7 * rough[1][1]
    assert rough[0][0] == pytest.approx(rough[1][0])
    surer = clean(poses(noise=1.0, expected_error=np.full((400, 3), 0.5)))
    assert np.abs(np.diff(surer["position"].values[:, 0], 2, axis=0)).mean() > rough[1].mean()


def test_it_can_be_taken_off_after_it_was_saved(tmp_path):
    store = KeypointStore(poses(noise=1.0))
    store.place(3, {"paw": (1.0, 2.0)})
    raw = store.to_poses()["tracked_position"].values
    cleaned = clean(store.to_poses())
    store.set_cleaned(cleaned["position"].values, how(cleaned))
    write_poses(store.to_poses(), tmp_path / "p.h5")
    again = KeypointStore(read_poses(tmp_path / "p.h5"))
    np.testing.assert_array_equal(again.to_poses()["position"], cleaned["position"])
    assert again.cleaning == how(cleaned)
    np.testing.assert_array_equal(clean(again.to_poses())["position"], cleaned["position"])
    again.set_cleaned(None)
    again.restore(3)
    np.testing.assert_array_equal(again.to_poses()["position"], raw)


def test_what_cannot_be_cleaned_is_said():
    with pytest.raises(ValueError, match="smoothing of 0 or more; found -1"):
        clean(poses(), smoothing=-1)
    with pytest.raises(ValueError, match="without times"):
        clean(poses().assign_attrs(times_known=0))
    with pytest.raises(ValueError, match="increase"):
        clean(poses().assign_coords(time=np.zeros(400)))


@pytest.mark.parametrize("n_seen", [1, 3, 5, 9])
def test_a_keypoint_seen_for_a_moment_by_a_fast_camera_is_kept(n_seen):
    position = np.full((400, 2, 2), 30, np.float32)
    position[n_seen:, :, 1] = np.nan
    confidence = np.where(np.isfinite(position[:, 0]), 0.9, 0).astype(np.float32)
    poses = make_poses(position, confidence, ("nose(tip)", "paw"), np.arange(400) / 500)
    np.testing.assert_allclose(clean(poses)["position"].values, position, atol=1e-3)
