"""Which trials go on: decided from records and budget alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from archfront.search.config.settings import rung_epochs
from archfront.search.front.ehvi import expected_improvement
from archfront.search.front.extrapolation import RungTrial, expected_losses, expected_tops
from archfront.search.records.evaluation import Evaluation
from archfront.search.study import expected_gains
from archfront.search.study.expected_gains import gains, gains_when_fresh
from archfront.search.study.promotion import KEPT, Promote, Propose, next_step, to_stop
from archfront.search.study.seen_rungs import SeenRungs
from tests.support.budget_in_coins import Coins, promoted
from tests.support.recorded_study import OBJECTIVES, REFERENCE, rejected, trained
from tests.support.small_study import small_config


def waiting(n: int, seed: int = 0) -> list[RungTrial]:
    """Return trials that wait at the low rung, with latencies of all kinds."""
    rng = np.random.default_rng(seed)
    losses, costs = rng.uniform(-0.9, -0.1, n), rng.uniform(-4, -0.5, n)
    return [RungTrial(i, (float(losses[i]),), (float(costs[i]),), True) for i in range(n)]


def test_a_budget_of_one_full_training_has_one() -> None:
    def step(seen: list[RungTrial], left: float) -> object:
        return next_step(seen, 2, Coins(left), may_propose=True, is_full_only=False)

    first = RungTrial(0, (-0.5,), (-1.0,), True)
    assert step([first], 0.95) == Promote(0)
    assert step([first], 1.1) == Propose()
    assert step([promoted(first, -0.9)], 0.4) == Propose()


@pytest.mark.parametrize(
    ("epochs", "given", "expected"),
    [
        (1, None, (1,)),
        (2, None, (2,)),
        (3, None, (1, 3)),
        (6, None, (2, 6)),
        (8, None, (1, 3, 8)),
        (9, None, (1, 3, 9)),
        (40, None, (4, 13, 40)),
        (40, [], (40,)),
        (40, [40], (40,)),
        (40, [5, 40], (5, 40)),
    ],
)
def test_rungs_are_thirds_of_thirds_or_as_asked_for(
    epochs: int, given: list[int] | None, expected: tuple[int, ...], tmp_path: Path
) -> None:
    config = small_config(tmp_path, task__epochs=epochs, budget__rungs=given)
    assert rung_epochs(config) == expected


def test_trials_are_told_from_records_in_any_order() -> None:
    def at(rung: int, of: Evaluation) -> Evaluation:
        return replace(of, rung=rung, n_rungs=2)

    records = [
        at(0, trained(3, 0.5, 1.0)),
        at(0, trained(1, 0.6, 2.0)),
        at(1, trained(3, 0.8, 1.0)),
        rejected(2, 9.0),
    ]
    seen = SeenRungs(records, OBJECTIVES, REFERENCE)
    first, second = seen.trials(waiting=[1])
    assert (first.trial, second.trial) == (1, 3)
    assert first.losses == pytest.approx((-0.5,))  # over the chance of 0.1
    assert second.losses == pytest.approx((-0.4, -0.7))
    assert second.costs == pytest.approx((-2.0,))  # a quarter of the limit
    assert first.is_waiting
    assert not second.is_waiting
    assert SeenRungs(records[::-1], OBJECTIVES, REFERENCE).trials(waiting=[1]) == [first, second]
    # Another one is added, and who waits or is in training is as it is now.
    seen.add(at(1, trained(1, 0.7, 2.0)))
    marked = seen.trials(running=[3])
    assert marked[0].losses == pytest.approx((-0.5, -0.6))
    assert [each.is_waiting for each in marked] == [False, False]
    assert [each.is_running for each in marked] == [False, True]


class TestExpectedTops:
    def test_without_a_pair_the_order_of_the_rung_is_kept(self) -> None:
        seen = waiting(9)
        mean, spread = expected_tops(seen, 2, 0)
        low = [c.losses[0] for c in seen]
        assert np.argsort(mean).tolist() == np.argsort(low).tolist()
        assert (spread > 0.1 * np.std(low)).all()

    def test_many_pairs_give_their_line(self) -> None:
        seen = waiting(60)
        rng = np.random.default_rng(1)
        line = [1.3 * c.losses[0] - 0.2 + 0.01 * rng.standard_normal() for c in seen]
        half = [
            promoted(c, t) if i % 2 else c for i, (c, t) in enumerate(zip(seen, line, strict=True))
        ]
        mean, spread = expected_tops(half, 2, 0)
        assert mean == pytest.approx(np.array(line), abs=0.06)
        assert (spread < 0.1).all()

    def test_a_band_of_two_spreads_holds_nearly_all(self) -> None:
        inside = 0
        for seed in range(20):
            seen = waiting(40, seed)
            rng = np.random.default_rng(seed)
            tops = np.array([0.8 * c.losses[0] - 0.1 + 0.08 * rng.standard_normal() for c in seen])
            told = [
                promoted(c, t) if i < 8 else c
                for i, (c, t) in enumerate(zip(seen, tops, strict=True))
            ]
            mean, spread = expected_tops(told, 2, 0)
            inside += int((np.abs(mean - tops) < 2 * spread)[8:].sum())
        assert 0.9 < inside / (20 * 32) <= 1

    def test_one_that_collapsed_moves_the_line_little(self) -> None:
        seen = waiting(30)
        tops = [c.losses[0] - 0.1 for c in seen]
        told = [
            promoted(c, t) if i < 12 else c
            for i, (c, t) in enumerate(zip(seen, tops, strict=True))
        ]
        plain, _ = expected_tops(told, 2, 0)
        told[3] = promoted(seen[3], 0.9)
        moved, _ = expected_tops(told, 2, 0)
        assert np.abs(moved - plain).max() < 0.25

    def test_equal_losses_give_finite_numbers(self) -> None:
        seen = [RungTrial(i, (-0.5,), (-1.0,), True) for i in range(4)]
        seen[0] = promoted(seen[0], -0.6)
        mean, spread = expected_tops(seen, 2, 0)
        assert np.isfinite(mean).all()
        assert (spread > 0).all()


def test_what_is_expected_of_a_trial_comes_from_its_highest_rung() -> None:
    low, top = waiting(2)
    middle = RungTrial(2, (-0.4, -0.6), (-1.0,), True)
    seen = [low, replace(top, losses=(-0.3, -0.5, -0.7)), middle]
    mean, spread = expected_losses(seen, 3)
    assert mean[1] == -0.7
    assert spread[1] < 0.01 < spread[0]
    (expected, _) = expected_tops(seen[1:], 3, 1)
    assert mean[2] == expected[1]


class TestNextStep:
    def test_the_first_candidates_are_proposed(self) -> None:
        assert next_step([], 2, Coins(5), may_propose=True) == Propose()
        assert next_step(waiting(2), 2, Coins(5), may_propose=True) == Propose()

    def test_where_nothing_may_be_proposed_the_best_goes_on(self) -> None:
        seen = waiting(6)
        step = next_step(seen, 2, Coins(5), may_propose=False)
        assert step == Promote(seen[int(np.argmax(gains(seen, seen, 2)))].trial)

    def test_nothing_is_begun_that_cannot_reach_the_top(self) -> None:
        assert next_step([], 2, Coins(0.99), may_propose=True) is None
        assert next_step(waiting(3), 2, Coins(0.89), may_propose=True) is None
        assert isinstance(next_step(waiting(3), 2, Coins(0.9), may_propose=True), Promote)

    def test_the_last_training_is_not_given_for_another_look(self) -> None:
        """Two candidates and one training left: the better one takes it, whatever is open."""
        assert isinstance(next_step(waiting(2), 2, Coins(0.95), may_propose=True), Promote)

    def test_a_low_rung_that_costs_as_much_as_a_training_screens_little(self) -> None:
        cheap = next_step(waiting(7), 2, Coins(2.8, low=0.01), may_propose=True)
        dear = next_step(waiting(7), 2, Coins(1.2, low=0.6), may_propose=True)
        assert cheap == Propose()
        assert isinstance(dear, Promote)

    def test_full_trainings_get_at_least_what_the_lowest_rungs_got(self) -> None:
        """A study of many trainings looked at dozens of candidates before it trained one."""
        seen = waiting(10)  # a tenth of a training each: as much as one full training
        one_is_due = Coins(40, low=0.1)
        assert next_step(seen[:8], 2, one_is_due, may_propose=True) == Propose()
        assert isinstance(next_step(seen, 2, one_is_due, may_propose=True), Promote)
        climbing = [replace(seen[0], is_waiting=False, is_running=True), *seen[1:]]
        assert next_step(climbing, 2, one_is_due, may_propose=True) == Propose()

    def test_one_that_dominates_goes_before_one_that_is_dominated(self) -> None:
        good, bad = RungTrial(0, (-0.8,), (-3.0,), True), RungTrial(1, (-0.3,), (-1.0,), True)
        assert next_step([good, bad], 2, Coins(2), may_propose=False) == Promote(0)
        assert next_step([bad, good], 2, Coins(2), may_propose=False) == Promote(0)

    def test_a_fast_one_that_could_join_goes_before_a_better_one_that_cannot(self) -> None:
        """Latency is known: the front has a better one at that latency, and none so fast."""
        top = promoted(RungTrial(0, (-0.8,), (-2.0,), True), -0.9)
        slow, fast = RungTrial(1, (-0.7,), (-1.9,), True), RungTrial(2, (-0.5,), (-3.9,), True)
        assert next_step([top, slow, fast], 2, Coins(2), may_propose=False) == Promote(2)

    def test_what_is_running_counts_as_if_it_had_come_true(self) -> None:
        twin = RungTrial(1, (-0.8,), (-3.0,), True)
        other = RungTrial(2, (-0.6,), (-3.6,), True)
        alone = [RungTrial(0, (-0.8,), (-3.0,), True), twin, other]
        assert next_step(alone, 2, Coins(2), may_propose=False) == Promote(0)
        beside = [replace(alone[0], is_waiting=False, is_running=True), twin, other]
        assert next_step(beside, 2, Coins(2), may_propose=False) == Promote(2)


@pytest.mark.parametrize("all_kept", [100, 5])  # of few all are looked at, of many two fronts
def test_each_trial_is_judged_anew_as_if_it_had_not_reached_the_top(
    all_kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expected_gains, "ALL_KEPT", all_kept)
    seen = waiting(30)
    for i in range(0, 30, 2):
        seen[i] = promoted(seen[i], seen[i].losses[0] - 0.1 - 0.01 * (i % 7))
    mean, spread = expected_tops(seen, 2, 0)
    wanted = []
    for row, trial in enumerate(seen):
        others = [
            (c.losses[-1], *c.costs) for i, c in enumerate(seen) if i != row and len(c.losses) == 2
        ]
        at = slice(row, row + 1)
        costs = np.array([trial.costs])
        wanted.extend(expected_improvement(mean[at], spread[at], costs, np.array(others)))
    assert gains_when_fresh(seen, 2, is_full_only=True) == pytest.approx(wanted)


def test_only_so_many_are_kept_as_can_go_on() -> None:
    seen = waiting(60)
    stopped = to_stop(seen, 2, Coins(5))
    assert len(stopped) == 60 - KEPT
    gain = gains(seen, seen, 2)
    assert min(gain[i] for i in range(60) if i not in stopped) >= max(gain[stopped])
    assert len(to_stop(seen, 2, Coins(20))) == 60 - 2 * 22
    assert to_stop(seen[:KEPT], 2, Coins(5)) == []


# ------------------------------------------------------------------ fronts of all rungs


def test_a_budget_below_a_full_training_goes_to_lower_rungs() -> None:
    seen = waiting(10)
    left = Coins(0.5)  # of the low rung, which takes 0.1, but of no top
    assert next_step(seen, 2, left, may_propose=True) is None
    assert next_step(seen, 2, left, may_propose=True, is_full_only=False) == Propose()
    assert next_step(seen, 2, left, may_propose=False, is_full_only=False) is None
    assert next_step([], 2, Coins(0.05), may_propose=True, is_full_only=False) is None


@dataclass
class ThreeRungs(Coins):
    """A budget of full trainings over rungs of a tenth, a third and the whole of one."""

    def price(self, done: int, rungs: int) -> float:
        ends = (0.0, 0.1, 0.3, 1.0)
        return ends[rungs] - ends[done]


def test_a_trial_that_cannot_reach_the_top_is_trained_to_the_next_rung() -> None:
    seen = waiting(10)
    step = next_step(seen, 3, ThreeRungs(0.25), may_propose=False, is_full_only=False)
    assert isinstance(step, Promote)
    gain = gains(seen, seen, 3, is_full_only=False)
    assert step.trial == seen[int(np.argmax(gain))].trial
    # While few were seen, another one comes first.
    few = next_step(seen[:3], 3, ThreeRungs(0.25), may_propose=True, is_full_only=False)
    assert few == Propose()


def test_some_candidates_are_seen_in_any_case_where_full_trainings_fit_beside_them() -> None:
    few = next_step(waiting(3), 2, Coins(1.0), may_propose=True, is_full_only=False)
    assert few == Propose()
    seen = [promoted(trial, -0.99) for trial in waiting(6)[:1]] + waiting(6)[1:]
    rich = next_step(seen, 2, Coins(20.0), may_propose=True, is_full_only=False)
    assert rich == Propose()
    poor = next_step(seen, 2, Coins(0.95), may_propose=True, is_full_only=False)
    assert isinstance(poor, Promote)


def test_gains_are_over_all_that_is_on_the_front_already() -> None:
    seen = waiting(6)
    over_tops = gains(seen, seen, 2)
    over_all = gains(seen, seen, 2, is_full_only=False)
    assert (over_all <= over_tops + 1e-12).all()
    assert over_all.sum() < over_tops.sum()


def test_what_gains_most_is_not_kept_from_the_top_by_what_is_cheap() -> None:
    # The slower one is far better; the fast one gains more for each of its seconds.
    seen = [RungTrial(0, (-0.3,), (-1.0,), True), RungTrial(1, (-0.8,), (-0.9,), True)]

    @dataclass
    class Unlike(Coins):
        """Trainings of trial 1 take ten times as long as those of trial 0."""

        def share(
            self, trial: int | None, done: int, rungs: int, *, of_one: bool = False
        ) -> float:
            return (0.8 if trial == 1 else 0.08) / self.left

        def fits(self, trial: int | None, done: int, rungs: int) -> bool:
            return self.share(trial, done, rungs) <= 1

    gain = gains(seen, seen, 2, is_full_only=False)
    assert gain[0] < gain[1] < 10 * gain[0]
    steps = [
        next_step(seen, 2, Unlike(left), may_propose=False, is_full_only=False)
        for left in (0.85, 1.0)
    ]
    assert steps == [Promote(1), Promote(0)]


def test_what_gains_most_leaves_three_full_trainings_where_cheaper_ones_do() -> None:
    # Trial 0 gains most; with it two full trainings fit, without it three.
    prices = {0: 0.8, 1: 0.3, 2: 0.4, None: 0.1}
    seen = [
        RungTrial(0, (-0.9,), (-1.0,), True),
        RungTrial(1, (-0.2,), (-1.0,), True),
        RungTrial(2, (-0.2,), (-1.1,), True),
    ]

    @dataclass
    class Priced(Coins):
        """Each trial has a price of its own."""

        def share(
            self, trial: int | None, done: int, rungs: int, *, of_one: bool = False
        ) -> float:
            return prices[trial] / self.left

        def fits(self, trial: int | None, done: int, rungs: int) -> bool:
            return self.share(trial, done, rungs) <= 1

    def step(*, n_tops: int, left: float = 1.0) -> object:
        tops = [RungTrial(10 + i, (-0.3, -0.3), (-0.5,), False) for i in range(n_tops)]
        given = [*seen, *tops]
        return next_step(given, 2, Priced(left), may_propose=False, is_full_only=False)

    gain = gains(seen, seen, 2, is_full_only=False)
    assert max(gain[1] / 0.3, gain[2] / 0.4) < gain[0] / 0.8
    assert step(n_tops=0) == Promote(0)  # there are no three
    assert step(n_tops=1) != Promote(0)
    assert step(n_tops=1, left=1.2) == Promote(0)  # one of the others still fits
    assert step(n_tops=2) == Promote(0)
