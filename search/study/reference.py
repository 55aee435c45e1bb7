"""The reference point of a study, found once when it starts."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import asdict

import numpy as np

from archfront.search.engine.jobs import Broken, Done, Result
from archfront.search.errors import StudyError
from archfront.search.prepare.prepare import Prepared
from archfront.search.records.evaluation import Measurement
from archfront.search.records.objectives import Reference
from archfront.search.space.cost_model import GROWTH, USUAL_GROWTH
from archfront.search.space.space import Space
from archfront.trainers.spec import Architecture

# Architectures tried before giving up on measuring one.
TRIES = 5
# What is only expected of the heaviest architecture is taken so many times worse.
BEYOND = 2.0


def find_reference(prepared: Prepared, measure: Callable[[Architecture], Result]) -> Reference:
    """Return the chance level and, for each cost, its limit or that of the heaviest candidate.

    The heaviest candidate is also the worst one for a cost that is maximized, like throughput. In
    a study that ends by the clock it would take a large part of the time to measure, and with
    minutes for light candidates only it is the last that would be proposed. There the lightest is
    measured, which is needed soon, and the costs of the heaviest follow from usual growth.

    Args:
        prepared: The study.
        measure: Measures an architecture; called only when a cost has no limit.

    Raises:
        StudyError: If none of the architectures that were tried can be measured.
    """
    limits = asdict(prepared.settings.limits)
    costs = [o.name for o in prepared.objectives[1:]]
    slowest: dict[str, float] = {}
    if any(limits.get(name) is None for name in costs):
        space, order = prepared.space, _heaviest_first(prepared.space, prepared.unavailable)
        if prepared.config.budget.minutes is None:
            slowest = _measured(space, order, measure, costs)[1]
        else:
            ascending = _lightest_first(space, order)
            number, lightest = _measured(space, ascending, measure, costs)
            slowest = _grown(space, lightest, number, order[0])
    return Reference.at_start(
        prepared.objectives, chance=prepared.chance, limits=limits, slowest=slowest
    )


def _heaviest_first(space: Space, unavailable: Container[Architecture]) -> list[int]:
    """Return architectures by parameters and input size, the last the lightest."""
    params = {axes.backbone.name: axes.backbone.params_m for axes in space.axes}
    order = sorted(
        (n for n, a in enumerate(space.architectures) if a not in unavailable),
        key=lambda i: (
            -params[space.architectures[i].backbone] * space.architectures[i].input_size ** 2
        ),
    )
    return _each_backbone_first(space, order)


def _lightest_first(space: Space, numbers: list[int]) -> list[int]:
    """Return architectures by their work: of equal ones the first, which a sampler takes too."""
    return _each_backbone_first(space, sorted(numbers, key=lambda n: (space.macs_g[n], n)))


def _each_backbone_first(space: Space, order: list[int]) -> list[int]:
    """Return an order with the first of each backbone moved to the front.

    A backbone that no exporter takes fails with every head and input size.
    """
    first = {space.architectures[number].backbone: number for number in reversed(order)}
    return sorted(order, key=lambda number: first[space.architectures[number].backbone] != number)


def _measured(
    space: Space, order: list[int], measure: Callable[[Architecture], Result], names: list[str]
) -> tuple[int, dict[str, float]]:
    """Return the first architecture that can be measured, and its costs by name."""
    reasons = []
    for number in order[:TRIES]:
        result = measure(space.architectures[number])
        reason = result.message if isinstance(result, Broken) else _lacking(result.value, names)
        if isinstance(result, Done) and reason is None:
            return number, {name: result.value.value(name) for name in names}
        reasons.append(f"{space.architectures[number].backbone}: {reason}")
    raise StudyError(
        "None of the architectures that were tried could be measured, so the study has no "
        "reference point:\n  " + "\n  ".join(reasons)
    )


def _grown(space: Space, costs: Mapping[str, float], light: int, heavy: int) -> dict[str, float]:
    """Return the costs of a heavy architecture, beyond what is expected from a light one's."""
    features = space.architecture_features(np.array([light, heavy]))
    columns = dict(zip(features.numeric_names, features.numeric.T, strict=True))
    found = {}
    for name, value in costs.items():
        growth = GROWTH.get(name, USUAL_GROWTH)
        exponent = sum(slope * float(np.diff(columns[d])[0]) for d, slope in growth.items())
        factor = 10**exponent
        found[name] = value * (factor * BEYOND if factor >= 1 else factor / BEYOND)
    return found


def _lacking(measurement: Measurement, names: list[str]) -> str | None:
    """Return in words which values could not be measured; None if all could."""
    lacking = [name for name in names if not measurement.has([name])]
    return f"{', '.join(lacking)} could not be measured" if lacking else None
