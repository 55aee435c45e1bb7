"""The recorded study written through the real storage, as a driver leaves it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import optuna
import yaml

from archfront.search.config.build import build
from archfront.search.config.settings import with_metric
from archfront.search.records.evaluation import Evaluation, Trained
from archfront.search.records.header import StudyHeader
from archfront.search.records.paths import StudyPaths
from archfront.search.records.store import driving
from tests.support import recorded_study
from tests.support.configurations import changed
from tests.support.study_headers import study_header


def header(root: Path, name: str) -> StudyHeader:
    """Return what a driver stores when the recorded study starts."""
    asked = changed(study=name, tracking__root=str(root), hardware__limits__latency_ms=4.0)
    config = with_metric(build(asked))  # a header has the metric that was chosen
    return study_header(config.as_dict(), id=f"id-of-{name}", identity=config.identity())


def write(root: Path, name: str = "flowers") -> StudyPaths:
    """Write the recorded study below a root."""
    paths = StudyPaths(root, name)
    content = header(root, name)
    sampler = optuna.samplers.RandomSampler(seed=0)  # which is asked for nothing
    with driving(paths, None, list(recorded_study.OBJECTIVES)) as store:
        store.write_header(content)
        paths.config.write_text(yaml.safe_dump(content.config), encoding="utf-8")
        for evaluation in recorded_study.study():
            trial = store.ask(sampler)
            assert trial.number == evaluation.trial
            write_predictions(paths, evaluation)
            store.record(trial, evaluation)
            store.tell(trial, [evaluation], list(recorded_study.OBJECTIVES))
        store.write_state("finished", "16 trials trained")
    return paths


def write_predictions(paths: StudyPaths, evaluation: Evaluation, n_images: int = 200) -> None:
    """Write validation predictions as right as an evaluation's metric says."""
    if not isinstance(evaluation.outcome, Trained):
        return
    path = paths.folder / evaluation.outcome.predictions
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(evaluation.trial)
    labels = np.arange(n_images) % 3
    is_wrong = rng.permutation(n_images) >= round(evaluation.outcome.metric * n_images)
    probabilities = np.eye(3, dtype=np.float32)[(labels + is_wrong) % 3]
    np.savez(path, probabilities=probabilities, labels=labels)
