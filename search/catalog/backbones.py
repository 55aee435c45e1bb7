"""The records of the catalog: a backbone with its costs, its weights and what was published."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from archfront.search.catalog.tags import data_of

# Effective fields of deepest maps over receptive ones, and from which share of an image on it cuts
# them off (benchmarks/LOG.md, "Receptive fields").
TYPICAL, CUT_OFF = 0.55, 0.8

Sizes = Literal["any", "img_size", "fixed"]


@dataclass(frozen=True)
class Costs:
    """The costs of a network for one image of a size.

    Attributes:
        macs_g: Multiply-accumulates of convolutions and matrix products, in billions.
        acts_m: Output elements of the same, in millions.
        elements_m: Output elements of all operations, in millions, a measure of memory traffic.
    """

    macs_g: float
    acts_m: float
    elements_m: float


@dataclass(frozen=True)
class Tag:
    """Pretrained weights of a timm architecture.

    Attributes:
        name: The tag, such as ``a1_in1k``; empty for weights without one.
        licence: The license that timm gives, in lower case.
    """

    name: str
    licence: str

    @property
    def data(self) -> str:
        """Return the training data, such as ``in22k->in1k``; ``?`` where unknown."""
        return data_of(self.name)


@dataclass(frozen=True)
class Published:
    """A published accuracy on ImageNet-1k, in percent, of weights at an input size."""

    tag: str
    input_size: int
    top1: float


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """One timm architecture.

    Costs, operations and shares are those of the deployed network: with timm's own classifier,
    and with its blocks merged if it ``is_fusable``.

    Attributes:
        name: timm's name without a pretrained tag.
        family: The timm module that defines the architecture, such as ``resnet``.
        params_m: Parameters during training, in millions; NaN if the network could not be built.
        input_size: The published side of the input, in pixels.
        sizes: Which input sizes the network takes: ``any``; ``img_size`` if it is built for one;
            ``fixed`` if only its own.
        size_step: Number of pixels that input sizes are multiples of.
        size_min: The smallest input size, in pixels.
        costs: By input size, ascending.
        n_ops: Operations of one forward pass at the published size, about as many as kernels.
        macs_shares: Shares of the MACs by ``count.MAC_KINDS``, at that size.
        elements_shares: Shares of the elements by ``ELEMENT_KINDS``, at that size.
        strides: Stride of each feature map, the finest first; empty where timm gives no maps.
        channels: Channels of each feature map.
        receptive_fields: Longer side of the receptive field of each feature map in pixels,
            infinite for the whole image; empty where it is not known.
        effective_size: Side of the image that effective fields were measured on; None where they
            were not.
        effective_fields: Side of the effective receptive field of each feature map in pixels, with
            drawn weights.
        heads: The heads of the classification task that the backbone takes, in groups of heads
            that make the same network.
        truncated_shares: Shares of parameters, MACs, activations, elements and operations that the
            network without its last stage has; empty where it takes no such head.
        is_fusable: Whether the network has blocks that are merged for inference.
        tags: Pretrained weights, timm's default first.
        published: Published accuracies, the best first.
        problem: What could not be determined and why, such as ``strides: RuntimeError: ...``.
    """

    name: str
    family: str
    params_m: float
    input_size: int = 224
    sizes: Sizes = "any"
    size_step: int = 1
    size_min: int = 1
    costs: tuple[tuple[int, Costs], ...] = ()
    n_ops: int = 0
    macs_shares: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0)
    elements_shares: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    strides: tuple[int, ...] = ()
    channels: tuple[int, ...] = ()
    receptive_fields: tuple[float, ...] = ()
    effective_size: int | None = None
    effective_fields: tuple[float, ...] = ()
    heads: tuple[tuple[str, ...], ...] = ()
    truncated_shares: tuple[float, ...] = ()
    is_fusable: bool = False
    tags: tuple[Tag, ...] = ()
    published: tuple[Published, ...] = ()
    problem: str = ""

    @property
    def is_built(self) -> bool:
        """Return whether the network could be built and run."""
        return bool(self.costs)

    @property
    def depthwise_share(self) -> float:
        """Return the share of the MACs in convolutions of several groups."""
        return self.macs_shares[2]

    @property
    def matmul_share(self) -> float:
        """Return the share of the MACs outside of convolutions."""
        return self.macs_shares[3]

    @property
    def top1(self) -> float | None:
        """Return the best published accuracy, in percent."""
        return self.published[0].top1 if self.published else None

    @property
    def default_published(self) -> Published | None:
        """Return the published accuracy of the weights that timm loads by default."""
        wanted = self.tags[0].name if self.tags else None
        return next((entry for entry in self.published if entry.tag == wanted), None)

    def licence(self, tag: str | None = None) -> str:
        """Return the license of a tag's weights, the default ones for None; ``?`` if unknown."""
        if tag is None:
            return self.tags[0].licence if self.tags else "?"
        return next((entry.licence for entry in self.tags if entry.name == tag), "?")

    def takes(self, size: int) -> bool:
        """Return whether the network can be built for an input size."""
        if self.sizes == "fixed":
            return size == self.input_size
        return size >= self.size_min and size % self.size_step == 0

    @property
    def size_rule(self) -> str:
        """Return a text on which input sizes the network takes."""
        if self.sizes == "fixed":
            return f"{self.input_size} px only"
        step = f"multiples of {self.size_step} px" if self.size_step > 1 else "any size"
        return f"{step} from {self.size_min} px"

    def heads_among(self, wanted: Sequence[str]) -> tuple[str, ...]:
        """Return the wanted heads that the backbone takes; of equal ones, the one named first."""
        kept: dict[tuple[str, ...], str] = {}
        for head in wanted:
            group = next((group for group in self.heads if head in group), None)
            if group is not None:
                kept.setdefault(group, head)
        return tuple(kept.values())

    def with_head(self, head: str) -> Backbone:
        """Return the backbone with its costs and fields under a head, which may truncate it."""
        if head != "truncated" or not self.truncated_shares:
            return self
        params, macs, acts, elements, ops = self.truncated_shares
        return replace(
            self,
            params_m=self.params_m * params,
            costs=tuple(
                (size, Costs(c.macs_g * macs, c.acts_m * acts, c.elements_m * elements))
                for size, c in self.costs
            ),
            n_ops=round(self.n_ops * ops),
            receptive_fields=self.receptive_fields[:-1],
            effective_fields=self.effective_fields[:-1],
        )

    def seen_px(self, size: int) -> float:
        """Return the side of what a position of the deepest map sees, at an input size, in pixels.

        The effective field: as it was measured, or as a share of the image where the receptive
        field has no end; ``TYPICAL`` of the receptive field where it was not measured, or the
        image that it was measured on cut it off. At most the image; NaN where nothing is known.
        """
        if not self.receptive_fields:
            return math.nan
        whole = self.receptive_fields[-1]
        if self.effective_size is None:
            return min(whole * TYPICAL, float(size))
        seen = self.effective_fields[-1]
        if math.isinf(whole):
            seen *= size / self.effective_size
        elif seen > CUT_OFF * self.effective_size:
            seen = max(seen, whole * TYPICAL)
        return min(seen, float(size))

    def costs_at(self, size: int) -> Costs:
        """Return the costs at an input size; NaN if the backbone was not built.

        Exact at the sizes of the table; between and beyond these, costs are interpolated as
        powers of the size. From a single size they grow with the area.
        """
        known = dict(self.costs)
        if size in known:
            return known[size]
        if not known:
            return Costs(math.nan, math.nan, math.nan)
        if len(known) == 1:
            [(only, costs)] = self.costs
            scale = (size / only) ** 2
            return Costs(costs.macs_g * scale, costs.acts_m * scale, costs.elements_m * scale)
        table = list(known)
        place = sum(entry < size for entry in table)
        low = table[min(max(place - 1, 0), len(table) - 2)]
        high = table[table.index(low) + 1]
        part = math.log(size / low) / math.log(high / low)
        ends = (known[low], known[high])
        macs, acts, elements = (
            getattr(ends[0], name) ** (1 - part) * getattr(ends[1], name) ** part
            for name in Costs.__dataclass_fields__
        )
        return Costs(macs, acts, elements)
