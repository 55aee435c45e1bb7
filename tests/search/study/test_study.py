"""The loop of a study, from its first trial to its front."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from archfront.search.config.schema import LIMITS
from archfront.search.config.settings import measure_settings
from archfront.search.engine.inline import InlineEngine
from archfront.search.engine.jobs import Broken, Done, Job, Result
from archfront.search.engine.processes import ProcessEngine
from archfront.search.front.members import build_front
from archfront.search.latency.database import LatencyTable
from archfront.search.latency.key import latency_key
from archfront.search.records.evaluation import Failed, Rejected, Trained
from archfront.search.records.events import (
    DataRead,
    Event,
    EventLog,
    StudyFinished,
    StudyStarted,
    TrialFinished,
    TrialMeasured,
    TrialProposed,
)
from archfront.search.report import pages
from archfront.search.study.progress import StudyProgress
from archfront.search.study.promotion import Step
from tests.support import forked
from tests.support.small_study import (
    DIVERGING_LR,
    UNBUILDABLE,
    latency_ms,
    perform,
    run,
    small_config,
    small_space,
)
from tests.support.study_engines import Interrupting, Threaded, results, story


class TestLoop:
    def test_a_study_ends_with_its_trials_and_a_front(self, tmp_path: Path) -> None:
        result = run(small_config(tmp_path))
        assert result.state == "finished"
        assert result.reason == "6 candidates are trained (budget.trials=6)"
        found = results(tmp_path)
        assert found.counts()["trained"] == 6
        assert found.state == "finished"
        members = found.front()
        assert members
        assert [m.latency_ms for m in members] == sorted(m.latency_ms for m in members)

    @pytest.mark.slow
    def test_no_candidate_is_evaluated_twice(self, finished: Callable[..., Path]) -> None:
        ids = [e.candidate.id for e in results(finished(budget__trials=1000)).evaluations]
        assert len(ids) == len(set(ids))

    @pytest.mark.slow
    def test_an_exhausted_space_ends_the_study_normally(self, tmp_path: Path) -> None:
        result = run(small_config(tmp_path, budget__trials=1000))
        assert result.state == "finished"
        assert result.reason == "all 48 candidates of the space were tried"
        again = run(small_config(tmp_path, budget__trials=1000))
        assert again.was_finished

    @pytest.mark.slow
    def test_candidates_over_a_limit_are_rejected_and_never_trained(
        self, finished: Callable[..., Path]
    ) -> None:
        evaluations = results(finished(budget__trials=1000)).evaluations
        for evaluation in evaluations:
            architecture = evaluation.candidate.architecture
            is_over = latency_ms(architecture) > 2.0
            if (architecture.backbone, architecture.input_size) == UNBUILDABLE:
                assert isinstance(evaluation.outcome, Failed)
            else:
                assert isinstance(evaluation.outcome, Rejected) is is_over
        rejected = [e for e in evaluations if isinstance(e.outcome, Rejected)]
        assert rejected
        value, allowed = rejected[0].outcome.exceeded["latency_ms"]
        assert value > allowed == 2.0

    @pytest.mark.slow
    def test_an_architecture_over_a_limit_leaves_the_space(
        self, finished: Callable[..., Path]
    ) -> None:
        over = [
            e.candidate.architecture_id
            for e in results(finished(budget__trials=1000)).evaluations
            if isinstance(e.outcome, Rejected)
        ]
        assert len(over) == len(set(over))

    def test_rejections_in_a_row_end_the_study_with_the_fastest_latency(
        self, tmp_path: Path
    ) -> None:
        config = small_config(
            tmp_path, budget__max_rejections=4, hardware__limits__latency_ms=0.001
        )
        result = run(config)
        assert result.state == "finished"
        seen = [
            e.measurement.latency.p50_ms
            for e in results(tmp_path).evaluations
            if e.measurement is not None
        ]
        assert result.reason == (
            "4 candidates in a row were over a limit; the fastest of them takes "
            f"{min(seen[-4:]):.3g} ms. Raise the limits, or give the space smaller backbones and "
            "input sizes"
        )

    def test_a_limit_that_nothing_is_likely_to_meet_ends_the_study_soon(
        self, tmp_path: Path
    ) -> None:
        result = run(small_config(tmp_path, hardware__limits__latency_ms=0.001))
        assert result.state == "finished"
        assert 5 <= results(tmp_path).counts()["rejected"] < len(small_space().architectures)
        assert "in a row were over a limit, and so is probably every other one" in result.reason

    def test_failures_in_a_row_stop_the_study_with_the_last_reason(self, tmp_path: Path) -> None:
        space = small_space(lrs=(DIVERGING_LR,))
        result = run(small_config(tmp_path, budget__max_failures=3), space=space)
        assert re.match(r"3 candidates failed in a row .*(diverged|build): ", result.reason)
        kinds = [e.kind for e in results(tmp_path).evaluations]
        assert kinds[-3:] == ["failed"] * 3
        assert (result.state, results(tmp_path).state) == ("stopped", "stopped")

    def test_a_failed_candidate_is_recorded_and_the_study_goes_on(self, tmp_path: Path) -> None:
        space = small_space(lrs=(0.01, DIVERGING_LR))
        run(small_config(tmp_path, budget__trials=8, budget__max_failures=48), space=space)
        found = results(tmp_path)
        assert found.counts()["trained"] == 8
        kinds = {e.outcome.kind for e in found.evaluations if isinstance(e.outcome, Failed)}
        assert "diverged" in kinds

    def test_the_same_seed_gives_the_same_study(self, tmp_path: Path) -> None:
        for name in ("tpe", "nsga2", "random"):
            stories = []
            for part in ("a", "b"):
                root = tmp_path / name / part
                run(small_config(root, sampler__name=name, sampler__startup=2))
                stories.append(story(results(root).evaluations))
            assert stories[0] == stories[1], name

    def test_another_seed_gives_another_study(self, finished: Callable[..., Path]) -> None:
        one, other = (results(finished(seed=seed)).evaluations for seed in (0, 1))
        assert story(one) != story(other)

    def test_only_the_front_keeps_its_weights(self, tmp_path: Path) -> None:
        run(small_config(tmp_path, budget__trials=12))
        found = results(tmp_path)
        front = {m.trial for m in found.front()}
        trained = [e for e in found.evaluations if isinstance(e.outcome, Trained)]
        assert len(front) < len(trained)
        for evaluation in trained:
            weights = found.paths.folder / evaluation.outcome.weights
            predictions = found.paths.folder / evaluation.outcome.predictions
            assert weights.is_file() is (evaluation.trial in front)
            assert predictions.is_file()

    @pytest.mark.slow
    def test_front_members_have_a_picture_that_the_report_shows(self, tmp_path: Path) -> None:
        run(small_config(tmp_path))
        found = results(tmp_path)
        members = {member.trial for member in found.front()}
        assert set(pages.galleries(found, members)) == members
        pages.write(found)
        assert found.paths.report.read_text().count('class="gallery"') == len(members)

    def test_front_members_are_scored_on_the_test_split(
        self, finished: Callable[..., Path]
    ) -> None:
        found = results(finished(seed=0))
        assert set(found.scores) == {m.trial for m in found.front()}
        assert all(row["test"] == {"accuracy": 0.5} for row in found.rows())

    def test_events_tell_the_story_of_each_trial(self, tmp_path: Path) -> None:
        events: list[Event] = []
        run(small_config(tmp_path, budget__trials=2), followers=(events.append,))
        assert isinstance(events[0], DataRead)
        assert isinstance(events[1], StudyStarted)
        assert isinstance(events[-1], StudyFinished)
        ended = [e.evaluation for e in events if isinstance(e, TrialFinished)]
        for evaluation in ended:
            of_trial = [
                type(e)
                for e in events
                if getattr(e, "trial", None) == evaluation.trial
                or (isinstance(e, TrialFinished) and e.evaluation.trial == evaluation.trial)
            ]
            measured = [TrialMeasured] if evaluation.kind == "trained" else []
            assert of_trial == [TrialProposed, *measured, TrialFinished]

    def test_the_log_has_one_json_line_an_event(self, tmp_path: Path) -> None:
        log = tmp_path / "events.jsonl"
        events: list[Event] = []
        run(small_config(tmp_path), followers=(EventLog(log), events.append))
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        assert [line["event"] for line in lines] == [type(e).__name__ for e in events]

    def test_measurements_are_remembered_for_the_next_study(self, tmp_path: Path) -> None:
        table = LatencyTable(tmp_path / "latency.db")
        jobs: list[str] = []

        class Counting(Interrupting):
            def submit(self, job: Job, on_event: Any = None) -> Future[Result]:
                jobs.append(job.kind)
                return super().submit(job, on_event)

        run(small_config(tmp_path / "a"), table=table, engine=Counting(1000))
        assert "measure" in jobs
        jobs.clear()
        run(small_config(tmp_path / "b"), table=table, engine=Counting(1000))
        assert "measure" not in jobs
        first, second = (results(tmp_path / part).evaluations for part in ("a", "b"))
        assert [(e.trial, e.candidate.id, e.kind) for e in first] == [
            (e.trial, e.candidate.id, e.kind) for e in second
        ]

    @pytest.mark.slow
    def test_a_remembered_failure_is_told_and_counts_for_nothing(self, tmp_path: Path) -> None:
        """Failures in a row end a study, but not those that cost nothing."""
        table = LatencyTable(tmp_path / "latency.db")
        space = small_space()
        failing = [a for a in space.architectures if (a.backbone, a.input_size) != UNBUILDABLE]
        for number, architecture in enumerate(failing):
            if number % 2:
                key = latency_key(architecture, measure_settings(small_config(tmp_path)))
                table.put_failure(key, Failed("crash", "the worker was ended by SIGSEGV"))
        config = small_config(tmp_path, budget__trials=1000, budget__max_failures=3)
        assert run(config, table=table).state == "finished"
        told = [e for e in results(tmp_path).evaluations if "SIGSEGV" in str(e.outcome)]
        assert len(told) == len(failing) // 2  # each architecture once, whatever its recipes
        assert {str(e.outcome) for e in told} == {
            "crash: remembered: the worker was ended by SIGSEGV"
        }
        assert all(isinstance(e.outcome, Failed) and e.outcome.is_remembered for e in told)

    def test_a_measurement_that_lacks_what_is_needed_now_is_taken_again(
        self, tmp_path: Path
    ) -> None:
        table = LatencyTable(tmp_path / "latency.db")
        run(small_config(tmp_path / "a", budget__trials=1), table=table)
        jobs: list[str] = []

        def with_memory(job: Job) -> Any:
            found = perform(job)
            jobs.append(job.kind)
            return replace(found, memory_mb=1.0) if job.kind == "measure" else found

        limits = {**dict.fromkeys(LIMITS), "latency_ms": 2.0, "memory_mb": 8.0}
        for part in ("b", "c"):
            jobs.clear()
            engine = InlineEngine(with_memory, workers=1, threads=1)
            config = small_config(tmp_path / part, budget__trials=1, hardware__limits=limits)
            run(config, table=table, engine=engine)
            assert ("measure" in jobs) is (part == "b")

    @pytest.mark.slow
    def test_several_workers_train_at_a_time_and_count_together(self, tmp_path: Path) -> None:
        config = small_config(tmp_path, engine__name="processes", engine__workers=2)
        with forked.workers(), ProcessEngine(perform, workers=2, threads=1) as engine:
            result = run(config, engine=engine)
        assert result.state == "finished"
        found = results(tmp_path)
        assert found.counts()["trained"] == 6
        ids = [e.candidate.id for e in found.evaluations]
        assert len(ids) == len(set(ids))

    def test_more_objectives_are_minimized_too(self, tmp_path: Path) -> None:
        config = small_config(tmp_path, objectives=["latency_ms", "params_m"])
        run(config)
        found = results(tmp_path)
        assert [o.name for o in found.objectives] == ["accuracy", "latency_ms", "params_m"]
        # no limit on params_m: the heaviest architecture that can be measured gives the reference
        assert found.begun().reference.values == {
            "accuracy": pytest.approx(1 / 3),
            "latency_ms": 2.0,
            "params_m": 11.7,
        }
        assert pages.key_figures(found)["hypervolume"] > 0


@pytest.mark.slow
def test_the_front_is_that_of_all_trained_candidates(finished: Callable[..., Path]) -> None:
    found = results(finished(budget__trials=1000))
    front = {m.trial for m in build_front(found.evaluations, found.objectives)}
    trained = [e for e in found.evaluations if isinstance(e.outcome, Trained)]
    for one in trained:
        beaten = any(
            other.outcome.metric >= one.outcome.metric
            and latency_ms(other.candidate.architecture) <= latency_ms(one.candidate.architecture)
            and (
                other.outcome.metric > one.outcome.metric
                or latency_ms(other.candidate.architecture)
                < latency_ms(one.candidate.architecture)
            )
            for other in trained
        )
        assert (one.trial in front) is not beaten


def test_results_of_jobs_are_one_of_two_kinds() -> None:
    assert {Done, Broken} == set(Result.__args__)


def test_an_idle_slot_decides_anew_only_when_something_landed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It decided at each look at the control, five times a second."""
    n_decisions = 0
    real = StudyProgress.next_step

    def counted(progress: StudyProgress) -> Step | None:
        nonlocal n_decisions
        n_decisions += 1
        return real(progress)

    monkeypatch.setattr(StudyProgress, "next_step", counted)
    monkeypatch.setattr("archfront.search.study.driver.POLL_S", 0.0005)
    with closing(Threaded()) as engine:
        run(small_config(tmp_path, budget__trials=1), engine=engine)
    # The candidate, the idle slot, again after the measurement, and the end.
    assert n_decisions <= 6
