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
