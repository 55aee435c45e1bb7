"""Evaluations whose architecture was measured again after their trial had ended."""

from __future__ import annotations

from dataclasses import replace

from archfront.search.records.evaluation import Evaluation, Measurement, Trained


def is_replaced(evaluation: Evaluation) -> bool:
    """Return whether a later measurement replaces that of an evaluation.

    What was rejected keeps the measurement that it was rejected by.
    """
    return evaluation.measurement is not None and isinstance(evaluation.outcome, Trained)


def remeasured(evaluation: Evaluation, measurement: Measurement) -> Evaluation:
    """Return an evaluation with a later measurement of its architecture, where that counts."""
    return replace(evaluation, measurement=measurement) if is_replaced(evaluation) else evaluation
