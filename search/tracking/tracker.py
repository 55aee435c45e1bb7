"""MLflow's view of a study: a projection of the records, found again by its tags.

Study = parent run, trial = child run, to which each rung adds; a full training of a member is a
child run of its own. What a killed driver left unwritten or half written is written when the study
is opened next, so MLflow and the storage agree.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")

from mlflow import MlflowClient  # the environment must be set before
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException

from archfront.search.errors import StudyError
from archfront.search.records.evaluation import SOMETIMES, Evaluation, Failed, Rejected, Trained
from archfront.search.records.events import Event, RungFinished, StudyStarted, TrialFinished
from archfront.search.records.paths import StudyPaths
from archfront.search.records.refit_records import Refit
from archfront.search.records.store import hide_password

STUDY_TAG, TRIAL_TAG, PARENT_TAG = "archfront.study_id", "archfront.trial", "mlflow.parentRunId"
# Of a full training: trial, seed and what it was asked to be.
REFIT_TAG = "archfront.refit"
# Ends the tag of a run that was made to register a trial whose own run is in another store.
REGISTERED = ":registered"
# What MLflow takes at a time.
_PAGE, _METRICS, _PARAMS = 1000, 900, 100

for _name in ("mlflow", "alembic"):
    logging.getLogger(_name).setLevel(logging.ERROR)


def default_uri(root: Path) -> str:
    """Return the URI of the MLflow database of a root, by absolute path."""
    return f"sqlite:///{root.absolute() / 'mlflow.db'}"


class Tracker:
    """Writes a study to MLflow; follows its events.

    Raises:
        StudyError: If MLflow's store cannot be opened.
    """

    def __init__(self, places: StudyPaths, uri: str | None, experiment: str) -> None:
        self._places = places
        self.uri = uri or default_uri(places.root)
        places.root.mkdir(parents=True, exist_ok=True)
        try:
            self._client = MlflowClient(self.uri)
            self._experiment = self._experiment_id(experiment, is_local=uri is None)
        except Exception as error:  # SQLAlchemy, alembic, requests and MLflow raise their own
            raise StudyError(
                f"MLflow's store {hide_password(self.uri)} cannot be opened: "
                f"{str(error).splitlines()[0]}. Check tracking.mlflow_uri."
            ) from error
        self._parent: str | None = None
        self._study_id = ""
        self._rungs: Sequence[int] = ()
        self._runs: dict[int, str] = {}

    def __call__(self, event: Event) -> None:
        """Write what an event means for MLflow."""
        match event:
            case StudyStarted():
                self._start(event)
            case RungFinished(evaluation) | TrialFinished(evaluation):
                self._write(evaluation)
            case _:
                pass

    def finish(self, state: str, metrics: dict[str, float], files: Iterable[Path]) -> None:
        """Write the study's figures, attach its files and end the parent run."""
        parent = self._parent_id()
        now = int(time.time() * 1000)
        self._client.log_batch(
            parent,
            metrics=[Metric(name, value, now, 0) for name, value in metrics.items()],
            tags=[RunTag("archfront.state", state)],
        )
        for path in files:
            self._client.log_artifact(parent, str(path))
        status = {"finished": "FINISHED", "failed": "FAILED"}.get(state, "KILLED")
        self._client.set_terminated(parent, status=status)

    def write_refits(self, study_id: str, refits: Iterable[Refit], names: dict[int, str]) -> int:
        """Write the full trainings that MLflow lacks; return how many there were.

        A half-written run is replaced. One that was trained again for another question is another
        run, and the earlier one stays.

        Args:
            study_id: Id of the study, by which its runs are found.
            refits: Finished ones.
            names: Of the candidates by trial, for people.
        """
        runs = self._search(f"tags.`{STUDY_TAG}` = '{study_id}'")
        written = set()
        for run in (run for run in runs if REFIT_TAG in run.data.tags):
            if run.info.status == "RUNNING":
                self._client.delete_run(run.info.run_id)
            else:
                written.add(run.data.tags[REFIT_TAG])
        parents = [run.info.run_id for run in runs if _is_parent(run)]
        lacking = [refit for refit in refits if _refit_key(refit) not in written]
        for refit in lacking:
            self._write_refit(study_id, refit, names[refit.trial], parents)
        return len(lacking)

    def _write_refit(self, study_id: str, refit: Refit, name: str, parents: list[str]) -> None:
        tags = {
            STUDY_TAG: study_id,
            REFIT_TAG: _refit_key(refit),
            "archfront.candidate_id": refit.candidate_id,
            "archfront.refit_trial": str(refit.trial),
            **({PARENT_TAG: parents[0]} if parents else {}),
        }
        end = int((self._places.folder / refit.weights).stat().st_mtime * 1000)
        start = end - int(refit.seconds * 1000)
        run = self._client.create_run(
            self._experiment,
            start_time=start,
            run_name=f"{refit.trial:04d} {name}, in full, seed {refit.seed}",
            tags=tags,
        )
        params = {"trial": refit.trial, "seed": refit.seed, **_flat(refit.question, "refit")}
        self._log(run.info.run_id, _refit_metrics(refit, end), _params(params))
        self._client.set_terminated(run.info.run_id, end_time=end)

    @property
    def client(self) -> MlflowClient:
        """Return what talks to MLflow's store."""
        return self._client

    def run_of(self, study_id: str, trial: int) -> Run:
        """Return the run of a trial, the highest rung's and latest; made where there is none.

        A study that was run with another store has none here.
        """
        runs = self._search(f"tags.`{STUDY_TAG}` = '{study_id}'")
        mine = [
            run for run in runs if run.data.tags.get(TRIAL_TAG, "").partition(":")[0] == str(trial)
        ]
        if mine:
            return max(mine, key=lambda run: run.data.tags[TRIAL_TAG])
        tags = {STUDY_TAG: study_id, TRIAL_TAG: f"{trial}{REGISTERED}"}
        made = self._client.create_run(self._experiment, run_name=f"{trial:04d}", tags=tags)
        self._client.set_terminated(made.info.run_id)
        return made

    def remove(self, study_id: str) -> int:
        """Mark every run of a study as deleted and return how many there were."""
        runs = self._search(f"tags.`{STUDY_TAG}` = '{study_id}'")
        for run in runs:
            self._client.delete_run(run.info.run_id)
        return len(runs)

    def _experiment_id(self, name: str, *, is_local: bool) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        location = (self._places.root / "artifacts").as_uri() if is_local else None
        try:
            return str(self._client.create_experiment(name, artifact_location=location))
        except MlflowException:  # another driver made it a moment ago
            found = self._client.get_experiment_by_name(name)
            if found is None:
                raise
            return str(found.experiment_id)

    def _start(self, event: StudyStarted) -> None:
        self._study_id = event.header.id
        self._rungs = event.header.rungs
        runs = self._search(f"tags.`{STUDY_TAG}` = '{self._study_id}'")
        parents = [run for run in runs if _is_parent(run)]
        if parents:
            self._parent = parents[0].info.run_id
            self._client.update_run(self._parent, status="RUNNING")
        else:
            self._parent = self._create_parent(event)
        self._reconcile(event.evaluations, [run for run in runs if TRIAL_TAG in run.data.tags])

    def _create_parent(self, event: StudyStarted) -> str:
        tags = {
            STUDY_TAG: self._study_id,
            "archfront.study": event.study,
            "mlflow.note.content": f"archfront report {event.study}",
        }
        run = self._client.create_run(self._experiment, run_name=event.study, tags=tags)
        header = event.header
        params = {
            **_flat(header.config),
            **_flat(header.environment.as_dict(), "environment"),
            "dataset.fingerprint": header.dataset.fingerprint,
            "space.size": header.space.size,
        }
        self._log(run.info.run_id, [], _params(params))
        return str(run.info.run_id)

    def _reconcile(self, evaluations: Sequence[Evaluation], runs: Sequence[Run]) -> None:
        """Write the evaluations that MLflow lacks; a half-written run is replaced."""
        written: dict[int, tuple[int, int]] = {}
        for run in runs:
            if run.data.tags[TRIAL_TAG].endswith(REGISTERED):
                continue
            if run.info.status == "RUNNING":
                self._client.delete_run(run.info.run_id)
                continue
            trial, rung, attempt = map(int, run.data.tags[TRIAL_TAG].split(":"))
            written[trial] = (rung, attempt)
            self._runs[trial] = run.info.run_id
        for evaluation in evaluations:
            place = (evaluation.rung, evaluation.attempt)
            if place > written.get(evaluation.trial, (-1, -1)):
                self._write(evaluation)

    def _write(self, evaluation: Evaluation) -> None:
        candidate, outcome = evaluation.candidate, evaluation.outcome
        start = int(evaluation.started * 1000)
        end = int((evaluation.started + evaluation.seconds) * 1000)
        tags = {
            STUDY_TAG: self._study_id,
            PARENT_TAG: self._parent_id(),
            TRIAL_TAG: _key(evaluation),
            "archfront.outcome": evaluation.kind,
            "archfront.candidate_id": candidate.id,
        }
        if evaluation.n_rungs > 1:
            tags["archfront.rung"] = f"{evaluation.rung + 1} of {evaluation.n_rungs}"
        if evaluation.proposal is not None:
            tags["archfront.proposal"] = str(evaluation.proposal)
        if isinstance(outcome, Rejected | Failed):
            tags["archfront.reason"] = str(outcome)[:5000]
        if isinstance(outcome, Trained):
            tags["archfront.predictions"] = str(self._places.folder / outcome.predictions)
        metrics = self._metrics(evaluation, start, end)
        params: dict[str, Any] = {}
        run_id = self._runs.get(evaluation.trial)
        if run_id is None:
            run = self._client.create_run(
                self._experiment,
                start_time=start,
                run_name=f"{evaluation.trial:04d} {candidate.label}",
                tags=tags,
            )
            run_id = self._runs[evaluation.trial] = str(run.info.run_id)
            params, tags = {**_flat(candidate.as_dict()), "seed": evaluation.seed}, {}
        self._log(run_id, metrics, _params(params))
        # The tags last: they say what is written.
        self._client.log_batch(run_id, tags=[RunTag(n, v) for n, v in tags.items()])
        status = "FAILED" if isinstance(outcome, Failed) else "FINISHED"
        self._client.set_terminated(run_id, status=status, end_time=end)

    def _metrics(self, evaluation: Evaluation, start: int, end: int) -> list[Metric]:
        """Return the metrics that a rung adds to its trial's run."""
        below = 0 if evaluation.rung == 0 else self._rungs[evaluation.rung - 1]
        return _metrics(evaluation, start, end, below)

    def _log(self, run_id: str, metrics: list[Metric], params: list[Param]) -> None:
        """Write metrics and parameters, in one request unless they are very many."""
        while metrics or params:
            self._client.log_batch(run_id, metrics=metrics[:_METRICS], params=params[:_PARAMS])
            metrics, params = metrics[_METRICS:], params[_PARAMS:]

    def _search(self, query: str) -> list[Run]:
        runs: list[Run] = []
        token: str | None = None
        while True:
            page = self._client.search_runs(
                [self._experiment], query, max_results=_PAGE, page_token=token
            )
            runs += page
            token = page.token
            if not token:
                return runs

    def _parent_id(self) -> str:
        assert self._parent is not None, "StudyStarted comes first"
        return self._parent


def _is_parent(run: Run) -> bool:
    """Return whether a run is a study, not one of its trainings."""
    return not {TRIAL_TAG, REFIT_TAG} & run.data.tags.keys()


def _refit_key(refit: Refit) -> str:
    asked = ",".join(f"{name}={refit.question[name]}" for name in sorted(refit.question))
    return f"{refit.trial}:{refit.seed}:{asked}"


def _refit_metrics(refit: Refit, end: int) -> list[Metric]:
    """Return the curve of a full training by epoch, and what its kept weights are worth."""
    metrics = []
    for row in refit.curve:
        values = {"train_loss": row["train_loss"], "lr": row["lr"]}
        values |= {f"curve_{name}": value for name, value in row["metrics"].items()}
        metrics += [Metric(name, v, end, int(row["epoch"])) for name, v in values.items()]
    values = {"best_epoch": refit.best_epoch, "train_s": refit.seconds}
    for split, scores in refit.metrics.items():
        values |= {f"{split}_{name}": value for name, value in scores.items()}
    for split, (low, high) in refit.intervals.items():
        values |= {f"{split}_low": low, f"{split}_high": high}
    return [*metrics, *(Metric(name, float(v), end, 0) for name, v in values.items())]


def _key(evaluation: Evaluation) -> str:
    return f"{evaluation.trial}:{evaluation.rung}:{evaluation.attempt}"


def _metrics(evaluation: Evaluation, start: int, end: int, below: int) -> list[Metric]:
    """Return the metrics of an evaluation.

    Those per epoch have the epoch as their step, the others the rung, counted from 0.

    Args:
        evaluation: What is written.
        start: Milliseconds since the epoch when it began.
        end: The same when it ended.
        below: Epochs of the rung below, which are written already.
    """
    metrics = []
    measured = evaluation.measurement
    if measured is not None and evaluation.rung == 0:
        values = {
            "latency_ms": measured.latency.p50_ms,
            "latency_p95_ms": measured.latency.p95_ms,
            "latency_spread": measured.latency.spread,
            "params_m": measured.params_m,
            "macs_g": measured.macs_g,
            "size_mb": measured.size_mb,
        }
        values |= {name: measured.value(name) for name in SOMETIMES if measured.has([name])}
        known = {name: value for name, value in values.items() if not math.isnan(value)}
        metrics += [Metric(name, value, start, 0) for name, value in known.items()]
    if isinstance(evaluation.outcome, Trained):
        trained = evaluation.outcome
        for row in (row for row in trained.curve if row["epoch"] > below):
            values = {"train_loss": row["train_loss"], "lr": row["lr"]}
            values |= {f"val_{name}": value for name, value in row["metrics"].items()}
            metrics += [Metric(n, v, end, int(row["epoch"])) for n, v in values.items()]
        values = {
            "metric": trained.metric,
            "metric_low": trained.metric_low,
            "metric_high": trained.metric_high,
            "train_s": trained.seconds,
            **({"micro_batch": trained.micro_batch} if trained.micro_batch is not None else {}),
        }
        metrics += [Metric(name, value, end, evaluation.rung) for name, value in values.items()]
    return metrics


def _flat(content: dict[str, Any], path: str = "") -> dict[str, Any]:
    """Return the leaves of nested content by dotted path."""
    flat: dict[str, Any] = {}
    for key, value in content.items():
        here = f"{path}.{key}" if path else key
        flat |= _flat(value, here) if isinstance(value, dict) else {here: value}
    return flat


def _params(values: dict[str, Any]) -> list[Param]:
    return [Param(name, str(value)[:6000]) for name, value in values.items()]
