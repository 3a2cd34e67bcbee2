"""Pictures of docs/encoding.md: the report of a simulated session.

python benchmarks/_encoding_pictures.py [FOLDER]
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

from napari_facemap.neural.fitting import fit_encoder
from napari_facemap.neural.report import report
from napari_facemap.simulate.face import simulate_face
from napari_facemap.simulate.population import simulate_population

SECONDS, FPS, N_NEURONS = 900, 50.0, 600
COLORS = {"raster": 12}
IMAGES = Path(__file__).parents[1] / "docs" / "images"


def main() -> None:
    """Fit, score, and draw."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES
    poses = simulate_face(int(SECONDS * FPS), fps=FPS, seed=3).poses
    population = simulate_population(
        poses, N_NEURONS, rate=10.0, seed=0, explainable=(0.05, 0.85), undriven=0.1
    )
    encoder = fit_encoder(poses, population.recording, device="cpu")
    made = report(encoder, poses, population.recording, contributions=True)
    print(made)
    for name, figure in made.figures().items():
        path = folder / f"report-{name}.png"
        figure.savefig(path, dpi=90)
        with Image.open(path) as picture:  # few colours make small files
            few = picture.convert("RGB").quantize(COLORS.get(name, 64), dither=Image.Dither.NONE)
        few.save(path, optimize=True)


if __name__ == "__main__":
    main()
