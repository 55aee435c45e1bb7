"""How the ranks of fidelities are told, and that they are trained as a study would."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import fidelity_ranks
import numpy as np
import pytest
from fidelity_ranks import (
    PROBE,
    Values,
    drawn,
    error_of,
    kendall,
    name_of,
    options_of,
    rankings,
    read_rows,
    values_of,
)

from archfront.search.prepare.study_settings import resolve
from archfront.search.records.candidate import Candidate
from archfront.trainers.spec import Recipe, TrainResult, TrainSettings, Weights
from tests.support.small_study import prepared, small_config, small_space

FULL = "epoch 2"


def options(out: Path, *more: str) -> argparse.Namespace:
    words = ["--out", str(out), "--epochs", "2", "--shares", "1,1/3", *more]
    return options_of([*words, "data=digits"])


def value(metric: float, seconds: float) -> dict[str, float]:
    return {"metric": metric, "seconds": seconds}


def table() -> list[Values]:
    """Return candidates of which the probe likes the second best, and epoch 1 reverses all."""
    full, probe = (0.5, 0.6, 0.7, 0.9), (0.1, 0.2, 0.4, 0.3)
    return [
        {FULL: value(f, 10.0), PROBE: value(p, 1.0), "epoch 1": value(1 - f, 5.0)}
        for f, p in zip(full, probe, strict=True)
    ]


def test_a_fidelity_is_told_by_rank_regret_and_what_it_saves() -> None:
    probe, half, full = rankings(table(), FULL)
    assert [row.fidelity for row in (probe, half, full)] == [PROBE, "epoch 1", FULL]
    # Of six pairs, the probe has one the wrong way round.
    assert [row.kendall for row in (probe, half, full)] == pytest.approx([4 / 6, -1, 1])
    assert [row.regret for row in (probe, half, full)] == pytest.approx([0.2, 0.4, 0.0])
    assert [row.saved for row in (probe, half, full)] == pytest.approx([0.9, 0.5, 0.0])
    assert full.error is None


def test_equal_metrics_have_no_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fidelity_ranks, "RESAMPLES", 200)
    assert kendall([1, 1, 1], [1, 2, 3]) is None
    rng = np.random.default_rng(0)
    assert error_of([1, 1, 1], [1, 2, 3], rng) is None
    errors = [error_of(range(n), rng.permutation(n).tolist(), rng) for n in (10, 100)]
    assert errors[0] > errors[1] > 0


def test_candidates_are_different_and_the_same_for_a_seed(tmp_path: Path) -> None:
    space = prepared(small_config(tmp_path))
    found = drawn(space, 15, 1)
    assert len({candidate.id for candidate in found}) == 15
    assert found == drawn(space, 15, 1) != drawn(space, 15, 2)
    with pytest.raises(SystemExit, match="has 48 candidates and 49 are asked for"):
        drawn(space, 49, 1)


Asked = list[tuple[TrainSettings, Path | None]]


def recording(asked: Asked) -> Callable[..., TrainResult]:
    """Return a trainer that writes down what it is asked, and takes ten times the share."""

    def trained(
        candidate: Candidate, settings: TrainSettings, place: Path, resume: Path | None
    ) -> TrainResult:
        asked.append((settings, resume))
        return TrainResult(
            metrics={"accuracy": settings.share * settings.until_epoch},
            curve=(),
            seconds=10 * settings.share,
            images_per_s=1.0,
            predictions=place,
            weights=place,
            kept_epoch=settings.until_epoch,
            resume=place if 0 < settings.until_epoch < settings.horizon else None,
        )

    return trained


def test_every_fidelity_is_trained_rung_by_rung(tmp_path: Path) -> None:
    asked: Asked = []
    of_study = replace(resolve(small_config(tmp_path)).train, class_sizes=(3.0, 1.0))
    settings = replace(of_study, init="probe", norms="frozen", ema=0.95)
    candidate = Candidate(small_space().at(0).architecture, Weights("pretrained"), RECIPE)
    given = options(tmp_path / "out")
    values = values_of(candidate, settings, given, tmp_path, recording(asked))
    assert [(s.until_epoch, s.share, s.init) for s, _ in asked] == [
        (0, 1.0, "probe"),
        (1, 1.0, "probe"),
        (2, 1.0, "probe"),
        (1, 1 / 3, "probe"),
        (2, 1 / 3, "probe"),
    ]
    assert {(s.horizon, s.norms, s.ema) for s, _ in asked} == {(2, "frozen", 0.95)}
    # A loss that is balanced by the classes needs what a study says of them.
    assert {s.class_sizes for s, _ in asked} == {(3.0, 1.0)}
    # What the second rung goes on from is the first of its own share.
    places = [resume and resume.name for _, resume in asked]
    assert places == [None, None, "1-1", None, "3-1"]
    third = Fraction(1, 3)
    assert [*values] == [PROBE, "epoch 1", FULL, name_of(third, 1), name_of(third, 2)]
    assert [v["seconds"] for v in values.values()] == pytest.approx([10, 10, 20, 10 / 3, 20 / 3])


RECIPE = Recipe(0.003, 0.01, 32, "none", 0.0)


def test_without_weights_there_is_no_probe(tmp_path: Path) -> None:
    asked: Asked = []
    settings = resolve(small_config(tmp_path)).train
    candidate = small_space().at(0)
    given = options(tmp_path / "out", "--norms", "frozen", "--ema", "0.5")
    values = values_of(candidate, settings, given, tmp_path, recording(asked))
    assert PROBE not in values
    assert {(s.init, s.norms, s.ema) for s, _ in asked} == {("random", "frozen", 0.5)}


def test_there_must_be_a_full_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        options_of(["--out", "x", "--shares", "1/3", "data=digits"])
    assert "there is no full training" in capsys.readouterr().err


def test_results_of_another_question_are_not_gone_on_with(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    out.write_text(json.dumps({"asked": {"epochs": 3}, "candidates": []}))
    with pytest.raises(SystemExit, match="holds results of another question"):
        read_rows(options(out))


def test_no_path_is_written(tmp_path: Path) -> None:
    given = options_of(["--out", "x", "data.root=/a/b/pieces", "space.weights=/c", "seed=1"])
    words = fidelity_ranks.asked_of(given)["words"]
    assert words == ["data.root=pieces", "space.weights=c", "seed=1"]


@pytest.mark.slow
def test_networks_are_trained_and_ranked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.json"
    words = ["data=digits", "data.train=60", "data.val=60", "space=digits", "space.exclude=[]"]
    words += ["space.backbones=[test_resnet]", "space.input_sizes=[16,32]"]
    given = ["--out", str(out), "--epochs", "2", "--candidates", "2", "--shares", "1,1/3"]
    fidelity_ranks.main([*given, *words])
    content = json.loads(out.read_text())
    names = {row["fidelity"] for row in content["fidelities"]}
    third = Fraction(1, 3)
    assert names == {"epoch 1", FULL, name_of(third, 1), name_of(third, 2)}
    (full,) = (row for row in content["fidelities"] if row["fidelity"] == FULL)
    assert full["saved"] == 0
    assert full["regret"] == 0
    # The same command trains nothing again.
    capsys.readouterr()
    fidelity_ranks.main([*given, *words])
    assert " of 2:" not in capsys.readouterr().out
    assert json.loads(out.read_text()) == content
