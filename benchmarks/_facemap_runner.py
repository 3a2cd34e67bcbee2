"""Facemap tracking some frames, run by the Python of its own environment; imports nothing of ours.

    python _facemap_runner.py VIDEO FRAMES BATCH_SIZE POINTS_FILE

The home folder holds the weights where Facemap looks for them. The last line is JSON.
"""

import json
import sys
import time

import cv2
import numpy as np

WARM_UP = 8


class Stage:
    """A function that adds up how long it takes."""

    def __init__(self, function):
        self.function, self.seconds = function, 0.0

    def __call__(self, *args, **kwargs):
        started = time.perf_counter()
        try:
            return self.function(*args, **kwargs)
        finally:
            self.seconds += time.perf_counter() - started


def main():
    # Facemap looks for its weights, and would download them, when it is imported.
    import torch
    from facemap import utils
    from facemap.pose import pose, transforms
    from facemap.pose import pose_helper_functions as helpers

    video, n_frames, batch_size, output = sys.argv[1:]
    n_frames = int(n_frames)
    pose_model = pose.Pose(filenames=[[video]], bbox=[], bbox_set=False)
    pose_model.batch_size = int(batch_size)
    pose_model.pose_prediction_setup()
    pose_model.predict_landmarks(0, np.arange(WARM_UP))
    stages = {}
    for name, module, function in (
        ("decode and grey", utils, "get_batch_frames"),
        ("prepare", transforms, "preprocess_img"),
        ("network and peaks", helpers, "predict"),
    ):
        stages[name] = Stage(getattr(module, function))
        setattr(module, function, stages[name])
    started = time.perf_counter()
    points, _ = pose_model.predict_landmarks(0, np.arange(n_frames))
    seconds = time.perf_counter() - started
    np.save(output, np.asarray(points))
    print(
        json.dumps(
            {
                "fps": n_frames / seconds,
                "ms": {name: 1e3 * stage.seconds / n_frames for name, stage in stages.items()},
                "opencv": cv2.__version__,
                "torch": torch.__version__,
                "threads": torch.get_num_threads(),
            }
        )
    )


def decode():
    """Time OpenCV alone as Facemap uses it."""
    capture = cv2.VideoCapture(sys.argv[2])
    started, n = time.perf_counter(), 0
    while True:
        read, frame = capture.read()
        if not read:
            break
        cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
        n += 1
    print(json.dumps({"fps": n / (time.perf_counter() - started), "opencv": cv2.__version__}))


if __name__ == "__main__":
    decode() if sys.argv[1] == "decode" else main()
