"""A recorded study in Python: it says and does what the command does."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import archfront as af
from archfront.search.api.export_call import ExportKeywords
from archfront.search.commands.export import ExportOptions
from archfront.search.commands.refit import RefitOptions
from archfront.search.errors import ArtifactError, ConfigError, StudyError
from archfront.search.export.scoring import score_outputs
from archfront.search.records.paths import StudyPaths
from archfront.search.records.store import driving
from tests.support import recorded_study
from tests.support.command import Output, succeeds


class TestStudy:
    def test_the_front_is_that_of_the_command(self, flowers: af.Study, capsys: Output) -> None:
        root = str(flowers.folder.parents[1])
        rows = json.loads(succeeds(capsys, "front", "flowers", "--json", "--root", root))
        front = flowers.front
        assert isinstance(front, pd.DataFrame)
        assert set(front.columns) == set(rows[0]) - {"test"}
        for name in ("trial", "candidate_id", "metric", "latency_ms", "is_knee", "ties"):
            assert front[name].tolist() == [row[name] for row in rows]

    def test_test_metrics_have_columns_of_their_own(self, flowers: af.Study) -> None:
        trial = int(flowers.front["trial"].iloc[0])
        places = StudyPaths(flowers.folder.parents[1], "flowers")
        with driving(places, None, list(recorded_study.OBJECTIVES)) as store:
            store.write_scores({trial: {"accuracy": 0.875}})
        front = flowers.front
        assert front["test_accuracy"].iloc[0] == 0.875
        assert front["test_accuracy"].iloc[1:].isna().all()

    def test_the_plot_shows_every_member(self, flowers: af.Study) -> None:
        figure = flowers.plot()
        drawn = {(x, y) for trace in figure.data for x, y in zip(trace.x, trace.y, strict=True)}
        points = zip(flowers.front["latency_ms"], flowers.front["metric"], strict=True)
        assert set(points) <= drawn

    @pytest.mark.slow
    def test_the_report_is_written_when_it_is_missing(self, flowers: af.Study) -> None:
        assert not (flowers.folder / "report.html").exists()
        page = flowers.report
        assert page == flowers.folder / "report.html"
        assert "flowers" in page.read_text(encoding="utf-8")
        page.write_text("mine")
        assert flowers.report.read_text() == "mine"

    def test_it_says_what_it_is(self, flowers: af.Study) -> None:
        n = len(flowers.front)
        assert flowers.state == "finished"
        assert repr(flowers) == (
            f"<Study 'flowers', finished, {n} members on its front, in {flowers.folder}>"
        )

    def test_a_notebook_shows_its_front(self, flowers: af.Study) -> None:
        page = flowers._repr_html_()
        assert page.count("<tr") == len(flowers.front) + 1
        for backbone in flowers.front["backbone"]:
            assert f"<td>{backbone}</td>" in page
        assert "<th>accuracy</th>" in page

    def test_what_a_notebook_shows_is_escaped(
        self, flowers: af.Study, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rows = flowers._results().rows()
        evil = [{**row, "backbone": "<script>alert(1)</script>"} for row in rows]
        monkeypatch.setattr("archfront.search.results.results.Results.rows", lambda self: evil)
        monkeypatch.setattr(flowers, "name", "flowers")
        page = flowers._repr_html_()
        assert "<script>" not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page

    def test_a_study_without_a_front_says_so(self, tmp_path: Path) -> None:
        places = StudyPaths(tmp_path, "empty")
        with driving(places, None, list(recorded_study.OBJECTIVES)):
            places.config.write_text("{}")
        study = af.open("empty", root=tmp_path)
        assert (study.state, study.front.empty) == ("stopped", True)
        assert study.front[study.front["latency_ms"] < 10].empty
        assert "0 members" in repr(study)
        assert study._repr_html_() == "<b>empty</b>, stopped: no candidate is trained yet."
        for ask in (study.plot, study.member):
            with pytest.raises(StudyError, match="'empty' has no trained candidate yet"):
                ask()
        with pytest.raises(StudyError, match="'empty' has no records yet, so no report"):
            _ = study.report

    def test_a_study_that_was_removed_is_still_shown(
        self, flowers: af.Study, capsys: Output
    ) -> None:
        """An object that cannot be printed hides what is wrong with it."""
        root = str(flowers.folder.parents[1])
        succeeds(capsys, "delete", "flowers", "--yes", "--root", root)
        assert repr(flowers).startswith("<Study 'flowers': There is no study 'flowers' in")
        assert "There is no study" in flowers._repr_html_()


class TestRefitAndExport:
    def test_keywords_are_the_options_of_the_verbs(self, digits: af.Study) -> None:
        """And their defaults, wherever they are written twice."""
        refit = inspect.signature(digits.refit).parameters
        given = {n: p.default for n, p in refit.items() if n not in ("members", "quiet")}
        assert given == {n: v for n, v in vars(RefitOptions()).items() if n != "members"}
        names = set(ExportKeywords.__annotations__) | {"member", "format"}
        assert names == set(vars(ExportOptions()))

    @pytest.mark.slow
    def test_a_refit_and_an_export_are_those_of_the_command(
        self, digits: af.Study, here: Path, capsys: Output
    ) -> None:
        table = digits.refit(members="best", epochs=1, seeds=1, quiet=True)
        assert capsys.readouterr() == ("", "")
        assert table["trial"].tolist() == [1]
        assert 0 <= table["metric"][0] <= 1
        assert "After full training" in digits.report.read_text(encoding="utf-8")
        folder = digits.export("out", member="best", no_latency=True, quiet=True)
        assert capsys.readouterr() == ("", "")
        assert folder == here / "out"
        manifest = json.loads((folder / "manifest.json").read_text())
        assert (manifest["trial"], manifest["weights"]["kind"]) == (1, "refit")
        digits.member("best").export("again", no_latency=True)
        assert "trial 1: test_resnet@16 timm, refit weights" in capsys.readouterr().out
        with pytest.raises(ArtifactError, match="holds an export of trial 1 of 'digits'"):
            digits.export("out", member="best", no_latency=True)

    def test_problems_name_the_keywords(self, digits: af.Study) -> None:
        with pytest.raises(ConfigError) as raised:
            digits.refit(seeds=0, ema=1, members=())
        assert raised.value.problems == (
            "seeds: a whole number of at least 1 is needed; got 0.",
            "ema: a number from 0 to below 1 is needed; got 1.",
            "members: at least one member is needed.",
        )
        with pytest.raises(ConfigError, match=r"max_loss: a share from 0 to 1 is needed; got 2\."):
            digits.export("out", max_loss=2)
        with pytest.raises(ConfigError, match="dynamic_batch: any number of images is not 4"):
            digits.export("out", batch=4, dynamic_batch=True)
        with pytest.raises(TypeError, match=r"^export\(\) .* 'formt'\. Did you mean 'format'\?"):
            digits.export("out", formt="onnx")

    def test_values_of_another_type_are_named_as_other_problems(self, digits: af.Study) -> None:
        """They were compared with numbers, and a TypeError named neither keyword nor value."""
        with pytest.raises(ConfigError) as raised:
            digits.refit(epochs="many", seeds=2.5, ema="0", distill=1, members=[1])
        assert raised.value.problems == (
            "epochs: a whole number or None is needed; got 'many'.",
            "seeds: a whole number is needed; got 2.5.",
            "ema: a number is needed; got '0'.",
            "distill: True or False is needed; got 1.",
        )
        with pytest.raises(ConfigError, match="batch: a whole number or None is needed; got True"):
            digits.export("out", batch=True)
        with pytest.raises(ConfigError, match="A name, a trial or a list of these is needed; got"):
            digits.refit(members=None)
        with pytest.raises(ConfigError, match="seeds: a whole number of at least 1 is needed"):
            digits.refit(seeds=np.int64(0))
        with pytest.raises(ConfigError, match="threads: a whole number is needed; got '2'"):
            digits.member(1).predict("any.png", threads="2")

    @pytest.mark.slow
    def test_a_format_that_fails_is_raised_and_the_others_stay(
        self, digits: af.Study, here: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*given: object, **named: object) -> Any:
            raise ArtifactError("its outputs are not finite")

        monkeypatch.setattr("archfront.search.export.ship.score_outputs", fail_second(fail))
        with pytest.raises(ArtifactError, match=r"0 of 1 format in .*out\. onnx: its outputs"):
            digits.export("out", member="best", proxy=True, no_latency=True, quiet=True)


def fail_second(fail: Any) -> Any:
    """Return a scoring that works for the checkpoint and fails for the file made of it."""
    calls: list[int] = []

    def scored(*given: Any, **named: Any) -> Any:
        calls.append(1)
        return (fail if len(calls) > 1 else score_outputs)(*given, **named)

    return scored
