"""The trained network with everything that the formats are made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from archfront.search.errors import ExportError
from archfront.search.predict.manifest import Input
from archfront.trainers.spec import Architecture, Weights
from archfront.trainers.tasks import task_named
from archfront.trainers.tasks.protocol import Task

if TYPE_CHECKING:
    import torch
    from torch import nn

    from archfront.search.runtimes.protocol import LoadedModel
    from archfront.trainers.data import Dataset, Preprocess

# An output that is the same for all images has no spread: a share of its size takes its place.
MIN_SPREAD = 1e-4
# Non-maximum suppression is unrolled over the images of a batch.
ONE_BY_ONE = ("detection", "instance")
# Validation images that an artifact is compared on.
N_COMPARED = 8


@dataclass(frozen=True)
class Graph:
    """How the exported graph is made.

    Attributes:
        batch: Images at a time; None for any number.
        normalizes: Whether the graph takes uint8 pixels and normalizes them itself.
        n_calibration: Training images that int8 takes the ranges of activations from.
    """

    batch: int | None = 1
    normalizes: bool = False
    n_calibration: int = 128


@dataclass(frozen=True)
class Source:
    """A trained network, ready to be written in any format.

    Attributes:
        architecture: Of the network.
        model: As it was trained.
        module: As it is deployed: blocks merged, decoding inside; takes what ``input`` says.
        preprocess: How an image becomes the input.
        class_names: By label.
        input: What ``module`` takes.
        compared: Validation images, resized, uint8 ``(N, C, S, S)``.
        calibration: Training images, the same.
        onnx: Its ONNX file in float32, which was compared with PyTorch and from which other
            formats are made; None where there is none.
    """

    architecture: Architecture
    model: nn.Module
    module: nn.Module
    preprocess: Preprocess
    class_names: tuple[str, ...]
    input: Input
    compared: torch.Tensor
    calibration: torch.Tensor
    onnx: Path | None = None

    @property
    def task(self) -> Task:
        """Return the task."""
        return task_named(self.architecture.task)

    @property
    def example(self) -> torch.Tensor:
        """Return input to trace with; two images where any number is taken, as torch asks."""
        return self.given(self.compared[: self.input.batch or 2])

    def given(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the network's input for resized images."""
        import torch

        batch = self.input.batch
        if batch is not None and len(pixels) < batch:
            pixels = torch.cat([pixels, pixels[:1].repeat(batch - len(pixels), 1, 1, 1)])
        return pixels if self.input.dtype == "uint8" else self.preprocess.normalize(pixels)

    def batches(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """Return resized images in batches as the network takes them."""
        size = self.input.batch
        bounds = (
            [0, 1, len(pixels)] if size is None else [*range(0, len(pixels), size), len(pixels)]
        )
        parts = [pixels[start:end] for start, end in pairwise(bounds)]
        return [self.given(part) for part in parts if len(part)]

    @cached_property
    def expected(self) -> list[np.ndarray]:
        """Return the outputs of eager PyTorch for the compared images."""
        import torch

        with torch.inference_mode():
            found = [self.module(batch) for batch in self.batches(self.compared)]
        return [torch.cat(parts).float().numpy() for parts in zip(*found, strict=True)]

    def difference(self, model: LoadedModel) -> float:
        """Return the difference of a file from eager PyTorch, in units of the outputs' spread.

        The largest difference over the compared images, of the outputs that the task compares;
        rows that a score sorts are put in eager's order before. Any number of images is tried
        with one and with several.

        Raises:
            ExportError: If the runtime does not run it, or gives other shapes.
        """
        parts = [model.outputs(batch.numpy()) for batch in self.batches(self.compared)]
        names = self.task.output_names
        found = [np.concatenate([part[name] for part in parts]) for name in names]
        expected = self.expected
        shapes = [[output.shape for output in outputs] for outputs in (found, expected)]
        if shapes[0] != shapes[1]:
            raise ExportError(
                f"The file gives outputs of shapes {shapes[0]}, PyTorch {shapes[1]}."
            )
        moved = self.task.aligned(expected, found)
        places = [self.task.output_names.index(name) for name in self.task.compared]
        differences = [
            float(np.abs(moved[i] - expected[i]).max()) / _spread(expected[i]) for i in places
        ]
        return float(np.max(differences))  # Python's max() would pass over a NaN


def _spread(output: np.ndarray) -> float:
    """Return the mean over an output's elements of the deviation over the images."""
    least = max(MIN_SPREAD * float(np.abs(output).mean()), 1e-12)
    return max(float(output.std(axis=0).mean()), least)


def load_source(
    architecture: Architecture,
    preprocess_of: Weights,
    weights: Path,
    dataset: Dataset,
    graph: Graph,
) -> Source:
    """Return a trained network with images to compare and to calibrate on.

    Args:
        architecture: What was trained.
        preprocess_of: Its first weights, which decide mean and deviation.
        weights: What the training saved.
        dataset: What it was trained on.
        graph: How the exported graph is made.

    Raises:
        BuildError: If it cannot be built.
        WeightsError: If the weights do not fit it.
    """
    import torch

    from archfront.trainers.networks.backbone import preprocess_for
    from archfront.trainers.networks.checkpoint import load_trained

    task = task_named(architecture.task)
    preprocess = replace(
        preprocess_for(architecture, preprocess_of, task.resize),
        tiling=dataset.tiling,
        value_range=dataset.value_range,
    )
    with torch.random.fork_rng(devices=[]):
        model = task.build(architecture, Weights())
    load_trained(model, weights)
    model.eval().requires_grad_(False)
    deployed = task.deploy_module(model).eval().requires_grad_(False)
    size = architecture.input_size
    plain = Source(
        architecture=architecture,
        model=model,
        module=deployed,
        preprocess=preprocess,
        class_names=dataset.class_names,
        input=Input("images", "float32", graph.batch, (architecture.channels, size, size)),
        compared=_images(dataset, "val", preprocess, N_COMPARED),
        calibration=_images(dataset, "train", preprocess, graph.n_calibration),
    )
    if not graph.normalizes:
        return plain
    inside = replace(plain.input, dtype="uint8")
    return replace(plain, module=normalizing(deployed, preprocess), input=inside)


def _images(dataset: Dataset, split: str, preprocess: Preprocess, n: int) -> torch.Tensor:
    """Return images of a split, evenly spaced over it."""
    import torch

    from archfront.trainers.data import ImageSet

    images = ImageSet.of(dataset.splits[split], preprocess)
    places: Sequence[Any] = np.linspace(0, len(images) - 1, min(n, len(images))).round().tolist()
    return torch.stack([images[int(i)] for i in places])


def normalizing(module: nn.Module, preprocess: Preprocess) -> nn.Module:
    """Return a network that takes uint8 pixels and normalizes them itself."""
    import torch
    from torch import nn

    class Normalizing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            shape = (1, preprocess.channels, 1, 1)
            mean, std = (torch.tensor(v).view(shape) for v in (preprocess.mean, preprocess.std))
            self.register_buffer("scale", 1 / (255 * std))
            self.register_buffer("shift", -mean / std)
            self.network = module

        def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
            scale, shift = self.get_buffer("scale"), self.get_buffer("shift")
            outputs: tuple[torch.Tensor, ...] = self.network(images.float() * scale + shift)
            return outputs

    return Normalizing().eval()
