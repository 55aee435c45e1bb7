"""MLflow's view of a study: a projection of the records, found again by its tags.

Study = parent run, trial = child run, to which each rung adds; a full training of a member is a
child run of its own. What a killed driver left unwritten or half written is written when the study
is opened next, so MLflow and the storage agree.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archfront.search.errors import StudyError
from archfront.search.records.evaluation import (
    Evaluation,
    Failed,
    Measurement,
    Rejected,
    Trained,
)
from archfront.search.records.events import (
    Event,
    RungFinished,
    StudyStarted,
    TrialFinished,
    TrialRemeasured,
)
from archfront.search.records.header import StudyHeader
from archfront.search.records.paths import StudyPaths
from archfront.search.records.postgres import is_postgres
from archfront.search.records.refit_records import Refit
from archfront.search.records.storage_urls import hide_password
from archfront.search.tracking.mlflow_client import (
    MetricRow,
    experiment_id,
    log_rows,
    log_tags,
    not_importable,
    open_client,
    search_runs,
)
from archfront.search.tracking.mlflow_database import (
    ARTIFACTS,
    NAME,
    STUDY_TAG,
    damaged,
    database_uri,
    ensure_database,
)
from archfront.search.tracking.rows import (
    cost_metrics,
    evaluation_metrics,
    flat,
    params,
    refit_metrics,
    times_ms,
)
from archfront.trainers.words import WIDTH, shortened

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

TRIAL_TAG, PARENT_TAG = "archfront.trial", "mlflow.parentRunId"
# Of a full training: trial, seed and what it was asked to be.
REFIT_TAG = "archfront.refit"
# Ends the tag of a run that was made to register a trial whose own run is in another store.
REGISTERED = ":registered"


def default_uri(root: Path) -> str:
    """Return the URI of the MLflow database of a root, by absolute path."""
    return database_uri(root.absolute() / NAME)


class Tracker:
    """Writes a study to MLflow; follows its events.

    Raises:
        StudyError: If MLflow's store cannot be opened.
    """

    def __init__(self, paths: StudyPaths, uri: str | None, experiment: str) -> None:
        self._paths = paths
        self.uri = uri or default_uri(paths.root)
        try:
            if uri is None:
                ensure_database(paths.root.absolute(), experiment)
            self._client = open_client(self.uri)
            # A database has no place for files of its own, as a server has.
            is_here = uri is None or is_postgres(uri)
            location = (paths.root.absolute() / ARTIFACTS).as_uri() if is_here else None
            self._experiment = experiment_id(self._client, experiment, location)
        except StudyError:
            raise
        except ImportError as error:
            raise not_importable(error) from error
        except Exception as error:  # SQLAlchemy, alembic, requests and MLflow raise their own
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            if uri is None:
                raise damaged(paths.root.absolute() / NAME, reason) from error
            raise StudyError(
                f"MLflow's store {shortened(hide_password(uri), WIDTH)} cannot be opened: "
                f"{reason}. Check tracking.mlflow_uri."
            ) from error
        self._parent: str | None = None
        self._study_id = ""
        self._rungs: Sequence[int] = ()
        self._runs: dict[int, str] = {}

    def __call__(self, event: Event) -> None:
        """Write what an event means for MLflow."""
        match event:
            case StudyStarted():
                self.write_study(event.study, event.header, event.evaluations)
            case RungFinished(evaluation) | TrialFinished(evaluation):
                self._write(evaluation)
            case TrialRemeasured(trial=trial, measurement=measured) if trial in self._runs:
                self._measured_again(trial, measured)
            case _:
                pass

    def attach(self, file: Path) -> None:
        """Attach a file to the parent run; it replaces an earlier one of its name."""
        self._client.log_artifact(self._parent_id(), str(file))

    def finish(self, state: str, metrics: dict[str, float]) -> None:
        """Write the study's figures and end the parent run."""
        parent = self._parent_id()
        now = int(time.time() * 1000)
        rows = [(name, value, now, 0) for name, value in metrics.items()]
        log_rows(self._client, parent, metrics=rows)
        log_tags(self._client, parent, {"archfront.state": state})
        status = {"finished": "FINISHED", "failed": "FAILED"}.get(state, "KILLED")
        self._client.set_terminated(parent, status=status)

    def write_study(
        self, study: str, header: StudyHeader, evaluations: Sequence[Evaluation]
    ) -> None:
        """Bring the runs of a study to what is recorded, and take its further evaluations.

        Args:
            study: Name of the study.
            header: Its header.
            evaluations: All that is recorded of it.
        """
        self._study_id, self._rungs = header.id, header.rungs
        runs = self._runs_of(self._study_id)
        parents = [run for run in runs if _is_parent(run)]
        parent = parents[0] if parents else self._create_parent(study)
        self._parent = parent.info.run_id
        self._client.update_run(self._parent, status="RUNNING")
        self._describe(parent, header)
        self._reconcile(evaluations, [run for run in runs if TRIAL_TAG in run.data.tags])

    def write_refits(self, study_id: str, refits: Iterable[Refit], names: dict[int, str]) -> int:
        """Write the full trainings that MLflow lacks; return how many there were.

        A half-written run is replaced. One that was trained again for another question is another
        run, and the earlier one stays.

        Args:
            study_id: Id of the study, by which its runs are found.
            refits: Finished ones.
            names: Of the candidates by trial, for people.
        """
        runs = self._runs_of(study_id)
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
        end = int((self._paths.folder / refit.weights).stat().st_mtime * 1000)
        start = end - int(refit.seconds * 1000)
        run = self._client.create_run(
            self._experiment,
            start_time=start,
            run_name=f"{refit.trial:04d} {name}, in full, seed {refit.seed}",
            tags=tags,
        )
        about = {"trial": refit.trial, "seed": refit.seed, **flat(refit.question, "refit")}
        rows = refit_metrics(refit, end)
        log_rows(self._client, run.info.run_id, metrics=rows, params=params(about))
        self._client.set_terminated(run.info.run_id, end_time=end)

    @property
    def client(self) -> MlflowClient:
        """Return what talks to MLflow's store."""
        return self._client

    def run_of(self, study_id: str, trial: int) -> Run:
        """Return the run of a trial, the highest rung's and latest; made where there is none.

        A study that was run with another store has none here.
        """
        runs = self._runs_of(study_id)
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
        runs = self._runs_of(study_id)
        for run in runs:
            self._client.delete_run(run.info.run_id)
        return len(runs)

    def _create_parent(self, study: str) -> Run:
        tags = {
            STUDY_TAG: self._study_id,
            "archfront.study": study,
            "mlflow.note.content": f"archfront report {study}",
        }
        return self._client.create_run(self._experiment, run_name=study, tags=tags)

    def _describe(self, run: Run, header: StudyHeader) -> None:
        """Write the parameters of the parent run, unless they are written."""
        about = {
            **flat(header.config),
            **flat(header.environment.as_dict(), "environment"),
            "dataset.fingerprint": header.dataset.fingerprint,
            "space.size": header.space.size,
        }
        lacking = {k: text for k, text in params(about).items() if k not in run.data.params}
        log_rows(self._client, run.info.run_id, params=lacking)

    def _reconcile(self, evaluations: Sequence[Evaluation], runs: Sequence[Run]) -> None:
        """Write what MLflow lacks of the evaluations; a half-written run is replaced."""
        written: dict[int, tuple[int, int]] = {}
        latencies: dict[int, float | None] = {}
        for run in runs:
            if run.data.tags[TRIAL_TAG].endswith(REGISTERED):
                continue
            if run.info.status == "RUNNING":
                self._client.delete_run(run.info.run_id)
                continue
            trial, rung, attempt = map(int, run.data.tags[TRIAL_TAG].split(":"))
            written[trial] = (rung, attempt)
            latencies[trial] = run.data.metrics.get("latency_ms")
            self._runs[trial] = run.info.run_id
        for evaluation in evaluations:
            trial, measured = evaluation.trial, evaluation.measurement
            if (evaluation.rung, evaluation.attempt) > written.get(trial, (-1, -1)):
                self._write(evaluation)
            elif measured is not None and latencies.get(trial) != measured.latency.p50_ms:
                self._measured_again(trial, measured)
                latencies[trial] = measured.latency.p50_ms

    def _measured_again(self, trial: int, measured: Measurement) -> None:
        """Write a later measurement of a trial, which replaces the one that MLflow shows."""
        rows = cost_metrics(measured, int(time.time() * 1000))
        log_rows(self._client, self._runs[trial], metrics=rows)

    def _write(self, evaluation: Evaluation) -> None:
        candidate, outcome = evaluation.candidate, evaluation.outcome
        start, end = times_ms(evaluation)
        tags = {
            STUDY_TAG: self._study_id,
            PARENT_TAG: self._parent_id(),
            TRIAL_TAG: _key(evaluation),
            "archfront.outcome": evaluation.kind,
            "archfront.candidate_id": candidate.id,
        }
        if isinstance(outcome, Trained) and outcome.fidelity is not None:
            tags["archfront.trained"] = str(outcome.fidelity)
        if evaluation.n_rungs > 1:
            tags["archfront.rung"] = f"{evaluation.rung + 1} of {evaluation.n_rungs}"
        if evaluation.proposal is not None:
            tags["archfront.proposal"] = str(evaluation.proposal)
        if isinstance(outcome, Rejected | Failed):
            tags["archfront.reason"] = str(outcome)[:5000]
        if isinstance(outcome, Trained):
            predictions = self._paths.folder / outcome.predictions
            tags["archfront.predictions"] = str(predictions.relative_to(self._paths.root))
        about: dict[str, Any] = {}
        run_id = self._runs.get(evaluation.trial)
        if run_id is None:
            run = self._client.create_run(
                self._experiment,
                start_time=start,
                run_name=f"{evaluation.trial:04d} {candidate.label}",
                tags=tags,
            )
            run_id = self._runs[evaluation.trial] = str(run.info.run_id)
            about, tags = {**flat(candidate.as_dict()), "seed": evaluation.seed}, {}
        rows = self._metrics(evaluation)
        log_rows(self._client, run_id, metrics=rows, params=params(about))
        # The tags last: they say what is written.
        log_tags(self._client, run_id, tags)
        status = "FAILED" if isinstance(outcome, Failed) else "FINISHED"
        self._client.set_terminated(run_id, status=status, end_time=end)

    def _metrics(self, evaluation: Evaluation) -> list[MetricRow]:
        """Return the metrics that a rung adds to its trial's run."""
        below = -1 if evaluation.rung == 0 else self._rungs[evaluation.rung - 1]
        return evaluation_metrics(evaluation, below)

    def _runs_of(self, study_id: str) -> list[Run]:
        """Return every run of a study."""
        return search_runs(self._client, self._experiment, f"tags.`{STUDY_TAG}` = '{study_id}'")

    def _parent_id(self) -> str:
        assert self._parent is not None, "StudyStarted comes first"
        return self._parent


def _is_parent(run: Run) -> bool:
    """Return whether a run is a study, not one of its trainings."""
    return not {TRIAL_TAG, REFIT_TAG} & run.data.tags.keys()


def _refit_key(refit: Refit) -> str:
    asked = ",".join(f"{name}={refit.question[name]}" for name in sorted(refit.question))
    return f"{refit.trial}:{refit.seed}:{asked}"


def _key(evaluation: Evaluation) -> str:
    return f"{evaluation.trial}:{evaluation.rung}:{evaluation.attempt}"
