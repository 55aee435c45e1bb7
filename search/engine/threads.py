"""The number of threads a job may use, set in libraries before and after their import."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Read once by OpenMP, MKL and OpenBLAS when they are loaded.
_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
# Threads that wait sleep instead of spinning: beside one busy core, two spinning threads made
# trainings of small networks over ten times slower (benchmarks/LOG.md, "Waiting threads").
_WAITING = {"OMP_WAIT_POLICY": "PASSIVE"}


def thread_variables(threads: int) -> dict[str, str]:
    """Return the environment that limits a process to a number of threads per operation."""
    return {**dict.fromkeys(_VARIABLES, str(threads)), **_WAITING}


@contextmanager
def thread_budget(threads: int) -> Iterator[None]:
    """Limit this process to a number of threads per operation within the block.

    torch is not imported for this: if it is loaded already, its number is set; if it is loaded
    within the block, it reads the environment.
    """
    before = {name: os.environ.get(name) for name in thread_variables(threads)}
    torch = sys.modules.get("torch")
    threads_before = torch.get_num_threads() if torch is not None else 0
    os.environ.update(thread_variables(threads))
    if torch is not None:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        if torch is not None:
            torch.set_num_threads(threads_before)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
