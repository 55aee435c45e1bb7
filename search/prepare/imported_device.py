"""A device that is not at hand: its latencies come from the table, and nothing is measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from archfront.search.config.schema import HardwareConfig
from archfront.search.errors import ConfigError, unknown
from archfront.search.latency.database import Entry, KnownDevice, LatencyTable
from archfront.search.latency.devices import device_named, with_catalog_costs
from archfront.search.latency.lookup import CostLookup, ImportedCosts
from archfront.search.latency.tiled import of_image
from archfront.search.prepare.prepare import Prepared
from archfront.search.records.evaluation import Measurement
from archfront.search.space.axes import Axes
from archfront.search.space.space import Space
from archfront.trainers.spec import Architecture
from archfront.trainers.words import count_of


def for_device(prepared: Prepared, table: LatencyTable) -> tuple[Prepared, CostLookup]:
    """Return a study for the device of its configuration, and the look-up of its costs.

    On this machine that is the study itself. For another device the space keeps only the
    architectures whose latency was imported.

    Raises:
        ConfigError: If the device, or the values that are needed, are not in the table.
    """
    config = prepared.config
    if config.hardware.device is None:
        return prepared, prepared.settings.device_costs(table)
    device = device_named(table, config.hardware.device)
    tiles = prepared.settings.measure.tiles
    imported = _imported(table.entries(), device, config.hardware)
    found = {architecture: of_image(one, tiles) for architecture, one in imported.items()}
    words = f"{device.words} through {config.hardware.runtime}"
    needed = prepared.settings.needed
    lacking = {
        a: [name for name in needed if not m.has([name])]
        for a, m in found.items()
        if not m.has(needed)
    }
    usable = {a: m for a, m in found.items() if a not in lacking}
    reasons = {a: f"no {' or '.join(names)}" for a, names in lacking.items()}
    space = _kept(prepared.space, usable, reasons, words)
    if not space.axes:
        raise ConfigError(_nothing_left(prepared.space, found, reasons, words))
    unavailable = frozenset(a for a in space.architectures if a not in usable)
    return (
        replace(prepared, space=space, unavailable=unavailable, device=device),
        ImportedCosts(usable, words),
    )


def _imported(
    entries: Sequence[Entry], device: KnownDevice, hardware: HardwareConfig
) -> dict[Architecture, Measurement]:
    """Return the newest measurement of each architecture that is asked for.

    Raises:
        ConfigError: If there is none for the runtime, threads, batch or precision.
    """
    of_device = [entry for entry in entries if entry.key.device == device.id]
    runtimes = {entry.key.runtime for entry in of_device}
    if hardware.runtime not in runtimes:
        error = unknown(f"runtime of {device.words}", hardware.runtime, runtimes)
        raise ConfigError(f"hardware.runtime: {error}")
    of_runtime = [entry for entry in of_device if entry.key.runtime == hardware.runtime]
    asked = (hardware.threads, hardware.batch_size, hardware.precision)
    pinned = None if hardware.affinity is None else tuple(sorted(hardware.affinity))
    found = {
        entry.key.architecture: with_catalog_costs(entry.key.architecture, entry.measurement)
        for entry in of_runtime  # the oldest first, so that the newest stays
        if (entry.key.threads, entry.key.batch_size, entry.key.precision) == asked
        and pinned in (None, entry.key.affinity)
    }
    if not found:
        raise ConfigError(
            f"hardware: {device.words} through {hardware.runtime} has no latency with "
            f"{_setting(asked)}{'' if pinned is None else ', affinity ' + str(list(pinned))}. "
            f"In the table: {_settings(of_runtime)}."
        )
    return found


def _setting(values: tuple[int, int, str]) -> str:
    threads, batch_size, precision = values
    return f"threads={threads}, batch_size={batch_size}, precision={precision}"


def _settings(entries: Sequence[Entry]) -> str:
    counts = Counter((e.key.threads, e.key.batch_size, e.key.precision) for e in entries)
    return "; ".join(f"{_setting(values)} ({count})" for values, count in sorted(counts.items()))


def _kept(
    space: Space,
    usable: Mapping[Architecture, Measurement],
    reasons: Mapping[Architecture, str],
    words: str,
) -> Space:
    """Return the space of the heads and sizes that any usable architecture of a backbone has."""
    axes: list[Axes] = []
    dropped = list(space.dropped)
    for each in space.axes:
        name = each.backbone.name
        mine = [a for a in space.architectures if a.backbone == name]
        heads = {a.head for a in mine if a in usable}
        sizes = {a.input_size for a in mine if a in usable}
        if heads:
            kept_sizes = tuple(s for s in each.input_sizes if s in sizes)
            kept_heads = tuple(h for h in each.heads if h in heads)
            axes.append(replace(each, heads=kept_heads, input_sizes=kept_sizes))
        out = [a for a in mine if a not in usable]
        if out:
            why = ", ".join(sorted({reasons.get(a, "no latency") for a in out}))
            part = f" for {len(out)} of {len(mine)} heads and sizes" if heads else ""
            dropped.append(f"{name}: {why} of {words}{part}")
    weights = {a.backbone.name: space.weights[a.backbone.name] for a in axes}
    return replace(space, axes=tuple(axes), weights=weights, dropped=tuple(dropped))


def _nothing_left(
    space: Space,
    found: Mapping[Architecture, Measurement],
    reasons: Mapping[Architecture, str],
    words: str,
) -> str:
    lacking = sorted({reasons[a] for a in space.architectures if a in reasons})
    if lacking:
        return (
            f"space: nothing is left: the architectures that have a latency of {words} have "
            f"{', '.join(lacking)}. Import these values too, or do not ask for them."
        )
    shapes = sorted({(a.classes, a.channels) for a in found})
    there = ", ".join(_shape(classes, channels) for classes, channels in shapes)
    return (
        "space: nothing is left: none of its "
        f"{count_of(len(space.architectures), 'architecture')} "
        f"({_shape(space.classes, space.channels)}) has a latency of {words}. In the table: "
        f"{count_of(len(found), 'architecture')} of {there}."
    )


def _shape(classes: int, channels: int) -> str:
    return f"{count_of(classes, 'class', 'classes')} and {count_of(channels, 'channel')}"
