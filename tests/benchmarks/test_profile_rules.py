"""Rules on against off: drawn data with the property, words of both sides, and hypervolumes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import profile_rules
import pytest
import rule_data
from profile_rules import (
    NAMES,
    PROPERTY,
    check_ended,
    options_of,
    print_gain,
    raced_of,
    volumes,
    words_of,
)
from race import Ended
from rule_data import KINDS

from archfront.search.config import compose
from archfront.search.config.build import build
from archfront.search.prepare.prepare import prepare

DRAWN = [name for name, kind in KINDS.items() if kind.draw is not None]


def test_every_rule_has_data_with_its_property() -> None:
    assert set(PROPERTY) == set(NAMES)
    assert set(PROPERTY.values()) | {"digits", "own"} == set(KINDS)


def test_own_data_comes_by_words_and_is_compared_by_its_metric() -> None:
    own = ["--rule", "balance", "--data", "own", "--word", "data=folder"]
    with pytest.raises(SystemExit):
        options_of(own)
    with pytest.raises(SystemExit):
        options_of(["--rule", "balance", "--data", "unequal", "--metric", "map"])
    options = options_of([*own, "--metric", "balanced_accuracy"])
    found = words_of(options, "on", None)
    assert found[-1] == "data=folder"
    assert found[:-1] == [f"space.rules.{n}={'auto' if n == 'balance' else 'off'}" for n in NAMES]


def test_an_option_is_raced_by_its_two_words_with_all_rules_as_they_are() -> None:
    raced = ["--option", "task.init=auto", "task.init=random", "--word", "data=folder"]
    with pytest.raises(SystemExit):
        options_of([*raced, "--data", "digits"])
    with pytest.raises(SystemExit):
        options_of([*raced, "--rule", "balance", "--data", "own", "--metric", "accuracy"])
    options = options_of([*raced, "--data", "own", "--metric", "accuracy"])
    assert raced_of(options) == "task.init=auto over task.init=random"
    assert words_of(options, "on", None) == ["task.init=auto", "data=folder"]
    assert words_of(options, "off", None) == ["task.init=random", "data=folder"]


def words(rule: str, data: str, side: str, root: Path) -> list[str]:
    fewer = ["--word", "data.shapes.images=300"] if data == "unequal" else []
    options = options_of(["--rule", rule, "--data", data, *fewer])
    return words_of(options, side, root if data in DRAWN else None)


@pytest.mark.parametrize("rule", NAMES)
def test_a_rule_applies_to_its_data_only_and_only_where_it_is_on(
    rule: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rule_data, "N_IMAGES", {"train": 6, "valid": 3})
    kind = KINDS[PROPERTY[rule]]
    if kind.draw is not None:
        kind.draw(tmp_path / "data")
    for data, side, applied in (
        (PROPERTY[rule], "on", [rule]),
        (PROPERTY[rule], "off", []),
        ("digits", "on", []),
    ):
        own = words(rule, data, side, tmp_path / "data")
        composed = compose.compose(
            [*own, f"tracking.root={tmp_path / 'root'}", "budget.minutes=1"]
        )
        prepared = prepare(build(composed.content, texts=composed.texts))
        assert [one.name for one in prepared.rules] == applied


def test_hypervolumes_share_their_reference_and_lie_from_0_to_1() -> None:
    better, worse = np.array([[0.9, 1.0], [0.95, 4.0]]), np.array([[0.5, 1.0], [0.6, 4.0]])
    first, second = volumes([better, worse])
    assert 0 < second < first < 1
    assert volumes([better, better]) == [first, first]
    # 0.9 over all latencies, and 0.05 more over those above 4 ms of 4.4.
    more = 0.05 * np.log(1.1) / np.log(4.4)
    assert first == pytest.approx(0.9 + more)
    assert volumes([better, np.zeros((0, 2))])[1] == 0.0
    assert volumes([np.zeros((0, 2))] * 2) == [0.0, 0.0]


def test_a_mean_gain_of_0_misses_the_aim_on_data_with_the_property(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def runs(*gains: float) -> list[profile_rules.Row]:
        settings = {"rule": "balance", "data": "unequal"}
        return [{"settings": settings, "figures": {"gain": gain}} for gain in gains]

    options = options_of(["--rule", "balance", "--data", "unequal"])
    assert print_gain(runs(0.1, -0.1), options) == 1
    assert print_gain(runs(0.1, -0.05), options) == 0
    assert "mean gain +0.0250 (standard error 0.0750, 2 seeds)" in capsys.readouterr().out
    other = options_of(["--rule", "balance", "--data", "digits"])
    runs_ = [{"settings": {"rule": "balance", "data": "digits"}, "figures": {"gain": -0.1}}]
    assert print_gain(runs_, other) == 0


def test_a_study_that_could_not_run_ends_the_race_with_its_reason(tmp_path: Path) -> None:
    log = tmp_path / "on.log"
    log.with_name("on.log.err").write_text("archfront: space: no backbone is left.")
    check_ended({"on": Ended(0.0, 1.0, 3, log)})
    with pytest.raises(SystemExit, match=r"the rule on ended with 1: archfront: space: no back"):
        check_ended({"on": Ended(0.0, 1.0, 1, log)})
