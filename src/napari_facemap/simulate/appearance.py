"""How a mouse and its rig look: fur, light, eye, background and sensor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_facemap.simulate.chance import generator


@dataclass(frozen=True)
class Appearance:
    """Looks of the mouse under infrared light, fixed for a recording.

    Greys are 0 (black) to 1 (white); lengths are in head units (see `Anatomy`).

    Attributes
    ----------
    texture_seed : int
        Of the fur, the background and their details.
    fur : float
        Grey of the cheek's fur.
    muzzle : float
        How much lighter the muzzle is.
    belly : float
        How much lighter chin and throat are.
    fur_contrast : float
        Depth of the fur's texture.
    fur_length : float
        Length of a hair.
    light : (float, float)
        Where the light comes from, forward and down, each -1 to 1.
    light_contrast : float
        Depth of the shading, 0 to 1.
    rim : float
        Brightness of the silhouette's lit edge.
    iris, pupil : float
        Greys in the eye.
    lid_ring : float
        Brightness of the lids' rim.
    glint : float
        Brightness of the lamp's reflection; 0 is none.
    glint_place : (float, float)
        Forward and down, relative to half the eye's width.
    glint_size : float
        Radius relative to half the eye's width.
    whisker_light, whisker_dark : float
        Strength of whiskers before the background and before the fur.
    background : float
        Grey of the dark behind the mouse.
    clutter : float
        Strength of blurred things behind.
    spout, plate, ear : bool
        Whether a water spout, the head plate and the ear are there.
    paw : float
        Grey of the paw.
    vignette : float
        Darkening in the corners, 0 to 1.
    exposure : float
        Brightness of the picture, about 1.
    gamma : float
        Exponent of the sensor's curve.
    read_noise, shot_noise : float
        Standard deviations in grey at black, and added at white.
    """

    texture_seed: int = 0
    fur: float = 0.3
    muzzle: float = 0.3
    belly: float = 0.2
    fur_contrast: float = 0.18
    fur_length: float = 6.0
    light: tuple[float, float] = (0.6, 0.2)
    light_contrast: float = 0.6
    rim: float = 0.3
    iris: float = 0.16
    pupil: float = 0.03
    lid_ring: float = 0.25
    glint: float = 1.0
    glint_place: tuple[float, float] = (0.05, -0.25)
    glint_size: float = 0.11
    whisker_light: float = 0.6
    whisker_dark: float = 0.7
    background: float = 0.05
    clutter: float = 0.12
    spout: bool = True
    plate: bool = True
    ear: bool = True
    paw: float = 0.45
    vignette: float = 0.35
    exposure: float = 1.2
    gamma: float = 1.0
    read_noise: float = 0.008
    shot_noise: float = 0.02


def draw_appearance(seed: int) -> Appearance:
    """Draw a mouse's looks, its light and its camera.

    Parameters
    ----------
    seed : int
        0 or more.

    Returns
    -------
    Appearance
    """
    rng = generator(seed, "appearance")
    dark_pupil = rng.random() < 0.85  # light beside the lens; through it, the pupil shines
    iris = rng.uniform(0.07, 0.3)
    pupil = iris * rng.uniform(0.1, 0.5) if dark_pupil else iris + rng.uniform(0.12, 0.3)
    return Appearance(
        texture_seed=int(rng.integers(2**31)),
        # Black and agouti mice mostly, some white.
        fur=rng.uniform(0.14, 0.45) if rng.random() < 0.8 else rng.uniform(0.45, 0.8),
        muzzle=rng.uniform(0.05, 0.45),
        belly=rng.uniform(0.0, 0.35),
        fur_contrast=rng.uniform(0.1, 0.26),
        fur_length=rng.uniform(4.0, 8.0),
        light=(rng.uniform(-0.2, 0.9), rng.uniform(-0.9, 0.9)),
        light_contrast=rng.uniform(0.45, 0.95),
        rim=rng.uniform(0.0, 0.6),
        iris=iris,
        pupil=pupil,
        lid_ring=rng.uniform(0.05, 0.35),
        glint=rng.uniform(0.6, 1.2) if rng.random() < 0.9 else 0.0,
        glint_place=(rng.uniform(-0.35, 0.35), rng.uniform(-0.45, 0.1)),
        glint_size=rng.uniform(0.06, 0.15),
        whisker_light=rng.uniform(0.3, 0.9),
        whisker_dark=rng.uniform(0.5, 0.85),
        background=rng.uniform(0.01, 0.15) if rng.random() < 0.75 else rng.uniform(0.15, 0.7),
        clutter=rng.uniform(0.0, 0.3),
        spout=bool(rng.random() < 0.4),
        plate=bool(rng.random() < 0.6),
        ear=bool(rng.random() < 0.9),
        paw=rng.uniform(0.25, 0.75),
        vignette=rng.uniform(0.0, 0.6),
        exposure=float(np.exp(rng.uniform(np.log(0.7), np.log(2.0)))),
        gamma=rng.uniform(0.8, 1.25),
        read_noise=rng.uniform(0.004, 0.02),
        shot_noise=rng.uniform(0.005, 0.04),
    )
