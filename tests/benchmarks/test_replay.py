"""The replay benchmark reads tables it has never seen, and judges a search as brute force does."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import replay
from replay_space import TableSpace
from replay_study import run_study
from replay_tables import load_tables

from archfront.search.samplers import SAMPLERS
from archfront.search.samplers.base import distributions
from tests.support.replayed_tables import KINDS, N_ROWS, drawn_rows, write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a table of each kind."""
    for kind in KINDS:
        scale = "linear" if kind == "grid" else "log"
        write(tmp_path, kind, drawn_rows(kind), latency_scale=scale)
    return tmp_path


def painted_area(losses: np.ndarray, n: int = 1500) -> float:
    """Return the dominated part of the unit square by counting the centers of its cells."""
    centers = (np.arange(n) + 0.5) / n
    is_dominated = np.zeros((n, n), dtype=bool)
    for error, latency in losses:
        is_dominated |= (centers[:, None] > error) & (centers[None, :] > latency)
    return float(is_dominated.mean())


@pytest.mark.parametrize("kind", ["zoo", "grid"])
def test_shares_are_those_of_painted_areas(folder: Path, kind: str) -> None:
    (table,) = load_tables(folder, [kind])
    accuracy, latency = table.accuracy, table.latency_ms
    error = (accuracy.max() - accuracy) / (accuracy.max() - 30)
    scaled = np.log(latency) if kind == "zoo" else latency
    scaled = (scaled - scaled.min()) / (scaled.max() - scaled.min())
    losses = np.stack([error, scaled], axis=1)
    picks = [7, 2, 7, 29, 11, 0, 18]
    expected = [painted_area(losses[picks[: k + 1]]) for k in range(len(picks))]
    shares = table.shares(picks)
    assert shares == pytest.approx(np.array(expected) / painted_area(losses), abs=3e-3)
    assert table.shares(range(N_ROWS))[-1] == pytest.approx(1.0)


@pytest.mark.parametrize("kind", KINDS)
def test_every_row_is_a_candidate_by_its_choices(folder: Path, kind: str) -> None:
    (table,) = load_tables(folder, [kind])
    space = TableSpace(table)
    axes = distributions(space)

    class Chosen:
        def __init__(self, answers: dict[str, Any]) -> None:
            self.answers = answers

        def suggest_categorical(self, name: str, choices: list[Any]) -> Any:
            assert tuple(choices) == axes[name].choices
            return self.answers[name]

    for row in range(N_ROWS):
        candidate = space.suggest(Chosen(space.choices(space.at(row))))
        assert space.index(candidate) == row
        assert space.architecture_number(candidate.architecture) == row
    assert space.size == len(space.architectures) == N_ROWS
    assert table.has_grid == (kind == "grid")


def test_members_of_a_family_are_ordered_by_parameters(folder: Path) -> None:
    (table,) = load_tables(folder, ["zoo"])
    params = dict(zip(table.ids, table.numeric[:, 0], strict=True))
    axes = distributions(TableSpace(table))
    assert axes["family"].choices == ("f0", "f1", "f2", "f3")
    for family in axes["family"].choices:
        members = axes[f"size@{family}"].choices
        assert list(members) == sorted(members, key=params.__getitem__)


def test_a_grid_with_a_missing_cell_is_searched_by_families(tmp_path: Path) -> None:
    write(tmp_path, "holes", drawn_rows("grid")[1:])
    (table,) = load_tables(tmp_path)
    assert not table.has_grid
    assert "family" in distributions(TableSpace(table))
    assert len(set(run_study(TableSpace(table), "random", seed=0, trials=40).picks)) == N_ROWS - 1


def test_descriptors_are_the_columns_with_medians_for_what_is_missing(tmp_path: Path) -> None:
    rows = drawn_rows("zoo")
    rows[3]["n_log_params"] = ""
    rows[4]["n_log_params"] = "nan"
    rows[5]["n_log_macs"] = "-inf"
    for row in rows:
        row["n_none"] = ""
    rows[6]["prior"] = ""
    write(tmp_path, "gaps", rows)
    space = TableSpace(load_tables(tmp_path)[0])
    features = space.features([3, 4, 5, 6])
    assert features.numeric_names == ("log_params", "log_macs", "none")
    assert features.categorical_names == ("family", "pretrain")
    whole = [float(r["n_log_params"]) for i, r in enumerate(rows) if i not in (3, 4)]
    assert features.numeric[0, 0] == features.numeric[1, 0] == pytest.approx(np.median(whole))
    assert np.isfinite(features.numeric).all()
    assert features.categorical.tolist() == [[3, 0], [0, 0], [1, 0], [2, 0]]
    assert space.published is not None
    assert space.published[5] == pytest.approx(rows[5]["prior"] / 100)
    assert math.isnan(space.published[6])
    assert run_study(space, "tpe", seed=0, trials=12).picks


def test_without_a_prior_nothing_is_published(folder: Path) -> None:
    (table,) = load_tables(folder, ["plain"])
    assert TableSpace(table).published is None


@pytest.mark.parametrize("flag", ["--shuffle-prior", "--no-prior", ""])
def test_a_sampler_is_shown_the_prior_that_is_asked_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch, flag: str
) -> None:
    shown = []

    def spy(space: TableSpace, sampler: str, **rest: Any) -> Any:
        shown.append(space.published)
        return run_study(space, sampler, **rest)

    monkeypatch.setattr(replay, "run_study", spy)
    words = ["--tables", str(folder), "--table", "zoo", "--sampler", "random"]
    assert replay.main([*words, "--trials", "2", "--seeds", "2", *filter(None, [flag])]) == 0
    (table,) = load_tables(folder, ["zoo"])
    assert table.prior is not None
    if flag == "--no-prior":
        assert shown == [None, None]
        return
    for published in shown:
        assert sorted(published) == pytest.approx(sorted(table.prior / 100))
        assert np.array_equal(published, table.prior / 100) == (flag == "")
    assert np.array_equal(shown[0], shown[1]) == (flag == "")


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(SAMPLERS) - {"gp"}))
@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_gives_the_same_search_of_different_rows(
    folder: Path, kind: str, name: str
) -> None:
    space = TableSpace(load_tables(folder, [kind])[0])
    first = run_study(space, name, seed=1, trials=14)
    assert len(set(first.picks)) == len(first.proposal_s) == 14
    assert run_study(space, name, seed=1, trials=14).picks == first.picks
    assert run_study(space, name, seed=2, trials=14).picks != first.picks


@pytest.mark.slow
def test_the_json_holds_every_figure(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = folder / "out.json"
    names = ["random", "optuna-tpe*"]
    words = ["--tables", str(folder), "--json", str(file), "--seeds", "1", "--trials", "50"]
    assert replay.main([*words, "--sampler", *names]) == 0
    results = json.loads(file.read_text())
    assert set(results) == set(KINDS)
    samplers = {"random", "optuna-tpe", "optuna-tpe-multivariate"}
    figures = {"@10", "@20", "@40", "@50", "worst@50", "to90", "to95", "to99"}
    for summaries in results.values():
        assert set(summaries) == samplers
        for summary in summaries.values():
            assert set(summary) == figures | {"ms_per_proposal", "seeds"}
            assert 0 < summary["@10"] <= summary["@50"] <= 1
        # All thirty rows are trained before the fortieth, which then is the whole front.
        assert summaries["random"]["@40"] == summaries["random"]["worst@50"] == 1
    out = capsys.readouterr().out
    assert "grid: 30 rows, linear latency, no prior" in out
    assert "zoo: 30 rows, log latency, prior as published" in out


def test_trainings_to_a_level_are_a_median_over_the_seeds() -> None:
    never, late, early = np.full(60, 0.5), np.linspace(0.5, 0.92, 60), np.full(60, 0.96)
    summary = replay.summarize([never, late, early], [0.001, 0.003], 60)
    assert summary["to90"] == float(np.flatnonzero(late >= 0.9)[0] + 1)
    assert summary["to95"] is None
    assert summary["worst@50"] == 0.5
    assert summary["@10"] == round((0.5 + float(late[9]) + 0.96) / 3, 4)
    assert summary["ms_per_proposal"] == 2.0
    assert "@80" not in summary


def test_a_search_without_a_grid_leaves_out_the_slow_one(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--tables", str(folder), "--table", "zoo", "--trials", "3", "--seeds", "1"]
    assert replay.main([*words, "--sampler", "optuna-gp", "random"]) == 0
    caught = capsys.readouterr()
    assert "optuna-gp is left out, for want of a grid, of: zoo" in caught.err
    assert "optuna-gp" not in caught.out


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        replay.main(["--help"])
    out = capsys.readouterr().out
    assert "--shuffle-prior" in out
    assert "examples:" in out


class TestShortTrainings:
    """A rung below the full trainings, at its cost."""

    @pytest.fixture
    def tables(self, tmp_path: Path) -> Path:
        write(tmp_path, "grid", drawn_rows("grid"), latency_scale="linear", low_fidelity_cost=0.1)
        write(tmp_path, "plain", drawn_rows("plain"))
        return tmp_path

    def test_everything_is_counted(self, tables: Path) -> None:
        space = TableSpace(load_tables(tables, ["grid"])[0])
        found = run_study(space, "random", seed=0, trials=5, has_rungs=True)
        # A full training is a short one that goes on.
        n_full = len(found.picks)
        assert 0.1 * found.n_low + 0.9 * n_full <= 5 + 1e-9
        assert n_full < 5 < found.n_low
        assert len(set(found.picks)) == n_full

    @pytest.mark.slow
    def test_shares_are_of_full_trainings_at_each_cost(
        self, tables: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = tables / "out.json"
        words = ["--tables", str(tables), "--sampler", "random", "--seeds", "2"]
        assert replay.main([*words, "--low-fidelity", "--json", str(file)]) == 0
        results = json.loads(file.read_text())
        assert set(results) == {"grid"}
        summary = results["grid"]["random"]
        names = ("cost", "quarter", "worst", "low", "full")
        figures = {f"{name}@{cost}" for name in names for cost in (5, 10, 20)}
        assert set(summary) == figures | {"ms_per_proposal", "seeds"}
        for cost in (5, 10, 20):
            assert 0 < summary[f"worst@{cost}"] <= summary[f"cost@{cost}"] <= 1
            assert 0 <= summary[f"quarter@{cost}"] <= summary[f"cost@{cost}"]
            used = 0.1 * summary[f"low@{cost}"] + 0.9 * summary[f"full@{cost}"]
            assert used <= cost + 1e-9
        assert summary["quarter@20"] > 0
        assert "cost@5" in capsys.readouterr().out

    @pytest.mark.slow
    def test_latencies_are_seen_with_an_error_until_they_are_measured(self, tables: Path) -> None:
        space = TableSpace(load_tables(tables, ["grid"])[0])
        plain, guessed, again = (
            run_study(space, "front", seed=0, trials=12, latency_error=error)
            for error in (0.0, 0.5, 0.5)
        )
        assert guessed.picks == again.picks
        assert guessed.picks != plain.picks
        both = run_study(space, "front", seed=0, trials=4, has_rungs=True, latency_error=0.5)
        assert both.n_low > 4

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["--table", "plain", "--low-fidelity"], "none of these tables has a column accuracy"),
            (
                ["--low-fidelity", "--sampler", "optuna-tpe"],
                "got optuna-tpe, which search without",
            ),
        ],
    )
    def test_what_has_no_short_trainings_is_told(
        self, tables: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
    ) -> None:
        assert replay.main(["--tables", str(tables), *words]) == 2
        assert message in capsys.readouterr().err

    def test_a_cost_out_of_range_is_told(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write(tmp_path, "grid", drawn_rows("grid"), low_fidelity_cost=6)
        assert replay.main(["--tables", str(tmp_path)]) == 2
        assert "grid.low_fidelity_cost must lie in (0, 1); got 6." in capsys.readouterr().err
