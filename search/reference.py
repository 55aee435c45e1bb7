"""The reference point of a study, found once when it starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

from search.engine.jobs import Done, Result
from search.errors import StudyError
from search.front import Reference
from search.prepare import Prepared
from search.space import Space

# Heaviest architectures tried before giving up on measuring one.
TRIES = 5


def find_reference(prepared: Prepared, measure: Callable[[int], Result]) -> Reference:
    """Return chance level and, for each cost, its limit or what the heaviest candidate takes.

    Args:
        prepared: The study.
        measure: Measures the architecture of a candidate by index; called only when a cost has no
            limit.

    Raises:
        StudyError: If none of the heaviest architectures can be measured.
    """
    limits = asdict(prepared.config.hardware.limits)
    costs = [o.name for o in prepared.objectives[1:]]
    slowest: dict[str, float] = {}
    if any(limits[name] is None for name in costs):
        slowest = _heaviest(prepared.space, measure, costs)
    return Reference.at_start(
        prepared.objectives, chance=prepared.chance, limits=limits, slowest=slowest
    )


def _heaviest(
    space: Space, measure: Callable[[int], Result], names: list[str]
) -> dict[str, float]:
    params = {axes.backbone.name: axes.backbone.params_m for axes in space.axes}
    order = sorted(
        range(len(space.architectures)),
        key=lambda i: (
            -params[space.architectures[i].backbone] * space.architectures[i].input_size ** 2
        ),
    )
    # The heaviest of each backbone first: one that no exporter takes fails with every head.
    heaviest = {space.architectures[number].backbone: number for number in reversed(order)}
    order.sort(key=lambda number: heaviest[space.architectures[number].backbone] != number)
    reasons = []
    for number in order[:TRIES]:
        result = measure(number * len(space.recipes))
        if isinstance(result, Done):
            return {name: result.value.value(name) for name in names}
        reasons.append(f"{space.architectures[number].backbone}: {result.message}")
    raise StudyError(
        "None of the heaviest architectures could be measured, so the study has no reference "
        "point:\n  " + "\n  ".join(reasons)
    )
