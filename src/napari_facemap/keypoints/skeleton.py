"""The keypoints of a mouse's face: names, groups and colours."""

from __future__ import annotations

FACEMAP_KEYPOINTS: tuple[str, ...] = (
    "eye(back)",
    "eye(bottom)",
    "eye(front)",
    "eye(top)",
    "lowerlip",
    "mouth",
    "nose(bottom)",
    "nose(r)",
    "nose(tip)",
    "nose(top)",
    "nosebridge",
    "paw",
    "whisker(I)",
    "whisker(III)",
    "whisker(II)",
)
"""Facemap's 15 keypoints, in the order of its network's channels."""

PUPIL_KEYPOINTS: tuple[str, ...] = (
    "pupil(back)",
    "pupil(bottom)",
    "pupil(front)",
    "pupil(top)",
)

KEYPOINTS: tuple[str, ...] = FACEMAP_KEYPOINTS + PUPIL_KEYPOINTS
"""The keypoints of the built-in models: Facemap's, and four on the rim of the pupil."""

GROUPS: dict[str, tuple[str, ...]] = {
    "eye": ("eye(back)", "eye(bottom)", "eye(front)", "eye(top)"),
    "pupil": PUPIL_KEYPOINTS,
    "whisker": ("whisker(I)", "whisker(II)", "whisker(III)"),
    "nose": ("nose(bottom)", "nose(r)", "nose(tip)", "nose(top)", "nosebridge"),
    "mouth": ("lowerlip", "mouth"),
    "paw": ("paw",),
}

# One hue a group and one lightness a point, told apart by the colour-blind as well.
_COLORS: dict[str, str] = {
    "eye(back)": "#56b4e9",
    "eye(bottom)": "#2a93d5",
    "eye(front)": "#8fd0f5",
    "eye(top)": "#0072b2",
    "pupil(back)": "#b48cff",
    "pupil(bottom)": "#8a5cf0",
    "pupil(front)": "#d3bcff",
    "pupil(top)": "#6a3fd0",
    "whisker(I)": "#f0e442",
    "whisker(II)": "#e6c700",
    "whisker(III)": "#fff59b",
    "nose(bottom)": "#00c48c",
    "nose(r)": "#7fe8c6",
    "nose(tip)": "#009e73",
    "nose(top)": "#3fdca8",
    "nosebridge": "#b6f2df",
    "lowerlip": "#ff8a3c",
    "mouth": "#d55e00",
    "paw": "#e377c2",
}
_OTHER_COLORS = ("#ff6b6b", "#c0ca33", "#4dd0e1", "#ba68c8", "#a1887f", "#90a4ae")


def group_of(keypoint: str) -> str:
    """Group that a keypoint belongs to.

    Parameters
    ----------
    keypoint : str
        A keypoint's name.

    Returns
    -------
    str
        One of `GROUPS`, or for a name that is not in it the part before "(".
    """
    for group, members in GROUPS.items():
        if keypoint in members:
            return group
    return keypoint.split("(")[0].strip() or keypoint


def color_of(keypoint: str) -> str:
    """Colour of a keypoint, the same in every picture.

    Parameters
    ----------
    keypoint : str
        A keypoint's name; names of other skeletons get a steady colour too.

    Returns
    -------
    str
        ``"#rrggbb"``.
    """
    if keypoint in _COLORS:
        return _COLORS[keypoint]
    return _OTHER_COLORS[sum(map(ord, keypoint)) % len(_OTHER_COLORS)]
