from __future__ import annotations

import numpy as np
import pytest

from napari_facemap.movement import analysis, decomposition, svd
from napari_facemap.movement.analysis import motion
from napari_facemap.movement.regions import Region, Regions
from napari_facemap.simulate.face import simulate_face
from napari_facemap.video.arrays import ArrayVideo
from napari_facemap.video.video import open_video
from napari_facemap.video.write import write_video

PAD = Region.ellipse("pad", "motion", 30, 20, 12, 10)
EYE = Region.ellipse("eye", "pupil", 60, 25, 12, 12)
LID = Region.rectangle("lid", "blink", 45, 12, 75, 40)
WHEEL = Region.rectangle("wheel", "running", 5, 40, 68, 71)
ALL = (PAD, EYE, LID, WHEEL)


@pytest.fixture(scope="module")
def frames():
    return np.asarray(simulate_face(40, size=(72, 96), seed=2).frames[:])


def _differences(frames):
    return np.abs(np.diff(frames.astype(int), axis=0))


def _same(one, other):
    assert list(one.traces) == list(other.traces)
    for name in one.traces:
        np.testing.assert_array_equal(one.traces[name].values, other.traces[name].values)
    for a, b in zip(one.components, other.components, strict=True):
        assert a.label == b.label
        np.testing.assert_allclose(a.scores, b.scores, atol=1e-3)
        np.testing.assert_allclose(a.masks[0], b.masks[0], atol=1e-4)


def test_motion_energy_compares_each_frame_with_the_one_before(frames):
    traces = motion(frames, [PAD], components=0).traces
    expected = _differences(frames).sum((1, 2))
    energy = traces["motion_energy"].sel(motion="whole frame").values
    assert np.isnan(energy[0])
    assert np.array_equal(energy[1:], expected)
    inside = PAD.mask(72, 96)
    window = PAD.window(72, 96)
    of_pad = (_differences(window.of(frames)) * inside).sum((1, 2))
    assert np.array_equal(traces["motion_energy"].sel(motion="pad").values[1:], of_pad)
    mean = traces["motion_mean"].sel(motion="pad").values[1:]
    np.testing.assert_allclose(mean, of_pad / inside.sum())


def test_no_region_changes_what_another_finds(frames):
    alone = motion(frames, [PAD], components=5)
    together = motion(frames, ALL, components=5)
    for name in ("motion_energy", "motion_mean"):
        np.testing.assert_array_equal(alone.traces[name].values, together.traces[name].values)
    for a, b in zip(alone.components, together.components, strict=True):
        np.testing.assert_array_equal(a.scores, b.scores)


@pytest.mark.parametrize("batch_size", [1, 7, 100, 1000])
def test_batches_make_no_difference(frames, batch_size):
    options = {"components": 6, "sources": ("motion", "movie"), "bin": 3}
    _same(motion(frames, ALL, batch_size=batch_size, **options), motion(frames, ALL, **options))


def test_components_are_the_svd_of_what_they_are_of(frames):
    result = motion(frames, components=5, bin=2, sources=("motion", "movie"))
    pictures = frames.reshape(40, 36, 2, 48, 2).mean((2, 4))
    for found, of in zip(
        result.components, (np.abs(np.diff(pictures, axis=0)), pictures), strict=True
    ):
        centred = (of - of.mean(0)).reshape(len(of), -1)
        _, lengths, masks = np.linalg.svd(centred, full_matrices=False)
        np.testing.assert_allclose(found.singular_values, lengths[:5], rtol=1e-3)
        assert found.variance == pytest.approx((lengths**2).sum(), rel=1e-4)
        flat = found.masks[0].reshape(5, -1)
        np.testing.assert_allclose(flat @ flat.T, np.eye(5), atol=1e-4)
        assert np.linalg.svd(flat @ masks[:5].T)[1].min() > 0.999
        np.testing.assert_allclose(found.means[0], of.mean(0), atol=1e-3)
        there = found.scores[np.isfinite(found.scores[:, 0])]
        assert len(there) == len(of)
        np.testing.assert_allclose(there, centred @ flat.T, atol=2e-2)
    assert np.isnan(result.components[0].scores[0]).all()
    assert np.isfinite(result.components[1].scores[0]).all()


def test_fault_15_the_movie_needs_no_motion(frames):
    alone = motion(frames, components=4, sources=("movie",))
    beside = motion(frames, components=4, sources=("motion", "movie"))
    assert [found.source for found in alone.components] == ["movie"]
    np.testing.assert_array_equal(alone.components[0].scores, beside.components[1].scores)
    assert np.isfinite(alone.traces["motion_energy"].values[1:]).all()


def test_faults_14_and_16_each_region_has_unit_masks_and_singular_values(frames):
    other = Region.rectangle("nose", "motion", 2, 2, 40, 40)
    found = motion(frames, [PAD, other], components=4).components
    assert [one.name for one in found] == ["", "pad", "nose"]
    for one in found:
        np.testing.assert_allclose((one.masks[0] ** 2).sum((1, 2)), 1, atol=1e-4)
        lengths = np.sqrt((one.scores[1:].astype(float) ** 2).sum(0))
        np.testing.assert_allclose(one.singular_values, lengths, rtol=1e-4)
        assert (np.diff(one.singular_values) <= 0).all()


def test_a_blink_leaves_the_pupil_out():
    times = np.arange(200) / 50
    rows, columns = np.mgrid[:80, :100]
    away = np.hypot(columns - 50, rows - 40)
    open_eye = np.clip(30 + 150 * (away - 15), 30, 180)
    frames = np.repeat(open_eye[None], 200, axis=0)
    frames[100:106] = 180  # shut
    noisy = frames + np.random.default_rng(0).normal(0, 2, frames.shape)
    eye = Region.ellipse("eye", "pupil", 50, 40, 30, 25)
    lid = Region.ellipse("lid", "blink", 50, 40, 30, 25)
    video = ArrayVideo(np.clip(noisy, 0, 255).astype(np.uint8), times=times)
    traces = motion(video, [eye, lid], components=0).traces
    shut = traces["blink_closed"].values[:, 0] > 0
    assert shut[100:106].all()
    assert shut.sum() <= 10
    assert np.isnan(traces["pupil_area"].values[98:108, 0]).all()
    kept = traces["pupil_area"].values[np.r_[:90, 120:200], 0]
    np.testing.assert_allclose(kept, np.pi * 15.5**2, rtol=0.01)


def test_what_memory_cannot_hold_is_read_again(frames, monkeypatch):
    # A block that all frames fit gives scores with the directions.
    monkeypatch.setattr(svd, "_EXACT", 10)
    expected = motion(frames, [PAD], components=4, sources=("motion", "movie"))
    monkeypatch.setattr(analysis, "_KEPT_BYTES", 0)
    seen = []
    found = motion(
        frames, [PAD], components=4, sources=("motion", "movie"),
        progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    _same(found, expected)
    assert seen[-1] == (80, 80)
    assert found.traces.attrs["complete"] == 1


def test_views_are_decomposed_together(frames):
    views = [frames, frames[:, ::2, ::2].copy()]
    regions = Regions(
        (
            PAD,
            Region.ellipse(
                "other",
                "motion",
                15,
                10,
                6,
                5,
            ),
        ),
        ((72, 96), (36, 48)),
    )
    result = motion(views, regions, components=3, bin=2)
    whole = result.components[0]
    assert [mask.shape for mask in whole.masks] == [(3, 36, 48), (3, 18, 24)]
    flat = np.concatenate([mask.reshape(3, -1) for mask in whole.masks], axis=1)
    np.testing.assert_allclose(flat @ flat.T, np.eye(3), atol=1e-4)
    names = result.traces["motion_energy"].motion.values.tolist()
    assert {"whole frame of view 0", "whole frame of view 1", "pad"} <= set(names)


def test_two_frames_are_enough_and_one_has_no_motion(frames):
    two = motion(frames[:2], components=10, sources=("motion", "movie"))
    assert [found.source for found in two.components] == ["movie"]  # one difference does not vary
    one = motion(frames[:1], components=10)
    assert one.components == ()
    assert np.isnan(one.traces["motion_energy"].values).all()


def test_stopping_while_components_are_sought_keeps_the_traces(frames):
    asked = []

    def stop_at_the_end(done, total):
        asked.append(done)
        return asked.count(total) < 2  # the second time all frames are through

    result = motion(frames, components=4, sources=("motion", "movie"), progress=stop_at_the_end)
    assert result.components == ()
    assert result.traces.attrs["complete"] == 0
    assert result.traces.attrs["frames_measured"] == len(frames)
    assert np.isfinite(result.traces["motion_energy"].values[1:]).all()


@pytest.mark.parametrize("asked_for", [1, 2])
def test_stopping_within_components_leaves_those_out(frames, monkeypatch, asked_for):
    # One more portion of pixels is not begun; components that were found before stay.
    monkeypatch.setattr(svd, "_COLUMNS", 100)
    asked = []
    portions = -(-(72 // 4) * (96 // 4) // 100)
    most = 1 + (1 + 2 * portions) * (asked_for - 1) + 3

    def stop(done, total):
        asked.append(done)
        return asked.count(total) < most

    found = motion(frames, components=4, sources=("motion", "movie"), progress=stop)
    assert asked.count(len(frames)) == most
    assert [one.source for one in found.components] == ["motion", "movie"][: asked_for - 1]
    assert found.traces.attrs["complete"] == 0


def test_stopping_keeps_the_traces_so_far(frames):
    found = motion(frames, [PAD], components=3, batch_size=5, progress=lambda done, _: done < 20)
    attrs = found.traces.attrs
    assert (attrs["complete"], attrs["frames_measured"]) == (0, 20)
    energy = found.traces["motion_energy"].values
    assert np.isfinite(energy[1:20]).all()
    assert np.isnan(energy[20:]).all()
    assert found.components == ()


def test_frames_that_do_not_decode_touch_no_other(frames, monkeypatch):
    class Holes(ArrayVideo):
        def __init__(self, array):
            super().__init__(array, fps=50.0)
            self.bad_frames = np.array([10])

    broken = frames.copy()
    broken[10] = 0
    monkeypatch.setattr(decomposition, "_PORTION", 16)
    found = motion(Holes(broken), [PAD, EYE], components=3, sources=("motion", "movie"))
    whole = motion(frames, [PAD, EYE], components=0).traces
    energy = found.traces["motion_energy"].values
    assert np.flatnonzero(np.isnan(energy[:, 0])).tolist() == [0, 10, 11]
    kept = np.isfinite(energy[:, 0])
    assert np.array_equal(energy[kept], whole["motion_energy"].values[kept])
    assert np.isnan(found.traces["pupil_x"].values[10]).all()
    by_motion, by_movie = found.components[:2]
    assert np.flatnonzero(np.isnan(by_motion.scores[:, 0])).tolist() == [0, 10, 11]
    assert np.flatnonzero(np.isnan(by_movie.scores[:, 0])).tolist() == [10]


def test_a_file_gives_what_its_frames_give(frames, tmp_path):
    write_video(tmp_path / "v.mkv", frames, 50.0, codec="ffv1")
    of_file = motion(tmp_path / "v.mkv", ALL, components=4)
    with open_video(tmp_path / "v.mkv") as video:
        times = video.times
    _same(of_file, motion(ArrayVideo(frames, times=times), ALL, components=4))
    attrs = of_file.traces.attrs
    assert attrs["video"] == "v.mkv"
    assert attrs["video_bytes"] == [(tmp_path / "v.mkv").stat().st_size]
    assert of_file.traces["motion_energy"].attrs["units"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"components": -1}, "0 or more components"),
        ({"sources": ["sound"]}, "motion, movie"),
        ({"sources": []}, "motion, movie"),
        ({"bin": 0}, "bin of 1 to 16"),
        ({"bin": 80}, "bin of 1 to 16"),
        ({"components": 0, "whole": False}, "found none"),
        ({"regions": [PAD, PAD]}, "different names"),
        ({"device": "abacus"}, "device"),
    ],
)
def test_unusable_options_are_refused(frames, options, words):
    with pytest.raises(ValueError, match=words):
        motion(frames, **options)


def test_views_of_unlike_lengths_are_refused(frames):
    with pytest.raises(ValueError, match="as many frames"):
        motion([frames, frames[:30]])
