"""The receptive fields of a row of the catalog: followed, and of small networks measured."""

from __future__ import annotations

from dataclasses import replace

import torch

from archfront.search.catalog.backbones import Backbone
from archfront.search.catalog.describe import blank, reason_of
from archfront.trainers.networks.backbone import Pyramid, create
from archfront.trainers.networks.effective_field import effective_fields
from archfront.trainers.networks.receptive_field import receptive_fields

# Side of the images that fields are measured on, at most, where a network takes other sizes.
MEASURED_PX = 256
# Billions of multiply-accumulates of a network that is run on the CPU where meta cannot run it.
FOLLOWED_MACS_G = 5.0
# Begin of what a row says of fields that could not be found.
FOLLOWED, MEASURED = "receptive fields", "effective fields"


def with_fields(row: Backbone, macs_g_max: float) -> Backbone:
    """Return a row with its receptive fields; its problem says what could not be determined.

    Args:
        row: The row.
        macs_g_max: The most billions of multiply-accumulates of a network whose effective fields
            are measured, at the size at which that is done.
    """
    if row.problem.startswith("network: ") or not row.strides:
        return row
    problems = [
        part
        for part in row.problem.split("; ")
        if part and not part.startswith((FOLLOWED, MEASURED))
    ]
    if not row.receptive_fields:
        try:
            row = replace(row, receptive_fields=_followed(row))
        except Exception as error:  # each model file fails in its own way
            problems.append(f"{FOLLOWED}: {reason_of(error)}")
    size = measured_size(row)
    if row.effective_size is None and row.costs_at(size).macs_g <= macs_g_max:
        try:
            row = _measured(row, size)
        except Exception as error:  # as above
            problems.append(f"{MEASURED}: {reason_of(error)}")
    return replace(row, problem="; ".join(problems))


def measured_size(row: Backbone) -> int:
    """Return the input size at which effective fields are measured.

    The row's own, or the largest up to ``MEASURED_PX`` that the network takes.
    """
    fitting = (size for size in range(MEASURED_PX, row.size_min - 1, -1) if row.takes(size))
    return row.input_size if row.input_size <= MEASURED_PX else next(fitting, row.input_size)


def _followed(row: Backbone) -> tuple[float, ...]:
    network = blank(row.name, device="meta", features_only=True)
    images = torch.zeros(1, 3, row.input_size, row.input_size, device="meta")
    try:
        fields = receptive_fields(network, images)
    except Exception:  # an operation that meta lacks
        if row.costs_at(row.input_size).macs_g > FOLLOWED_MACS_G:
            raise
        network = blank(row.name, features_only=True)
        fields = receptive_fields(network, torch.zeros_like(images, device="cpu"))
    return tuple(fields)


def _measured(row: Backbone, size: int) -> Backbone:
    torch.manual_seed(0)
    network = Pyramid(create(row.name, channels=3, input_size=size, features_only=True))
    measured = tuple(float(round(side)) for side in effective_fields(network, size))
    return replace(row, effective_size=size, effective_fields=measured)
