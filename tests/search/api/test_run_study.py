"""A study run from Python, asked for by words and mappings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import archfront as af
from archfront.search.config.build import build
from archfront.search.config.compose import compose
from archfront.search.config.value_words import words_of
from archfront.search.errors import ConfigError
from archfront.search.report import terminal
from tests.support.command import Output, fails
from tests.support.own_processes import TINY

pytestmark = pytest.mark.usefixtures("known_profiles")


class TestRun:
    @pytest.mark.slow
    @pytest.mark.parametrize(
        "options",
        [
            ["data=digits", "budget.minutes=30", "data.train=0.5", "space.heads=avg,gem"],
            [{"data": "digits", "budget.minutes": 30, "data.train": 0.5}, "space.heads=avg,gem"],
            [
                {"budget": {"minutes": 30}, "space": {"heads": ["avg", "gem"]}},
                {"data": "digits"},
                {"data": {"train": 0.5}},
            ],
        ],
    )
    def test_a_mapping_means_what_its_words_mean(self, options: list[Any]) -> None:

        words = ["data=digits", "budget.minutes=30", "data.train=0.5", "space.heads=avg,gem"]
        found, wanted = compose(words_of(options)), compose(words)
        assert build(found.content, texts=found.texts) == build(wanted.content, texts=wanted.texts)

    def test_values_of_python_are_values_of_the_command(self) -> None:

        given = {
            "budget": {"trials": None, "rungs": []},
            "data.download": True,
            "data": {"root": Path("my photos, v=1"), "palette": {}},
            "space.recipe.lr": (1e-4, 0.5),
        }
        assert words_of([given]) == [
            "budget.trials=null",
            "budget.rungs=[]",
            "data.download=true",
            "data.root=my photos, v=1",
            "data.palette={}",
            "space.recipe.lr=0.0001,0.5",
        ]
        with pytest.raises(ConfigError, match=r"3: an option is text as 'budget.minutes=30'"):
            words_of([3])  # type: ignore[list-item]

    def test_problems_are_those_of_the_command(self, capsys: Output) -> None:
        with pytest.raises(ConfigError) as raised:
            af.run({"data": "digits", "budget": {"trails": 3}, "engine.workers": 0})
        shown = fails(capsys, 2, "run", "data=digits", "budget.trails=3", "engine.workers=0")
        assert all(problem in shown for problem in raised.value.problems)
        assert len(raised.value.problems) == 2

    @pytest.mark.slow
    def test_a_study_is_run_and_shown_as_by_the_command(self, here: Path, capsys: Output) -> None:
        study = af.run(*TINY, {"study": "mine"})
        shown = capsys.readouterr().out
        assert "The study 'mine' is finished: 1 candidate is trained" in shown
        assert "Pareto front, fastest first" in shown
        assert study.folder == here / "mlruns" / "studies" / "mine"
        assert (study.state, len(study.front)) == ("finished", 1)
        again = af.run(config=study.folder / "study.yaml", quiet=True)
        assert capsys.readouterr().out == ""
        assert (again.state, again.folder) == (study.state, study.folder)

    @pytest.mark.slow
    def test_an_interruption_is_raised_when_everything_is_recorded(
        self, here: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:

        def interrupt(evaluation: object, *others: object, **options: object) -> str:
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(terminal, "outcome_line", interrupt)
            with pytest.raises(KeyboardInterrupt):
                af.run(*TINY, "study=mine", "budget.trials=2", quiet=True)
        study = af.open("mine")
        assert study.state == "interrupted"
        assert af.run(*TINY, "study=mine", "budget.trials=2", quiet=True).state == "finished"
