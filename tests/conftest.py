from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"

# Machines that run tests are busy; laws hold however long an example takes.
settings.register_profile("steady", deadline=None)
settings.load_profile("steady")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real recordings, kept outside the repository."""
    if not SHARED.is_dir():
        pytest.skip(f"the real recordings are not at {SHARED}")
    return SHARED
