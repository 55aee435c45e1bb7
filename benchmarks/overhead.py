"""What a trial costs besides building, measuring and training: the loop and its records.

Replays a study whose jobs take no time, 1,000 trials by default, through the real loop, journal
and MLflow. Beside it, in turn, the bare MLflow and Optuna calls that write the same data. Prints
milliseconds a trial, their ratio, and how the cost grows from the first trials to the last.

    python benchmarks/overhead.py [--trials 1000] [--repeats 3]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import numpy as np
import optuna
from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from optuna.storages.journal import JournalFileBackend

from archfront.search.catalog import Backbone, Costs
from archfront.search.engine.inline import InlineEngine
from archfront.search.engine.jobs import Job
from archfront.search.jobs.perform import MeasureRequest, TrainRequest
from archfront.search.records.evaluation import Evaluation, Trained
from archfront.search.records.events import TrialFinished
from archfront.search.records.paths import StudyPaths
from archfront.search.records.store import reading
from archfront.search.results.results import Results
from archfront.search.space.axes import Axes
from archfront.search.space.space import Space
from archfront.search.tracking.tracker import Tracker
from archfront.trainers.spec import Recipe, Weights
from tests.support import small_study

EPOCHS = 8
SAMPLER = "random"


def wide_space() -> Space:
    """Return 3 backbones x 2 heads x 40 sizes x 60 recipes, none of them over a limit."""
    axes = tuple(
        Axes(
            Backbone(
                name=name,
                family="resnet",
                params_m=params,
                costs=((224, Costs(params / 5, params / 4, params)),),
            ),
            ("avg", "gem"),
            tuple(range(16, 336, 8)),
        )
        for name, params in small_study.BACKBONES
    )
    lrs = [float(x) for x in np.round(np.geomspace(1e-4, 1e-2, 15), 7)]
    recipes = tuple(
        Recipe(lr, wd, 32, augment, 0.0)
        for lr in lrs
        for wd in (0.01, 0.05)
        for augment in ("none", "light")
    )
    weights = {name: Weights() for name, _ in small_study.BACKBONES}
    return Space(axes, recipes, weights, "classification", small_study.CLASSES, 1)


class Replay:
    """Answers jobs at once; its own time is taken off."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def perform(self, job: Job) -> Any:
        """Return the recorded kind of answer."""
        started = time.perf_counter()
        try:
            if isinstance(job.payload, MeasureRequest):
                return small_study.measurement(job.payload.architecture)
            assert isinstance(job.payload, TrainRequest)
            return self._trained(job.payload)
        finally:
            self.seconds += time.perf_counter() - started

    def _trained(self, request: TrainRequest) -> Trained:
        accuracy = 0.5 + (int(request.candidate.id, 16) % 1000) / 2500
        curve = tuple(
            {
                "epoch": epoch,
                "train_loss": 1.0 / epoch,
                "lr": 0.001,
                "seconds": 1.0,
                "metrics": dict.fromkeys(("accuracy", "balanced_accuracy", "macro_f1"), accuracy),
            }
            for epoch in range(1, EPOCHS + 1)
        )
        return Trained(
            metric=accuracy,
            metric_low=accuracy - 0.01,
            metric_high=accuracy + 0.01,
            metrics=curve[-1]["metrics"],
            curve=curve,
            seconds=8.0,
            predictions="trials/none.npz",
            weights="trials/none.safetensors",
        )


def ours(root: Path, n_trials: int) -> tuple[list[float], list[Evaluation]]:
    """Return the seconds of every trial through the real loop, and what was recorded."""
    config = small_study.small_config(
        root,
        budget__trials=n_trials,
        hardware__limits__latency_ms=1e6,
        sampler__name=SAMPLER,
    )
    replay, ends = Replay(), []
    tracker = Tracker(StudyPaths(root, config.study), None, "bench")

    def stamp(event: object) -> None:
        if isinstance(event, TrialFinished):
            ends.append(time.perf_counter() - replay.seconds)

    engine = InlineEngine(replay.perform, workers=1, threads=1)
    space = wide_space()
    prepared = small_study.prepared(config, space)
    del prepared.dataset.splits["test"]  # scores would be another kind of work
    small_study.study.run(
        config,
        prepared=prepared,
        engine=engine,
        followers=(tracker, stamp),
        table=small_study.Forgetful(),
    )
    places = StudyPaths(root, config.study)
    evaluations = Results.read(reading(places, None), places).evaluations
    return list(np.diff(ends)), evaluations


def bare(root: Path, evaluations: list[Evaluation]) -> list[float]:
    """Return the seconds of every trial with nothing but the libraries' own calls."""
    root.mkdir(parents=True, exist_ok=True)
    backend = JournalFileBackend(str(root / "optuna.journal"))
    study = optuna.create_study(
        storage=optuna.storages.JournalStorage(backend),
        sampler=optuna.samplers.RandomSampler(seed=0),
        directions=["maximize", "minimize"],
    )
    client = MlflowClient(f"sqlite:///{root / 'mlflow.db'}")
    experiment = client.create_experiment("bench", artifact_location=(root / "a").as_uri())
    parent = client.create_run(experiment).info.run_id
    space, ends = wide_space(), []
    for evaluation in evaluations:
        assert isinstance(evaluation.outcome, Trained)
        assert evaluation.measurement is not None
        trial = study.ask()
        space.suggest(trial)
        trial.set_user_attr("evaluation", evaluation.as_dict())
        study.tell(trial, [evaluation.outcome.metric, evaluation.measurement.latency.p50_ms])
        _bare_mlflow(client, experiment, parent, evaluation)
        ends.append(time.perf_counter())
    return list(np.diff(ends))


def _bare_mlflow(
    client: MlflowClient, experiment: str, parent: str, evaluation: Evaluation
) -> None:
    """Write one run with the metrics and parameters that ours has."""
    outcome = evaluation.outcome
    assert isinstance(outcome, Trained)
    tags = {"mlflow.parentRunId": parent, "trial": str(evaluation.trial)}
    run = client.create_run(experiment, run_name=f"trial {evaluation.trial}", tags=tags)
    now = int(time.time() * 1000)
    metrics = [
        Metric(name, value, now, row["epoch"])
        for row in outcome.curve
        for name, value in {
            "train_loss": row["train_loss"],
            "lr": row["lr"],
            **row["metrics"],
        }.items()
    ]
    metrics += [Metric(f"final_{i}", 1.0, now, 0) for i in range(10)]
    content = asdict(evaluation.candidate)
    flat = {f"{part}.{k}": v for part, values in content.items() for k, v in values.items()}
    client.log_batch(run.info.run_id, metrics, [Param(k, str(v)) for k, v in flat.items()])
    client.set_terminated(run.info.run_id)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    rows = []
    for repeat in range(options.repeats):
        with tempfile.TemporaryDirectory() as folder:
            mine, evaluations = ours(Path(folder) / "ours", options.trials)
            plain = bare(Path(folder) / "bare", evaluations)
        tenth = max(2, len(mine) // 10)
        rows.append(
            {
                "ours_ms": 1000 * median(mine),
                "bare_ms": 1000 * median(plain),
                "ratio": median(mine) / median(plain),
                "growth_ours": median(mine[-tenth:]) / median(mine[:tenth]),
                "growth_bare": median(plain[-tenth:]) / median(plain[:tenth]),
            }
        )
        words = ", ".join(f"{k} {v:.3g}" for k, v in rows[-1].items())
        print(f"repeat {repeat}: {words}", flush=True)
    result = {name: median(row[name] for row in rows) for name in rows[0]}
    print("median:  ", ", ".join(f"{k} {v:.3g}" for k, v in result.items()))
    if options.json:
        options.json.write_text(json.dumps({"rows": rows, "median": result}, indent=2))


if __name__ == "__main__":
    main()
