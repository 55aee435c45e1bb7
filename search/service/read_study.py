"""A study as it was read at one moment, with what was made of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from typing import Any, TypeVar, cast

from archfront.search.front.members import FrontMember
from archfront.search.records.evaluation import Evaluation
from archfront.search.results.changed_trials import changed_trials
from archfront.search.results.results import Results
from archfront.search.service.study_parts import FrontPart, MembersPart, StudyPart, TrialsPart

T = TypeVar("T")
P = TypeVar("P", bound=StudyPart)


class ReadStudy:
    """A study's records as they were at one moment, with what was made of them.

    Args:
        results: The records.
        before: What was read of the study before, from which what follows is brought forward.

    Attributes:
        results: The records.
    """

    def __init__(self, results: Results, before: ReadStudy | None = None) -> None:
        self.results = results
        self._made: dict[str, Any] = {}
        self._parts: dict[type[StudyPart], StudyPart] = {}
        # What is made of one part asks for another one.
        self._lock = threading.RLock()
        if before is not None and before.results.header is results.header:
            changed = changed_trials(before.results, results)
            for kind, part in before.parts().items():
                # What cannot be told of all records is told to whoever asks.
                with suppress(ValueError):
                    self._parts[kind] = part.after(self, changed)

    @property
    def front(self) -> list[FrontMember]:
        """Return the members of the front, fastest first."""
        return [] if self.results.header is None else self.part(MembersPart).members

    @cached_property
    def front_trials(self) -> list[Evaluation]:
        """Return all evaluations of the trials that no other one dominates, by trial."""
        front = self.part(FrontPart).growing.front
        evaluations = self.part(TrialsPart).evaluations
        return [evaluation for trial in sorted(front) for evaluation in evaluations[trial]]

    def part(self, kind: type[P]) -> P:
        """Return a part of what follows from the records, made at the first call."""
        with self._lock:
            if kind not in self._parts:
                made: StudyPart = kind.of(self)
                self._parts[kind] = made
            part = self._parts[kind]
        return cast("P", part)

    def parts(self) -> dict[type[StudyPart], StudyPart]:
        """Return the parts that were made, each after those that it is made of."""
        with self._lock:
            return dict(self._parts)

    def once(self, name: str, make: Callable[[Results], T]) -> T:
        """Return what is made of the records under a name, made at the first call."""
        with self._lock:
            if name not in self._made:
                self._made[name] = make(self.results)
            made: T = self._made[name]
        return made
