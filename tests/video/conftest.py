from __future__ import annotations

import numpy as np
import pytest

HEIGHT, WIDTH, BITS = 64, 96, 12


def numbered_frames(n: int) -> np.ndarray:
    """Frames that say their number: 12 blocks, black or white, over moving grey waves."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    frames = np.empty((n, HEIGHT, WIDTH), np.uint8)
    for i in range(n):
        frame = 110 + 40 * np.sin(x / 7 + i / 5) + 20 * np.cos(y / 5 - i / 9)
        for bit in range(BITS):
            frame[40:56, 8 * bit : 8 * bit + 8] = 230 if i >> bit & 1 else 20
        frames[i] = frame
    return frames


def number_of(frame: np.ndarray) -> int:
    """Read the number back; black frames have none (0 bits, no waves)."""
    blocks = frame[42:54, : 8 * BITS].reshape(12, BITS, 8).mean(axis=(0, 2))
    return int(sum(1 << bit for bit in range(BITS) if blocks[bit] > 125))


@pytest.fixture(scope="session")
def numbers():
    return number_of


@pytest.fixture(scope="session")
def frames_of():
    return numbered_frames
