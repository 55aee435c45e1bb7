"""The judge of both stacks: what was on their fronts, trained again and measured by one measure.

Whatever was at any time on either front is trained by one trainer: the same recipe, full length,
another seed, scored on test images that neither stack saw; and its latency is measured once, on
ONNX Runtime. ``plain_stack.py`` runs the stacks and calls this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from archfront.search.config.schema import Config
from archfront.search.config.settings import measure_settings, train_settings
from archfront.search.engine.jobs import Done, Engine, Job
from archfront.search.front.pareto import hypervolume
from archfront.search.jobs.perform import MeasureRequest, ScoreRequest, TrainRequest
from archfront.search.records.candidate import Candidate
from archfront.search.records.objectives import Objective, Reference
from archfront.trainers.data.ref import DataRef

# What is judged is trained with the seed of its study and this.
JUDGES_SEED = 1000

Point = tuple[float, tuple[str, ...]]  # a moment in seconds, and the front's candidates by id


@dataclass(frozen=True)
class Stack:
    """What one of both did: its front at every moment at which it changed."""

    name: str
    points: tuple[Point, ...]
    n_trained: int


class Judge:
    """Trains again and measures whatever was on a front, each candidate once.

    Args:
        config: archfront's configuration of the seed.
        data: What to train on, and whose test images to score on.
        folder: For the judge's files.
        engine: Where it trains and measures.
    """

    def __init__(self, config: Config, data: DataRef, folder: Path, engine: Engine) -> None:
        self.config, self.data, self.folder, self.engine = config, data, folder, engine
        self.found: dict[str, tuple[float, float]] = {}
        self._latencies: dict[str, float] = {}

    def judge(self, candidates: Sequence[Candidate]) -> None:
        """Judge all of them; a network that cannot be trained or measured gives nothing."""
        for n, candidate in enumerate(candidates, start=1):
            if candidate.id not in self.found:
                accuracy, ms = self._accuracy(candidate), self.latency_ms(candidate)
                self.found[candidate.id] = (accuracy, ms)
                words = f"{candidate.label}: {accuracy:.3f}, {ms:.3f} ms"
                print(f"  judged {n} of {len(candidates)}: {words}", flush=True)

    def latency_ms(self, candidate: Candidate) -> float:
        """Return the measured p50 of a candidate's architecture."""
        key = candidate.architecture_id
        if key not in self._latencies:
            settings = measure_settings(self.config)
            request = MeasureRequest(candidate.architecture, settings, self.folder / "measuring")
            self._latencies[key] = self._do("measure", request, alone=True).latency.p50_ms
        return self._latencies[key]

    def _accuracy(self, candidate: Candidate) -> float:
        settings = train_settings(self.config, "fp32")
        request = TrainRequest(
            trial=0,
            candidate=candidate,
            data=self.data,
            settings=replace(settings, seed=settings.seed + JUDGES_SEED),
            study_folder=self.folder,
            folder=self.folder / candidate.id,
        )
        trained = self._do("train", request)
        weights = self.folder / trained.weights
        score = ScoreRequest(candidate, self.data, weights, "test", settings.threads)
        return float(self._do("score", score)["accuracy"])

    def _do(self, kind: Any, payload: Any, *, alone: bool = False) -> Any:
        result = self.engine.submit(Job(kind, payload, is_exclusive=alone)).result()
        if not isinstance(result, Done):
            raise SystemExit(f"The judge's {kind} job failed: {result.message}")
        return result.value


def reference_of(judged: dict[str, tuple[float, float]], classes: int) -> Reference:
    """Return chance level, and a tenth above the slowest latency that was judged."""
    slowest = max(ms for _, ms in judged.values())
    return Reference({"accuracy": 1 / classes, "latency_ms": 1.1 * slowest})


def trajectory(
    stack: Stack,
    judged: dict[str, tuple[float, float]],
    objectives: Sequence[Objective],
    reference: Reference,
) -> list[dict[str, Any]]:
    """Return the hypervolume of the judged front at each moment at which it changed."""
    rows: list[dict[str, Any]] = []
    for seconds, ids in stack.points:
        if rows and rows[-1]["front"] == list(ids):
            continue
        losses = reference.losses([judged[i] for i in ids], objectives)
        volume = hypervolume(losses, np.zeros(len(objectives)))
        rows.append({"s": round(seconds, 2), "hypervolume": volume, "front": list(ids)})
    return rows


def first_time(rows: Sequence[dict[str, Any]], volume: float) -> float | None:
    """Return the first moment at which a trajectory is at a hypervolume; None if never."""
    return next((row["s"] for row in rows if row["hypervolume"] >= volume), None)


def time_ratio(
    rows: dict[str, list[dict[str, Any]]], volume: float, seconds: float
) -> float | None:
    """Return the share of the seconds after which archfront is at a hypervolume."""
    reached = first_time(rows["archfront"], volume)
    return None if reached is None else reached / seconds
