from __future__ import annotations

import os
import signal

import numpy as np
import pytest

from napari_facemap.cli import main
from napari_facemap.files.facemap_proc import read_facemap_proc
from napari_facemap.files.motion import read_motion
from napari_facemap.files.regions import write_regions
from napari_facemap.movement.regions import Region, Regions
from napari_facemap.progress import ProgressBar
from napari_facemap.simulate.face import simulate_face


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("motion")
    simulate_face(150, size=(72, 96), seed=2).write(folder / "mouse.mp4")
    pad = Region.ellipse("pad", "motion", 30, 20, 12, 10)
    eye = Region.ellipse("eye", "pupil", 60, 25, 12, 12)
    write_regions(Regions((pad, eye), ((72, 96),)), folder / "regions.json")
    return folder


def _run(folder, output, *more):
    regions = ["--regions", str(folder / "regions.json")]
    return main(["motion", str(folder / "mouse.mp4"), *regions, "--output", str(output), *more])


def test_all_regions_are_measured_and_said(folder, tmp_path, capsys):
    output = tmp_path / "out.nc"
    assert _run(folder, output, "--components", "5", "--movie", "--bin", "2") == 0
    said = capsys.readouterr().out
    assert "5 components of movie of pad" in said
    assert f"{output}: 150 frames: motion_energy" in said
    result = read_motion(output)
    assert [found.label for found in result.components] == [
        "motion of whole frames", "movie of whole frames", "motion of pad", "movie of pad",
    ]  # fmt: skip
    assert result.traces["pupil_area"].shape == (150, 1)
    assert [region.name for region in result.regions] == ["pad", "eye"]
    # What is there stays there.
    before = output.read_bytes()
    assert _run(folder, output) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert output.read_bytes() == before
    assert _run(folder, output, "--components", "0", "--overwrite") == 0
    assert read_motion(output).components == ()


@pytest.mark.parametrize("suffix", [".npy", ".mat"])
def test_facemaps_files_are_written(folder, tmp_path, suffix):
    output = tmp_path / f"mouse_proc{suffix}"
    assert _run(folder, output, "--components", "5") == 0
    if suffix == ".npy":
        result = read_facemap_proc(output)
        assert result.components[0].scores.shape == (150, 5)


def test_it_goes_beside_the_video_by_itself(folder):
    assert main(["motion", str(folder / "mouse.mp4"), "--components", "0"]) == 0
    energy = read_motion(folder / "mouse_motion.nc").traces["motion_energy"]
    assert np.isfinite(energy.values[1:]).all()


def test_what_is_done_when_interrupted_is_saved(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(ProgressBar, "__call__", lambda *_: os.kill(os.getpid(), signal.SIGINT))
    output = tmp_path / "out.nc"
    assert _run(folder, output, "--components", "0") == 130
    assert "interrupted after" in capsys.readouterr().out
    assert read_motion(output).traces.attrs["frames_measured"] > 0


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--bin", "99"], "bin of 1 to 16"),
        (["--components", "-3"], "0 or more"),
        (["--output", "x.txt"], "to end in .nc, .npy, .mat"),
        (["--regions", "nowhere.json"], "nowhere.json"),
    ],
)
def test_bad_input_is_one_line_and_code_2(folder, tmp_path, capsys, more, words):
    assert _run(folder, tmp_path / "out.nc", *more) == 2
    error = capsys.readouterr().err
    assert words in error.splitlines()[-1]
    assert not (tmp_path / "out.nc").exists()


def test_regions_are_moved_as_the_camera_was(folder, tmp_path, capsys):
    from napari_facemap.video.video import open_video
    from napari_facemap.video.write import write_video

    with open_video(folder / "mouse.mp4") as video:
        frames = video.read(0, 40)
    write_video(tmp_path / "moved.mp4", np.roll(frames, (3, -5), (1, 2)), 50.0)
    output = tmp_path / "out.nc"
    command = ["motion", str(tmp_path / "moved.mp4"), "--components", "0"]
    command += ["--regions", str(folder / "regions.json"), "--output", str(output)]
    assert main([*command, "--regions-from", str(folder / "mouse.mp4")]) == 0
    assert "aligned to mouse.mp4, quality 0." in capsys.readouterr().out
    moved = read_motion(output).regions[0].vertices.mean(0)
    np.testing.assert_allclose(moved, [25, 23], atol=1)
    write_video(tmp_path / "noise.mp4", np.random.default_rng(0).integers(
        0, 255, (20, 72, 96), np.uint8), 50.0)  # fmt: skip
    assert main([*command, "--regions-from", str(tmp_path / "noise.mp4"), "--overwrite"]) == 0
    assert "only stretched" in capsys.readouterr().err
