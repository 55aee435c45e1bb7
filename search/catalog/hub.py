"""Rows for backbones whose names begin with ``hf:``, built once and kept in a file."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from archfront.search.catalog.backbones import Backbone, Costs, Tag
from archfront.trainers.errors import BuildError, ConfigError
from archfront.trainers.files import write_whole
from archfront.trainers.networks.hf.names import canonical, digest_of

logger = logging.getLogger(__name__)


def hub_rows(names: Iterable[str], memory: Path) -> list[Backbone]:
    """Return a row for each classifier of transformers.

    Args:
        names: Names such as ``hf:microsoft/resnet-50`` or ``hf:./folder``.
        memory: JSON file of rows that were built before; created if missing.

    Raises:
        ConfigError: For every name without a configuration or whose network cannot be built.
    """
    remembered = _read(memory)
    rows: list[Backbone] = []
    problems: list[str] = []
    for name in dict.fromkeys(canonical(name) for name in names):
        try:
            rows.append(_row(name, remembered, memory))
        except ConfigError as error:
            problems += error.problems
        except BuildError as error:
            problems.append(f"space.backbones: {error}")
    if problems:
        raise ConfigError(*dict.fromkeys(problems))
    return rows


def _row(name: str, remembered: dict[str, Any], memory: Path) -> Backbone:
    digest = digest_of(name)
    known = remembered.get(name)
    if known is not None and known["digest"] == digest:
        return _parsed(known["row"])
    from archfront.search.catalog.describe_hub import describe_hub

    logger.info("building %s to count its costs", name)
    row = describe_hub(name)
    remembered[name] = {"digest": digest, "row": asdict(row)}
    _write(memory, remembered)
    return row


def _parsed(content: dict[str, Any]) -> Backbone:
    rest = {key: _tuples(value) for key, value in content.items()}
    rest["costs"] = tuple((size, Costs(**costs)) for size, costs in content["costs"])
    rest["tags"] = tuple(Tag(**tag) for tag in content["tags"])
    return Backbone(**rest)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _read(memory: Path) -> dict[str, Any]:
    """Return the kept rows by name; none if the file is missing or holds something else."""
    try:
        content = json.loads(memory.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _write(memory: Path, remembered: dict[str, Any]) -> None:
    memory.parent.mkdir(parents=True, exist_ok=True)
    write_whole(memory, json.dumps(remembered, indent=1))
