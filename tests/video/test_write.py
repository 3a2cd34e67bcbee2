from __future__ import annotations

import numpy as np
import pytest

from napari_facemap.video.video import open_video
from napari_facemap.video.write import write_video


@pytest.mark.parametrize(("name", "codec"), [("v.avi", "ffv1"), ("v.mkv", "ffv1")])
@pytest.mark.parametrize("size", [(64, 96), (33, 51)])
def test_ffv1_keeps_every_level_of_any_size(tmp_path, name, codec, size):
    frames = np.random.default_rng(0).integers(0, 256, (12, *size), np.uint8)
    write_video(tmp_path / name, frames, 30.0, codec)
    with open_video(tmp_path / name) as video:
        np.testing.assert_array_equal(video[:], frames)
        assert video.fps == pytest.approx(30, rel=0.02)


def test_lossless_h264_keeps_every_level(tmp_path, frames_of):
    write_video(tmp_path / "v.mp4", frames_of(30), 50.0, options={"qp": "0"}, bframes=2)
    with open_video(tmp_path / "v.mp4") as video:
        np.testing.assert_array_equal(video[:], frames_of(30))


@pytest.mark.parametrize(("name", "codec"), [("v.mp4", "libx264"), ("v.avi", "mjpeg")])
def test_halved_colour_leaves_out_an_odd_row_and_column(tmp_path, frames_of, name, codec):
    frames = frames_of(10)[:, :-1, :-1]
    write_video(tmp_path / name, frames, 50.0, codec)
    with open_video(tmp_path / name) as video:
        assert video.shape == (10, 62, 94)
        assert np.abs(video[:].astype(int) - frames[:, :62, :94]).mean() < 3


def test_a_better_quality_is_closer(tmp_path, frames_of):
    frames, off = frames_of(20), []
    for crf in (5, 40):
        write_video(tmp_path / "v.mp4", frames, 50.0, crf=crf)
        with open_video(tmp_path / "v.mp4") as video:
            off.append(np.abs(video[:].astype(int) - frames).mean())
    assert off[0] < 1 < off[1]


@pytest.mark.parametrize(
    ("frames", "options", "words"),
    [
        (np.zeros((0, 16, 16), np.uint8), {}, "found none"),
        (np.zeros((2, 16, 16)), {}, "float64"),
        ([np.zeros((16, 16), np.uint8), np.zeros((16, 18), np.uint8)], {}, "frame 1"),
        (np.zeros((2, 16, 16), np.uint8), {"times": [0.0]}, "time for each frame"),
        (np.zeros((2, 16, 16), np.uint8), {"times": [0.1, 0.1]}, "increase"),
    ],
)
def test_what_cannot_be_written_leaves_the_old_file(tmp_path, frames, options, words):
    path = tmp_path / "v.mp4"
    path.write_bytes(b"as it was")
    with pytest.raises(ValueError, match=words):
        write_video(path, frames, 50.0, **options)
    assert path.read_bytes() == b"as it was"
    assert [file.name for file in tmp_path.iterdir()] == ["v.mp4"]
