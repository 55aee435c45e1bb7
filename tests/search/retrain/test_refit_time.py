"""The time of a refit: what is left of it, and the lines that tell it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from archfront.search.cli import main
from archfront.search.commands import refit as refit_command
from archfront.search.records.evaluation import Fidelity, Trained
from archfront.search.records.refit_records import Refit
from archfront.search.results.refit_results import RECORD, folder_of
from archfront.search.results.results import Results
from archfront.search.retrain import refit_members
from archfront.search.retrain.refit_members import FullTraining, RefitRequest
from archfront.search.retrain.refit_time import RefitTime, epoch_seconds
from archfront.trainers.spec import EpochRow
from tests.support import small_refits
from tests.support.command import Output

OnEpoch = Callable[[FullTraining, EpochRow], None]


def step(trial: int, epochs: int, *, done: bool = False) -> FullTraining:
    record = Refit(trial, "", 0, {}, {}, {}, 1, (), 1.0, "", {}) if done else None
    return FullTraining(trial, 0, {"epochs": epochs}, record, None)


def test_the_time_is_by_the_search_and_then_by_its_own_epochs() -> None:
    now = [0.0]
    slow, there, fast = step(0, 10), step(1, 10, done=True), step(2, 20)
    left = RefitTime([slow, there, fast], {0: 2.0, 1: 9.0, 2: 0.5}, lambda: now[0])
    assert left.left_s() == 30
    now[0] = 8.0  # twice as slow as in the search
    left.trained(slow)
    left.trained(slow)
    assert left.left_s(slow, 2) == 2 * (8 * 2 + 20 * 0.5)
    assert left.left_s(fast, 19) == 2 * 0.5


def test_without_epochs_in_the_search_the_first_one_says_it() -> None:
    now = [0.0]
    only = step(0, 5)
    left = RefitTime([only], {}, lambda: now[0])
    assert left.left_s() is None
    now[0] = 3.0
    left.trained(only)
    assert left.left_s(only, 1) == 12


def test_an_epoch_is_one_over_all_training_images(tmp_path: Path) -> None:
    found = small_refits.write(tmp_path)
    outcome = found.evaluations[0].outcome
    assert isinstance(outcome, Trained)
    rows = [{**row, "seconds": s} for row, s in zip(outcome.curve, (9, 3, 4), strict=True)]
    part = replace(outcome, curve=tuple(rows), fidelity=Fidelity(3, 3, 0.5, 3))
    probe = replace(outcome, curve=({**rows[0], "epoch": 0},), fidelity=Fidelity(0, 3, 1.0, 0))
    of = [replace(found.evaluations[k], outcome=o) for k, o in enumerate((part, probe))]
    given = replace(found, evaluations=of)
    assert epoch_seconds(given, small_refits.study(found), (0, 1)) == {0: 8}


def test_a_pipe_gets_the_plan_and_an_epoch_now_and_then(
    tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was said until a training was over, and nowhere for how long it would go on."""
    found = small_refits.write(tmp_path)
    small_refits.write_refits(found, 0, [0.6, 0.7])
    records = [Refit.read(folder_of(found, 0, seed) / RECORD) for seed in (0, 1)]

    def trained(
        results: Results, study: Any, request: RefitRequest, on_epoch: OnEpoch
    ) -> Iterator[tuple[FullTraining, Refit]]:
        steps = refit_members.steps_of(results, study, request)
        for one, record in zip(steps, records, strict=True):
            assert record is not None
            for epoch in (1, 2, 3):
                on_epoch(one, EpochRow(epoch, 0.1, 0.1, 0.1, {"accuracy": 0.5}))
            yield one, record

    monkeypatch.setattr(refit_members, "refit", trained)
    monkeypatch.setattr(refit_command, "EPOCH_LINE_S", 0.0)
    words = ("refit", "digits", "--root", str(tmp_path), "--members", "fastest", "--seeds", "2")
    assert main([*words, "--epochs", "3"]) == 0
    lines = [
        re.sub(r"about [\d.e-]+ s", "about N s", x) for x in capsys.readouterr().err.split("\n")
    ]
    assert lines[:4] == [
        "2 full trainings of up to 3 epochs, about N s by those of the search",
        "trial 0 seed 0, epoch 1 of 3, accuracy 0.5000, about N s left",
        "trial 0 seed 0, epoch 2 of 3, accuracy 0.5000, about N s left",
        "trial 0 seed 0: accuracy 0.6000 on val, best epoch 2 of 2, 3 s",
    ]
