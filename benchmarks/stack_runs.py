"""How the plain stack and archfront are run on one question, and what front each had when."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from plain_judge import Point, Stack

from archfront.search.config.schema import Config
from archfront.search.front.members import build_front
from archfront.search.front.pareto import front_mask
from archfront.search.prepare.prepare import Prepared
from archfront.search.records.candidate import Candidate
from archfront.search.records.paths import StudyPaths
from archfront.search.records.store import reading
from archfront.search.results.results import Results

HERE = Path(__file__).resolve().parent
STACKS = ("plain", "archfront")


@dataclass(frozen=True)
class Question:
    """What both are asked.

    Attributes:
        config: archfront's configuration of the seed.
        prepared: Its space and data.
        words: The words of the command that composes it.
        folder: Of this seed's files.
        seconds: What each may take.
        sampler: Of the plain stack.
    """

    config: Config
    prepared: Prepared
    words: tuple[str, ...]
    folder: Path
    seconds: float
    sampler: str
    is_together: bool

    def cores(self, stack: str) -> set[int]:
        """Return the cores of a stack: all, or one of its own."""
        cores = sorted(os.sched_getaffinity(0))
        return {cores[STACKS.index(stack)]} if self.is_together else set(cores)


def run_plain(question: Question) -> Stack:
    """Run the plain loop in a process of its own."""
    folder = question.folder / "plain"
    folder.mkdir(parents=True, exist_ok=True)
    space, task = question.prepared.space, question.config.task
    recipe = question.config.space.recipe
    axes = {
        "backbone": [axes.backbone.name for axes in space.axes],
        "head": list(space.axes[0].heads),
        "input_size": list(space.axes[0].input_sizes),
        **{n: list(getattr(recipe, n)) for n in ("lr", "weight_decay", "batch_size", "augment")},
        "dropout": list(recipe.dropout),
    }
    content = {
        "axes": axes,
        "classes": space.classes,
        "data": question.config.data.root,
        "epochs": task.epochs,
        "label_smoothing": task.label_smoothing,
        "seconds": question.seconds,
        "started": time.time(),  # imports count: an engineer waits for them too
        "seed": question.config.seed,
        "sampler": question.sampler,
    }
    (folder / "question.json").write_text(json.dumps(content, indent=2))
    command = [sys.executable, str(HERE / "plain_loop.py"), str(folder / "question.json")]
    log, trials = folder / "log.txt", folder / "trials.jsonl"
    _run([*command, str(folder)], log, question.cores("plain"), limit_s=question.seconds)
    rows = (
        [json.loads(line) for line in trials.read_text().splitlines()] if trials.exists() else []
    )
    return plain_stack(rows, _by_choice(question.prepared), question.seconds)


def plain_stack(
    rows: Sequence[dict[str, Any]],
    candidate_of: Callable[[dict[str, Any]], Candidate],
    seconds: float,
) -> Stack:
    """Return the plain loop's front after each of its trials that ended in time."""
    points: list[Point] = []
    in_time = [row for row in rows if row["s"] <= seconds]
    for n, row in enumerate(in_time, start=1):
        losses = np.array([[-r["accuracy"], r["latency_ms"]] for r in in_time[:n]])
        members = np.flatnonzero(front_mask(losses))
        ids = tuple(candidate_of(in_time[i]["choice"]).id for i in members)
        points.append((row["s"], tuple(dict.fromkeys(ids))))
    return Stack("plain", tuple(points), len(in_time))


def _by_choice(prepared: Prepared) -> Callable[[dict[str, Any]], Candidate]:
    """Return what finds the space's candidate for what the plain loop chose."""
    space = prepared.space
    architectures = {(a.backbone, a.head, a.input_size): a for a in space.architectures}
    recipes = {
        (r.lr, r.weight_decay, r.batch_size, r.augment, r.dropout): r for r in space.recipes
    }

    def candidate_of(choice: dict[str, Any]) -> Candidate:
        names = ("lr", "weight_decay", "batch_size", "augment", "dropout")
        architecture = architectures[choice["backbone"], choice["head"], choice["input_size"]]
        recipe = recipes[tuple(choice[name] for name in names)]
        return Candidate(architecture, space.weights[architecture.backbone], recipe)

    return candidate_of


def run_archfront(question: Question) -> Stack:
    """Run the command, and read its front after every evaluation."""
    started = time.time()
    command = [sys.executable, "-m", "archfront.search.cli", "run", *question.words, "--plain"]
    _run(command, question.folder / "archfront.log", question.cores("archfront"))
    places = StudyPaths(Path(question.config.tracking.root), question.config.study)
    results = Results.read(reading(places, None), places)
    evaluations = sorted(results.evaluations, key=lambda e: e.started + e.seconds)
    points: list[Point] = []
    for n, evaluation in enumerate(evaluations, start=1):
        seconds = evaluation.started + evaluation.seconds - started
        if evaluation.kind != "trained" or seconds > question.seconds:
            continue
        members = build_front(evaluations[:n], results.objectives)
        points.append((seconds, tuple(member.candidate.id for member in members)))
    return Stack("archfront", tuple(points), len(points))


def _run(command: list[str], log: Path, cores: set[int], *, limit_s: float | None = None) -> None:
    """Run a command on some cores; at its limit it is ended, which is no failure."""
    path = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "MLFLOW_DISABLE_TELEMETRY": "true"}
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, env=environment)
        os.sched_setaffinity(process.pid, cores)
        try:
            status = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return
        except BaseException:
            process.kill()
            raise
    if status != 0:
        sys.exit(f"{' '.join(command[1:4])} ended with {status}; see {log}.")
