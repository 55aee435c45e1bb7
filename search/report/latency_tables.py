"""Remembered latencies for people: chosen, sorted, as a table."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.table import Table
from rich.text import Text

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


def latencies_table(entries: Sequence[Entry], devices: Mapping[str, KnownDevice]) -> Table:
    """Return entries as a table; one device is told in its title, several below it."""
    ids = sorted({entry.key.device for entry in entries})
    words = {name: devices[name].words if name in devices else name for name in ids}
    title = f"{count_of(len(entries), 'latency', 'latencies')} of "
    title += words[ids[0]] if len(ids) == 1 else f"{len(ids)} devices"
    table = Table(title=Text(title), title_justify="left", title_style="bold")
    if len(ids) > 1:
        table.caption = Text("\n".join(f"{name}: {text}" for name, text in words.items()))
        table.caption_justify = "left"
    is_mixed = len(ids) > 1
    lefts = [*(["device"] if is_mixed else []), "backbone", "head"]
    middles = ["size", "runtime", "precision"]
    rights = ["threads", "p50 ms", "p95 ms", "spread", "G MACs", "ms/GMAC", "MB memory"]
    for name in [*lefts, *middles, *rights, "measured", ""]:
        is_number = name in rights or name == "size"
        table.add_column(name, justify="right" if is_number else "left")
    for entry in entries:
        a, key, measured = entry.key.architecture, entry.key, entry.measurement
        latency = measured.latency
        numbers = [latency.p95_ms, latency.spread, measured.macs_g, ms_per_gmac(entry)]
        table.add_row(
            *([Text(key.device)] if is_mixed else []),
            a.backbone,
            a.top,
            str(a.input_size),
            Text(key.runtime),
            Text(key.precision),
            str(key.threads),
            f"{latency.p50_ms:.4g}",
            *(_short(number) for number in [*numbers, measured.value("memory_mb")]),
            _when(entry.measured_at),
            _notes(entry),
        )
    return table


def failures_table(entries: Sequence[FailureEntry]) -> Table:
    """Return what could not be measured, with the reasons."""
    title = count_of(len(entries), "failure")
    table = Table(title=title, title_justify="left", title_style="bold")
    for name in ("backbone", "head", "size", "runtime", "kind", "reason", "when"):
        table.add_column(name, justify="right" if name == "size" else "left")
    for entry in entries:
        a = entry.key.architecture
        reason = first_line(entry.failed.message)
        cells = [a.backbone, a.top, str(a.input_size), entry.key.runtime, entry.failed.kind]
        table.add_row(*map(Text, [*cells, reason, _when(entry.failed_at)]))
    return table


def devices_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return the devices as a table."""
    table = Table(title="Devices", title_justify="left", title_style="bold")
    for name in ("device", "words", "latencies", "failures", "runtimes", ""):
        table.add_column(name, justify="right" if name in ("latencies", "failures") else "left")
    for row in rows:
        runtimes = ", ".join(f"{name} ({count})" for name, count in row["runtimes"].items())
        here = "this machine" if row["is_here"] else ""
        counts = [f"{row['latencies']:,}", f"{row['failures']:,}"]
        table.add_row(*map(Text, [row["device"], row["words"], *counts, runtimes, here]))
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
