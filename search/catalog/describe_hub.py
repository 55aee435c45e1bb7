"""One row for a classifier of transformers, read off the network like ``describe`` does."""

from __future__ import annotations

import torch

from archfront.search.catalog.backbones import Backbone, Tag
from archfront.search.catalog.describe import CPU_PARAMS_MAX, sizes_and_costs
from archfront.trainers.errors import BuildError
from archfront.trainers.networks.backbone import run_once
from archfront.trainers.networks.count import OpCounts, count_costs
from archfront.trainers.networks.hf.files import create_hub
from archfront.trainers.networks.hf.names import licence_of
from archfront.trainers.networks.hf.network import HubNetwork, config_for, own_size


def describe_hub(name: str) -> Backbone:
    """Return the row of a network of transformers.

    Raises:
        BuildError: If the network cannot be built or run.
        ConfigError: If the name has no configuration, or transformers is not installed.
    """
    builder = _HubBuilder(name)
    licence = licence_of(name)
    return Backbone(
        name=name,
        family=f"hf_{builder.kind}",
        params_m=builder.params / 1e6,
        input_size=builder.own_size,
        heads=(("timm",),),
        tags=() if licence is None else (Tag("", licence),),
        **sizes_and_costs(builder),
    )


class _HubBuilder:
    """One network of transformers at any input size.

    Attributes:
        kind: The ``model_type`` of the configuration.
        own_size: The published side of the network's input.
        params: Number of parameters with 1,000 classes.
        patch: Side of the patches that must fill the image; 1 without patches.
        is_sized: Whether the shapes of the weights depend on the input size.
    """

    def __init__(self, name: str) -> None:
        config = config_for(name)
        self._name = name
        self._has_size = hasattr(config, "image_size")
        self._built: dict[int, HubNetwork] = {}
        self._taken: dict[int, bool] = {}  # rules of different steps ask about the same sizes
        self.kind: str = config.model_type
        self.own_size = own_size(config)
        patch = getattr(config, "patch_size", 1)
        side = max(patch) if isinstance(patch, list | tuple) else patch
        self.patch = side if isinstance(side, int) and side > 0 else 1
        own = self._at(self.own_size)
        self.params = sum(parameter.numel() for parameter in own.parameters())
        self.is_sized = self._shapes(self.own_size) != self._shapes(2 * self.own_size)

    def takes(self, size: int) -> bool:
        """Return whether the network runs at an input size."""
        if size not in self._taken:
            self._taken[size] = self._tries(size)
        return self._taken[size]

    def _tries(self, size: int) -> bool:
        try:
            network = self._at(size)
            output = run_once(network, self._name, channels=3, input_size=size, device="meta")
        except BuildError:
            return False
        return isinstance(output, torch.Tensor) and output.ndim == 2

    def runs(self, size: int) -> bool:
        """Return whether the network computes something on the CPU at an input size."""
        if self.params > CPU_PARAMS_MAX:
            return True
        try:
            network = create_hub(self._name, input_size=size)
            run_once(network, self._name, channels=3, input_size=size)
        except BuildError:
            return False
        return True

    def own_counts(self) -> OpCounts:
        """Return the costs at the network's own size."""
        return self.counts(self.own_size)

    def counts(self, size: int) -> OpCounts:
        """Return the costs of one image of a size."""
        return count_costs(self._at(size), torch.zeros(1, 3, size, size, device="meta"))

    def _at(self, size: int) -> HubNetwork:
        key = size if self._has_size else self.own_size
        if key not in self._built:
            self._built[key] = create_hub(self._name, input_size=key, device="meta")
        return self._built[key]

    def _shapes(self, size: int) -> dict[str, torch.Size]:
        return {key: value.shape for key, value in self._at(size).state_dict().items()}
