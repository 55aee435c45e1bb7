"""Ties of trainings, each pair tested once."""

from __future__ import annotations

from dataclasses import replace

from archfront.search.front.members import pairwise
from archfront.search.records.evaluation import Evaluation
from archfront.search.results.known_ties import KnownTies, training_of
from tests.support.recorded_study import trained

TRAININGS = [trained(trial, 0.5, 1.0) for trial in range(9)]


class Asked:
    """A test that tells ties by trials, and notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[set[int]] = []

    def __call__(self, first: Evaluation, second: Evaluation) -> bool:
        self.asked.append({first.trial, second.trial})
        return (first.trial + second.trial) % 3 == 0


def test_ties_of_some_are_those_of_a_test_of_every_pair() -> None:
    ties, test = KnownTies(), Asked()
    expected = pairwise(Asked())
    for some in (TRAININGS[:5], TRAININGS[2:8], TRAININGS, TRAININGS[:1], []):
        assert ties.among(some, test=test) == expected(some)
    n_pairs = len(TRAININGS) * (len(TRAININGS) - 1) // 2
    assert ties.n_tested == len(test.asked) == n_pairs
    assert len({frozenset(pair) for pair in test.asked}) == n_pairs
    assert ties.is_tie(TRAININGS[1], TRAININGS[2], test=test)
    assert not ties.is_tie(TRAININGS[3], TRAININGS[1], test=test)
    assert len(test.asked) == n_pairs


def test_what_is_known_is_not_tested_again() -> None:
    first = KnownTies()
    first.among(TRAININGS[:6], test=Asked())
    known = [training_of(training) for training in TRAININGS[:6]]
    ties, test = KnownTies(known, first.tied(TRAININGS[:6])), Asked()
    assert ties.among(TRAININGS[:6], test=test) == pairwise(Asked())(TRAININGS[:6])
    assert (ties.n_tested, test.asked) == (0, [])
    assert ties.among(TRAININGS[:7], test=test) == pairwise(Asked())(TRAININGS[:7])
    assert ties.n_tested == len(test.asked) == 6


def test_a_full_training_is_not_taken_for_the_short_one_of_its_trial() -> None:
    """A tie of two full trainings was answered by that of the short ones, and the other way."""
    ties, test = KnownTies(), Asked()
    short = TRAININGS[:2]
    full = [replace(one, outcome=replace(one.outcome, predictions=f"refits/{one.trial}.npz"))
            for one in short]  # fmt: skip
    assert not ties.is_tie(*short, test=test)
    assert ties.is_tie(*full, test=lambda *_: True)
    assert ties.among(short, test=test) == {0: (), 1: ()}
    assert ties.among(full, test=test) == {0: (1,), 1: (0,)}
    assert len(test.asked) == 1
