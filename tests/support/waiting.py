"""Waiting in a test until something is so that another process or thread makes so."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# Only a test that fails waits for so long.
DEADLINE_S = 240.0


def eventually(
    condition: Callable[[], T], said: Callable[[], object] = lambda: "it did not come true"
) -> T:
    """Return what a condition gives once that is true.

    Args:
        condition: Asked again and again.
        said: Gives what is said where it never is.
    """
    deadline = time.monotonic() + DEADLINE_S
    while not (found := condition()):
        assert time.monotonic() < deadline, said()
        time.sleep(0.005)
    return found
