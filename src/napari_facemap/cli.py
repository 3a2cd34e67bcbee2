"""The command line: one subcommand a verb."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_facemap import __version__
from napari_facemap.cli_encode import add_encode
from napari_facemap.cli_models import add_models
from napari_facemap.cli_motion import add_motion
from napari_facemap.cli_refine import add_refine
from napari_facemap.cli_retrack import add_frames, retrack_into
from napari_facemap.progress import INTERRUPTED, Interruptible, ProgressBar

if TYPE_CHECKING:
    pass

BAD_INPUT = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``napari-facemap``.

    Parameters
    ----------
    arguments : sequence of str, optional
        By default those of the process.

    Returns
    -------
    int
        0 when all of it worked, 2 for bad input (one line on standard error says what was wrong
        with which file), 130 when it was interrupted.
    """
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except (ValueError, OSError) as error:
        _complain(error)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("napari-facemap: interrupted", file=sys.stderr)
        return INTERRUPTED


def _complain(error: Exception) -> None:
    print(f"napari-facemap: {' '.join(str(error).split())}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="napari-facemap",
        description="Track a mouse's face in video and predict neural activity from it.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    for add in (
        _add_demo, _add_info, _add_track, add_motion, add_encode, _add_train, add_refine,
        add_models,
    ):  # fmt: skip
        add(verbs)
    return parser


def _add_demo(verbs: Any) -> None:
    verb = verbs.add_parser("demo", help="the whole way on a simulated mouse")
    verb.add_argument("--output", type=Path, default=Path("napari-facemap-demo"), metavar="DIR")
    verb.add_argument("--no-window", action="store_true", help="do not open napari at the end")
    verb.set_defaults(run=_demo)


def _demo(options: argparse.Namespace) -> int:
    from napari_facemap.demo import KEYPOINTS_FILE, run_demo

    _check_output(options.output / KEYPOINTS_FILE, overwrite=False)
    return run_demo(options.output, window=not options.no_window)


def _add_info(verbs: Any) -> None:
    verb = verbs.add_parser("info", help="what a video holds, or what a keypoint model is")
    verb.add_argument("what", metavar="VIDEO|MODEL", help="a file, or the name of a model")
    verb.set_defaults(run=_info)


def _info(options: argparse.Namespace) -> int:
    from napari_facemap.video.video import open_video

    path = Path(options.what)
    if path.suffix == ".safetensors" or (not path.exists() and options.what in _models()):
        return _model_info(options.what)
    if not path.suffix and not path.exists():  # somebody meant a model
        raise ValueError(
            f"{path}: neither a file nor a model; the models are {', '.join(_models())}."
        )
    with open_video(options.what) as video:
        n_frames, height, width = video.shape
        last = video.times[-1] if n_frames else 0.0
        print(f"file        {video.path}")
        print(f"codec       {video.codec}")
        print(f"frames      {n_frames}")
        print(f"size        {width} x {height} pixels")
        print(f"rate        {video.fps:.6g} frames/s (from the median time between frames)")
        print(f"duration    {last:.3f} s from the first frame to the last")
        print(f"bad frames  {len(video.bad_frames)} known")
        for warning in video.warnings:
            print(f"warning     {warning}")
    return 0


def _models() -> list[str]:
    from napari_facemap.keypoints.models import list_models

    return list_models()


def _model_info(name: str) -> int:
    """Print a model's card as JSON, without the long history of its training."""
    from napari_facemap.keypoints.models import load_model

    model = load_model(name)
    card = {key: value for key, value in model.card.items() if key != "history"}
    print(json.dumps({"name": model.name, "sha256": model.sha256, **card}, indent=2))
    return 0


def _add_track(verbs: Any) -> None:
    verb = verbs.add_parser("track", help="track keypoints in videos")
    verb.add_argument("videos", type=Path, nargs="+", metavar="VIDEO")
    verb.add_argument("--model", metavar="NAME|PATH", help="built-in name or file of weights")
    where = verb.add_mutually_exclusive_group()
    where.add_argument(
        "--box",
        type=float,
        nargs=4,
        metavar=("X0", "Y0", "X1", "Y1"),
        help="where the face is; by default it is found",
    )
    where.add_argument("--whole", action="store_true", help="look at the whole frame")
    verb.add_argument("--facing", choices=("left", "right"), help="where the nose points")
    verb.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    verb.add_argument("--batch-size", type=int, metavar="N")
    verb.add_argument(
        "--runtime",
        choices=("eager", "torch", "openvino"),
        help="what computes; by default the fastest that gives the same points",
    )
    verb.add_argument(
        "--precision",
        choices=("float32", "8-bit"),
        help="of models in Facemap's layout; 8-bit is faster on a CPU and moves points a little",
    )
    verb.add_argument("--compat", choices=("facemap",), help="points as Facemap makes them")
    verb.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="by default VIDEO_FacemapPose.h5 beside each video; with several videos a folder",
    )
    verb.add_argument(
        "--overwrite", action="store_true", help="replace keypoints that were edited by hand"
    )
    add_frames(verb)
    verb.set_defaults(run=_track)


def _track(options: argparse.Namespace) -> int:
    if options.frames is not None or options.into is not None:
        return retrack_into(options)
    if len(options.videos) == 1:
        return _track_one(options, options.videos[0], options.output)
    if options.output is not None and options.output.suffix == ".h5":
        raise ValueError(
            f"{options.output}: expected a folder as --output for {len(options.videos)} videos."
        )
    outputs = [
        options.output / _pose_name(video)
        if options.output
        else video.with_name(_pose_name(video))
        for video in options.videos
    ]
    for output in outputs:
        if outputs.count(output) > 1:
            raise ValueError(
                f"{output}: several of the videos would be saved here; track them one by one, "
                "each with its own --output."
            )
    worst = 0
    for video, output in zip(options.videos, outputs, strict=True):
        try:
            code = _track_one(options, video, output)
        except (ValueError, OSError) as error:
            _complain(error)
            code = BAD_INPUT
        if code == INTERRUPTED:
            return code
        worst = max(worst, code)
    return worst


def _pose_name(video: Path) -> str:
    return f"{video.stem}_FacemapPose.h5"


def _track_one(options: argparse.Namespace, path: Path, output: Path | None) -> int:
    from napari_facemap.files.poses import write_poses
    from napari_facemap.keypoints.tracking import track
    from napari_facemap.video.video import open_video

    output = output or path.with_name(_pose_name(path))
    _check_output(output, options.overwrite)
    with open_video(path) as video, ProgressBar(path.name, "frame") as bar, Interruptible() as go:

        def progress(done: int, total: int) -> bool:
            bar(done, total)
            return not go.stopped

        poses = track(
            video,
            options.model,
            "whole" if options.whole else options.box,
            options.device,
            progress,
            options.batch_size,
            options.compat,
            options.facing,
            options.runtime,
            options.precision,
        )
        warnings = video.warnings
    if not poses.attrs["frames_tracked"]:
        print(f"{path}: interrupted before the first frame was tracked, nothing was saved")
        return INTERRUPTED
    if not poses.attrs["complete"] and output.exists():
        output = output.with_stem(f"{output.stem}_partial")  # the whole result from before stays
    write_poses(poses, output)
    for warning in warnings:
        print(f"napari-facemap: warning: {warning}", file=sys.stderr)
    if not poses.attrs["complete"]:
        print(
            f"{output}: interrupted after {poses.attrs['frames_tracked']} of {len(poses.time)} frames"
        )
        return INTERRUPTED
    if poses.attrs["box_found"]:
        x0, y0, x1, y1 = poses.attrs["box"]
        print(f"face found: looks {poses.attrs['facing']}, --box {x0} {y0} {x1} {y1}")
    print(f"{output}: {poses.sizes['keypoint']} keypoints in {poses.sizes['time']} frames")
    print(f"computed by {_how(poses.attrs)}")
    return 0


def _how(attrs: dict[str, Any]) -> str:
    """What computed the points, in words."""
    how = f"{attrs['runtime']} on {attrs['device']} in {attrs['precision']}"
    if "deviation_p95" in attrs:
        how += f"; 95 % of points lie within {attrs['deviation_p95']:.2f} px of float32's"
    return how


def _check_output(output: Path, overwrite: bool) -> None:
    """Refuse to replace anything but keypoints that tracking can make again.

    What cannot be written is found here too, before hours of work.
    """
    from napari_facemap.files.atomic import check_writable
    from napari_facemap.files.poses import PosesFileError, read_poses

    check_writable(output)
    if not output.exists():
        return
    try:
        poses = read_poses(output)
    except PosesFileError as error:
        raise ValueError(
            f"{output}: exists and is not a keypoint file; choose another --output."
        ) from error
    whose = ""
    if poses["edited"].any():
        whose = "edited by hand"
    elif "software" not in poses.attrs:
        whose = "written by another program"
    if whose and not overwrite:
        raise ValueError(
            f"{output}: holds keypoints {whose}; choose another --output, or let track replace "
            "them with --overwrite."
        )


def _add_train(verbs: Any) -> None:
    verb = verbs.add_parser("train", help="train a keypoint model on labelled pictures")
    verb.add_argument(
        "faces", type=Path, nargs="+", metavar="FACES",
        help="folders with labels.csv, or DeepLabCut projects",
    )  # fmt: skip
    verb.add_argument("--output", type=Path, required=True, metavar="FILE.safetensors")
    verb.add_argument("--steps", type=int, metavar="N", help="batches of 16; default: 5500")
    verb.add_argument(
        "--validation",
        nargs="*",
        metavar="TEXT",
        help="keep pictures whose file name holds one of these out of training",
    )
    verb.add_argument("--mice", type=int, default=240, metavar="N", help="simulated; default: 240")
    verb.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    verb.add_argument("--workers", type=int, default=1, help="processes that prepare pictures")
    verb.add_argument("--seed", type=int, default=0)
    verb.set_defaults(run=_train)


def _train(options: argparse.Namespace) -> int:
    from napari_facemap.built_in import train_model
    from napari_facemap.keypoints.training import TrainingOptions, TrainingStopped

    if options.output.suffix != ".safetensors":
        raise ValueError(f"{options.output}: expected --output to end in .safetensors.")
    steps = {} if options.steps is None else {"steps": options.steps}
    how = TrainingOptions(seed=options.seed, **steps)
    try:
        train_model(
            options.faces, options.output, options.validation, how, options.device, options.mice,
            options.workers,
        )  # fmt: skip
    except TrainingStopped as stopped:
        print(f"{options.output}: {stopped}; the same command goes on from there")
        return INTERRUPTED
    print(f"{options.output}: written; napari-facemap info {options.output} shows its card")
    return 0
