"""The network of an architecture, ready to be exported and measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from archfront.search.runtimes.alignment import Aligned
from archfront.trainers.spec import Architecture, Weights

if TYPE_CHECKING:
    import torch
    from torch import nn

    from archfront.trainers.networks.count import OpCounts


@dataclass(frozen=True)
class MeasuredNetwork:
    """A network to be exported and measured, with the images for its comparison and timing.

    Attributes:
        architecture: The architecture of the network.
        module: The network as it is deployed, on trained weights or on perturbed drawn ones.
        example: The batch of images that is timed.
        batches: The images on which an export is compared with eager PyTorch, in batches.
        output_names: Names of the outputs, in order.
        compared: Positions of the outputs that are compared.
        aligned: How the outputs are put in a common order before they are compared.
        costs: Parameters and multiply-accumulates of one image.
    """

    architecture: Architecture
    module: nn.Module
    example: torch.Tensor
    batches: Sequence[torch.Tensor]
    output_names: tuple[str, ...]
    compared: tuple[int, ...]
    aligned: Aligned
    costs: OpCounts


def build_network(
    architecture: Architecture, batch_size: int, *, seed: int, weights: Path | None
) -> MeasuredNetwork:
    """Return the network of an architecture on trained weights, or on drawn ones if None.

    Args:
        architecture: The architecture to build.
        batch_size: Images per run.
        seed: Seed of the drawn weights and images.
        weights: File of trained weights; None for drawn ones.

    Raises:
        BuildError: If the network cannot be built.
        WeightsError: If the trained weights do not fit the network.
    """
    import torch

    from archfront.search.runtimes.perturb import draw_images, perturb
    from archfront.trainers.networks.checkpoint import load_trained
    from archfront.trainers.networks.count import count_costs
    from archfront.trainers.tasks import task_named

    task = task_named(architecture.task)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = task.build(architecture, Weights(), dropout=0.0)
    network.eval().requires_grad_(False)
    example = task.example(architecture, batch_size, seed)
    images = draw_images(example, seed)
    # Before blocks are merged: the norms keep activations in bounds, and are gone after it.
    if weights is None:
        perturb(network, images, seed)
    else:
        load_trained(network, weights)
    module = task.deploy_module(network)
    module.eval().requires_grad_(False)
    costs = count_costs(module, example[:1])
    batches = torch.split(images, batch_size)
    names = task.output_names
    compared = tuple(names.index(name) for name in task.compared)
    return MeasuredNetwork(
        architecture, module, example, batches, names, compared, task.aligned, costs
    )
