from __future__ import annotations

import av
import numpy as np
import pytest

from napari_facemap.video.grey import grey, luma_table, weigh

cv2 = pytest.importorskip("cv2", reason="OpenCV, the peer for grey levels, is not installed")


def _opencv(path):
    capture = cv2.VideoCapture(str(path))
    frames = []
    while (read := capture.read())[0]:
        frames.append(cv2.cvtColor(read[1], cv2.COLOR_BGR2GRAY))
    return np.stack(frames)


def test_weights_are_opencvs():
    bgr = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    np.testing.assert_array_equal(weigh(bgr), cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY))


@pytest.mark.parametrize(
    ("pixels", "codec", "full"),
    [
        ("yuv420p", "libx264", False),
        ("yuv420p", "libx264", True),
        ("yuv422p", "ffv1", False),
        ("yuvj420p", "mjpeg", True),
        ("gray", "ffv1", True),
        ("bgra", "ffv1", True),
        ("bgr24", "rawvideo", True),
        ("yuv420p10le", "ffv1", False),
    ],
)
def test_grey_is_what_opencv_gives(tmp_path, pixels, codec, full):
    path = tmp_path / ("video.avi" if codec == "rawvideo" else "video.mkv")
    ramp = np.add.outer(np.arange(64), np.arange(96) * 2).astype(np.uint8)
    rgb = np.repeat(ramp[..., None], 3, axis=2)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.pix_fmt, stream.height, stream.width = pixels, 64, 96
        if codec == "libx264":
            stream.codec_context.color_range = 2 if full else 1
            stream.options = {"qp": "0"} if not full else {"crf": "1"}
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(
                format=pixels, dst_color_range=2 if full else 1
            )
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with av.open(str(path)) as container:
        ours = np.stack([grey(frame) for frame in container.decode(video=0)])
    difference = np.abs(ours.astype(int) - _opencv(path))
    assert difference.max() <= (0 if pixels in ("gray", "bgra", "bgr24", "yuvj420p") else 2)
    assert difference.mean() < 0.6


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_rotation_that_the_file_asks_for_is_applied(tmp_path, degrees, frames_of):
    from napari_facemap.video.video import open_video

    path = tmp_path / "turned.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.pix_fmt, stream.height, stream.width = "yuv420p", 64, 96
        if not hasattr(stream, "set_display_rotation"):
            pytest.skip("this PyAV cannot write a rotation")
        stream.set_display_rotation(degrees)
        for levels in frames_of(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(levels, format="gray")))
        container.mux(stream.encode())
    with open_video(path) as video:
        assert video.shape[1:] == ((64, 96) if degrees == 180 else (96, 64))
        np.testing.assert_array_equal(video[:], _opencv(path))


def test_tables_of_grey_and_tinted_luma():
    assert luma_table(True, 128, 128) == bytes(range(256))
    limited = luma_table(False, 128, 128)
    assert [limited[luma] for luma in (0, 16, 17, 235, 255)] == [0, 0, 1, 255, 255]
    tinted = np.frombuffer(luma_table(False, 127, 127), np.uint8).astype(int)
    assert 0 < np.abs(tinted - np.frombuffer(limited, np.uint8)).max() <= 3


def test_the_real_videos_tint_is_taken_into_account(shared_data):
    from napari_facemap.video.video import open_video

    path = shared_data / "videos" / "mouse_face_30s.mp4"
    with open_video(path) as video:
        capture = cv2.VideoCapture(str(path))
        for i in range(20):
            theirs = cv2.cvtColor(capture.read()[1], cv2.COLOR_BGR2GRAY)
            np.testing.assert_array_equal(video[i], theirs)
