"""The work of heads, as the grids have it, beside networks whose operations are counted."""

from __future__ import annotations

import pytest
import torch

from archfront.trainers.networks.count import count_costs
from archfront.trainers.spec import Architecture, Weights
from archfront.trainers.tasks import TASKS, task_named
from archfront.trainers.tasks.grid import Grid

BACKBONE = "test_resnet"


def counted(a: Architecture) -> float:
    """Return the multiply-accumulates of a whole network in billions."""
    model = task_named(a.task).build(a, Weights(), 0.0).eval()
    return count_costs(model, torch.zeros(1, 3, a.input_size, a.input_size)).macs / 1e9


def boxes(head: str, width: int, depth: int, size: int = 128) -> Architecture:
    return Architecture(
        *("detection", BACKBONE, head, size, 3, 3),
        neck="fpn",
        width=width,
        depth=depth,
        finest=8,
    )


def masks(head: str, width: int, depth: int, size: int = 128) -> Architecture:
    return Architecture("semantic", BACKBONE, head, size, 3, 3, width=width, depth=depth)


@pytest.mark.parametrize(
    ("light", "heavy"),
    [
        (boxes("yolo", 64, 1), boxes("yolo", 128, 2)),
        (boxes("fcos", 64, 1), boxes("fcos", 128, 2)),
        (boxes("faster_rcnn", 64, 1), boxes("faster_rcnn", 128, 1)),
        (masks("unet", 32, 4), masks("unet", 64, 5)),
        (masks("unetplusplus", 32, 4), masks("unetplusplus", 64, 5)),
        (masks("fpn", 32, 5), masks("fpn", 96, 5)),
        (masks("manet", 32, 4), masks("manet", 64, 5)),
        (boxes("yolo", 64, 1), boxes("yolo", 64, 1, size=256)),
    ],
)
def test_the_work_of_a_head_is_about_what_is_counted(
    light: Architecture, heavy: Architecture
) -> None:
    # What a head adds where it grows and the backbone stays, or grows with the cells.
    scale = (heavy.input_size / light.input_size) ** 2
    grid = TASKS[light.task].grid(light.head)
    expected = grid.macs_g(heavy) - scale * grid.macs_g(light)
    found = counted(heavy) - scale * counted(light)
    assert abs(found - expected) <= 0.5 * max(abs(expected), grid.macs_g(light))


def test_a_head_of_whole_images_counts_as_no_work() -> None:
    assert Grid().macs_g(Architecture("classification", "resnet18", "avg", 224, 1000, 3)) == 0
    assert TASKS["semantic"].grid("segformer").macs_g(masks("segformer", 64, 4)) == 0
