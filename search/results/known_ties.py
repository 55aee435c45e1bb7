"""Which trainings of a study tie, each pair tested once: a test takes a part of a millisecond."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from archfront.search.records.evaluation import Evaluation, trained_outcome

# Trial, rung, attempt and path of the predictions: full trainings of a trial have others.
Training = tuple[int, int, int, str]
# Tells whether any two trainings tie.
TieTest = Callable[[Evaluation, Evaluation], bool]


class KnownTies:
    """The pairs of trainings that were tested.

    Args:
        known: Trainings that were all tested with each other.
        tied: The pairs of them that tie.
    """

    def __init__(
        self, known: Iterable[Training] = (), tied: Iterable[tuple[Training, Training]] = ()
    ) -> None:
        every = set(known)
        self._tested = {one: every - {one} for one in every}
        self._tied: dict[Training, set[Training]] = {}
        self._n_tested = 0
        for first, second in tied:
            self._note(first, second, is_tie=True)

    @property
    def n_tested(self) -> int:
        """Return how many pairs were tested, without those that were known at first."""
        return self._n_tested

    def is_tie(self, first: Evaluation, second: Evaluation, *, test: TieTest) -> bool:
        """Return whether two trainings tie, tested unless that is known.

        Args:
            first: A training.
            second: Another one.
            test: What tells it.
        """
        one, other = training_of(first), training_of(second)
        if other not in self._tested.get(one, ()):
            self._note(one, other, is_tie=test(first, second))
        return other in self._tied.get(one, ())

    def among(
        self, trainings: Sequence[Evaluation], *, test: TieTest
    ) -> dict[int, tuple[int, ...]]:
        """Return the trials that tie with each trial of some trainings.

        Args:
            trainings: One of each trial.
            test: What tells it.
        """
        by_key = {training_of(evaluation): evaluation for evaluation in trainings}
        for one, evaluation in by_key.items():
            for other in by_key.keys() - self._tested.get(one, set()) - {one}:
                self._note(one, other, is_tie=test(evaluation, by_key[other]))
        return {
            one[0]: tuple(sorted(other[0] for other in by_key.keys() & self._tied.get(one, set())))
            for one in by_key
        }

    def tied(self, trainings: Iterable[Evaluation]) -> list[tuple[Training, Training]]:
        """Return the pairs of some trainings that are known to tie."""
        every = {training_of(evaluation) for evaluation in trainings}
        return [
            (one, other)
            for one in sorted(every)
            for other in sorted(every & self._tied.get(one, set()))
            if one < other
        ]

    def _note(self, one: Training, other: Training, *, is_tie: bool) -> None:
        self._n_tested += other not in self._tested.get(one, set())
        for first, second in ((one, other), (other, one)):
            self._tested.setdefault(first, set()).add(second)
            if is_tie:
                self._tied.setdefault(first, set()).add(second)


def training_of(evaluation: Evaluation) -> Training:
    """Return what tells a trained evaluation from others."""
    predictions = trained_outcome(evaluation).predictions
    return evaluation.trial, evaluation.rung, evaluation.attempt, predictions
