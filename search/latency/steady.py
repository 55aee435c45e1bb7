"""Latencies that a busy machine disturbed: which are measured again, and which one counts."""

from __future__ import annotations

from dataclasses import replace

from archfront.search.records.evaluation import Measurement

# Further measurements of an architecture whose latency is unstable.
MOST_AGAIN = 2
# A disturbed clock gave 4 times the latency of a quiet one, with a spread of .99; what takes this
# many times a limit is over it on a quiet machine too.
HOPELESS = 10.0
# Work that never stops does not show in the spread. It is taken to slow a network by this at most
# (benchmarks/LOG.md, "Limits that nothing meets").
STEADILY_SLOWED = 2.0


def is_disturbed(measurement: Measurement) -> bool:
    """Return whether a latency of this device was measured while other work disturbed it."""
    latency = measurement.latency
    return not latency.is_stable and latency.source != "imported"


def may_be_within(measurement: Measurement, over: dict[str, tuple[float, float]]) -> bool:
    """Return whether a disturbed latency alone puts an architecture over its limits.

    Args:
        measurement: What was measured.
        over: Value and limit of each limit that is exceeded, by its name.
    """
    if over.keys() != {"latency_ms"} or not is_disturbed(measurement):
        return False
    value, allowed = over["latency_ms"]
    return value * _least_share(measurement, STEADILY_SLOWED) <= allowed


def doubt(number: int, measurement: Measurement) -> str:
    """Return in words that a trial is over the limit of the latency, and measured again."""
    latency = measurement.latency
    return (
        f"trial {number}: {latency.p50_ms:.3g} ms is over the limit, but other work disturbed the "
        f"measurement (spread {latency.spread:.2g}): measured again"
    )


def at_best(measurement: Measurement) -> Measurement:
    """Return a disturbed measurement with the least latency that its spread allows."""
    latency = measurement.latency
    least_ms = latency.p50_ms * _least_share(measurement)
    return replace(measurement, latency=replace(latency, p50_ms=least_ms))


def _least_share(measurement: Measurement, slowed: float = 1.0) -> float:
    """Return the least share of a disturbed latency that a quiet machine may have.

    Args:
        measurement: The disturbed one.
        slowed: By how much other work may have slowed it all the time.
    """
    return max((1 - measurement.latency.spread) / slowed, 1 / HOPELESS)


def steadier(first: Measurement, second: Measurement) -> Measurement:
    """Return the one of two measurements of an architecture whose latency counts.

    Other work can only slow a network, so the faster one counts; an unstable one with its spread
    on top, so that a stable one of about the same counts before it. The seconds are those of
    both.
    """
    best = min((first, second), key=_slowest_ms)
    return replace(best, seconds=first.seconds + second.seconds)


def _slowest_ms(measurement: Measurement) -> float:
    latency = measurement.latency
    return latency.p50_ms * (1.0 if latency.is_stable else 1 + latency.spread)
