from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real recordings, kept outside the repository."""
    if not SHARED.is_dir():
        pytest.skip(f"the real recordings are not at {SHARED}")
    return SHARED
