"""One row of the catalog, read off the network, built without weights or arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import combinations
from typing import Any, Literal, Protocol

import timm
import torch
from timm.models import get_pretrained_cfg, is_model_pretrained, model_entrypoint
from torch import nn

from archfront.search.catalog.backbones import Backbone, Costs, Tag
from archfront.trainers.errors import BuildError
from archfront.trainers.networks.backbone import create, run_once
from archfront.trainers.networks.classifiers import Classifier
from archfront.trainers.networks.count import OpCounts, count_costs
from archfront.trainers.networks.stages import truncate
from archfront.trainers.networks.undrawn import DRAWING, Undrawn
from archfront.trainers.spec import Architecture
from archfront.trainers.tasks import TASKS

# Input sizes that every network is counted at, beside its own.
COST_SIZES = (64, 128, 224, 384)
# Steps between input sizes that occur: strides, patches, windows of patches.
STEPS = (1, 2, 4, 7, 8, 12, 14, 16, 24, 28, 32, 48, 56, 64, 96, 112, 128, 192, 224, 256)
# Multiples of a step to try for all: sides that five halvings round up and down.
TIMES = (1, 2, 3, 5, 9, 15)
# Three steps of this size more than the smallest image would take the CPU seconds.
LARGE_STEP = 200
SMALLEST = (8, 16, 24, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512)
# The license in timm's own model cards where a record of weights names none: the default of
# ``timm.models._hub.generate_readme``.
DEFAULT_LICENCE = "apache-2.0"
# The most parameters of a network that is built on the CPU, where they take memory: 3.2 GB.
CPU_PARAMS_MAX = 800_000_000
REASON_LENGTH = 160


def describe(name: str) -> Backbone:
    """Return the row of one timm architecture; its problem says what could not be determined."""
    default = get_pretrained_cfg(name)
    known = Backbone(
        name=name,
        family=model_entrypoint(name).__module__.rpartition(".")[2],
        params_m=float("nan"),
        input_size=default.input_size[-1] if default is not None else 224,
        sizes="fixed",
        tags=_tags(name),
    )
    problems: list[str] = []

    def attempt(part: str, find: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        try:
            return find()
        except Exception as error:  # any error in timm is the row's problem
            problems.append(f"{part}: {reason_of(error)}")
            return {}

    try:
        builder = _Builder(name, known.input_size)
    except Exception as error:  # as above
        return replace(known, problem=f"network: {reason_of(error)}")
    found: dict[str, Any] = {"params_m": builder.params / 1e6, "is_fusable": builder.is_fusable}
    found |= attempt("costs", lambda: sizes_and_costs(builder))
    found |= attempt("strides", lambda: _levels(name))
    found |= attempt("heads", lambda: _heads(name))
    if any("truncated" in group for group in found.get("heads", ())):
        found |= attempt("truncated", lambda: _truncated_shares(builder))
    return replace(known, **found, problem="; ".join(problems))


def _tags(name: str) -> tuple[Tag, ...]:
    names = []
    default = get_pretrained_cfg(name)
    if default is not None and is_model_pretrained(name):
        names.append(default.tag or "")
    names += [full.partition(".")[2] for full in timm.list_pretrained(f"{name}.*")]
    return tuple(Tag(tag, _licence(name, tag)) for tag in dict.fromkeys(names))


def _licence(name: str, tag: str) -> str:
    cfg = get_pretrained_cfg(f"{name}.{tag}" if tag else name)
    return str((cfg and cfg.license) or DEFAULT_LICENCE).lower()


class _Uninitialized(Undrawn):
    """Skips drawing first weights, which is most of the time that building a network takes.

    Lookup tables, such as those of relative positions, are no weights and stay as they are.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Return a tensor on meta unchanged, and zeros in place of a drawn weight."""
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in DRAWING:
            drawn = args[0] if args else kwargs.get("tensor")
            if isinstance(drawn, nn.Parameter) and not drawn.is_meta:
                with torch.no_grad():
                    return drawn.zero_()
        return super().__torch_function__(func, types, args, kwargs)


def blank(name: str, *, input_size: int | None = None, **options: Any) -> nn.Module:
    """Return a network for color images with zeros in place of drawn weights."""
    with _Uninitialized():
        return create(name, channels=3, input_size=input_size, **options)


class Builder(Protocol):
    """One architecture at any input size, built without memory for its weights."""

    @property
    def own_size(self) -> int:
        """Return the published side of the architecture's input."""

    @property
    def is_sized(self) -> bool:
        """Return whether the network is built for an input size."""

    @property
    def patch(self) -> int:
        """Return the side of the patches that must fill the image; 1 without patches."""

    def takes(self, size: int) -> bool:
        """Return whether the network runs at an input size."""

    def runs(self, size: int) -> bool:
        """Return whether a network that is built for a size computes something on the CPU."""

    def own_counts(self) -> OpCounts:
        """Return the costs at the architecture's own size."""

    def counts(self, size: int) -> OpCounts:
        """Return the costs of one image of a size."""


class _Builder:
    """One timm architecture at any input size, its blocks merged where timm can.

    Attributes:
        own_size: The published side of the architecture's input.
        params: Number of parameters before merging.
        is_fusable: Whether merging changes the network.
        is_sized: Whether the network is built for an input size.
    """

    def __init__(self, name: str, own_size: int) -> None:
        self.name, self.own_size = name, own_size
        self._taken: dict[int, bool] = {}  # rules of different steps ask about the same sizes
        self._built: dict[int, nn.Module] = {}  # first tried, then merged and counted
        self._counted: dict[int, OpCounts] = {}
        network = blank(name, device="meta")
        self.params = sum(parameter.numel() for parameter in network.parameters())
        cfg = get_pretrained_cfg(name)
        self.is_sized = bool(cfg is not None and cfg.fixed_input_size)
        before = set(network.state_dict())
        # An LSTM is one operation on the CPU, and one for each step of its sequence on meta.
        has_recurrence = any(isinstance(module, nn.RNNBase) for module in network.modules())
        self._device = "meta"
        self._own = self._merged(network)
        self.is_fusable = set(self._own.state_dict()) != before
        if has_recurrence:
            self._device = "cpu"
            self._own = self._merged(blank(name))

    @property
    def patch(self) -> int:
        """Return the side of the patches that must fill the image; 1 without patches."""
        patch = getattr(getattr(self._own, "patch_embed", None), "patch_size", 1)
        side = max(patch) if isinstance(patch, tuple) else patch
        return side if isinstance(side, int) else 1

    def takes(self, size: int) -> bool:
        """Return whether the network runs at an input size."""
        if size not in self._taken:
            self._taken[size] = self._tries(size)
        return self._taken[size]

    def _tries(self, size: int) -> bool:
        try:
            network = self._at(size)
            output = run_once(network, self.name, channels=3, input_size=size, device=self._device)
        except BuildError:
            return False
        return isinstance(output, torch.Tensor) and output.ndim == 2

    def runs(self, size: int) -> bool:
        """Return whether a network that is built for a size computes something on the CPU."""
        if not self.is_sized or self.params > CPU_PARAMS_MAX:
            return True
        try:
            network = blank(self.name, input_size=size)
            run_once(network, self.name, channels=3, input_size=size)
        except BuildError:
            return False
        return True

    def own_counts(self) -> OpCounts:
        """Return the costs at the own size, on the CPU where meta lacks an operation."""
        try:
            return self.counts(self.own_size)
        except Exception:  # each model file fails in its own way
            if self._device == "cpu" or self.params > CPU_PARAMS_MAX:
                raise
            self._device = "cpu"
            self._own = self._merged(blank(self.name))
            return self.counts(self.own_size)

    def counts(self, size: int) -> OpCounts:
        """Return the costs of one image of a size."""
        if size not in self._counted:
            network = self._at(size)
            # Of a network that is only tried it does not matter whether its blocks are merged.
            merged = network if network is self._own else self._merged(network)
            image = torch.zeros(1, 3, size, size, device=self._device)
            self._counted[size] = count_costs(merged, image)
        return self._counted[size]

    def truncated_counts(self) -> OpCounts:
        """Return the costs at the own size of the network without its last stage and classes."""
        network = blank(self.name, device=self._device, num_classes=0)
        size = self.own_size
        stages = truncate(network, self.name, channels=3, input_size=size, device=self._device)
        params = sum(parameter.numel() for parameter in network.parameters())
        of = Architecture("classification", self.name, "truncated", size, classes=0, channels=3)
        truncated = Classifier(of, self._merged(network), nn.Identity(), stages.indices)
        image = torch.zeros(1, 3, size, size, device=self._device)
        return replace(count_costs(truncated, image), params=params)

    def _at(self, size: int) -> nn.Module:
        if not self.is_sized or size == self.own_size:
            return self._own
        if size not in self._built:
            self._built[size] = blank(self.name, input_size=size, device=self._device).eval()
        return self._built[size]

    def _merged(self, network: nn.Module) -> nn.Module:
        with torch.device(self._device):  # merging blocks makes new layers
            merged: nn.Module = timm.utils.reparameterize_model(network.eval(), inplace=True)
        return merged


def sizes_and_costs(builder: Builder) -> dict[str, Any]:
    """Return the input sizes that a network takes and its costs, by columns of the row."""
    own = builder.own_size
    counts = builder.own_counts()
    kind: Literal["any", "img_size", "fixed"] = "img_size" if builder.is_sized else "any"
    for step, smallest in _rules(builder):
        sizes = {max(smallest, round(size / step) * step) for size in COST_SIZES} - {own}
        try:
            table = {size: builder.counts(size) for size in sizes} | {own: counts}
        except Exception:  # as above; the next rule may hold at all sizes
            continue
        break
    else:
        kind, step, smallest, table = "fixed", own, own, {own: counts}
    return {
        "sizes": kind,
        "size_step": step,
        "size_min": smallest,
        "costs": tuple((size, _row(table[size])) for size in sorted(table)),
        "n_ops": counts.n_ops,
        "macs_shares": tuple(part / counts.macs for part in counts.macs_by),
        "elements_shares": tuple(part / counts.elements for part in counts.elements_by),
    }


def _row(counts: OpCounts) -> Costs:
    return Costs(counts.macs / 1e9, counts.acts / 1e6, counts.elements / 1e6)


def _rules(builder: Builder) -> Iterator[tuple[int, int]]:
    """Yield pairs of a step and a smallest input size, right for all sizes that were tried."""
    patch = builder.patch
    base = builder.own_size - builder.own_size % patch
    if builder.is_sized and not builder.takes(2 * base):
        return
    for step in sorted({patch * step for step in STEPS} | {base}):
        if base % step == 0 and all(builder.takes(base + step * times) for times in TIMES):
            rounded = dict.fromkeys(-(-size // step) * step for size in SMALLEST)
            smaller = (size for size in rounded if size < base and builder.takes(size))
            smallest = next(smaller, base)
            # The number of patches is checked on meta; other tables of positions are indexed, and
            # on meta no index is out of bounds.
            times = 3 if step < LARGE_STEP else 1
            if 1 < step == patch or builder.runs(smallest + times * step):
                yield step, smallest


def _levels(name: str) -> dict[str, Any]:
    network: Any = blank(name, device="meta", features_only=True)
    info = network.feature_info
    return {"strides": tuple(info.reduction()), "channels": tuple(info.channels())}


def _heads(name: str) -> dict[str, Any]:
    """Return the heads of classification, in groups of heads that make the same network."""
    task: Any = TASKS["classification"]
    with _Uninitialized():
        taken = [head for head in task.heads if task.heads_for(name, (head,))]
    same = {pair for pair in combinations(taken, 2) if len(task.heads_for(name, pair)) == 1}
    groups: list[list[str]] = []
    for head in taken:
        group = next((group for group in groups if (group[0], head) in same), None)
        if group is None:
            groups.append([head])
        else:
            group.append(head)
    return {"heads": tuple(map(tuple, groups))}


def _truncated_shares(builder: _Builder) -> dict[str, Any]:
    """Return what is left of the costs at the own size without the last stage and classes."""
    whole, left = builder.own_counts(), builder.truncated_counts()
    pairs = (
        (left.params, builder.params),
        (left.macs, whole.macs),
        (left.acts, whole.acts),
        (left.elements, whole.elements),
        (left.n_ops, whole.n_ops),
    )
    return {"truncated_shares": tuple(part / of for part, of in pairs)}


def reason_of(error: BaseException) -> str:
    """Return the type and the first line of the error that caused a failure, as timm raised it."""
    while isinstance(error, BuildError) and error.__cause__ is not None:
        error = error.__cause__
    text = f"{type(error).__name__}: {error}".strip().splitlines()[0]
    return text.replace(";", ",")[:REASON_LENGTH]
