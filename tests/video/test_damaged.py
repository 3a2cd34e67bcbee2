from __future__ import annotations

import numpy as np
import pytest

from napari_facemap.video.video import VideoError, open_video
from napari_facemap.video.write import write_video


def _write(path, frames, codec="libx264", **options):
    write_video(path, frames, 50.0, codec, **options)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no such file"),
        (b"", "empty"),
        (b"These are not frames." * 50, "cannot be opened as one"),
    ],
)
def test_what_is_no_video_is_said_in_one_line(tmp_path, content, words):
    path = tmp_path / "mouse.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(VideoError, match=words) as caught:
        open_video(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_text_is_no_video(tmp_path):
    (tmp_path / "notes.txt").write_text("The mouse was calm.\n" * 500)
    with pytest.raises(VideoError, match="expected a video"):
        open_video(tmp_path / "notes.txt")


def test_a_folder_is_no_video(tmp_path):
    with pytest.raises(VideoError, match="folder"):
        open_video(tmp_path)


def test_sound_alone_is_no_video(tmp_path):
    import av

    with av.open(str(tmp_path / "sound.mkv"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(VideoError, match="without a video stream"):
        open_video(tmp_path / "sound.mkv")


def test_an_mp4_that_lost_its_end_says_so(tmp_path, frames_of):
    path = tmp_path / "cut.mp4"
    content = _write(path, frames_of(100))
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(VideoError, match="cut off"):
        open_video(path)


@pytest.mark.parametrize(("name", "codec"), [("cut.avi", "mjpeg"), ("cut.mkv", "libx264")])
def test_what_is_left_of_a_cut_video_is_read(tmp_path, frames_of, numbers, name, codec):
    path = tmp_path / name
    content = _write(path, frames_of(200), codec, gop=20)
    path.write_bytes(content[: len(content) * 6 // 10])
    with open_video(path) as video:
        n = len(video)
        assert 60 < n < 190
        good = np.setdiff1d(np.arange(n), [n - 1])
        assert [numbers(video[int(i)]) for i in good] == good.tolist()
        if name.endswith(".avi"):
            assert "cut off" in video.warnings[0]


def test_an_mp4_with_its_index_in_front_gives_what_is_left(tmp_path, frames_of, numbers):
    path = tmp_path / "front.mp4"
    content = _write(
        path, frames_of(200), gop=20, options={"bf": "0"}, container={"movflags": "faststart"}
    )
    path.write_bytes(content[: len(content) * 6 // 10])
    with open_video(path) as video:
        assert 60 < len(video) < 190
        assert "cut off" in video.warnings[0]
        assert numbers(video[50]) == 50


@pytest.mark.parametrize(("name", "codec"), [("hole.avi", "mjpeg"), ("hole.avi", "ffv1")])
def test_damage_in_the_middle_shifts_nothing(tmp_path, frames_of, numbers, name, codec):
    path = tmp_path / name
    content = bytearray(_write(path, frames_of(200), codec, gop=1))
    middle = len(content) // 2
    content[middle : middle + 3000] = b"\x00" * 3000
    path.write_bytes(bytes(content))
    with open_video(path) as video:
        straight = np.concatenate([frames for _, frames in video.batches(16)])
        bad = set(video.bad_frames.tolist())
        assert len(video) >= 195
        read = [numbers(frame) for frame in straight]
        wrong = [i for i, number in enumerate(read) if number != i and i not in bad]
        # Frames in the hole may decode in part; all others stand at their number.
        assert len(bad) + len(wrong) <= 8
        assert len(bad) + len(wrong) >= 1
        assert all(abs(i - 100) < 20 for i in [*bad, *wrong])
        assert straight[sorted(bad)].max(initial=0) == 0


@pytest.mark.parametrize("name", ["hole.mkv", "hole.mp4", "hole.ts"])
def test_a_hole_in_a_stream_shifts_nothing_and_reads_alike_either_way(
    tmp_path, frames_of, numbers, name
):
    path = tmp_path / name
    content = bytearray(_write(path, frames_of(200), gop=20, bframes=2))
    noise = np.random.default_rng(0).integers(0, 256, 400, np.uint8).tobytes()
    middle = len(content) // 2
    content[middle : middle + len(noise)] = noise
    path.write_bytes(bytes(content))
    with open_video(path) as video, open_video(path) as jumped:
        assert len(video) == 200
        straight = np.concatenate([frames for _, frames in video.batches(16)])
        bad = video.bad_frames.tolist()
        assert 0 < len(bad) <= 60
        assert straight[bad].max() == 0
        good = np.setdiff1d(np.arange(200), bad)
        wrong = [i for i in good.tolist() if numbers(straight[i]) != i]
        # FFmpeg may patch up the frame that the hole begins in, and call it whole.
        assert len(wrong) <= 1
        assert all(0 <= bad[0] - i <= 2 or i in range(bad[0], bad[-1]) for i in wrong)
        for i in np.random.default_rng(1).permutation(200).tolist():
            np.testing.assert_array_equal(jumped[i], straight[i])
        assert jumped.bad_frames.tolist() == bad
        assert name == "hole.mp4" or "lost" in video.warnings[0]


def test_a_pause_of_the_camera_is_no_damage(tmp_path, frames_of, numbers):
    times = np.arange(100) / 50
    times[60:] += 0.5
    write_video(tmp_path / "pause.mkv", frames_of(100), 50.0, times=times, gop=20)
    with open_video(tmp_path / "pause.mkv") as video:
        assert len(video) == 100
        assert video.warnings == []
        assert numbers(video[60]) == 60


def test_a_bad_frame_late_in_a_film_costs_no_second_look_at_all_before_it(
    tmp_path, frames_of, monkeypatch
):
    from napari_facemap.video.decoder import Decoder

    path = tmp_path / "late.avi"
    content = bytearray(_write(path, frames_of(300), "mjpeg"))
    hole = len(content) * 9 // 10
    content[hole : hole + 3000] = bytes(3000)
    path.write_bytes(bytes(content))
    decoded = []
    numbered = Decoder._numbered

    def counted(self, frames):
        decoded.extend(frames)
        return numbered(self, frames)

    monkeypatch.setattr(Decoder, "_numbered", counted)
    with open_video(path) as video:
        for i in range(250, 290):
            video[i]
        assert len(video.bad_frames) > 0
        assert len(decoded) < 100


def test_a_frame_that_an_avi_marks_as_dropped_is_no_frame(tmp_path, frames_of, numbers):
    import av

    path = tmp_path / "dropped.avi"
    content = bytearray(_write(path, frames_of(50), "mjpeg"))
    with av.open(str(path)) as container:
        entry = container.streams.video[0].index_entries[20]
        assert entry.timestamp == 20
        at = entry.pos
    # Its size becomes 0 in the index; the bytes stay, which no index entry speaks of any more.
    listed = content.index(b"idx1") + 8 + 16 * 20
    content[listed + 12 : listed + 16] = bytes(4)
    assert content[at : at + 4] == b"00dc"
    content[at : at + 4] = b"JUNK"
    path.write_bytes(bytes(content))
    with open_video(path) as video:
        assert len(video) == 49
        assert [numbers(video[i]) for i in (19, 20, 48)] == [19, 21, 49]
        assert video.times[20] == pytest.approx(21 / 50)
        assert len(video.bad_frames) == 0
        assert video.warnings == []


def test_of_several_videos_in_a_file_the_first_is_read_and_said(tmp_path, frames_of, numbers):
    import av

    frames = frames_of(30)
    with av.open(str(tmp_path / "two.mp4"), "w") as container:
        streams = [container.add_stream("libx264", rate=25) for _ in range(2)]
        for stream in streams:
            stream.pix_fmt, stream.height, stream.width = "yuv420p", 64, 96
        for i in range(30):
            for stream, levels in zip(streams, (frames[i], 255 - frames[i]), strict=True):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(levels, format="gray")))
        for stream in streams:
            container.mux(stream.encode())
    with open_video(tmp_path / "two.mp4") as video:
        assert "2 videos; the first is read" in video.warnings[0]
        assert [numbers(video[i]) for i in (0, 17, 29)] == [0, 17, 29]


def test_a_cut_film_without_an_index_promises_seconds(tmp_path, frames_of):
    path = tmp_path / "cut.mkv"
    content = _write(path, frames_of(200), gop=20)
    path.write_bytes(content[: len(content) * 5 // 10])
    with open_video(path) as video:
        assert "promises 4.0 s" in video.warnings[0]
