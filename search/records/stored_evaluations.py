"""The evaluations of trials as Optuna's attributes hold them, each decoded once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archfront.search.records.codec import decode
from archfront.search.records.evaluation import Evaluation, Measurement
from archfront.search.records.remeasured import remeasured

# In front of the names of the attributes of a trial that hold evaluations.
EVALUATION = "evaluation:"


class StoredEvaluations:
    """The evaluations of trials; one that was decoded is kept, since a store is read again."""

    def __init__(self) -> None:
        self._decoded: dict[tuple[int, str], tuple[Any, Evaluation]] = {}

    def of(
        self, trial: int, attributes: Mapping[str, Any], again: Mapping[str, Any]
    ) -> list[Evaluation]:
        """Return the evaluations of a trial, with its latest measurement.

        Args:
            trial: Its number.
            attributes: Its user attributes.
            again: Measurements that replace others, by architecture.
        """
        found = [
            self._evaluation(trial, name, content)
            for name, content in attributes.items()
            if name.startswith(EVALUATION)
        ]
        if not again:
            return found
        ids = [evaluation.candidate.architecture_id for evaluation in found]
        return [
            remeasured(e, decode(Measurement, again[key])) if key in again else e
            for e, key in zip(found, ids, strict=True)
        ]

    def _evaluation(self, trial: int, name: str, content: dict[str, Any]) -> Evaluation:
        kept = self._decoded.get((trial, name))
        if kept is not None and kept[0] is content:
            return kept[1]
        evaluation = Evaluation.from_dict(content)
        self._decoded[trial, name] = content, evaluation
        return evaluation
