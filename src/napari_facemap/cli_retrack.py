"""The verb `track` with ``--frames``: a stretch anew, in keypoints that are there already."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from napari_facemap.progress import INTERRUPTED, Interruptible, ProgressBar


def add_frames(verb: Any) -> None:
    """Add the options to the verb."""
    verb.add_argument(
        "--frames", type=int, nargs=2, metavar=("START", "STOP"),
        help="track these frames anew, STOP not included; needs --into",
    )  # fmt: skip
    verb.add_argument(
        "--into", type=Path, metavar="FILE",
        help="keypoints of the video that --frames are put into; edited points stay",
    )  # fmt: skip


def retrack_into(options: argparse.Namespace) -> int:
    """Track a stretch anew and put it into the keypoints on disk.

    Parameters
    ----------
    options : argparse.Namespace
        Of the verb `track`.

    Returns
    -------
    int
        Exit status.
    """
    from napari_facemap.files.atomic import check_writable
    from napari_facemap.files.poses import read_poses, write_poses
    from napari_facemap.keypoints.retracking import retrack
    from napari_facemap.video.video import open_video

    _check(options)
    poses = read_poses(options.into)
    output = options.output or options.into
    check_writable(output)
    (path,) = options.videos
    with open_video(path) as video, ProgressBar(path.name, "frame") as bar, Interruptible() as go:

        def progress(done: int, total: int) -> bool:
            bar(done, total)
            return not go.stopped

        merged = retrack(
            video, poses, options.model, tuple(options.frames),
            "whole" if options.whole else options.box, options.device, progress, options.facing,
            batch_size=options.batch_size, runtime=options.runtime, precision=options.precision,
        )  # fmt: skip
        warnings = video.warnings
    for warning in warnings:
        print(f"napari-facemap: warning: {warning}", file=sys.stderr)
    if not merged.attrs["complete"]:
        print(f"{options.into}: interrupted, and left as it was")
        return INTERRUPTED
    merged.attrs["complete"] = poses.attrs.get("complete", 1)  # of the whole video
    write_poses(merged, output)
    start, stop = options.frames
    print(
        f"{output}: frames {start} to {stop - 1} are new, {_edited(merged)} edited points stayed"
    )
    return 0


def _check(options: argparse.Namespace) -> None:
    if options.frames is None or options.into is None:
        raise ValueError("Expected --frames and --into together: which frames, into which file.")
    if len(options.videos) > 1:
        raise ValueError(f"Expected one video with --frames; found {len(options.videos)}.")
    if options.compat:
        raise ValueError("Expected no --compat with --frames: its points depend on their batch.")
    if options.output is not None and options.output.exists() and not options.overwrite:
        raise ValueError(
            f"{options.output}: exists; choose another --output, or give --overwrite."
        )


def _edited(poses: Any) -> int:
    return int(poses["edited"].sum())
