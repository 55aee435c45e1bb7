"""Latencies of the networks of a race, by one clock when the racers have ended.

What a racer measured beside the other one counts for its own choices: such latencies of one
network differ by a third, which would decide who wins. Every network is measured twice, in both
orders, and the smaller latency counts: what disturbs a clock makes it slower.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from pathlib import Path

from archfront.search.engine.jobs import Done, Job
from archfront.search.engine.processes import ProcessEngine
from archfront.search.jobs.perform import MeasureRequest, perform
from archfront.search.latency.key import MeasureSettings
from archfront.trainers.spec import Architecture

CLOCK = MeasureSettings("onnxruntime", threads=1, batch_size=1, warmup=10, repeats=50)


class Latencies:
    """Measured latencies of networks, by network in ``found_ms``.

    Args:
        folder: For files of measurements.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.found_ms: dict[Architecture, float] = {}

    def measure(self, architectures: Iterable[Architecture]) -> None:
        """Measure what was not measured yet, in a process of its own."""
        missing = [a for a in dict.fromkeys(architectures) if a not in self.found_ms]
        if not missing:
            return
        with ProcessEngine(perform, workers=1) as engine:
            for architecture in [*missing, *reversed(missing)]:
                request = MeasureRequest(architecture, CLOCK, self.folder)
                result = engine.submit(Job("measure", request, is_exclusive=True)).result()
                if not isinstance(result, Done):
                    sys.exit(f"{architecture} cannot be measured: {result.message}")
                before_ms = self.found_ms.get(architecture, math.inf)
                self.found_ms[architecture] = min(before_ms, result.value.latency.p50_ms)
