"""Which choices lead to a candidate of a space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from archfront.search.records.candidate import Candidate
from archfront.search.space.space import Space


class Answers:
    """Answers from a mapping, and notes what was asked."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers
        self.asked: dict[str, Any] = {}

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        self.asked[name] = tuple(choices)
        assert self.answers[name] in choices
        return self.answers[name]

    def suggest_int(self, name: str, low: int, high: int) -> int:
        self.asked[name] = (low, high)
        assert low <= self.answers[name] <= high
        return int(self.answers[name])


def walk(space: Space, candidate: Candidate) -> dict[str, Any]:
    """Return the axes that a candidate has, with what each of them allows."""
    trial = Answers(space.choices(candidate))
    assert space.suggest(trial) == candidate
    assert trial.asked.keys() == trial.answers.keys()
    return trial.asked


def candidate_of(space: Space, name: str) -> Candidate:
    """Return the first candidate with a backbone."""
    number = next(i for i, a in enumerate(space.architectures) if a.backbone == name)
    return space.at(space.first_index(number))
