"""Jobs on a node of a cluster that sees the study's folders, but has a home of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from archfront.search.engine.jobs import Job
from archfront.search.jobs.perform import (
    DrawRequest,
    MeasureRequest,
    ScoreRequest,
    TrainRequest,
    perform,
)
from archfront.search.latency.database import default_path
from archfront.trainers.data.ref import DataRef
from archfront.trainers.spec import Weights


def perform_elsewhere(job: Job) -> Any:
    """Return the result of a job, with the caches of the machine that it runs on."""
    return perform(replace(job, payload=_here(job.payload)))


def _here(request: Any) -> Any:
    """Return a request whose caches are those of this machine."""
    if isinstance(request, TrainRequest | ScoreRequest):
        weights = _found(request.candidate.weights)
        candidate = replace(request.candidate, weights=weights)
        return replace(request, candidate=candidate, data=_cached(request.data))
    if isinstance(request, DrawRequest):
        return replace(request, data=_cached(request.data))
    if isinstance(request, MeasureRequest) and (device := request.settings.device) is not None:
        # Devices that share a home must not share their fastest reading.
        pace_file = str(default_path().with_name(f"pace-{device.id}.json"))
        return replace(request, settings=replace(request.settings, pace_file=pace_file))
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
