"""Our encoder fitted to the same data as Facemap's, in a process of its own.

    python _encoding_worker.py DATA.npz RESULT.npz

The last line is JSON.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np

from napari_facemap.neural.encoder import predict_recording
from napari_facemap.neural.features import Features
from napari_facemap.neural.fitting import fit_encoder
from napari_facemap.neural.recording import Recording


def main() -> None:
    """Fit, predict and save."""
    data = np.load(sys.argv[1])
    behavior, activity = data["behavior"], data["activity"]
    started = time.perf_counter()
    names = [str(k) for k in range(behavior.shape[1])]
    features = Features(behavior, data["behavior_times"], names)
    recording = Recording(activity, data["times"])
    encoder = fit_encoder(features, recording, device="cpu")
    fitted = time.perf_counter() - started
    found = predict_recording(encoder, features, recording, device="cpu")
    test = np.flatnonzero(found["test"].values)
    np.savez(sys.argv[2], predicted=found["predicted"].values[:, test], test=test)
    print(json.dumps({"seconds": fitted, "predicting": time.perf_counter() - started - fitted}))


if __name__ == "__main__":
    main()
