"""Jobs on a node of a cluster that sees the study's folders, but has a home of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from archfront.search.engine.jobs import Job
from archfront.search.jobs.perform import DrawRequest, ScoreRequest, TrainRequest, perform
from archfront.search.latency.database import default_path
from archfront.search.latency.device import fingerprint
from archfront.trainers.data.ref import DataRef
from archfront.trainers.spec import Weights


def perform_elsewhere(job: Job) -> Any:
    """Return the result of a job, with the caches of the machine that it runs on."""
    return perform(replace(job, payload=_here(job.payload)))


def device_here() -> tuple[str, str]:
    """Return id and description of this machine's device."""
    device = fingerprint()
    return device.id, str(device)


def _here(request: Any) -> Any:
    """Return a request whose caches are those of this machine."""
    if isinstance(request, TrainRequest | ScoreRequest):
        weights = _found(request.candidate.weights)
        candidate = replace(request.candidate, weights=weights)
        return replace(request, candidate=candidate, data=_cached(request.data))
    if isinstance(request, DrawRequest):
        return replace(request, data=_cached(request.data))
    return request


def _cached(data: DataRef) -> DataRef:
    if data.shared is None or Path(data.shared).parent.is_dir():
        return data
    return replace(data, shared=str(default_path().with_name("images")))


def _found(weights: Weights) -> Weights:
    """Return weights that are fetched where the driver's own copy is not there."""
    if weights.source != "pretrained" or weights.path is None or Path(weights.path).is_file():
        return weights
    return replace(weights, path=None)
