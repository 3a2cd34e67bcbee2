"""How a mouse is built and filmed: sizes, places and the view."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_facemap.simulate.chance import generator

# Head units: 100 from the eye's centre to the nose's tip in the middling mouse. u points forward,
# v down, the eye's centre is the origin.
_OUTLINE = np.array(
    [
        (-330, -50), (-230, -62), (-150, -66), (-85, -64), (-30, -55), (18, -37), (52, -22),
        (75, -11), (90, -2.5), (97.5, 4), (100.5, 12), (98.5, 21), (94.5, 28), (91, 38), (82, 52),
        (69, 61.5), (58, 64.5), (51, 69), (43, 72), (32, 75), (0, 90), (-50, 116), (-130, 150), (-330, 210),
    ],
    float,
)  # fmt: skip


@dataclass(frozen=True)
class Anatomy:
    """Shape of the head and the camera's view of it, fixed for a recording.

    Lengths are in head units: 100 is about the distance from eye to nose.

    Attributes
    ----------
    scale : float
        Head units as a fraction of the frame's width: eye to nose is ``100 * scale * width``.
    tilt : float
        Degrees that the snout points down.
    center : (float, float)
        Column and row of the middle of the face, as fractions of the frame's size.
    length, depth : float
        Stretch of the head forward and down, about 1.
    blunt : float
        Head units by which the muzzle is thicker.
    far_nostril : bool
        Whether the view shows the other nostril.
    eye_width, eye_height : float
        Half the lids' opening.
    eye_tilt : float
        Degrees from the eye's back to its front, down.
    pupil : float
        Mean radius.
    whisker_seed : int
        Of the untraced whiskers.
    whisker_length : float
        Longest shaft.
    whisker_bend : float
        Curvature of the shafts, about 1.
    paw : (float, float)
        Where the paw rests: fractions of the frame's width and height.
    paw_size : float
        Radius of the palm.
    """

    scale: float = 0.0045
    tilt: float = 8.0
    center: tuple[float, float] = (0.45, 0.42)
    length: float = 1.0
    depth: float = 1.0
    blunt: float = 0.0
    far_nostril: bool = True
    eye_width: float = 15.0
    eye_height: float = 13.0
    eye_tilt: float = -15.0
    pupil: float = 5.5
    whisker_seed: int = 0
    whisker_length: float = 110.0
    whisker_bend: float = 1.0
    paw: tuple[float, float] = (0.35, 0.9)
    paw_size: float = 9.0

    @property
    def outline(self) -> np.ndarray:
        """The head's silhouette, (point, 2) in head units, from the back round the nose."""
        return self._shape(_OUTLINE)

    def points(self) -> dict[str, np.ndarray]:
        """Rest places of the keypoints that lie on the skin, (u, v) in head units."""
        rest = {
            "nose(tip)": (100.4, 12.0),
            "nose(top)": (91.0, -1.2),
            "nose(bottom)": (93.0, 28.0),
            "nose(r)": (98.0, 21.0),
            "nosebridge": (60.0, -16.5),
            "mouth": (58.0, 63.5),
            "lowerlip": (44.0, 70.5),
        }
        return {name: self._shape(np.array([place], float))[0] for name, place in rest.items()}

    def skin(self, u: float, v: float) -> np.ndarray:
        """A place of the middling mouse carried to this one."""
        return self._shape(np.array([[u, v]], float))[0]

    def _shape(self, uv: np.ndarray) -> np.ndarray:
        u, v = uv.T
        # Bluntness pushes the muzzle's under side out, from the lips to just below the tip.
        thicker = self.blunt * np.exp(-(((u - 82) / 22) ** 2)) * np.clip((v - 13) / 15, 0, 1)
        return np.stack([u * self.length, (v + thicker) * self.depth], axis=1)


def draw_anatomy(seed: int) -> Anatomy:
    """Draw a mouse and a view of it.

    Parameters
    ----------
    seed : int
        0 or more.

    Returns
    -------
    Anatomy
    """
    rng = generator(seed, "anatomy")
    eye = rng.uniform(12.0, 17.0)
    return Anatomy(
        scale=float(np.exp(rng.uniform(np.log(0.0023), np.log(0.0052)))),
        tilt=rng.uniform(-10.0, 42.0),
        center=(rng.uniform(0.38, 0.5), rng.uniform(0.36, 0.48)),
        length=rng.uniform(0.8, 1.08),
        depth=rng.uniform(0.8, 1.14),
        blunt=rng.uniform(0.0, 6.0),
        far_nostril=bool(rng.random() < 0.6),
        eye_width=eye,
        eye_height=eye * rng.uniform(0.78, 0.98),
        eye_tilt=rng.uniform(-27.0, -3.0),
        pupil=eye * rng.uniform(0.2, 0.6),
        whisker_seed=int(rng.integers(2**31)),
        whisker_length=rng.uniform(80.0, 140.0),
        whisker_bend=rng.uniform(0.4, 1.6),
        paw=(rng.uniform(0.15, 0.5), rng.uniform(0.8, 1.02)),
        paw_size=rng.uniform(8.0, 12.0),
    )
