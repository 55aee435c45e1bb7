"""Mappings that ``search.config.build.build`` takes, with some leaves changed."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from typing import Any

import pytest
import yaml

from archfront.search.config.build import build
from archfront.search.config.compose import compose
from archfront.search.errors import ConfigError


@cache
def shipped() -> dict[str, Any]:
    """Return the composed digits experiment with its metric, which is not to be changed."""
    content: dict[str, Any] = yaml.safe_load(
        yaml.safe_dump(compose(["experiment=digits", "task.metric=accuracy"]).content)
    )
    return content


def changed(**leaves: Any) -> dict[str, Any]:
    """Return the digits experiment with changes; ``budget__trials=3`` changes a leaf."""
    content = deepcopy(shipped())
    for path, value in leaves.items():
        *parents, leaf = path.split("__")
        part = content
        for parent in parents:
            part = part[parent]
        part[leaf] = value
    return content


def problems(content: dict[str, Any], *texts: str) -> tuple[str, ...]:
    """Return what is wrong with a mapping."""
    with pytest.raises(ConfigError, match=r"\S") as caught:
        build(content, texts=frozenset(texts))
    return caught.value.problems
