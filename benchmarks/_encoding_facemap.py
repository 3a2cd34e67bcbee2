"""Facemap's network fitted to neurons, run by the Python of its own environment.

    python _encoding_facemap.py DATA.npz EPOCHS RESULT.npz

DATA holds behavior (time, feature), behavior_times, activity (neuron, time) and times. Leaves the
predicted, z-scored activity of the test samples in RESULT. Imports nothing of ours; the last line
is JSON.
"""

import json
import sys
import time

import numpy as np


def main():
    import torch
    from facemap.neural_prediction.neural_model import KeypointsNetwork

    data = np.load(sys.argv[1])
    behavior, activity = data["behavior"], data["activity"]
    started = time.perf_counter()
    behavior = (behavior - behavior.mean(0)) / behavior.std(0)
    mean, spread = activity.mean(1, keepdims=True), activity.std(1, keepdims=True)
    scored = ((activity - mean) / spread).astype(np.float32)
    vectors = np.linalg.eigh((scored @ scored.T).astype(np.float64))[1][:, ::-1]
    vectors = np.ascontiguousarray(vectors[:, :128], np.float32)
    torch.manual_seed(0)
    network = KeypointsNetwork(n_in=behavior.shape[1], n_out=vectors.shape[1])
    _, _, predicted, _, test = network.train_model(
        behavior.astype(np.float32),
        scored.T @ vectors,
        data["behavior_times"],
        data["times"],
        U=vectors,
        spks=scored,
        n_iter=int(sys.argv[2]),
        device=torch.device("cpu"),
    )
    seconds = time.perf_counter() - started
    np.savez(sys.argv[3], predicted=predicted, test=np.asarray(test).ravel())
    print(json.dumps({"seconds": seconds, "torch": torch.__version__}))


if __name__ == "__main__":
    main()
