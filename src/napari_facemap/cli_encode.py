"""The verb `encode`: from behaviour to neurons, without a window."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from napari_facemap.progress import Interruptible, ProgressBar

if TYPE_CHECKING:
    import xarray as xr

    from napari_facemap.movement.results import MotionResult
    from napari_facemap.neural.encoder import Encoder
    from napari_facemap.neural.features import Features
    from napari_facemap.neural.recording import Recording


def add_encode(verbs: Any) -> None:
    """Add the verb to the command line."""
    verb = verbs.add_parser("encode", help="predict neural activity from behaviour")
    verb.add_argument(
        "--behavior", type=Path, nargs="+", required=True, metavar="FILE",
        help="keypoints (.h5), motion results (.nc, or Facemap's _proc.npy), named traces with a "
        "column of seconds (.csv); one of each at most",
    )  # fmt: skip
    verb.add_argument(
        "--neural", type=Path, required=True, metavar="PATH",
        help=".npy, .npz, .mat, CaImAn .hdf5, .nwb, folder of suite2p or phy",
    )  # fmt: skip
    verb.add_argument(
        "--also", type=Path, nargs="+", action="append", default=[], metavar="FILE",
        help="another recording that the network learns from: its keypoints, its activity and, "
        "where that holds none, its times; may be given again",
    )  # fmt: skip
    verb.add_argument(
        "--clean", action="store_true",
        help="keypoints without jumps, with short gaps filled, and smoothed",
    )  # fmt: skip
    verb.add_argument("--behavior-times", type=Path, metavar="FILE", help="seconds, one a frame")
    verb.add_argument("--neural-times", type=Path, metavar="FILE", help="seconds, one a sample")
    verb.add_argument("--neural-rate", type=float, metavar="HZ", help="instead of --neural-times")
    verb.add_argument(
        "--neural-start", type=float, default=0.0, metavar="S",
        help="seconds added to the recording's times",
    )  # fmt: skip
    verb.add_argument(
        "--signal", metavar="NAME", help="spks, F, F-Fneu or dF/F; an array's name in .mat or .nwb"
    )
    verb.add_argument(
        "--time-axis", type=int, choices=(0, 1),
        help="which axis of a matrix is time, where the number of times does not tell",
    )  # fmt: skip
    verb.add_argument(
        "--features", nargs="+", metavar="GROUP",
        help="groups to predict from; by default all that there are, but speed",
    )  # fmt: skip
    verb.add_argument("--without", nargs="+", metavar="GROUP", help="groups to leave out")
    verb.add_argument("--model", choices=("network", "linear", "ridge"), default="network")
    verb.add_argument(
        "--delay", type=float, default=0.0, metavar="S",
        help="activity is predicted from behaviour so many seconds before; default: 0",
    )  # fmt: skip
    verb.add_argument(
        "--targets", choices=("components", "neurons"), default="components",
        help="predict 128 principal components of the neurons, or each neuron",
    )  # fmt: skip
    verb.add_argument(
        "--encoder", type=Path, metavar="FILE", help="apply this one instead of fitting"
    )
    verb.add_argument("--no-report", action="store_true", help="no ceiling, null and figures")
    verb.add_argument(
        "--contributions", action="store_true", help="what each group of features adds, too"
    )
    verb.add_argument(
        "--facemap", action="store_true", help="the prediction as Facemap saves it too, .npy"
    )
    verb.add_argument("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    verb.add_argument(
        "--output", type=Path, metavar="DIR", help="by default NEURAL_encoder beside it"
    )
    verb.set_defaults(run=_encode)


def _encode(options: argparse.Namespace) -> int:
    from napari_facemap.files.atomic import check_writable
    from napari_facemap.files.encoders import read_encoder
    from napari_facemap.neural.model import Cancelled

    # What readers assume is said below, with the program's name before it.
    logging.getLogger("napari_facemap.files").addHandler(logging.NullHandler())
    behavior = _chosen(options.behavior, options.behavior_times, options)
    recording = _read(options.neural, options.neural_times, options)
    sessions = [_Session(behavior, recording, _folder(options.neural))]
    sessions += [_another(paths, options) for paths in options.also]
    if options.output is not None:
        sessions[0] = sessions[0]._replace(output=options.output)
    _check_folders(sessions)
    for session in sessions:
        for warning in session.recording.warnings:
            _warn(warning)
        check_writable(session.output / "predictions.nc")
    with Interruptible() as go:
        try:
            if options.encoder is None:
                encoders = _fit(options, sessions, go)
            else:
                encoders = [read_encoder(options.encoder)] * len(sessions)
            for session, encoder in zip(sessions, encoders, strict=True):
                _save(options, session, encoder, go)
        except Cancelled as error:
            raise KeyboardInterrupt from error
    return 0


class _Session(NamedTuple):
    """One recording, what was done meanwhile, and where its results go."""

    behavior: xr.Dataset | Features
    recording: Recording
    output: Path


def _check_folders(sessions: Sequence[_Session]) -> None:
    folders = [session.output.resolve() for session in sessions]
    for number, folder in enumerate(folders):
        if folder in folders[:number]:
            raise ValueError(
                f"{folder}: expected a folder for the results of each recording; two would write "
                "to this one. Put the recordings into folders of their own, or give --output."
            )


def _folder(neural: Path) -> Path:
    return neural.with_name(f"{neural.stem}_encoder")


def _read(path: Path, times: Path | None, options: argparse.Namespace) -> Recording:
    from napari_facemap.files.recordings import read_recording

    recording = read_recording(
        path, times, options.neural_rate, signal=options.signal, time_axis=options.time_axis
    )
    recording.times = recording.times + options.neural_start
    return recording


def _another(paths: list[Path], options: argparse.Namespace) -> _Session:
    if not 2 <= len(paths) <= 3:
        raise ValueError(
            f"--also {' '.join(map(str, paths))}: expected keypoints, activity and perhaps times; "
            f"found {len(paths)} files."
        )
    behavior = _chosen(paths[:1], None, options)
    recording = _read(paths[1], paths[2] if len(paths) == 3 else None, options)
    return _Session(behavior, recording, _folder(paths[1]))


def _fit(
    options: argparse.Namespace, sessions: Sequence[_Session], go: Interruptible
) -> list[Encoder]:
    from napari_facemap.neural.fitting import fit_encoders
    from napari_facemap.neural.targets import N_COMPONENTS

    with ProgressBar("fitting", "step") as bar:

        def progress(done: int, total: int) -> bool:
            bar(done, total)
            return not go.stopped

        encoders = fit_encoders(
            [session[:2] for session in sessions], options.model, progress, options.device,
            delay=options.delay,
            n_components=N_COMPONENTS if options.targets == "components" else None,
        )  # fmt: skip
    for session, encoder in zip(sessions, encoders, strict=True):
        if "clock_warning" in encoder.attrs:
            _warn(f"{session.recording.name}: {encoder.attrs['clock_warning']}")
        start, stop = encoder.attrs["overlap"]
        print(f"{session.recording.name}: shares {start:.6g} to {stop:.6g} s with the behaviour")
    return encoders


def _save(
    options: argparse.Namespace, session: _Session, encoder: Encoder, go: Interruptible
) -> None:
    from napari_facemap.files.encoders import write_encoder
    from napari_facemap.files.facemap_neural import write_facemap_predictions
    from napari_facemap.files.predictions import write_predictions
    from napari_facemap.neural.encoder import predict_recording

    behavior, recording, output = session
    prediction = predict_recording(encoder, behavior, recording, options.device)
    if options.no_report:  # a report writes it as well
        write_predictions(prediction, output / "predictions.nc")
    if options.encoder is None:
        write_encoder(encoder, output / "encoder.safetensors")
    if options.facemap:
        write_facemap_predictions(prediction, output / "neural_predictions.npy")
    if not options.no_report:
        _report(options, encoder, behavior, recording, output, go)
    explained = prediction["variance_explained"]
    print(
        f"{output}: {len(explained)} neurons, variance explained on "
        f"{prediction.attrs['test_times']}: mean {float(explained.mean()):.3f}, best "
        f"{float(explained.max()):.3f}"
    )


def _report(
    options: argparse.Namespace,
    encoder: Encoder,
    behavior: xr.Dataset | Features,
    recording: Recording,
    output: Path,
    go: Interruptible,
) -> None:
    from napari_facemap.neural.report import report

    with ProgressBar("report", "step") as bar:

        def progress(done: int, total: int) -> bool:
            bar(done, total)
            return not go.stopped

        made = report(
            encoder, behavior, recording, contributions=options.contributions,
            progress=progress, device=options.device,
        )  # fmt: skip
    made.save(output)
    print(made)


def _chosen(
    paths: Sequence[Path], times: Path | None, options: argparse.Namespace
) -> xr.Dataset | Features:
    """Keypoints as they are where there is nothing else: they say where they come from."""
    from napari_facemap.neural.behavior import behavior_features
    from napari_facemap.neural.features import KEYPOINTS

    by_kind: dict[str, list[Path]] = {kind: [] for kind in _BEHAVIOR}
    for path in paths:
        by_kind[_kind(path)].append(path)
    for kind, found in by_kind.items():
        if len(found) > 1:
            raise ValueError(f"{found[1]}: expected one file of {kind} at most; found two.")
    keypoints, motion, traces = (next(iter(found), None) for found in by_kind.values())
    poses = _poses(keypoints, times) if keypoints else None
    if poses is not None and options.clean:
        from napari_facemap.keypoints.cleaning import clean

        poses = clean(poses)
    alone = motion is None and traces is None
    if poses is not None and alone and not options.features and not options.without:
        return poses
    features = behavior_features(
        poses, _motion(motion, times), _traces(traces), include=options.features
    )
    if options.without:
        features = features.without(*options.without)
    if poses is not None and set(features.groups) == {KEYPOINTS}:
        return poses
    return features


_BEHAVIOR = ("keypoints", "motion results", "traces")


def _kind(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix in (".nc", ".npy"):
        return "motion results"
    return "traces" if suffix in (".csv", ".tsv") else "keypoints"


def _motion(path: Path | None, times: Path | None) -> MotionResult | None:
    """What `motion` measured, or Facemap did, which kept no times."""
    from napari_facemap.files.facemap_proc import read_facemap_proc
    from napari_facemap.files.motion import read_motion
    from napari_facemap.files.recordings import read_times

    if path is None or path.suffix.lower() != ".npy":
        return None if path is None else read_motion(path)
    if times is None:
        raise ValueError(
            f"{path}: Facemap's results hold no times; give --behavior-times with the seconds of "
            "every frame."
        )
    return read_facemap_proc(path, read_times(times))


def _traces(path: Path | None) -> xr.Dataset | None:
    from napari_facemap.files.traces import read_traces

    return None if path is None else read_traces(path)


def _poses(path: Path, times_path: Path | None) -> xr.Dataset:
    """Keypoints with times in seconds, from the file itself or from one beside it."""
    from napari_facemap.files.poses import read_poses
    from napari_facemap.files.recordings import read_times

    poses = read_poses(path)
    if times_path is None:
        if poses.attrs.get("times_known", 1) == 0:
            raise ValueError(
                f"{path}: Facemap's keypoint files hold no times; give --behavior-times with "
                f"the {poses.sizes['time']} frames' times in seconds."
            )
        return poses
    times = read_times(times_path)
    if len(times) != poses.sizes["time"]:
        raise ValueError(
            f"{times_path}: expected a time for each of the {poses.sizes['time']} frames of "
            f"{path}, found {len(times)}."
        )
    return poses.assign_coords(time=times).assign_attrs(times_known=1)


def _warn(text: str) -> None:
    print(f"napari-facemap: warning: {text}", file=sys.stderr)
