"""Facemap's motion and movie components, run by the Python of its own environment.

    python _motion_facemap.py VIDEO BIN FOLDER

Leaves masks in FOLDER as motion.npy and movie.npy. Imports nothing of ours; the last line is JSON.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np


def main():
    # Facemap looks for its weights, and would download them, when it is imported.
    import torch
    from facemap import process

    video, bin_size, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    started = time.perf_counter()
    saved = process.run([[video]], sbin=bin_size, motSVD=True, movSVD=True, savepath=str(folder))
    seconds = time.perf_counter() - started
    # Its own file, made a moment ago.
    proc = np.load(saved, allow_pickle=True).item()
    for name, key in (("motion", "motMask"), ("movie", "movMask")):
        np.save(folder / f"{name}.npy", np.asarray(proc[key][0], np.float32))
    print(json.dumps({"seconds": seconds, "torch": torch.__version__}))


if __name__ == "__main__":
    main()
