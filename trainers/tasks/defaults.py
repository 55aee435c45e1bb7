"""Defaults that most tasks share, so that a new one is written in one short file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from numpy.typing import NDArray

from archfront.trainers.errors import BuildError, unknown
from archfront.trainers.spec import PLAIN_LOSS, Architecture, Balance
from archfront.trainers.tasks.grid import Grid

if TYPE_CHECKING:
    import torch
    from torch import nn

    from archfront.trainers.data.preprocess import Resize
    from archfront.trainers.data.targets import TargetKind

# Name of the baseline that draws its answers.
DRAWN = "a draw by class shares"


class _WithChance(Protocol):
    """What a task writes itself and its defaults build on."""

    baseline: ClassVar[str]

    def chance(
        self, metric: str, class_counts: Sequence[int], n_images: int | None = None
    ) -> float:
        """Return the metric's value without looking at the images."""


class TaskDefaults:
    """Defaults of the ``Task`` protocol, for networks that are a ``TaskNetwork``.

    A task on it names ``heads``, ``metrics``, ``output_names`` and ``target``, and writes
    ``build``, ``chance``, ``training_step``, ``example_targets``, ``decode``, ``evaluator`` and
    ``resampled``.

    Attributes:
        heads: Names of the heads, the first of them the default.
        metrics: Names of the metrics; for each of them higher is better.
        losses: Names of the losses; ``own`` where the head has its own.
        balances: Ways in which a loss can treat classes of unequal size.
        output_names: Names of what the deployed network gives, in its order.
        target: What it learns from.
        resize: How an image becomes a square.
        baseline: What ``chance`` answers to every image, in words.
    """

    heads: tuple[str, ...]
    metrics: tuple[str, ...]
    losses: tuple[str, ...] = ("own",)
    balances: ClassVar[tuple[Balance, ...]] = (PLAIN_LOSS,)
    output_names: tuple[str, ...]
    target: TargetKind
    resize: Resize = "pad"
    baseline: ClassVar[str] = "the commonest class"

    @property
    def compared(self) -> tuple[str, ...]:
        """Return the names of all outputs: an export is compared by each of them."""
        return self.output_names

    @property
    def is_image_level(self) -> bool:
        """Return whether its targets are labels of whole images."""
        return self.target in ("label", "labels")

    def heads_for(self, backbone: str, among: Sequence[str] | None = None) -> tuple[str, ...]:
        """Return the heads that the backbone can carry, by ``misfit``.

        The backbone is built without memory for its weights.

        Args:
            backbone: timm model name without a tag.
            among: The heads asked for; all when None.

        Raises:
            ConfigError: If one of ``among`` is no head.
            BuildError: If there is no such backbone.
        """
        from archfront.trainers.networks.backbone import family_and_strides

        asked = self.heads if among is None else tuple(among)
        for head in asked:
            if head not in self.heads:
                raise unknown("head", head, self.heads)
        family, strides = family_and_strides(backbone)
        return tuple(head for head in asked if self.misfit(head, family, strides) is None)

    def misfit(self, head: str, family: str, strides: Sequence[int]) -> str | None:
        """Return None: every backbone carries every head."""
        return None

    def depends_on_weights(self, head: str) -> bool:
        """Return False: the time of a prediction is the same whatever was learned."""
        return False

    def grid(self, head: str) -> Grid:
        """Return the grid that leaves nothing open."""
        return Grid()

    def baselines(
        self: _WithChance, metric: str, class_counts: Sequence[int], n_images: int | None = None
    ) -> dict[str, float]:
        """Return the metric's value without looking at the images, by ``chance``."""
        return {self.baseline: self.chance(metric, class_counts, n_images)}

    def check_architecture(self, architecture: Architecture) -> None:
        """Raise a BuildError where the head is unknown or its grid has no such shape."""
        a = architecture
        if a.head not in self.heads:
            raise BuildError(str(unknown("head", a.head, self.heads)))
        grid = self.grid(a.head)
        refused = grid.refused(widths=[a.width], depths=[a.depth], sizes=[a.input_size])
        if a.neck not in grid.neck:
            refused["neck"] = f"takes {', '.join(grid.neck)}; got {a.neck}"
        if refused:
            reasons = "; ".join(f"{name} {reason}" for name, reason in refused.items())
            raise BuildError(f"{a.backbone} with head {a.head!r}: {reasons}.")

    def check_metric(self, metric: str) -> None:
        """Raise a ConfigError where the task has no such metric."""
        if metric not in self.metrics:
            raise unknown("metric", metric, self.metrics)

    def freeze(self, model: nn.Module) -> None:
        """Leave only the head to be trained; the norms of the backbone keep their statistics."""
        from archfront.trainers.networks.task_network import TaskNetwork

        assert isinstance(model, TaskNetwork)
        model.freeze()

    def predict(self, model: nn.Module, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the float32 outputs for normalized images by their names."""
        outputs = model(images)
        named = outputs if isinstance(outputs, tuple) else (outputs,)
        return {name: o.float() for name, o in zip(self.output_names, named, strict=True)}

    def deploy_module(self, model: nn.Module) -> nn.Module:
        """Return the network to export, in evaluation mode: a copy where blocks are merged."""
        from archfront.trainers.networks.task_network import Deployed

        return Deployed(model)

    def aligned(
        self, expected: Sequence[NDArray[Any]], found: Sequence[NDArray[Any]]
    ) -> list[NDArray[Any]]:
        """Return the outputs of an export as they are: every value has its place."""
        return list(found)

    def example(self, architecture: Architecture, batch_size: int, seed: int) -> torch.Tensor:
        """Return seeded normal noise ``(batch_size, C, S, S)``."""
        import torch

        size = architecture.input_size
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(batch_size, architecture.channels, size, size, generator=generator)
