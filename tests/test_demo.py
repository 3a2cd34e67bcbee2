from __future__ import annotations

import av
import numpy as np

from napari_facemap.cli import main
from napari_facemap.demo import has_screen, run_demo
from napari_facemap.files.encoders import read_encoder
from napari_facemap.files.poses import read_poses
from napari_facemap.files.predictions import read_predictions
from napari_facemap.files.recordings import read_recording


def test_the_demo_goes_the_whole_way(tmp_path, capsys):
    folder = tmp_path / "demo"
    assert run_demo(folder, window=False, seconds=48) == 0
    poses = read_poses(folder / "mouse_FacemapPose.h5")
    assert poses.sizes["time"] == 600
    assert np.isfinite(poses["position"]).all()
    recording = read_recording(folder / "neural.npz")
    prediction = read_predictions(folder / "predictions.nc")
    np.testing.assert_array_equal(prediction["measured"], recording.activity)
    assert prediction["test"].any()
    again = read_encoder(folder / "encoder.safetensors").predict(poses, recording.times)
    np.testing.assert_allclose(again, prediction["predicted"], atol=1e-5)
    with av.open(str(folder / "summary.png")) as picture:
        frame = next(picture.decode(video=0)).to_ndarray(format="gray")
    assert frame.shape[1] > 1000
    assert len(np.unique(frame)) > 50
    said = capsys.readouterr().out
    assert all(path.name in said for path in folder.iterdir())


def test_where_there_is_no_screen_it_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("napari_facemap.demo.has_screen", lambda: False)
    from napari_facemap.demo import _open_window

    _open_window(tmp_path)
    assert "No screen" in capsys.readouterr().out


def test_a_screen_is_known_by_its_name(monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.delenv("DISPLAY", raising=False)
    assert not has_screen()
    monkeypatch.setenv("DISPLAY", ":7")
    assert has_screen()


def test_the_output_must_be_a_folder(tmp_path, capsys):
    (tmp_path / "taken").write_text("a file of the user's")
    assert main(["demo", "--no-window", "--output", str(tmp_path / "taken")]) == 2
    assert "taken" in capsys.readouterr().err
    assert (tmp_path / "taken").read_text() == "a file of the user's"
