"""The first full training: which candidate has it, and what is seen before."""

from __future__ import annotations

from dataclasses import dataclass, replace

from archfront.search.front.extrapolation import RungTrial
from archfront.search.study.promotion import Promote, Propose, next_step
from tests.support.budget_in_coins import Coins, promoted


def test_the_dearest_of_the_first_two_is_trained_in_full_before_others_are_seen() -> None:
    prices = {0: 0.1, 1: 0.5}

    class Prices(Coins):
        def share(
            self, trial: int | None, done: int, rungs: int, *, of_one: bool = False
        ) -> float:
            return prices[trial] if trial is not None and trial in prices else 0.05

    def step(seen: list[RungTrial]) -> object:
        return next_step(
            *(seen, 2, Prices(9.0)), may_propose=True, is_full_only=False, first_full="dearest"
        )

    # The second is worse so far, and has no lower costs.
    first, second = (RungTrial(i, (-0.9 + 0.8 * i,), (-1.0 + i,), True) for i in range(2))
    assert step([first]) == Propose()
    assert step([first, second]) == Promote(1)
    under_way = replace(second, is_waiting=False, is_running=True)
    assert step([first, under_way]) == Propose()
    assert step([first, promoted(second, -0.5)]) == Propose()


def test_the_best_of_those_seen_first_is_trained_in_full_before_others_go_on() -> None:
    def step(seen: list[RungTrial], left: float = 9.0) -> object:
        return next_step(
            *(seen, 2, Coins(left)), may_propose=True, is_full_only=False, first_full="best"
        )

    seen = [RungTrial(i, (-0.5 - 0.05 * i,), (-1.0 + i,), True) for i in range(8)]
    assert step(seen[:7]) == Propose()
    assert step(seen) == Promote(7)
    assert step(seen[:5], left=1.1) == Propose()  # one full training fits beside it, a slow one
    assert step(seen[:5], left=1.0) == Promote(4)
    done = [*seen[:7], promoted(seen[7], -0.9)]
    assert step(done) != Promote(7)


def test_the_time_of_the_best_is_kept_while_others_are_seen() -> None:
    """The best of eight fitted no more, and one of half its accuracy was trained in full."""

    @dataclass
    class Unlike(Coins):
        """A full training of the best takes twice as long as one of another."""

        def share(
            self, trial: int | None, done: int, rungs: int, *, of_one: bool = False
        ) -> float:
            return super().share(trial, done, rungs) * (2 if trial == 1 else 1)

        def fits(self, trial: int | None, done: int, rungs: int) -> bool:
            return self.share(trial, done, rungs) <= 1

    losses = (-0.32, -0.80, -0.15, -0.25, -0.70)
    seen = [RungTrial(i, (loss,), (-1.0 + i,), True) for i, loss in enumerate(losses)]
    steps = [
        next_step(seen, 2, Unlike(left), may_propose=True, is_full_only=False, first_full="best")
        for left in (2.2, 2.0, 1.9)
    ]
    assert steps == [Propose(), Promote(1), Promote(1)]
    # A little late it is trained all the same, and not another one in its place.
    late = [
        next_step(seen, 2, Unlike(left), may_propose=False, is_full_only=False, first_full="best")
        for left in (1.7, 1.6)
    ]
    assert late == [Promote(1), Promote(4)]


def test_a_training_that_one_worker_cannot_end_in_time_is_not_begun_for_several() -> None:
    @dataclass
    class OfTwo(Coins):
        """What is left of two workers; a full training of the best takes twice as long."""

        def share(
            self, trial: int | None, done: int, rungs: int, *, of_one: bool = False
        ) -> float:
            alone = super().share(trial, done, rungs) * (2 if trial == 1 else 1)
            return alone if of_one else alone / 2

    seen = [RungTrial(i, (loss,), (-1.0 + i,), True) for i, loss in enumerate((-0.3, -0.8, -0.7))]

    def step(left: float, *, may_propose: bool = False) -> object:
        return next_step(
            *(seen, 2, OfTwo(left)),
            may_propose=may_propose,
            is_full_only=False,
            first_full="best",
        )

    assert step(1.7) == Promote(1)
    assert step(1.6) == Promote(2)
    assert step(2.2, may_propose=True) == Propose()
    assert step(2.0, may_propose=True) == Promote(1)  # another one would take its time


def test_the_best_of_those_that_tie_at_the_lowest_rung_is_found_at_the_next() -> None:
    ends = (0.0, 0.1, 0.3, 1.0)

    class Thirds(Coins):
        def price(self, done: int, rungs: int) -> float:
            return ends[rungs] - ends[done]

    def step(seen: list[RungTrial], left: float = 9.0) -> object:
        return next_step(
            *(seen, 3, Thirds(left)), may_propose=False, is_full_only=False, first_full="best"
        )

    def at(*losses: tuple[float, ...]) -> list[RungTrial]:
        return [RungTrial(i, each, (-1.0,), True) for i, each in enumerate(losses)]

    assert step(at((-0.75,), (-0.77,), (-0.70,), (-0.69,), (-0.1,))) == Promote(1)
    one = at((-0.75,), (-0.77, -0.78), (-0.70,), (-0.69,), (-0.1,))
    assert step(one) == Promote(0)
    assert step(one, left=1.2) == Promote(0)
    assert step(one, left=1.1) == Promote(1)  # beside it no full training would fit
    two = at((-0.75, -0.80), (-0.77, -0.78), (-0.70,), (-0.69,), (-0.1,))
    assert step(two) == Promote(2)
    three = at((-0.75, -0.80), (-0.77, -0.78), (-0.70, -0.7), (-0.69,), (-0.1,))
    assert step(three) == Promote(0)
    assert step(at((-0.75,), (-0.77, -0.78), (-0.1,), (-0.1,))) == Promote(0)
    assert step(at((-0.3,), (-0.77, -0.78), (-0.2,), (-0.1,))) == Promote(1)
