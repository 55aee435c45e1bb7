"""The simulation of many workers: a clock of work and jumps, and studies that end on it."""

from __future__ import annotations

import json
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scale
from replay_tables import load_tables
from scale_clock import REST, MadeUpEngine, VirtualClock
from scale_table import made_table

from archfront.search.engine.jobs import Job
from tests.support.replayed_tables import drawn_rows, write


def test_the_clock_goes_on_by_work_by_waits_and_to_the_end_of_a_training() -> None:
    clock = VirtualClock(start=100.0)
    engine = MadeUpEngine(
        lambda job: job.payload, workers=2, clock=clock, median_s=10.0, spread=0.0
    )
    engine.start()
    with clock.part("begin"):
        clock.wait(3.0)
    futures: list[Future] = [engine.submit(Job("train", name)) for name in "ab"]
    assert engine.submit(Job("draw", "now")).result().value == "now"
    assert not any(future.done() for future in futures)
    engine.end_due()
    assert futures[0].result().value == "a"
    assert futures[0].result().seconds == pytest.approx(10.0)
    assert clock() >= 113.0
    assert 9 < clock.idle_s <= 10
    waited = [one.waited_s for one in engine.begun]
    assert min(waited) >= 3.0
    spent = clock.spent()
    assert spent["begin"] >= 3.0
    # All but what was jumped over is told apart.
    assert sum(spent.values()) == pytest.approx(clock() - 100.0 - clock.idle_s, abs=0.1)
    assert set(spent) == {"begin", REST}


def test_a_made_up_table_has_a_grid_and_a_front_to_be_searched_for() -> None:
    table = made_table()
    assert len(set(table.ids)) == len(table.ids) == 21_600
    assert table.has_grid
    assert table.has_low
    rng = np.random.default_rng(0)
    few = [table.shares(rng.choice(21_600, 50).tolist())[-1] for _ in range(5)]
    assert 0.5 < np.mean(few) < 0.95


@pytest.mark.parametrize("has_rungs", [False, True])
def test_a_study_is_simulated_to_its_end(
    has_rungs: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "grid", drawn_rows("grid"), low_fidelity_cost=0.25)
    words = ["--trials", "12", "--seconds", "60", "--workers", "3", "--no-mlflow"]
    words += ["--table", "grid", "--tables", str(tmp_path)]
    words += ["--json", str(tmp_path / "figures.json")]
    assert scale.main(words + ["--rungs"] * has_rungs) == 0
    (found,) = json.loads((tmp_path / "figures.json").read_text())
    assert found["workers"] == 3
    assert 0 < found["busy"] < 1
    median_s, high_s, most_s = found["wait_s"]
    assert 0 < median_s <= high_s <= most_s
    assert found["n_syncs"] > 3
    assert found["ms"]["all"][scale.PROPOSALS] > 0
    assert "busy" in capsys.readouterr().out


def test_what_a_sync_takes_is_of_the_journal(tmp_path: Path) -> None:
    write(tmp_path, "grid", drawn_rows("grid"))
    (table,) = load_tables(tmp_path, ["grid"])
    case = scale.Case(workers=2, trials=6, seconds=60.0, has_mlflow=False, sync_ms=5000.0)
    found = scale.simulated(case, table)
    without = scale.simulated(replace(case, sync_ms=0.0), table)
    assert found.n_syncs == without.n_syncs
    assert found.ms["all"][scale.JOURNAL] - without.ms["all"][scale.JOURNAL] == pytest.approx(
        5000 * found.n_syncs, rel=0.3
    )
