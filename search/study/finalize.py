"""The end of a study: the members of its front are scored, drawn and, if needed, timed again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from archfront.search.config.schema import BudgetConfig, LimitsConfig
from archfront.search.engine.jobs import Broken, Engine, Job
from archfront.search.engine.second_try import found_result
from archfront.search.jobs.perform import DrawRequest, MeasureRequest, ScoreRequest
from archfront.search.latency.steady import steadier
from archfront.search.prepare.gate import exceeded
from archfront.search.prepare.prepare import Prepared
from archfront.search.records.evaluation import Evaluation, Measurement, trained_outcome
from archfront.search.records.events import Event, Noticed
from archfront.search.records.paths import StudyPaths
from archfront.search.records.store import StudyStore
from archfront.trainers.spec import Architecture

# Name of a member's latency with its trained weights, among its scores.
TRAINED_LATENCY = "trained_latency_ms"
# The share of the minutes that measuring disturbed latencies again may take at the end
# (benchmarks/LOG.md, "The first full training on a slow machine").
AGAIN = 0.05


class FrontFinalizer:
    """Scores, times and draws the members of a front; what is recorded is not done again.

    Args:
        prepared: The study.
        store: Its records.
        engine: Where jobs run.
        paths: Its files.
        emit: Takes the events.
    """

    def __init__(
        self,
        prepared: Prepared,
        store: StudyStore,
        engine: Engine,
        paths: StudyPaths,
        emit: Callable[[Event], None],
    ) -> None:
        self._prepared, self._settings = prepared, prepared.settings
        self._store, self._engine, self._paths, self._emit = store, engine, paths, emit

    def finalize(self, front: Sequence[Evaluation]) -> None:
        """Score the members, time them again if latency depends on their weights, draw them."""
        self._score(front)
        self._measure_again(front)
        self._draw(front)

    def measure_disturbed(
        self, in_doubt: Sequence[Evaluation], left_s: float
    ) -> dict[Architecture, Measurement]:
        """Measure architectures once more; return and record the latencies that count.

        Args:
            in_doubt: Evaluations whose latency other work disturbed.
            left_s: Seconds that are left of the budget's minutes.
        """
        if self._prepared.device is not None:  # another device, which is not at hand
            return {}
        better: dict[Architecture, Measurement] = {}
        for evaluation in timed_again(in_doubt, self._prepared.config.budget, left_s):
            architecture, before = evaluation.candidate.architecture, _measured(evaluation)
            request = MeasureRequest(architecture, self._settings.measure, self._paths.measuring)
            job = self._settings.limited(Job("measure", request, is_exclusive=True))
            found = self._done(job, evaluation, "measured again")
            if found is None or (best := steadier(before, found)).latency == before.latency:
                continue
            better[architecture] = best
            self._store.write_remeasured(evaluation.candidate.architecture_id, best)
            self._emit(Noticed(_again(evaluation, before, best, self._settings.limits)))
        return better

    def _score(self, front: Sequence[Evaluation]) -> None:
        """Score members on the test split, which the search never saw."""
        if "test" not in self._prepared.dataset.splits:
            return
        for evaluation in front:
            scores = self._store.scores
            if self._settings.train.metric in scores.get(evaluation.trial, {}):
                continue
            request = ScoreRequest(
                evaluation.candidate,
                self._prepared.data,
                self._paths.folder / trained_outcome(evaluation).weights,
                "test",
                self._settings.train.threads,
            )
            found = self._done(Job("score", request), evaluation, "scored")
            if found is not None:
                self._add(evaluation, found)

    def _measure_again(self, front: Sequence[Evaluation]) -> None:
        """Time members with their trained weights where these decide what is computed."""
        if self._prepared.device is not None:  # another device, which is not at hand
            return
        for evaluation in front:
            a = evaluation.candidate.architecture
            is_known = TRAINED_LATENCY in self._store.scores.get(evaluation.trial, {})
            if is_known or not self._prepared.task.depends_on_weights(a.head):
                continue
            request = MeasureRequest(
                a,
                self._settings.measure,
                self._paths.measuring,
                self._paths.folder / trained_outcome(evaluation).weights,
            )
            job = Job("measure", request, is_exclusive=True)
            found = self._done(job, evaluation, "measured again")
            if found is not None:
                self._add(evaluation, {TRAINED_LATENCY: found.latency.p50_ms})

    def _draw(self, front: Sequence[Evaluation]) -> None:
        """Draw predictions of members that have no picture yet."""
        for evaluation in front:
            predictions = self._paths.folder / trained_outcome(evaluation).predictions
            file = self._paths.gallery(predictions)
            if file.is_file():
                continue
            request = DrawRequest(
                evaluation.candidate.architecture,
                self._prepared.data,
                predictions,
                file,
                self._settings.train.seed,
            )
            self._done(Job("draw", request), evaluation, "drawn")

    def _done(self, job: Job, evaluation: Evaluation, word: str) -> Any:
        """Return the value of a job, or None if it failed, of which an event tells."""
        result = found_result(self._engine, job)
        if isinstance(result, Broken):
            self._emit(Noticed(f"trial {evaluation.trial} not {word}: {result.message}"))
            return None
        return result.value

    def _add(self, evaluation: Evaluation, scores: dict[str, float]) -> None:
        known = self._store.scores
        mine = {**known.get(evaluation.trial, {}), **scores}
        self._store.write_scores({**known, evaluation.trial: mine})


def timed_again(
    in_doubt: Iterable[Evaluation], budget: BudgetConfig, left_s: float = 0.0
) -> list[Evaluation]:
    """Return what is measured again at the end, the least certain latency first.

    A study of minutes measures one in any case, and others within what is left of its minutes or
    a share of them that is kept for it.

    Args:
        in_doubt: Evaluations whose latency other work disturbed; of an architecture one counts.
        budget: The whole budget.
        left_s: Seconds that are left of the budget's minutes.
    """
    of: dict[Architecture, Evaluation] = {}
    for evaluation in sorted(in_doubt, key=lambda e: -_measured(e).latency.spread):
        of.setdefault(evaluation.candidate.architecture, evaluation)
    if budget.minutes is None:
        return list(of.values())
    most_s = max(left_s, AGAIN * 60 * budget.minutes)
    chosen: list[Evaluation] = []
    seconds = 0.0
    for evaluation in of.values():
        seconds += _measured(evaluation).seconds
        if chosen and seconds > most_s:
            break
        chosen.append(evaluation)
    return chosen


def again_s(in_doubt: Iterable[Evaluation], budget: BudgetConfig) -> float:
    """Return the seconds that are kept for measuring again; arguments as of ``timed_again``."""
    if budget.minutes is None:
        return 0.0
    return sum(_measured(evaluation).seconds for evaluation in timed_again(in_doubt, budget))


def _again(
    evaluation: Evaluation, before: Measurement, after: Measurement, limits: LimitsConfig
) -> str:
    word = "stable" if after.latency.is_stable else "still unstable"
    over = ", over the limit" if "latency_ms" in exceeded(after, limits) else ""
    return (
        f"trial {evaluation.trial}: latency measured again, {after.latency.p50_ms:.3g} ms and "
        f"{word}{over}; {before.latency.p50_ms:.3g} ms before"
    )


def _measured(evaluation: Evaluation) -> Measurement:
    assert evaluation.measurement is not None, "what was trained was measured before"
    return evaluation.measurement
