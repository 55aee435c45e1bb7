"""How many threads this process may use, found without importing torch."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def threads() -> int:
    """Return the threads of one operation: torch's where it is loaded, else what it would read."""
    torch = sys.modules.get("torch")
    if torch is not None:
        return int(torch.get_num_threads())
    allowed = os.environ.get("OMP_NUM_THREADS", "")
    return int(allowed) if allowed.isdecimal() and int(allowed) > 0 else cores()


@contextmanager
def collector_off() -> Iterator[None]:
    """Collect nothing within the block, which is timed, or creates much that stays."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
