"""Every timm backbone with what is known of it before a network is built.

The shipped ``catalog.csv`` is written by ``python -m search.catalog`` from timm itself, on the
meta device: no weights, no network, no arithmetic. Reading it needs neither timm nor torch.
"""

from __future__ import annotations

import csv
import fnmatch
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

PATH = Path(__file__).with_name("catalog.csv")


@dataclass(frozen=True)
class Backbone:
    """One timm architecture.

    Attributes:
        name: timm's name without a pretrained tag.
        family: The timm module that defines it, as ``resnet``.
        params_m: Parameters with timm's own classifier, in millions; NaN when not built.
        input_size: The published side of its input, in pixels.
        sizes: Which input sizes it takes: ``any``; ``img_size`` when it is built for one;
            ``fixed`` when only its own.
        tags: Pretrained tags, timm's default first, between semicolons.
        problem: Why it could not be built; empty when it was.
    """

    name: str
    family: str
    params_m: float
    input_size: int
    sizes: Literal["any", "img_size", "fixed"]
    tags: str
    problem: str


@lru_cache(maxsize=1)
def catalog() -> dict[str, Backbone]:
    """Return the shipped rows by name, in timm's order."""
    with PATH.open(newline="", encoding="utf-8") as file:
        lines = (line for line in file if not line.startswith("#"))
        texts: list[dict[str, Any]] = list(csv.DictReader(lines))
    for row in texts:
        row["params_m"], row["input_size"] = float(row["params_m"]), int(row["input_size"])
    return {row["name"]: Backbone(**row) for row in texts}


def timm_version() -> str:
    """Return the version of timm that the catalog was built from."""
    with PATH.open(encoding="utf-8") as file:
        return file.readline().removeprefix("# timm ").strip()


def match(patterns: Iterable[str], names: Sequence[str]) -> list[str]:
    """Return the names that any shell pattern matches, in their own order."""
    wanted = list(patterns)
    return [name for name in names if any(fnmatch.fnmatchcase(name, p) for p in wanted)]


def build(path: Path = PATH) -> int:
    """Write the catalog of the installed timm and return the number of rows."""
    import timm

    names = timm.list_models()
    with path.open("w", newline="", encoding="utf-8") as file:
        file.write(f"# timm {timm.__version__}\n")
        writer = csv.DictWriter(file, [f.name for f in fields(Backbone)], lineterminator="\n")
        writer.writeheader()
        for number, name in enumerate(names, 1):
            writer.writerow(asdict(describe(name)))
            if number % 100 == 0:
                print(f"{number} of {len(names)}", file=sys.stderr)
    return len(names)


def describe(name: str) -> Backbone:
    """Return the row of one timm architecture, built on the meta device."""
    import timm
    import torch
    from timm.models import get_pretrained_cfg, is_model_pretrained, model_entrypoint

    default = get_pretrained_cfg(name)
    tags = [default.tag] if default is not None and is_model_pretrained(name) else []
    tags += [
        tag
        for tag in (full.partition(".")[2] for full in timm.list_pretrained(f"{name}.*"))
        if tag not in tags
    ]
    known: dict[str, Any] = {
        "name": name,
        "family": model_entrypoint(name).__module__.rpartition(".")[2],
        "input_size": default.input_size[-1] if default is not None else 224,
        "tags": ";".join(tag or "" for tag in tags),
    }
    try:
        with torch.device("meta"):
            model = timm.create_model(name)
    except Exception as error:  # any failure of timm's is the row's problem
        words = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        return Backbone(**known, params_m=float("nan"), sizes="fixed", problem=words)
    params = sum(p.numel() for p in model.parameters()) / 1e6
    return Backbone(**known, params_m=round(params, 4), sizes=_sizes(name, model), problem="")


def _sizes(name: str, model: Any) -> Literal["any", "img_size", "fixed"]:
    """Return which input sizes a network takes, by building it for twice its own."""
    import timm
    import torch

    if not model.default_cfg.get("fixed_input_size"):
        return "any"
    try:
        with torch.device("meta"):
            timm.create_model(name, img_size=2 * model.default_cfg["input_size"][-1])
    except (TypeError, AssertionError, ValueError, RuntimeError):
        return "fixed"
    return "img_size"


if __name__ == "__main__":
    print(f"{build()} architectures in {PATH}")
