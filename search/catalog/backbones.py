"""The rows of the catalog, read from the files that are shipped with it."""

from __future__ import annotations

import csv
import difflib
import fnmatch
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, get_args

from archfront.search.catalog.tags import data_of
from archfront.trainers.files import replacing

PATH = Path(__file__).with_name("catalog.csv")
PUBLISHED = Path(__file__).with_name("published.csv")

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
        licence: The licence that timm gives, in lower case.
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
        heads: The heads of the classification task that the backbone takes, in groups of heads
            that make the same network.
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
    heads: tuple[tuple[str, ...], ...] = ()
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
        """Return the licence of a tag's weights, the default ones for None; ``?`` if unknown."""
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


COLUMNS = (
    "name",
    "family",
    "params_m",
    "input_size",
    "sizes",
    "size_step",
    "size_min",
    "cost_sizes",
    "macs_g",
    "acts_m",
    "elements_m",
    "n_ops",
    "macs_shares",
    "elements_shares",
    "strides",
    "channels",
    "heads",
    "is_fusable",
    "tags",
    "licences",
    "problem",
)


@lru_cache(maxsize=1)
def catalog() -> dict[str, Backbone]:
    """Return the shipped rows by name, in timm's order."""
    return read(PATH, read_published(PUBLISHED))


def timm_version(path: Path = PATH) -> str:
    """Return the version of timm that a catalog was built from."""
    with path.open(encoding="utf-8") as file:
        return file.readline().removeprefix("# timm ").strip()


def match(patterns: Iterable[str], names: Sequence[str]) -> list[str]:
    """Return the names that match any of the shell patterns, in the order of the names."""
    wanted = list(patterns)
    return [name for name in names if any(fnmatch.fnmatchcase(name, p) for p in wanted)]


def near(pattern: str, names: Sequence[str]) -> str:
    """Return the names nearest to a pattern in parentheses, for an error; empty without any."""
    found = difflib.get_close_matches(pattern.strip("*?"), names, n=3)
    return f" (near: {', '.join(found)})" if found else ""


def read_published(path: Path) -> dict[str, tuple[Published, ...]]:
    """Return published accuracies by architecture, the best first."""
    found: dict[str, list[Published]] = {}
    for model, size, top1 in _lines(path):
        name, _, tag = model.partition(".")
        found.setdefault(name, []).append(Published(tag, int(size), float(top1)))
    return {
        name: tuple(sorted(entries, key=lambda entry: -entry.top1))
        for name, entries in found.items()
    }


def read(path: Path, published: dict[str, tuple[Published, ...]]) -> dict[str, Backbone]:
    """Return the rows of a file by name."""
    rows = (_parse(cells, published) for cells in _lines(path))
    return {row.name: row for row in rows}


def write(path: Path, rows: Iterable[Backbone], version: str) -> None:
    """Write rows so that ``read`` returns them, except for the published accuracies."""
    with replacing(path) as written, written.open("w", newline="", encoding="utf-8") as file:
        file.write(f"# timm {version}\n")
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(_cells(row) for row in rows)


def _lines(path: Path) -> Iterator[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        lines = csv.reader(line for line in file if not line.startswith("#"))
        next(lines)
        yield from lines


def _parse(cells: list[str], published: dict[str, tuple[Published, ...]]) -> Backbone:
    cell = dict(zip(COLUMNS, cells, strict=True))
    sizes: Sizes = next(kind for kind in get_args(Sizes) if kind == cell["sizes"])
    columns = (map(float, _list(cell[name])) for name in ("macs_g", "acts_m", "elements_m"))
    tags = zip(_list(cell["tags"]), _list(cell["licences"]), strict=True)
    return Backbone(
        name=cell["name"],
        family=cell["family"],
        params_m=float(cell["params_m"]),
        input_size=int(cell["input_size"]),
        sizes=sizes,
        size_step=int(cell["size_step"]),
        size_min=int(cell["size_min"]),
        costs=tuple(
            (int(size), Costs(*costs))
            for size, *costs in zip(_list(cell["cost_sizes"]), *columns, strict=True)
        ),
        n_ops=int(cell["n_ops"]),
        macs_shares=tuple(map(float, _list(cell["macs_shares"]))),
        elements_shares=tuple(map(float, _list(cell["elements_shares"]))),
        strides=tuple(map(int, _list(cell["strides"]))),
        channels=tuple(map(int, _list(cell["channels"]))),
        heads=tuple(tuple(group.split("=")) for group in _list(cell["heads"])),
        is_fusable=cell["is_fusable"] == "yes",
        tags=tuple(Tag("" if name == "-" else name, licence) for name, licence in tags),
        published=published.get(cell["name"], ()),
        problem=cell["problem"],
    )


def _list(cell: str) -> list[str]:
    return cell.split(";") if cell else []


def _cells(row: Backbone) -> list[str]:
    def joined(values: Iterable[object]) -> str:
        return ";".join(f"{v:.6g}" if isinstance(v, float) else str(v) for v in values)

    costs = [entry for _, entry in row.costs]
    return [
        row.name,
        row.family,
        f"{row.params_m:.4f}",
        str(row.input_size),
        row.sizes,
        str(row.size_step),
        str(row.size_min),
        joined(size for size, _ in row.costs),
        joined(entry.macs_g for entry in costs),
        joined(entry.acts_m for entry in costs),
        joined(entry.elements_m for entry in costs),
        str(row.n_ops),
        joined(round(share, 4) for share in row.macs_shares),
        joined(round(share, 4) for share in row.elements_shares),
        joined(row.strides),
        joined(row.channels),
        joined("=".join(group) for group in row.heads),
        "yes" if row.is_fusable else "no",
        joined(tag.name or "-" for tag in row.tags),
        joined(tag.licence for tag in row.tags),
        row.problem,
    ]
