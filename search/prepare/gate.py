"""The gate: the limits of a candidate's costs, checked before any training."""

from __future__ import annotations

from dataclasses import fields

from archfront.search.config.schema import LimitsConfig
from archfront.search.records.evaluation import Measurement


def exceeded(measurement: Measurement, limits: LimitsConfig) -> dict[str, tuple[float, float]]:
    """Return ``{limit: (value, allowed)}`` of every limit that is exceeded.

    A value exactly on a limit is within it. A value that is not a number is over every limit.
    """
    over: dict[str, tuple[float, float]] = {}
    for field in fields(limits):
        allowed: float | None = getattr(limits, field.name)
        if allowed is None:
            continue
        value = measurement.value(field.name)
        if not value <= allowed:
            over[field.name] = (value, allowed)
    return over
