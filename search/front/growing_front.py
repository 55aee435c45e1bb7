"""The front of trials that change one by one, without going over all of them each time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import le

import numpy as np

from archfront.search.front.members import final_evaluations, losses_of
from archfront.search.front.pareto import front_mask
from archfront.search.records.evaluation import Evaluation
from archfront.search.records.objectives import Objective

Losses = tuple[float, ...]


@dataclass(frozen=True)
class GrowingFront:
    """The trainings that count, and those of them that no other one dominates.

    Attributes:
        final: The training of each trial that counts, as ``final_evaluations`` says, by trial.
        losses: Its losses, by trial.
        front: The losses of those that no other one dominates, by trial, in any order.
    """

    final: dict[int, Evaluation] = field(default_factory=dict)
    losses: dict[int, Losses] = field(default_factory=dict)
    front: dict[int, Losses] = field(default_factory=dict)

    def after(
        self, changed: Mapping[int, Sequence[Evaluation]], objectives: Sequence[Objective]
    ) -> GrowingFront:
        """Return the front after some trials have changed.

        Args:
            changed: All evaluations of each of these trials; none of one that is gone.
            objectives: The metric first.

        Raises:
            ValueError: If a trained value is not finite.
        """
        final, losses, front = dict(self.final), dict(self.losses), dict(self.front)
        is_anew = not final
        new: list[Evaluation] = []
        for trial, some in changed.items():
            counted = final_evaluations(some)
            new += [e for e in counted if final.get(trial) is not e]
            if not counted and final.pop(trial, None) is not None:
                del losses[trial]
                is_anew |= front.pop(trial, None) is not None
        for evaluation, row in zip(new, _rows(new, objectives), strict=True):
            trial = evaluation.trial
            final[trial], losses[trial] = evaluation, row
            held = front.pop(trial, None)
            # What a member dominated is dominated by a better one of the same trial, too.
            is_anew |= held is not None and not all(map(le, row, held))
            if not is_anew:
                join(front, trial, row)
        if is_anew:
            mask = front_mask(np.array([*losses.values()]).reshape(-1, len(objectives)))
            front = {
                trial: row
                for (trial, row), is_front in zip(losses.items(), mask, strict=True)
                if is_front
            }
        return GrowingFront(final, losses, front)


def join(front: dict[int, Losses], trial: int, row: Losses) -> bool:
    """Let a trial join a front that it is not in, and return whether it has joined.

    Equal rows do not dominate each other.

    Args:
        front: Losses by trial, of which none dominates another one; changed in place.
        trial: The trial.
        row: Its losses.
    """
    for other in front.values():
        if all(map(le, other, row)) and other != row:
            return False
    for number in [n for n, other in front.items() if all(map(le, row, other)) and other != row]:
        del front[number]
    front[trial] = row
    return True


def _rows(evaluations: Sequence[Evaluation], objectives: Sequence[Objective]) -> list[Losses]:
    """Return the losses of trained evaluations, which have to be finite."""
    if not evaluations:
        return []
    table = losses_of(evaluations, objectives)
    if not np.isfinite(table).all():
        front_mask(table)  # which says what is not
    return [tuple(row) for row in table.tolist()]
