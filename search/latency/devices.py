"""Devices whose latencies were imported."""

from __future__ import annotations

import math
from dataclasses import replace

from archfront.search.catalog import catalog
from archfront.search.errors import ConfigError, unknown
from archfront.search.latency.database import KnownDevice, LatencyTable
from archfront.search.records.evaluation import Measurement
from archfront.trainers.spec import Architecture


def device_named(table: LatencyTable, name: str) -> KnownDevice:
    """Return the device of an id or of the words that people call it.

    Raises:
        ConfigError: If there is none, or several have these words.
    """
    devices = table.devices()
    if name in devices:
        return devices[name]
    found = [device for device in devices.values() if device.words == name]
    if len(found) > 1:
        ids = ", ".join(device.id for device in found)
        raise ConfigError(f"The device {name!r} could be several: {ids}. Give one of these ids.")
    if found:
        return found[0]
    if not devices:
        raise ConfigError(
            f"Unknown device {name!r}: the table {table.name!r} has none yet. "
            "archfront latency import FILE.csv brings one in."
        )
    names = [d.id if d.words == d.id else f"{d.id} ({d.words})" for d in devices.values()]
    near = unknown("device", name, devices)
    raise ConfigError(f"{str(near).split(' Known: ')[0]} In the table: {'; '.join(names)}.")


def with_catalog_costs(architecture: Architecture, measurement: Measurement) -> Measurement:
    """Return a measurement whose unknown parameters and work are those of the catalog."""
    row = catalog().get(architecture.backbone)
    if row is None:
        return measurement
    row = row.with_head(architecture.head)
    params, macs = measurement.params_m, measurement.macs_g
    if math.isnan(params):
        params = row.params_m
    if math.isnan(macs) and hasattr(row, "costs_at"):
        macs = row.costs_at(architecture.input_size).macs_g
    return replace(measurement, params_m=params, macs_g=macs)
