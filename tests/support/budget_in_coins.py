"""A budget of full trainings that is left, and trials that it is spent on."""

from __future__ import annotations

from dataclasses import dataclass, replace

from archfront.search.front.extrapolation import RungTrial


@dataclass
class Coins:
    """A budget of full trainings; the low rung of two costs a tenth of one."""

    left: float
    low: float = 0.1

    def price(self, done: int, rungs: int) -> float:
        ends = (0.0, self.low, 1.0)
        return ends[rungs] - ends[done]

    def share(self, trial: int | None, done: int, rungs: int, *, of_one: bool = False) -> float:
        return self.price(done, rungs) / self.left

    def fits(self, trial: int | None, done: int, rungs: int) -> bool:
        return self.price(done, rungs) <= self.left + 1e-9


def promoted(trial: RungTrial, top: float) -> RungTrial:
    return replace(trial, losses=(*trial.losses, top), is_waiting=False)
