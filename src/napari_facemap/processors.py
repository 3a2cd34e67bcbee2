"""How many processors there are to use."""

from __future__ import annotations

import os


def n_processors() -> int:
    """Processors that this process may use, which a cluster's scheduler can make fewer."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
