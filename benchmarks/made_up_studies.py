"""Made-up studies of many trials, as the real storage writes them, for what measures the service.

The first trials are recorded by the storage itself; the lines of the others are made of theirs,
since a journal that is synchronized after each record takes minutes for 10,000 trials.
"""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import yaml

from archfront.search.records.evaluation import Evaluation, Rejected, Trained
from archfront.search.records.paths import StudyPaths
from archfront.search.records.store import StudyStore, driving, reading
from tests.support import recorded_store, recorded_study

BACKBONES = (
    "resnet18",
    "mobilenetv4_conv_small",
    "repvit_m0_9",
    "efficientvit_b0",
    "convnext_atto",
)
OBJECTIVES = list(recorded_study.OBJECTIVES)


def made_up(trial: int, rng: random.Random) -> Evaluation:
    """Return a trial: one in ten over the limit, the others better as they are slower."""
    size = rng.choice((32, 64, 96, 128))
    of = recorded_study.candidate(rng.choice(BACKBONES), rng.choice(("avg", "gem")), size)
    of = replace(of, recipe=replace(of.recipe, lr=round(rng.uniform(1e-4, 1e-2), 7)))
    p50_ms = 2 ** rng.uniform(-2, 1.95)
    if rng.random() < 0.1:
        found = recorded_study.trained(trial, 0.5, p50_ms * 8, of=of)
        return replace(found, outcome=Rejected({"latency_ms": (p50_ms * 8, 4.0)}))
    metric = 0.9 - 0.25 / (1 + p50_ms) - abs(rng.gauss(0, 0.08)) - 0.05 / (1 + trial / 500)
    found = recorded_study.trained(trial, max(0.05, metric), p50_ms, of=of)
    # One file of predictions stands for all: what is judged here is the service.
    return replace(found, outcome=replace(found.outcome, predictions="trials/predictions.npz"))


def record(store: StudyStore, rng: random.Random) -> Evaluation:
    """Record one more trial and return it."""
    trial = store.ask(optuna.samplers.RandomSampler(seed=0))
    evaluation = made_up(trial.number, rng)
    store.record(trial, evaluation)
    store.tell(trial, [evaluation], OBJECTIVES)
    return evaluation


def write(paths: StudyPaths, n_trials: int, rng: random.Random, state: str = "") -> None:
    """Write a study of so many trials.

    Args:
        paths: Where it is to be.
        n_trials: How many.
        rng: What the trials are drawn by.
        state: How it ended; empty for one that goes on.
    """
    templates: dict[str, list[dict[str, Any]]] = {}
    with driving(paths, None, OBJECTIVES) as store:
        content = recorded_store.header(paths.root, paths.study)
        store.write_header(content)
        paths.config.write_text(yaml.safe_dump(content.config), encoding="utf-8")
        one = recorded_study.trained(0, 0.8, 1.0)
        shared = replace(one, outcome=replace(one.outcome, predictions="trials/predictions.npz"))
        recorded_store.write_predictions(paths, shared)
        n_written = 0
        while len(templates) < 2 and n_written < n_trials:
            size = paths.journal.stat().st_size
            evaluation = record(store, rng)
            text = paths.journal.read_text(encoding="utf-8")[size:]
            templates[evaluation.kind] = [json.loads(line) for line in text.splitlines()]
            n_written += 1
    with paths.journal.open("a", encoding="utf-8") as journal:
        for trial in range(n_written, n_trials):
            evaluation = made_up(trial, rng)
            for line in _lines(templates[evaluation.kind], evaluation):
                journal.write(json.dumps(line, separators=(",", ":")) + "\n")
    if state:
        with driving(paths, None, OBJECTIVES) as store:
            store.write_state(state, f"{n_trials} trials")
    n_read = len(reading(paths, None).evaluations())
    assert n_read == n_trials, f"{n_read} of {n_trials} trials can be read"


def copy(of: StudyPaths, name: str) -> StudyPaths:
    """Copy a study under another name of the same length, as if it had been run under it."""
    paths = StudyPaths(of.root, name)
    assert len(name) == len(of.study)
    shutil.copytree(of.folder, paths.folder)
    for file in (paths.journal, paths.config):
        file.write_bytes(file.read_bytes().replace(of.study.encode(), name.encode()))
    return paths


def root_of(folder: Path, n_studies: int, n_trials: int) -> list[StudyPaths]:
    """Write finished studies below a root and return them."""
    first = StudyPaths(folder, "made-up-0000")
    write(first, n_trials, random.Random(0), "finished")
    return [first, *(copy(first, f"made-up-{n:04}") for n in range(1, n_studies))]


def _lines(template: list[dict[str, Any]], evaluation: Evaluation) -> list[dict[str, Any]]:
    """Return the lines of a trial, like those of another one of its kind."""
    found = []
    for line in template:
        new = dict(line)
        if "trial_id" in new:
            new["trial_id"] = evaluation.trial
        if "evaluation:0:0" in new.get("user_attr", {}):
            new["user_attr"] = {"evaluation:0:0": evaluation.as_dict()}
        if new.get("values") and isinstance(evaluation.outcome, Trained):
            new["values"] = [objective.value(evaluation) for objective in OBJECTIVES]
        found.append(new)
    return found
