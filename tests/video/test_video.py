from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_facemap.video.video import VideoError, open_video
from napari_facemap.video.write import write_video

N = 320
KINDS = {
    "long-gop.mp4": ("libx264", 250, {"bf": "3"}),
    "open-gop.mp4": ("libx264", 24, {"bf": "3", "x264-params": "open-gop=1:scenecut=0"}),
    "intra-refresh.mp4": ("libx264", 60, {"x264-params": "intra-refresh=1:keyint=60", "bf": "0"}),
    "all-keys.mkv": ("libx264", 1, {}),
    "b-frames.avi": ("libx264", 50, {"bf": "2"}),
    "b-frames.mov": ("mpeg4", 30, {"bf": "2"}),
    "motion.avi": ("mjpeg", 1, {}),
    "lossless.avi": ("ffv1", 1, {}),
    "lossless.mkv": ("ffv1", 12, {}),
    "old.mpg": ("mpeg2video", 15, {"bf": "2"}),
    "windows.wmv": ("wmv2", 60, {}),
    "stream.m4v": ("mpeg4", 40, {}),
    "stream.ts": ("libx264", 48, {"bf": "2"}),
    "film.mj2": ("jpeg2000", 1, {}),
}


@pytest.fixture(scope="module", params=KINDS)
def video(request, tmp_path_factory, frames_of):
    codec, gop, options = KINDS[request.param]
    path = tmp_path_factory.mktemp("videos") / request.param
    written = path.with_suffix({".mj2": ".mov"}.get(path.suffix, path.suffix))
    write_video(written, frames_of(N), 50.0, codec, gop=gop, options=options)
    written.rename(path)
    with open_video(path) as opened:
        yield opened


def test_every_frame_is_itself_in_order_at_random_and_backwards(video, numbers):
    assert video.shape == (N, 64, 96)
    assert len(video) == N
    rng = np.random.default_rng(0)
    order = [*rng.integers(0, N, 25), *range(N - 1, N - 30, -1), *range(60, 110), 0, N - 1]
    assert [numbers(video[int(i)]) for i in order] == order
    assert len(video.bad_frames) == 0


def test_however_a_frame_is_reached_it_is_the_same_picture(video):
    straight = np.concatenate([frames for _, frames in video.batches(7)])
    assert straight.shape == video.shape
    for i in np.random.default_rng(1).integers(0, N, 15):
        np.testing.assert_array_equal(video[int(i)], straight[i])
    np.testing.assert_array_equal(video.read(100, 140), straight[100:140])
    np.testing.assert_array_equal(video[N - 5 :], straight[-5:])


def test_times_are_seconds_since_the_first_frame(video):
    np.testing.assert_allclose(video.times, np.arange(N) / 50, atol=6e-4)
    assert video.fps == pytest.approx(50, rel=0.03)


@pytest.fixture(scope="module")
def plain(tmp_path_factory, frames_of):
    path = tmp_path_factory.mktemp("plain") / "plain.mp4"
    write_video(path, frames_of(N), 50.0, gop=48, options={"bf": "2"})
    with open_video(path) as opened:
        yield opened


@settings(max_examples=25, suppress_health_check=[HealthCheck.differing_executors])
@given(st.integers(0, N), st.integers(0, N), st.integers(1, 400))
def test_batches_and_stretches_agree(plain, a, b, n):
    start, stop = sorted((a, b))
    stretch = plain.read(start, stop)
    pieces = list(plain.batches(n, start, stop))
    assert [first for first, _ in pieces] == list(range(start, stop, n))
    joined = np.concatenate([stretch[:0], *(frames for _, frames in pieces)])
    np.testing.assert_array_equal(joined, stretch)


def test_indexing_is_numpys(plain):
    everything = plain[:]
    keys = [5, -1, slice(3, 9), slice(None, None, 50), slice(20, 10, -3), [7, 3, 3], slice(5, 5)]
    for key in keys:
        np.testing.assert_array_equal(plain[key], everything[key])
    np.testing.assert_array_equal(plain[4, 10:20, 3], everything[4, 10:20, 3])
    np.testing.assert_array_equal(plain[4:6, 10:20], everything[4:6, 10:20])
    for beyond in (N, -N - 1):
        with pytest.raises(IndexError, match="320 frames"):
            plain[beyond]


def test_ellipsis_and_masks_are_numpys(plain):
    everything = plain[:]
    np.testing.assert_array_equal(plain[..., 0], everything[..., 0])
    np.testing.assert_array_equal(plain[()], everything)
    mask = np.arange(N) % 100 == 7
    np.testing.assert_array_equal(plain[mask], everything[mask])
    with pytest.raises(IndexError, match="mask"):
        plain[mask[:-1]]


def test_it_never_becomes_an_array_by_itself(plain):
    with pytest.raises(TypeError, match="to_dask"):
        np.asarray(plain)


def test_dask_reads_what_is_asked_for(plain):
    lazy = plain.to_dask()
    assert lazy.shape == plain.shape
    assert 16 <= lazy.chunksize[0] <= 64
    np.testing.assert_array_equal(lazy[70:75].compute(scheduler="sync"), plain[70:75])


def test_several_threads_may_read_at_once(plain, numbers):
    wrong = []

    def read(seed):
        for i in np.random.default_rng(seed).integers(0, N, 20):
            if numbers(plain[int(i)]) != i:
                wrong.append(i)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_leaving_batches_early_ends_the_decoding_threads(plain):
    before = threading.active_count()
    batches = plain.batches(4)
    next(batches)
    batches.close()
    assert threading.active_count() == before


@pytest.mark.parametrize("name", ["uneven.mp4", "uneven.mkv"])
def test_uneven_times_are_kept(tmp_path, frames_of, numbers, name):
    times = np.cumsum(np.random.default_rng(2).choice([0.01, 0.02, 0.05, 0.4], 90))
    write_video(tmp_path / name, frames_of(90), 50.0, times=times, gop=30)
    with open_video(tmp_path / name) as video:
        np.testing.assert_allclose(video.times, times - times[0], atol=1.1e-3)
        assert [numbers(video[i]) for i in (80, 3, 44, 43)] == [80, 3, 44, 43]


def test_the_real_video_has_its_749_frames(shared_data):
    with open_video(shared_data / "videos" / "mouse_face_30s.mp4") as video:
        assert video.shape == (749, 480, 800)
        assert video.fps == pytest.approx(25)
        assert video.warnings == []


def test_a_closed_video_says_so(tmp_path, frames_of):
    write_video(tmp_path / "v.mp4", frames_of(10), 50.0)
    video = open_video(tmp_path / "v.mp4")
    video.close()
    with pytest.raises(VideoError, match="closed"):
        video[5]


def test_paletted_frames_have_their_palette_wherever_reading_starts(tmp_path, frames_of, numbers):
    import av

    path = tmp_path / "palette.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("rawvideo", rate=25)
        stream.pix_fmt, stream.height, stream.width = "pal8", 64, 96
        for levels in frames_of(150):
            frame = av.VideoFrame.from_ndarray(levels, format="gray").reformat(format="rgb8")
            indexed = frame.to_ndarray()
            palette = np.zeros((256, 4), np.uint8)
            values = np.arange(256)
            palette[:, 1:] = np.stack(
                [(values >> 5) * 255 // 7, (values >> 2 & 7) * 255 // 7, (values & 3) * 85], axis=1
            )
            container.mux(stream.encode(av.VideoFrame.from_ndarray((indexed, palette), "pal8")))
        container.mux(stream.encode())
    with open_video(path) as video:
        straight = np.concatenate([frames for _, frames in video.batches(16)])
        assert [numbers(frame) for frame in straight] == list(range(150))
        assert [numbers(video[i]) for i in (140, 3, 90)] == [140, 3, 90]


def test_names_with_colons_are_names(tmp_path, frames_of, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_video("a:b.mp4", frames_of(5), 50.0)
    with open_video("a:b.mp4") as video:
        assert len(video) == 5


def test_a_file_that_went_away_is_said_and_may_come_back(tmp_path, frames_of, numbers):
    path = tmp_path / "v.mp4"
    write_video(path, frames_of(100), 50.0, gop=10)
    with open_video(path) as video:
        path.rename(tmp_path / "elsewhere.mp4")
        for _ in range(2):
            with pytest.raises(VideoError, match="no such file"):
                list(video.batches(10))
        (tmp_path / "elsewhere.mp4").rename(path)
        assert numbers(video[70]) == 70
        assert [start for start, _ in video.batches(50)] == [0, 50]


def test_keyframes_are_those_of_the_file(tmp_path, frames_of):
    write_video(tmp_path / "a.mp4", frames_of(50), 50.0, gop=20)
    with open_video(tmp_path / "a.mp4") as video:
        assert video.keyframes.tolist() == [0, 20, 40]
