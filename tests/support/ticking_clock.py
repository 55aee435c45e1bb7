"""Measuring by a clock that moves by itself, which no other process can slow."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from archfront.search.latency.clock import measure

TICK_S = 1e-3


def by_ticks(*given: Any, pause: Callable[[float], object] = time.sleep, **more: Any) -> Any:
    """Return what ``clock.measure`` does where a look at the clock takes a tick, as every run."""
    now = 0.0

    def ticks() -> float:
        nonlocal now
        now += TICK_S
        return now

    def pauses(seconds: float) -> None:
        nonlocal now
        now += seconds
        pause(seconds)

    return measure(*given, clock=ticks, pause=pauses, **more)
