"""Remembered latencies for people: chosen, sorted, as a table."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from archfront.search.catalog import match
from archfront.search.errors import TableError, unknown
from archfront.search.latency.database import (
    Entry,
    FailureEntry,
    KnownDevice,
    LatencyKey,
    LatencyTable,
)
from archfront.search.latency.devices import device_named, with_catalog_costs
from archfront.search.report.fitted_table import Column, FittedTable
from archfront.trainers.words import count_of


@dataclass(frozen=True)
class Choice:
    """Which rows of a table are meant; None for all.

    Attributes:
        patterns: Shell patterns of backbones.
        device: Id or words of a device.
        runtime: Name of a runtime.
        precision: Name of a precision.
    """

    patterns: tuple[str, ...] = ()
    device: str | None = None
    runtime: str | None = None
    precision: str | None = None

    def keys(self, table: LatencyTable, keys: Sequence[LatencyKey]) -> set[LatencyKey]:
        """Return the keys that are meant.

        Raises:
            ConfigError: If a name occurs nowhere in the table.
            TableError: If a pattern matches no backbone in it, or all of it together nothing.
        """
        chosen = list(keys)
        if self.device is not None:
            device = device_named(table, self.device).id
            chosen = [key for key in chosen if key.device == device]
        for what, name in (("runtime", self.runtime), ("precision", self.precision)):
            names = {getattr(key, what) for key in keys}
            if name is not None and name not in names:
                raise unknown(what, name, names)
            chosen = [key for key in chosen if name in (None, getattr(key, what))]
        backbones = sorted({key.architecture.backbone for key in chosen})
        for pattern in self.patterns:
            if not match([pattern], backbones):
                there = f" There are {len(backbones)}, as {backbones[0]}." if backbones else ""
                raise TableError(f"No backbone that was measured matches {pattern!r}.{there}")
        if not chosen:
            raise TableError("Nothing that is remembered is all of that at once.")
        wanted = set(match(self.patterns, backbones)) if self.patterns else set(backbones)
        return {key for key in chosen if key.architecture.backbone in wanted}


def ms_per_gmac(entry: Entry) -> float:
    """Return milliseconds for 10^9 multiply-accumulates; NaN where they are not known."""
    return entry.measurement.latency.p50_ms / entry.measurement.macs_g


def filled(entries: Iterable[Entry]) -> list[Entry]:
    """Return entries whose unknown parameters and work are those of the catalog."""
    return [
        Entry(e.key, with_catalog_costs(e.key.architecture, e.measurement), e.measured_at)
        for e in entries
    ]


# What can be sorted by, and how it is found.
SORTS: dict[str, Callable[[Entry], Any]] = {
    "latency_ms": lambda e: e.measurement.latency.p50_ms,
    "p95_ms": lambda e: e.measurement.latency.p95_ms,
    "spread": lambda e: e.measurement.latency.spread,
    "macs_g": lambda e: e.measurement.macs_g,
    "params_m": lambda e: e.measurement.params_m,
    "size_mb": lambda e: e.measurement.size_mb,
    "memory_mb": lambda e: e.measurement.value("memory_mb"),
    "ms_per_gmac": ms_per_gmac,
    "measured_at": lambda e: e.measured_at,
    "backbone": lambda e: e.key.architecture.backbone,
    "input_size": lambda e: e.key.architecture.input_size,
}


def in_order(entries: Sequence[Entry], by: str) -> list[Entry]:
    """Return entries in the order of a value; those that lack it come last.

    Raises:
        ConfigError: If there is no such value.
    """
    if by not in SORTS:
        raise unknown("value to sort by", by, SORTS)
    value = SORTS[by]

    def rank(entry: Entry) -> tuple[bool, Any, str, int]:
        found, a = value(entry), entry.key.architecture
        lacks = isinstance(found, float) and math.isnan(found)
        return lacks, 0 if lacks else found, a.backbone, a.input_size

    return sorted(entries, key=rank)


def latencies_table(entries: Sequence[Entry], devices: Mapping[str, KnownDevice]) -> FittedTable:
    """Return entries as a table; one device is told in its title, several below it."""
    ids = sorted({entry.key.device for entry in entries})
    words = {name: devices[name].words if name in devices else name for name in ids}
    is_mixed = len(ids) > 1
    title = f"{count_of(len(entries), 'latency', 'latencies')} of "
    title += f"{len(ids)} devices" if is_mixed else words[ids[0]]
    columns = [
        *([Column("device", kind="key")] if is_mixed else []),
        Column("backbone", kind="name"),
        Column("head", 4, "name"),
        Column("size", 1),
        Column("runtime", 2, "key"),
        Column("precision", 3, "key"),
        Column("threads", 7),
        Column("p50 ms"),
        Column("p95 ms", 6),
        Column("spread", 9),
        Column("G MACs", 8),
        Column("ms/GMAC", 9),
        Column("MB memory", 9),
        Column("measured", 10, "key"),
        Column("", 5, "words"),
    ]
    caption = "\n".join(f"{name}: {text}" for name, text in words.items()) if is_mixed else ""
    table = FittedTable(title, columns, caption=caption)
    for entry in entries:
        a, key, measured = entry.key.architecture, entry.key, entry.measurement
        latency = measured.latency
        numbers = [latency.p95_ms, latency.spread, measured.macs_g, ms_per_gmac(entry)]
        table.add_row(
            *([key.device] if is_mixed else []),
            a.backbone,
            a.top,
            str(a.input_size),
            key.runtime,
            key.precision,
            str(key.threads),
            f"{latency.p50_ms:.4g}",
            *(_short(number) for number in [*numbers, measured.value("memory_mb")]),
            _when(entry.measured_at),
            _notes(entry),
        )
    return table


def failures_table(entries: Sequence[FailureEntry]) -> FittedTable:
    """Return what could not be measured, with the reasons."""
    columns = [
        Column("backbone", kind="name"),
        Column("head", 3, "name"),
        Column("size", 2),
        Column("runtime", 4, "key"),
        Column("kind", 1, "key"),
        Column("reason", kind="words"),
        Column("when", 5, "key"),
    ]
    table = FittedTable(count_of(len(entries), "failure"), columns)
    for entry in entries:
        a = entry.key.architecture
        reason = first_line(entry.failed.message)
        cells = [a.backbone, a.top, str(a.input_size), entry.key.runtime, entry.failed.kind]
        table.add_row(*cells, reason, _when(entry.failed_at))
    return table


def devices_table(rows: Sequence[Mapping[str, Any]]) -> FittedTable:
    """Return the devices as a table."""
    columns = [
        Column("device", kind="key"),
        Column("words", kind="words"),
        Column("latencies", 1),
        Column("failures", 3),
        Column("runtimes", 4, "words"),
        Column("", 2, "words"),
    ]
    table = FittedTable("Devices", columns)
    for row in rows:
        runtimes = ", ".join(f"{name} ({count})" for name, count in row["runtimes"].items())
        here = "this machine" if row["is_here"] else ""
        counts = [f"{row['latencies']:,}", f"{row['failures']:,}"]
        table.add_row(row["device"], row["words"], *counts, runtimes, here)
    return table


def device_rows(table: LatencyTable, here: str) -> list[dict[str, Any]]:
    """Return the devices with what is remembered of them."""
    entries, failures = table.entries(), table.failures()
    return [
        {
            "device": device.id,
            "words": device.words,
            "is_here": device.id == here,
            "latencies": sum(e.key.device == device.id for e in entries),
            "failures": sum(f.key.device == device.id for f in failures),
            "runtimes": dict(
                sorted(
                    Counter(e.key.runtime for e in entries if e.key.device == device.id).items()
                )
            ),
            "description": device.description,
        }
        for device in table.devices().values()
    ]


def first_line(text: str) -> str:
    """Return the first line of a message that may have many."""
    return text.strip().split("\n", 1)[0]


def _short(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.3g}"


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")


def _notes(entry: Entry) -> str:
    latency = entry.measurement.latency
    notes = ["fused"] if entry.key.architecture.fused else []
    notes += [] if latency.is_stable else ["unstable"]
    notes += ["imported"] if latency.source == "imported" else []
    if entry.key.affinity is not None:
        notes.append(f"cores {','.join(map(str, entry.key.affinity))}")
    return ", ".join(notes)
