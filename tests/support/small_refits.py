"""A recorded study over scikit-learn's digits, and full trainings of it: made up, or real ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import yaml
from safetensors.torch import save_file
from torch import Tensor

from archfront.search.config.build import build
from archfront.search.config.settings import with_metric
from archfront.search.prepare.data_reference import data_ref
from archfront.search.prepare.recorded import Study
from archfront.search.records.candidate import Candidate
from archfront.search.records.evaluation import Evaluation, Trained
from archfront.search.records.header import SpaceFacts
from archfront.search.records.paths import StudyPaths
from archfront.search.records.refit_records import Refit
from archfront.search.records.store import driving, reading
from archfront.search.results.results import Results
from archfront.search.study.begin import DUMPER
from archfront.trainers.data import load
from archfront.trainers.data.ref import DataRef
from archfront.trainers.dataset_summary import DatasetSummary
from archfront.trainers.spec import Architecture, Recipe, Weights
from archfront.trainers.tasks import TASKS
from tests.support import recorded_study
from tests.support.configurations import changed
from tests.support.study_headers import study_header

N_CLASSES, N_KEPT = 10, 400
QUESTION = {"epochs": 2, "ema": 0.9, "patience": 1, "teacher": None}
# Sizes, latencies and accuracies of the three candidates; the last one is off the front.
CANDIDATES = ((8, 0.1, 0.6), (16, 0.2, 0.8), (24, 0.4, 0.7))


def evaluations() -> list[Evaluation]:
    """Return three trained trials."""
    found = []
    for trial, (size, ms, metric) in enumerate(CANDIDATES):
        of = Candidate(
            Architecture("classification", "test_resnet", "timm", size, N_CLASSES, 1),
            Weights(),
            Recipe(5e-3, 0.05, 32, "none", 0.0),
        )
        found.append(recorded_study.trained(trial, metric, ms, of=of))
    return found


def write(root: Path, name: str = "digits", **changes: Any) -> Results:
    """Write the study below a root, with weights of its front, and return its records."""
    content = changed(
        study=name,
        tracking__root=str(root),
        tracking__device_db=str(root / "latency.db"),
        data__train=120,
        data__val=80,
        data__test=changes.pop("test", 80),
        task__epochs=3,  # as the recorded curves have
        hardware__max_seconds=0.1,
        hardware__limits__latency_ms=4.0,
        **changes,
    )
    config = with_metric(build(content))  # a header has the metric that was chosen
    header = study_header(
        config.as_dict(),
        id=f"id-of-{name}",
        identity=config.identity(),
        dataset=_summary(replace(data_ref(config), shared=None)),
        space=SpaceFacts(3, 3, 1, "a", ()),
    )
    paths = StudyPaths(root, name)
    sampler = optuna.samplers.RandomSampler(seed=0)  # which is asked for nothing
    with driving(paths, None, list(recorded_study.OBJECTIVES)) as store:
        store.write_header(header)
        paths.config.write_text(yaml.dump(content, Dumper=DUMPER), encoding="utf-8")
        for evaluation in evaluations():
            trial = store.ask(sampler)
            assert isinstance(evaluation.outcome, Trained)
            predictions = paths.folder / evaluation.outcome.predictions
            predictions.parent.mkdir(parents=True, exist_ok=True)
            write_predictions(predictions, evaluation.outcome.metric, seed=evaluation.trial)
            if evaluation.trial != 2:
                write_weights(paths.folder / evaluation.outcome.weights, evaluation.candidate)
            store.record(trial, evaluation)
            store.tell(trial, [evaluation], list(recorded_study.OBJECTIVES))
        store.write_state("finished", "3 trials trained")
    return results(root, name)


def results(root: Path, name: str = "digits") -> Results:
    """Return the records of the study."""
    paths = StudyPaths(root, name)
    return Results.read(reading(paths, None), paths)


def study(found: Results) -> Study:
    """Return the study of some records."""
    return Study(build(found.begun().config), found.begun())


def write_weights(file: Path, candidate: Candidate) -> None:
    """Write weights as a training does: for folders of one name the same, others for others."""
    save_file(_drawn(candidate.architecture, file.parent.name), file)


@cache
def _drawn(architecture: Architecture, folder: str) -> dict[str, Tensor]:
    """Return the weights of a candidate for folders of a name, drawn once in a process."""
    model = TASKS["classification"].build(architecture, Weights())
    return {k: v.contiguous().clone() for k, v in model.state_dict().items()}


@cache
def _summary(data: DataRef) -> DatasetSummary:
    """Return what a header says of the data, which is read once in a process."""
    return load(data).summary()


def write_predictions(file: Path, accuracy: float, *, seed: int, n: int = N_KEPT) -> None:
    """Write predictions of which so many are right."""
    labels = np.arange(n) % N_CLASSES
    is_wrong = np.random.default_rng(seed).permutation(n) >= round(accuracy * n)
    probabilities = np.eye(N_CLASSES, dtype=np.float32)[(labels + is_wrong) % N_CLASSES]
    np.savez(file, probabilities=probabilities, labels=labels)


def write_refits(
    found: Results, trial: int, accuracies: Sequence[float], *, splits: Sequence[str] = ("val",)
) -> None:
    """Write a finished full training of each accuracy, one a seed."""
    for seed, accuracy in enumerate(accuracies):
        folder = found.paths.folder / "refits" / f"{trial:05d}-{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        for split in splits:
            write_predictions(folder / f"{split}.npz", accuracy, seed=7 * trial)
        base = folder.relative_to(found.paths.folder)
        record = Refit(
            trial=trial,
            candidate_id=evaluations()[trial].candidate.id,
            seed=seed,
            question=QUESTION,
            metrics={split: {"accuracy": accuracy} for split in splits},
            intervals=dict.fromkeys(splits, (accuracy - 0.02, accuracy + 0.02)),
            best_epoch=2,
            curve=recorded_study.curve(accuracy, epochs=2),
            seconds=3.0,
            weights=str(base / "weights.safetensors"),
            predictions={split: str(base / f"{split}.npz") for split in splits},
        )
        write_weights(folder / "weights.safetensors", evaluations()[trial].candidate)
        record.write(folder / "refit.json")


def without_curve(refit: Refit) -> Refit:
    """Return a record without what differs from run to run: seconds."""
    rows = tuple({k: v for k, v in row.items() if k != "seconds"} for row in refit.curve)
    return replace(refit, curve=rows, seconds=0.0)
