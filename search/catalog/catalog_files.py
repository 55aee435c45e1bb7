"""The files of the catalog, which are shipped with it, read and written."""

from __future__ import annotations

import csv
import difflib
import fnmatch
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import get_args

from archfront.search.catalog.backbones import Backbone, Costs, Published, Sizes, Tag
from archfront.trainers.files import replacing

PATH = Path(__file__).with_name("catalog.csv")
PUBLISHED = Path(__file__).with_name("published.csv")

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
    "receptive_fields",
    "effective_size",
    "effective_fields",
    "heads",
    "truncated_shares",
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
    for row in _rows(path):
        model, size, top1 = row.values()
        name, _, tag = model.partition(".")
        found.setdefault(name, []).append(Published(tag, int(size), float(top1)))
    return {
        name: tuple(sorted(entries, key=lambda entry: -entry.top1))
        for name, entries in found.items()
    }


def read(path: Path, published: dict[str, tuple[Published, ...]]) -> dict[str, Backbone]:
    """Return the rows of a file by name; columns of fields, which came later, may be missing."""
    rows = (_parse(cells, published) for cells in _rows(path))
    return {row.name: row for row in rows}


def write(path: Path, rows: Iterable[Backbone], version: str) -> None:
    """Write rows so that ``read`` returns them, except for the published accuracies."""
    with replacing(path) as written, written.open("w", newline="", encoding="utf-8") as file:
        file.write(f"# timm {version}\n")
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(_cells(row) for row in rows)


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        yield from csv.DictReader(line for line in file if not line.startswith("#"))


def _parse(cell: dict[str, str], published: dict[str, tuple[Published, ...]]) -> Backbone:
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
        receptive_fields=tuple(map(float, _list(cell.get("receptive_fields", "")))),
        effective_size=int(cell.get("effective_size") or 0) or None,
        effective_fields=tuple(map(float, _list(cell.get("effective_fields", "")))),
        heads=tuple(tuple(group.split("=")) for group in _list(cell["heads"])),
        truncated_shares=tuple(map(float, _list(cell.get("truncated_shares", "")))),
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
        joined(map(float, row.receptive_fields)),
        "" if row.effective_size is None else str(row.effective_size),
        joined(map(float, row.effective_fields)),
        joined("=".join(group) for group in row.heads),
        joined(round(share, 4) for share in row.truncated_shares),
        "yes" if row.is_fusable else "no",
        joined(tag.name or "-" for tag in row.tags),
        joined(tag.licence for tag in row.tags),
        row.problem,
    ]
