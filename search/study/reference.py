"""The reference point of a study, found once when it starts."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import asdict

from archfront.search.engine.jobs import Broken, Done, Result
from archfront.search.errors import StudyError
from archfront.search.prepare.prepare import Prepared
from archfront.search.records.evaluation import Measurement
from archfront.search.records.objectives import Reference
from archfront.search.space.space import Space
from archfront.trainers.spec import Architecture

# Heaviest architectures tried before giving up on measuring one.
TRIES = 5


def find_reference(prepared: Prepared, measure: Callable[[Architecture], Result]) -> Reference:
    """Return the chance level and, for each cost, its limit or that of the heaviest candidate.

    The heaviest candidate is also the worst one for a cost that is maximized, like throughput.

    Args:
        prepared: The study.
        measure: Measures an architecture; called only when a cost has no limit.

    Raises:
        StudyError: If none of the heaviest architectures can be measured.
    """
    limits = asdict(prepared.settings.limits)
    costs = [o.name for o in prepared.objectives[1:]]
    slowest: dict[str, float] = {}
    if any(limits.get(name) is None for name in costs):
        slowest = _heaviest(prepared.space, prepared.unavailable, measure, costs)
    return Reference.at_start(
        prepared.objectives, chance=prepared.chance, limits=limits, slowest=slowest
    )


def _heaviest(
    space: Space,
    unavailable: Container[Architecture],
    measure: Callable[[Architecture], Result],
    names: list[str],
) -> dict[str, float]:
    params = {axes.backbone.name: axes.backbone.params_m for axes in space.axes}
    order = sorted(
        (n for n, a in enumerate(space.architectures) if a not in unavailable),
        key=lambda i: (
            -params[space.architectures[i].backbone] * space.architectures[i].input_size ** 2
        ),
    )
    # The heaviest of each backbone first: one that no exporter takes fails with every head.
    heaviest = {space.architectures[number].backbone: number for number in reversed(order)}
    order.sort(key=lambda number: heaviest[space.architectures[number].backbone] != number)
    reasons = []
    for number in order[:TRIES]:
        result = measure(space.architectures[number])
        reason = result.message if isinstance(result, Broken) else _lacking(result.value, names)
        if isinstance(result, Done) and reason is None:
            return {name: result.value.value(name) for name in names}
        reasons.append(f"{space.architectures[number].backbone}: {reason}")
    raise StudyError(
        "None of the heaviest architectures could be measured, so the study has no reference "
        "point:\n  " + "\n  ".join(reasons)
    )


def _lacking(measurement: Measurement, names: list[str]) -> str | None:
    """Return in words which values could not be measured; None if all could."""
    lacking = [name for name in names if not measurement.has([name])]
    return f"{', '.join(lacking)} could not be measured" if lacking else None
