"""A study that ended in the middle goes on as if nothing had happened."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from archfront.search.engine.inline import InlineEngine
from archfront.search.errors import ConfigChangedError, StudyLockedError
from archfront.search.records.evaluation import Failed
from archfront.search.records.events import Event, StudyStarted, TrialFinished, TrialProposed
from archfront.search.records.paths import StudyPaths
from archfront.search.records.store import driving
from archfront.search.study import begin, study
from archfront.search.study.budget import exhausted
from archfront.search.study.control import Control
from tests.support.small_study import Forgetful, perform, prepared, run, small_config
from tests.support.study_engines import DriverDeath, Dying, Interrupting, results, story


class TestResume:
    @pytest.mark.slow
    @pytest.mark.parametrize("n_jobs", [0, 1, 2, 5, 8])
    @pytest.mark.parametrize("sampler", ["random", "tpe", "nsga2"])
    def test_an_interrupted_study_goes_on_as_if_nothing_had_happened(
        self, tmp_path: Path, finished: Callable[..., Path], n_jobs: int, sampler: str
    ) -> None:
        settings = {"sampler__name": sampler, "sampler__startup": 2}
        config = small_config(tmp_path, **settings)
        first = run(config, engine=Interrupting(n_jobs))
        assert first.state == "interrupted"
        assert results(tmp_path).state == "interrupted"
        second = run(config)
        assert second.state == "finished"
        whole = results(finished(**settings))
        assert story(results(tmp_path).evaluations) == story(whole.evaluations)

    def test_a_finished_study_does_nothing(self, tmp_path: Path) -> None:
        config = small_config(tmp_path)
        run(config)
        before = results(tmp_path).evaluations
        again = run(config, engine=Interrupting(0))
        assert again.was_finished
        assert again.reason == "6 candidates are trained (budget.trials=6)"
        assert results(tmp_path).evaluations == before

    def test_one_whose_whole_space_was_over_the_limits_says_so_again(self, tmp_path: Path) -> None:
        config = small_config(tmp_path, hardware__limits__latency_ms=1e-6)
        run(config)
        rejected = results(tmp_path).evaluations
        store: Any = SimpleNamespace(
            state={"state": "finished", "is_exhausted": True}, evaluations=lambda: rejected
        )
        header: Any = SimpleNamespace(space=SimpleNamespace(size=len(rejected)))
        found = study._done_before(store, header, config)
        assert found is not None
        assert found.reason == exhausted(len(rejected), rejected)
        assert "over a limit" in found.reason

    def test_a_larger_budget_extends_a_finished_study(self, tmp_path: Path) -> None:
        run(small_config(tmp_path))
        before = story(results(tmp_path).evaluations)
        assert not run(small_config(tmp_path, budget__trials=9)).was_finished
        after = results(tmp_path)
        assert story(after.evaluations)[: len(before)] == before
        assert after.counts()["trained"] == 9
        assert set(after.scores) >= {m.trial for m in after.front()}

    def test_another_question_is_an_error_that_shows_the_difference(self, tmp_path: Path) -> None:
        run(small_config(tmp_path))
        changed = small_config(tmp_path, seed=7, hardware__limits__latency_ms=3.0)
        with pytest.raises(ConfigChangedError) as caught:
            run(changed)
        assert str(caught.value) == (
            "The study 'small' was started with another configuration:\n"
            "  hardware.limits.latency_ms: 2.0 in the study, 3.0 now\n"
            "  seed: 0 in the study, 7 now\n"
            "Resume it with the stored values (only budget, engine and tracking may change), or "
            "start another study with study=NAME."
        )

    def test_other_images_are_an_error(self, tmp_path: Path) -> None:
        config = small_config(tmp_path)
        run(config, engine=Interrupting(3))
        known = prepared(config)
        other = replace(known, dataset=replace(known.dataset, fingerprint="0" * 16))
        with pytest.raises(ConfigChangedError, match="The dataset of the study 'small' changed"):
            study.run(config, prepared=other, engine=Interrupting(9), table=Forgetful())  # type: ignore[arg-type]  # a fake table

    @pytest.mark.slow
    @pytest.mark.parametrize(("isolates", "kind"), [(False, "crash"), (True, "killed")])
    def test_a_candidate_that_kills_its_driver_is_given_up(
        self, tmp_path: Path, isolates: bool, kind: str
    ) -> None:
        """A candidate in another process was blamed for a driver that somebody killed."""
        config = small_config(tmp_path)
        for _ in range(3):
            with pytest.raises(DriverDeath):
                run(config, engine=Dying())
        last = InlineEngine(perform, workers=1, threads=1)
        last.isolates = isolates  # type: ignore[misc]  # of this one
        run(config, engine=last)
        first = results(tmp_path).evaluations[0]
        assert isinstance(first.outcome, Failed)
        assert str(first.outcome) == (
            f"{kind}: the driver died 3 times while this candidate was in flight"
        )
        assert results(tmp_path).counts()["trained"] == 6

    def test_an_evaluation_that_was_written_and_not_told_is_not_run_again(
        self, tmp_path: Path, finished: Callable[..., Path]
    ) -> None:
        config = small_config(tmp_path)
        run(config, engine=Interrupting(4))
        wanted = results(finished(seed=0)).evaluations
        places = StudyPaths(tmp_path, "small")
        with driving(places, None, prepared(config).objectives) as store:
            (frozen,) = store.in_flight()
            lost = next(e for e in wanted if e.trial == frozen.number)
            store.record(store.trial(frozen, _NoSampler()), lost)
        run(config)
        assert story(results(tmp_path).evaluations) == story(wanted)

    def test_a_second_driver_is_told_who_runs(self, tmp_path: Path) -> None:
        config = small_config(tmp_path)
        errors: list[str] = []

        def second(event: Event) -> None:
            if isinstance(event, StudyStarted):
                with pytest.raises(StudyLockedError) as caught:
                    run(config)
                errors.append(str(caught.value))

        run(config, followers=(second,))
        assert len(errors) == 1
        assert "The study 'small' is already run by process" in errors[0]

    def test_a_cancelled_study_stops_soon_and_goes_on_later(self, tmp_path: Path) -> None:
        control = Control()

        def cancel(event: Event) -> None:
            if isinstance(event, TrialFinished):
                control.cancel()

        result = run(small_config(tmp_path), followers=(cancel,), control=control)
        assert result.state == "interrupted"
        assert len(results(tmp_path).evaluations) == 1
        assert run(small_config(tmp_path)).state == "finished"

    @pytest.mark.slow
    def test_a_paused_study_proposes_nothing_until_it_is_resumed(self, tmp_path: Path) -> None:
        control = Control()
        proposed: list[int] = []
        paused_with: list[int] = []

        def follow(event: Event) -> None:
            if isinstance(event, TrialProposed):
                proposed.append(event.trial)
            if isinstance(event, TrialFinished) and len(proposed) == 2:
                control.pause()
                threading.Timer(0.5, resume).start()

        def resume() -> None:
            paused_with.append(len(proposed))
            control.resume()

        result = run(small_config(tmp_path), followers=(follow,), control=control)
        assert result.state == "finished"
        assert paused_with == [2]


class _NoSampler:
    """Proposes nothing: every parameter of the trial is written already."""

    def infer_relative_search_space(self, *_: object) -> dict[str, Any]:
        return {}

    def sample_relative(self, *_: object) -> dict[str, Any]:
        return {}

    def before_trial(self, *_: object) -> None:
        return None


def test_the_fast_writer_of_yaml_writes_what_the_other_does(tmp_path: Path) -> None:
    config = small_config(tmp_path / "100%, #2: it's").as_dict()
    written = yaml.dump(config, Dumper=begin.DUMPER, sort_keys=False)
    assert written == yaml.safe_dump(config, sort_keys=False)
    config["study"] = "größer \t" * 20  # whose escapes are folded elsewhere
    assert yaml.safe_load(yaml.dump(config, Dumper=begin.DUMPER, sort_keys=False)) == config
