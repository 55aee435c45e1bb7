"""Members of all fidelities: which training of a trial counts, and how it is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from archfront.search.front.members import build_front, final_evaluations
from archfront.search.records.evaluation import Evaluation, Fidelity, Trained
from archfront.search.records.paths import StudyPaths
from archfront.search.report.document import render
from archfront.search.results.stats import provisional_sentence
from archfront.search.study.paused import KeptFront
from tests.support.recorded_study import OBJECTIVES, candidate, record, trained

PROBE, PART, FULL = Fidelity(0, 6, 1.0, 0), Fidelity(2, 6, 0.5, 2), Fidelity(6, 6, 0.5, 6)


def at(
    trial: int, metric: float, ms: float, fidelity: Fidelity | None, *, lr: float = 0.003
) -> Evaluation:
    """Return the training of a candidate of its own backbone up to a fidelity."""
    of = candidate(f"resnet{trial}")
    one = trained(trial, metric, ms, of=replace(of, recipe=replace(of.recipe, lr=lr)))
    assert isinstance(one.outcome, Trained)
    rung = 2 if fidelity is None else (0, 2, 6).index(fidelity.epochs)
    weights = f"trials/{trial}/{rung}.bin"
    outcome = replace(one.outcome, fidelity=fidelity, weights=weights)
    return replace(one, outcome=outcome, rung=rung, n_rungs=3)


@pytest.mark.parametrize(
    ("fidelity", "words"),
    [
        (PROBE, "probe"),
        (PART, "2 of 6 epochs of 0.5 of the images"),
        (Fidelity(2, 6, 1.0, 2), "2 of 6 epochs"),
        (Fidelity(2, 6, 1.0, 0), "probe (kept over 2 of 6 epochs)"),
    ],
)
def test_a_fidelity_is_said_in_words(fidelity: Fidelity, words: str) -> None:
    assert str(fidelity) == words
    assert not fidelity.is_full
    assert FULL.is_full


def test_trained_networks_of_all_rungs_are_on_the_front() -> None:
    found = [at(0, 0.7, 1.0, PROBE), at(1, 0.8, 2.0, PART), at(2, 0.9, 3.0, FULL)]
    members = build_front(found, OBJECTIVES)
    assert [m.trial for m in members] == [0, 1, 2]
    assert [m.is_full for m in members] == [False, False, True]
    assert [m.as_row()["trained"] for m in members][:2] == ["probe", str(PART)]
    without = [replace(e, outcome=replace(e.outcome, fidelity=None)) for e in found]  # type: ignore[type-var]
    assert [m.trial for m in build_front(without, OBJECTIVES)] == [2]


def test_the_best_rung_of_a_trial_counts() -> None:
    worse = [at(0, 0.7, 1.0, PROBE), at(0, 0.8, 1.0, PART), at(0, 0.75, 1.0, FULL)]
    for order in (worse, worse[::-1]):
        (final,) = final_evaluations(order)
        assert final.rung == 1
    equal = [at(0, 0.7, 1.0, PROBE), at(0, 0.7, 1.0, PART)]
    (final,) = final_evaluations(equal)
    assert final.rung == 1
    again = [at(0, 0.7, 1.0, PROBE), replace(at(0, 0.6, 1.0, PROBE), attempt=1)]
    (final,) = final_evaluations(again)
    assert final.attempt == 1


def test_a_front_without_full_trainings_is_called_provisional() -> None:
    probe, full = at(0, 0.7, 1.0, PROBE), at(1, 0.9, 2.0, FULL)
    assert provisional_sentence(build_front([full], OBJECTIVES)) == ""
    assert provisional_sentence(build_front([probe], OBJECTIVES)).startswith(
        "The front is provisional: no member was trained in full."
    )
    both = provisional_sentence(build_front([probe, full], OBJECTIVES))
    assert both.startswith("Not trained in full: trial 0. Its metrics are those of the network ")
    assert both.endswith(" train it further.")
    others = [probe, at(1, 0.8, 1.5, PROBE), at(2, 0.9, 2.0, FULL)]
    several = provisional_sentence(build_front(others, OBJECTIVES))
    assert several.startswith("Not trained in full: trials 0 and 1. Their metrics are those of ")
    assert several.endswith(" train them further.")


def test_the_report_says_how_far_members_were_trained() -> None:
    evaluations = [at(0, 0.7, 1.0, PROBE), at(1, 0.9, 2.0, FULL)]
    members = build_front(evaluations, OBJECTIVES)
    page = render(record(evaluations=evaluations, members=members, rungs=[0, 2, 6]))
    assert "Not trained in full: trial 0." in page
    assert page.count('<span class="mark">probe</span>') == 1
    assert "1 was trained in full, 1 stopped" in " ".join(page.split())


def test_recipes_that_share_a_probe_are_one_member() -> None:
    twins = [at(0, 0.7, 1.0, PROBE), replace(at(0, 0.7, 1.0, PROBE, lr=0.01), trial=5)]
    assert [m.trial for m in build_front(twins, OBJECTIVES)] == [0]
    full = [at(0, 0.7, 1.0, FULL), replace(at(0, 0.7, 1.0, FULL, lr=0.01), trial=5)]
    assert [m.trial for m in build_front(full, OBJECTIVES)] == [0, 5]


def test_the_weights_of_members_are_kept_and_no_others(tmp_path: Path) -> None:
    paths = StudyPaths(tmp_path, "small")
    kept = KeptFront(paths, OBJECTIVES)

    def add(evaluation: Evaluation) -> set[str]:
        assert isinstance(evaluation.outcome, Trained)
        file = paths.folder / evaluation.outcome.weights
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"weights")
        kept.add(evaluation)
        return {str(p.relative_to(paths.folder / "trials")) for p in paths.folder.rglob("*.bin")}

    assert add(at(0, 0.7, 1.0, PROBE)) == {"0/0.bin"}
    assert add(at(1, 0.8, 2.0, PROBE)) == {"0/0.bin", "1/0.bin"}
    assert add(at(1, 0.85, 2.0, PART)) == {"0/0.bin", "1/1.bin"}
    assert add(at(1, 0.82, 2.0, FULL)) == {"0/0.bin", "1/1.bin"}  # training spoiled it
    assert add(at(2, 0.9, 0.5, FULL)) == {"2/2.bin"}
    assert [e.trial for e in kept.members] == [2]
