"""From the records of a study to the answers about its trials."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from operator import eq
from pathlib import Path
from typing import Any

from archfront.search.errors import RequestError
from archfront.search.records.evaluation import (
    Evaluation,
    Failed,
    Latency,
    Prediction,
    Rejected,
    Trained,
    is_below_top,
)
from archfront.search.records.proposal import Proposal
from archfront.search.results import stats
from archfront.search.results.changed_trials import ChangedTrials
from archfront.search.results.results import Results
from archfront.search.service.answers import (
    ExpectedLatency,
    FailureRow,
    LatencyAnswer,
    ProposalAnswer,
    RejectedAnswer,
    RejectionRow,
    RungAnswer,
    TrialDetail,
    TrialFiles,
    TrialRow,
    TrialState,
)
from archfront.search.service.read_study import ReadStudy
from archfront.search.service.study_parts import FrontPart, Reading, TrialsPart


def number(value: float | None) -> float | None:
    """Return a number, or None for one that is not known."""
    return None if value is None or not math.isfinite(value) else float(value)


def numbers(values: dict[str, float]) -> dict[str, float | None]:
    """Return numbers by name, None for those that are not known."""
    return {name: number(value) for name, value in values.items()}


def plain(value: Any) -> Any:
    """Return nested content in which numbers that are not known are None."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return number(value) if isinstance(value, float) else value


@dataclass(frozen=True)
class TrialTable:
    """The trials of a study by number, each with all of its evaluations.

    Attributes:
        study: Name of the study.
        evaluations: By trial, each by rung and attempt.
        final: The training of a trial that counts for the front, by trial.
        members: The trials of the front.
        by_trial: The rows.
    """

    study: str
    evaluations: dict[int, tuple[Evaluation, ...]]
    final: dict[int, Evaluation]
    members: frozenset[int]
    by_trial: dict[int, TrialRow]

    @classmethod
    def of(cls, study: Reading) -> TrialTable:
        """Return the rows of all trials."""
        return _table(study, {}, None)

    def after(self, study: Reading, changed: ChangedTrials) -> TrialTable:
        """Return the rows after some trials have changed."""
        if changed.removed:
            return TrialTable.of(study)
        members = frozenset(member.trial for member in study.front)
        anew = {*changed.evaluations, *changed.moved, *(members ^ self.members)}
        return _table(study, self.by_trial, anew)

    @property
    def rows(self) -> list[TrialRow]:
        """Return the rows, by trial."""
        return list(self.by_trial.values())

    def row(self, trial: int) -> TrialRow:
        """Return the row of a trial.

        Raises:
            RequestError: If nothing of it is recorded.
        """
        if trial not in self.by_trial:
            raise no_trial(self.study, self.evaluations, trial)
        return self.by_trial[trial]

    def counted(self, trial: int) -> Evaluation:
        """Return the training of a trial that counts for the front, else its last evaluation."""
        return self.final.get(trial, self.evaluations[trial][-1])


def _table(study: Reading, known: dict[int, TrialRow], anew: Collection[int] | None) -> TrialTable:
    """Return the rows of trials, of which some are known.

    Args:
        study: Their study.
        known: Rows by trial.
        anew: Trials whose rows are to be made; None for all.
    """
    evaluations = study.part(TrialsPart).evaluations
    final = study.part(FrontPart).growing.final
    members = frozenset(member.trial for member in study.front)
    rows = dict(known)
    table = TrialTable(study.results.paths.study, evaluations, final, members, rows)
    waiting = study.results.waiting
    for trial in evaluations.keys() if anew is None else evaluations.keys() & anew:
        rows[trial] = _row(table, trial, is_open=trial in waiting)
    is_ordered = all(map(eq, rows, evaluations))
    return table if is_ordered else replace(table, by_trial={t: rows[t] for t in evaluations})


def _row(table: TrialTable, trial: int, *, is_open: bool) -> TrialRow:
    evaluations = table.evaluations[trial]
    first, end, shown = evaluations[0], evaluations[-1], table.counted(trial)
    outcome, measured = shown.outcome, shown.measurement
    architecture = shown.candidate.architecture
    trained = outcome if isinstance(outcome, Trained) else None
    return TrialRow(
        trial=trial,
        state=_state(end, is_open=is_open),
        label=shown.candidate.label,
        candidate_id=shown.candidate.id,
        backbone=architecture.backbone,
        head=architecture.head,
        input_size=architecture.input_size,
        **_metric(trained),
        trained=None if trained is None else _trained_text(trained),
        is_full=trained is not None
        and (trained.fidelity.is_full if trained.fidelity is not None else shown.is_top),
        is_on_front=trial in table.members,
        latency_ms=None if measured is None else number(measured.latency.p50_ms),
        params_m=None if measured is None else number(measured.params_m),
        macs_g=None if measured is None else number(measured.macs_g),
        size_mb=None if measured is None else number(measured.size_mb),
        reason=None if isinstance(end.outcome, Trained) else str(end.outcome),
        seconds=sum(e.seconds for e in evaluations),
        started=first.started,
        ended=end.started + end.seconds,
    )


def table_of(study: ReadStudy) -> TrialTable:
    """Return the trials of a study, put together once until its records change."""
    return study.part(TrialTable)


def detail(study: ReadStudy, trial: int) -> TrialDetail:
    """Return all that is recorded of a trial.

    Raises:
        RequestError: If nothing of it is recorded.
    """
    table, results = table_of(study), study.results
    row, evaluations = table.row(trial), table.evaluations[trial]
    end, counted = evaluations[-1], table.counted(trial)
    first, outcome, measured = evaluations[0], counted.outcome, counted.measurement
    trained = outcome if isinstance(outcome, Trained) else None
    scores = results.scores.get(trial)
    rejected = end.outcome if isinstance(end.outcome, Rejected) else None
    curve = next(
        (e.outcome.curve for e in reversed(evaluations) if isinstance(e.outcome, Trained)), ()
    )
    return TrialDetail(
        **row.model_dump(),
        candidate=counted.candidate.as_dict(),
        recipe=counted.candidate.recipe_text(results.begun().recipe_axes),
        metrics={} if trained is None else numbers(trained.metrics),
        test=None if scores is None else numbers(scores),
        curve=plain(list(curve)),
        rungs=[_rung(evaluation) for evaluation in evaluations],
        latency=None if measured is None else _latency(measured.latency),
        expected_latency=_expected(first.expected),
        proposal=None if first.proposal is None else _proposal(first.proposal),
        memory_mb=None if measured is None else number(measured.memory_mb),
        throughput_ips=None if measured is None else number(measured.throughput_ips),
        energy_mj=None if measured is None else number(measured.energy_mj),
        exceeded={}
        if rejected is None
        else {
            name: (number(value), allowed) for name, (value, allowed) in rejected.exceeded.items()
        },
        files=TrialFiles(
            **{kind: file.is_file() for kind, file in files(results, counted).items()}
        ),
    )


def files(results: Results, evaluation: Evaluation) -> dict[str, Path]:
    """Return where the pictures of a training and their details lie, whether they are or not."""
    if not isinstance(evaluation.outcome, Trained):
        return {}
    kept, paths = evaluation.outcome.predictions, results.paths
    return {
        "gallery": paths.gallery(kept),
        "mistakes": paths.mistakes(kept),
        "details": paths.details(kept),
    }


def rejected_answer(study: ReadStudy) -> RejectedAnswer:
    """Return what was not trained or not to its end, with the reasons."""
    trials, results = study.part(TrialsPart), study.results
    ends = {
        trial: trials.evaluations[trial][-1]
        for trial, word in trials.words.items()
        if word in ("rejected", "failed")
    }
    ends = dict(sorted(ends.items()))
    over: defaultdict[str, list[int]] = defaultdict(list)
    reasons: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for trial, end in ends.items():
        if isinstance(end.outcome, Rejected):
            for name in end.outcome.exceeded:
                over[name].append(trial)
        elif isinstance(end.outcome, Failed):
            reasons[end.outcome.kind, end.outcome.message].append(trial)
    rejections = [
        RejectionRow(
            limit=row.limit,
            allowed=row.allowed,
            count=row.count,
            least=number(row.least),
            middle=number(row.middle),
            most=number(row.most),
            smallest=number(row.smallest),
            trials=over[row.limit],
        )
        for row in stats.rejections(ends.values())
    ]
    failures = [
        FailureRow(
            kind=kind,
            message=message,
            count=len(trials),
            trials=trials,
            is_passing=any(_is_passing(ends[trial]) for trial in trials),
        )
        for (kind, message), trials in reasons.items()
    ]
    dropped = results.begun().space.dropped
    return RejectedAnswer(
        study=results.paths.study,
        n_rejected=sum(end.kind == "rejected" for end in ends.values()),
        n_failed=sum(end.kind == "failed" for end in ends.values()),
        rejections=rejections,
        failures=sorted(failures, key=lambda row: (-row.count, row.kind, row.message)),
        dropped=list(dropped),
    )


def no_trial(study: str, known: Collection[int], trial: int) -> RequestError:
    """Return the error for a trial of which nothing is recorded, with those that are known."""
    there = f"They are numbered up to {max(known)}." if known else "There is none yet."
    return RequestError(
        404,
        "no_such_trial",
        f"Nothing is recorded of trial {trial} of the study {study!r}. {there}",
    )


def _is_passing(evaluation: Evaluation) -> bool:
    return isinstance(evaluation.outcome, Failed) and evaluation.outcome.is_passing


def _state(end: Evaluation, *, is_open: bool) -> TrialState:
    """Return the state of a trial whose last evaluation is given."""
    if is_below_top(end):
        return "waiting" if is_open else "stopped"
    return end.kind


def _metric(trained: Trained | None) -> dict[str, float | None]:
    names = ("metric", "metric_low", "metric_high")
    return {name: None if trained is None else number(getattr(trained, name)) for name in names}


def _trained_text(trained: Trained) -> str:
    return "full" if trained.fidelity is None else str(trained.fidelity)


def _rung(evaluation: Evaluation) -> RungAnswer:
    outcome = evaluation.outcome
    trained = outcome if isinstance(outcome, Trained) else None
    return RungAnswer(
        rung=evaluation.rung,
        attempt=evaluation.attempt,
        outcome=evaluation.kind,
        trained=None if trained is None else _trained_text(trained),
        **_metric(trained),
        reason=None if trained is not None else str(outcome),
        started=evaluation.started,
        seconds=evaluation.seconds,
    )


def _latency(latency: Latency) -> LatencyAnswer:
    names: Sequence[str] = [n for n in LatencyAnswer.model_fields if n != "n_tiles"]
    values = {name: plain(getattr(latency, name)) for name in names}
    tiles = None if latency.tiles is None else latency.tiles.n
    return LatencyAnswer(**values, n_tiles=tiles)


def _expected(expected: Prediction | None) -> ExpectedLatency | None:
    return None if expected is None else ExpectedLatency(**asdict(expected))


def _proposal(proposal: Proposal) -> ProposalAnswer:
    content: dict[str, Any] = plain(asdict(proposal))
    return ProposalAnswer(text=str(proposal), **content)
