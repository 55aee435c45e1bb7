"""Measures by formula in a worker process, but for one backbone that takes the process with it."""

from __future__ import annotations

import os
import signal

from archfront.search.engine.jobs import Job
from archfront.search.latency.device import fingerprint
from archfront.search.records.evaluation import Latency, Measurement

CRASHING = "test_vit"


def perform(job: Job) -> Measurement:
    """Return a made-up measurement."""
    architecture, settings = job.payload.architecture, job.payload.settings
    if architecture.backbone == CRASHING:
        os.kill(os.getpid(), signal.SIGSEGV)
    latency = Latency(
        1.0, 1.0, 0.01, 50, 10, settings.threads, 1, settings.runtime, "2", "fp32",
        fingerprint().id, "none", True,
    )  # fmt: skip
    return Measurement(latency, 1.5, 0.1, 6.0, 2.0)
