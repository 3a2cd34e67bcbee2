"""The verb `motion`: what moves in a video, without a window."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_facemap.progress import INTERRUPTED, Interruptible, ProgressBar

if TYPE_CHECKING:
    from napari_facemap.movement.regions import Regions

_SUFFIXES = (".nc", ".npy", ".mat")


def add_motion(verbs: Any) -> None:
    """Add the verb to the command line."""
    verb = verbs.add_parser(
        "motion", help="measure motion, its components, pupils, blinks and running"
    )
    verb.add_argument(
        "videos", type=Path, nargs="+", metavar="VIDEO", help="several are views of one recording"
    )
    verb.add_argument(
        "--regions", type=Path, metavar="FILE",
        help="where to measure, .json; without it motion of the whole frame is measured",
    )  # fmt: skip
    verb.add_argument(
        "--regions-from", type=Path, nargs="+", metavar="VIDEO",
        help="videos that the regions were drawn on: they are moved as the camera was",
    )  # fmt: skip
    verb.add_argument(
        "--keypoints", type=Path, nargs="+", metavar="FILE",
        help="tracked keypoints of each view: eyelids, blinks and the pupil by them",
    )  # fmt: skip
    verb.add_argument(
        "--components", type=int, default=500, metavar="K", help="0 for none; default: 500"
    )
    verb.add_argument("--movie", action="store_true", help="components of the frames too")
    verb.add_argument(
        "--bin", type=int, default=4, metavar="N",
        help="side of the squares of pixels that components are made of; default: 4",
    )  # fmt: skip
    verb.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    verb.add_argument(
        "--output", type=Path, metavar="FILE",
        help="by default VIDEO_motion.nc beside the video; .npy and .mat are Facemap's _proc files",
    )  # fmt: skip
    verb.add_argument("--overwrite", action="store_true", help="replace what is there")
    verb.set_defaults(run=_motion)


def _motion(options: argparse.Namespace) -> int:
    from napari_facemap.files.poses import read_poses
    from napari_facemap.files.regions import read_regions
    from napari_facemap.movement.analysis import motion
    from napari_facemap.video.video import open_video

    first = options.videos[0]
    output = options.output or first.with_name(f"{first.stem}_motion.nc")
    _check_output(output, options.overwrite)
    regions = read_regions(options.regions) if options.regions else None
    if regions is not None and options.regions_from:
        regions = _aligned(regions, options.regions_from, options.videos)
    poses = [read_poses(path) for path in options.keypoints or ()]
    sources = ("motion", "movie") if options.movie else ("motion",)
    videos = [open_video(path) for path in options.videos]
    try:
        with ProgressBar(first.name, "frame") as bar, Interruptible() as go:

            def progress(done: int, total: int) -> bool:
                bar(done, total)
                return not go.stopped

            result = motion(
                videos, regions, options.components, sources, options.bin,
                device=options.device, progress=progress, poses=poses,
            )  # fmt: skip
        warnings = [warning for video in videos for warning in video.warnings]
    finally:
        for video in videos:
            video.close()
    for warning in warnings:
        print(f"napari-facemap: warning: {warning}", file=sys.stderr)
    return _save(result, output)


def _aligned(regions: Regions, old: list[Path], new: list[Path]) -> Regions:
    from napari_facemap.movement.alignment import TRUSTED, align_regions

    moved, qualities = align_regions(regions, old, new)
    for view, quality in enumerate(qualities):
        said = f"{new[view].name}: aligned to {old[view].name}, quality {quality:.2f}"
        if quality < TRUSTED:
            said = (
                f"napari-facemap: warning: {said}: too different to be aligned, the regions are "
                "only stretched to the frame. Look at them in napari."
            )
        print(said, file=sys.stderr if quality < TRUSTED else sys.stdout)
    return moved


def _save(result: Any, output: Path) -> int:
    from napari_facemap.files.facemap_proc_write import write_facemap_proc
    from napari_facemap.files.motion import write_motion

    attrs = result.traces.attrs
    if not attrs["frames_measured"]:
        print(f"{output}: interrupted before the first frame was measured, nothing was saved")
        return INTERRUPTED
    if not attrs["complete"] and output.exists():
        output = output.with_stem(f"{output.stem}_partial")  # the whole result from before stays
    (write_motion if output.suffix == ".nc" else write_facemap_proc)(result, output)
    if not attrs["complete"]:
        print(
            f"{output}: interrupted after {attrs['frames_measured']} of {attrs['video_frames']} "
            "frames"
        )
        return INTERRUPTED
    for found in result.components:
        share = (found.singular_values**2).sum() / found.variance
        print(f"{len(found.singular_values)} components of {found.label}: {share:.1%} of variance")
    for source in dict.fromkeys(source for source, _ in result.blinks):
        print(f"{sum(source == other for other, _ in result.blinks)} blinks of {source}")
    names = ", ".join(str(name) for name in result.traces)
    print(f"{output}: {attrs['video_frames']} frames: {names}")
    return 0


def _check_output(output: Path, overwrite: bool) -> None:
    """Find out before hours of work what could not be written after it."""
    from napari_facemap.files.atomic import check_writable

    if output.suffix not in _SUFFIXES:
        raise ValueError(
            f"{output}: expected --output to end in {', '.join(_SUFFIXES)}; found "
            f"{output.suffix or 'none'}."
        )
    check_writable(output)
    if output.exists() and not overwrite:
        raise ValueError(f"{output}: exists; choose another --output, or give --overwrite.")
